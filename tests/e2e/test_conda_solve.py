"""``envc solve --conda`` from the command line, with a small channel on disk."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.e2e.command import Done, Workplace

CHANNEL = {
    "linux-64": {
        "python-3.12.7-h_0.conda": {"depends": ["__glibc >=2.17", "openssl >=3"]},
        "python-3.13.1-h_0.conda": {"depends": ["__glibc >=2.34", "openssl >=3"]},
        "openssl-3.3.2-h_0.conda": {"depends": []},
        "gpu-1.0-h_0.conda": {"depends": ["__cuda >=12"]},
    },
    "win-64": {"python-3.11.9-h_0.conda": {"depends": []}},
    "noarch": {"tool-1.0-py_0.conda": {"depends": ["python >=3.8"], "noarch": "python"}},
}


@pytest.fixture
def place(tmp_path: Path) -> Workplace:
    for subdir, files in CHANNEL.items():
        records = {}
        for file, fields in files.items():
            name, version, build = file.removesuffix(".conda").rsplit("-", 2)
            records[file] = {"name": name, "version": version, "build": build, "build_number": 0, "subdir": subdir}
            records[file] |= {"sha256": "ab" * 32, "size": 10, **fields}
        folder = tmp_path / "channel" / subdir
        folder.mkdir(parents=True)
        document = {"info": {"subdir": subdir}, "packages": {}, "packages.conda": records}
        (folder / "repodata.json").write_text(json.dumps(document))
    return Workplace(tmp_path, None)


def solve(place: Workplace, *arguments: str, platform: str = "linux-64", **env: str) -> Done:
    channel = str(place.folder / "channel")
    return place.run("solve", "--channel", channel, "--platform", platform, *arguments, **env)


def test_json_lists_the_chosen_packages(place: Workplace) -> None:
    done = solve(place, "--conda", "tool", "--json")
    assert done.code == 0, done.err
    packages = done.json["packages"]
    assert [(each["name"], each["version"], each["build"]) for each in packages] == [
        ("openssl", "3.3.2", "h_0"),
        ("python", "3.12.7", "h_0"),
        ("tool", "1.0", "py_0"),
    ]
    assert packages[2] == {
        "kind": "conda",
        "name": "tool",
        "version": "1.0",
        "build": "py_0",
        "file": "tool-1.0-py_0.conda",
        "sha256": "ab" * 32,
        "source": "channel",
        "depends": ["python"],
    }


def test_a_digest_that_the_channel_does_not_state_is_null(place: Workplace) -> None:
    path = place.folder / "channel" / "noarch" / "repodata.json"
    path.write_text(path.read_text().replace(f'"sha256": "{"ab" * 32}", ', ""))
    packages = solve(place, "--conda", "tool", "--json").json["packages"]
    assert [(each["name"], each["sha256"]) for each in packages if each["sha256"] is None] == [("tool", None)]


def test_the_text_can_be_read_by_conda(place: Workplace) -> None:
    assert solve(place, "--conda", "python=3.12").out == "openssl=3.3.2=h_0\npython=3.12.7=h_0\n"


def test_virtual_packages_replace_the_defaults(place: Workplace) -> None:
    newer = solve(place, "--conda", "python", "--virtual-package", "__glibc=2.39")
    assert "python=3.13.1=h_0" in newer.out
    assert solve(place, "--conda", "gpu", "--virtual-package", "__cuda=12.4").out == "gpu=1.0=h_0\n"
    none = solve(place, "--conda", "python", "--virtual-package", "__cuda=12.4")
    assert none.code == 1
    assert "linux-64 has no __glibc" in none.err


def test_any_platform_can_be_solved_for(place: Workplace) -> None:
    assert "python=3.11.9=h_0" in solve(place, "--conda", "tool", platform="win-64").out
    alone = solve(place, "--conda", "tool", platform="noarch")
    assert alone.code == 1
    assert "there is no package python" in alone.err


def test_a_refusal_has_a_reason_and_a_suggestion(place: Workplace) -> None:
    done = solve(place, "--conda", "python 3.13.*", "--json")
    assert done.code == 1
    assert "python 3.13.1 needs __glibc >=2.34" in done.err
    assert "but linux-64 has __glibc 2.28" in done.err
    error = done.json["error"]
    assert error["code"] == "unsolvable"
    assert [root["spec"] for root in error["problems"][0]["roots"]] == ["python 3.13.*"]
    assert error["problems"][0]["suggestion"] == "a target with __glibc 2.34, if your machines have it"


def test_the_suggestion_is_the_last_line(place: Workplace) -> None:
    alone = solve(place, "--conda", "does-not-exist", "--json")
    assert alone.code == 1
    way_out = "leave out `does-not-exist`; no other conda package is required, so none remains"
    assert alone.err.endswith(f"  try: {way_out}\n"), "without a general hint after it"
    assert alone.json["error"]["hint"] is None
    assert alone.json["error"]["problems"][0]["suggestion"] == way_out
    several = solve(place, "--conda", "gpu", "--conda", "lost", "--conda", "openssl 2.*", "--conda", "tool")
    assert several.code == 1
    assert several.err.endswith(
        "  try: `openssl` instead of `openssl 2.*`, and leave out `gpu` and `lost`; that gives openssl 3.3.2 h_0\n"
    )


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--conda", "py*"], "patterns of names are not supported"),
        (["--conda", "python >>3"], "python >>3"),
        (["--conda", "python", "--virtual-package", "glibc=2.28"], "two underscores"),
        (["--conda", "python", "--python", "3.12"], "--python does not apply to conda packages"),
        (["--conda", "python", "--exclude-newer", "yesterday"], "--exclude-newer yesterday"),
        (["--conda", "python", "--constraint", "openssl >="], "--constraint openssl >="),
        (
            ["--conda", "python", "--pypi", "app", "--constraint", "lib<2"],
            "--constraint is ambiguous with both --pypi and --conda",
        ),
        (
            ["--conda", "python", "--pypi", "app", "--override", "lib<2"],
            "--override is ambiguous with both --pypi and --conda",
        ),
    ],
)
def test_mistakes_on_the_command_line(place: Workplace, arguments: list[str], says: str) -> None:
    done = solve(place, *arguments)
    assert done.code == 2, done.err
    assert says in done.err
    assert "Traceback" not in done.err


def test_constraints_overrides_and_cutoffs_reach_the_solver(place: Workplace) -> None:
    assert solve(place, "--conda", "tool", "--constraint", "python >=3.13").code == 1
    assert "openssl" not in solve(place, "--conda", "tool", "--override", "python 3.10.*").out
    assert solve(place, "--conda", "tool", "--exclude-newer", "2020-01-01", "--constraint", "openssl >=3").code == 0


def test_an_empty_cache_offline_and_a_missing_channel_are_errors(place: Workplace) -> None:
    lost = place.run("solve", "--conda", "python", "--channel", str(place.folder / "nowhere"), "--platform", "linux-64")
    assert lost.code == 1
    assert "nowhere" in lost.err
    assert "Traceback" not in lost.err


def test_hash_seeds_make_no_difference(place: Workplace) -> None:
    solved = {solve(place, "--conda", "tool", "--json", PYTHONHASHSEED=str(seed)).out for seed in range(4)}
    refused = {solve(place, "--conda", "gpu", "--conda", "python", PYTHONHASHSEED=str(seed)).err for seed in range(4)}
    assert len(solved) == len(refused) == 1
