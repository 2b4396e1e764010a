"""``envc solve --conda`` from the command line, with a small channel on disk."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

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
            records[file] |= {"sha256": "ab" * 32, "size": 10, "timestamp": 1_500_000_000_000, **fields}
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


def change(place: Workplace, subdir: str, edit: Callable[[dict[str, Any]], None]) -> None:
    """Change the repodata of a subdir."""
    path = place.folder / "channel" / subdir / "repodata.json"
    document = json.loads(path.read_text())
    edit(document)
    path.write_text(json.dumps(document))


def test_odd_records_are_left_out_and_the_others_serve(place: Workplace) -> None:
    """An archive that calls itself otherwise, a blank in a build, a version that cannot be read, a damaged digest."""

    def add_odd_records(document: dict[str, Any]) -> None:
        records = document["packages.conda"]
        good = records["openssl-3.3.2-h_0.conda"]
        records["openssl-4.0-h_0.conda"] = good | {"name": "libressl", "version": "4.0"}
        records["openssl-4.1-h_0.conda"] = good | {"version": "4.1", "build": "h 0"}
        records["openssl-4.2-h_0.conda"] = good | {"version": "4..2"}
        records["openssl-4.3-h_0.conda"] = good | {"version": "4.3", "sha256": "abc"}
        good["sha256"] = "AB" * 32
        records["gpu-2..0-h_0.conda"] = records["gpu-1.0-h_0.conda"] | {"version": "2..0"}

    change(place, "linux-64", add_odd_records)
    done = solve(place, "--conda", "openssl", "--json")
    assert done.code == 0, done.err
    assert [(each["version"], each["sha256"]) for each in done.json["packages"]] == [("3.3.2", "ab" * 32)]
    assert done.err == (
        "warning: channel/linux-64/openssl-4.0-h_0.conda is left out, and so are 3 more of openssl: "
        "it names the package 'libressl', and its file name another one\n"
    )
    gpu = solve(place, "--conda", "gpu", "--virtual-package", "__cuda=12.4")
    assert (gpu.code, gpu.out) == (0, "gpu=1.0=h_0\n")
    assert gpu.err.startswith("warning: channel/linux-64/gpu-2..0-h_0.conda is left out: '2..0' is not a version")


def test_a_name_whose_records_are_all_odd_does_not_come_from_the_next_channel(place: Workplace) -> None:
    other = place.folder / "other"
    shutil.copytree(place.folder / "channel", other)
    change(place, "linux-64", lambda document: document["packages.conda"]["openssl-3.3.2-h_0.conda"].update(sha256="x"))
    done = solve(place, "--channel", str(other), "--conda", "openssl")
    assert done.code == 1
    assert "by channel priority openssl comes from channel" in done.err
    assert "channel/linux-64/openssl-3.3.2-h_0.conda is left out: its sha256 is not 64 hexadecimal digits" in done.err
    relaxed = solve(place, "--channel", str(other), "--conda", "openssl", "--channel-priority", "flexible")
    assert relaxed.out == "openssl=3.3.2=h_0\n"


def test_under_a_cut_off_the_archive_is_taken_whose_twin_is_newer(place: Workplace) -> None:
    def convert(document: dict[str, Any]) -> None:
        new = document["packages.conda"]["openssl-3.3.2-h_0.conda"]
        document["packages"]["openssl-3.3.2-h_0.tar.bz2"] = new | {"timestamp": 1_400_000_000_000}

    change(place, "linux-64", convert)

    def file(*cut_off: str) -> str:
        (package,) = solve(place, "--conda", "openssl", "--json", *cut_off).json["packages"]
        return str(package["file"])

    assert file() == file("--exclude-newer", "2018-01-01") == "openssl-3.3.2-h_0.conda"
    assert file("--exclude-newer", "2015-01-01") == "openssl-3.3.2-h_0.tar.bz2"
    assert "it is newer than the cut-off" in solve(place, "--conda", "openssl", "--exclude-newer", "2014-01-01").err


def test_records_in_newer_formats_are_counted(place: Workplace) -> None:
    change(place, "linux-64", lambda document: document.update(v3={"conda": {"openssl-4.0-h_0": {}}, "whl": {}}))
    for _ in range(2):
        done = solve(place, "--conda", "openssl")
        assert (done.code, done.out) == (0, "openssl=3.3.2=h_0\n")
        assert done.err == ("warning: channel has records in newer formats than envc reads, which are left out: 1\n")


def test_an_empty_cache_offline_and_a_missing_channel_are_errors(place: Workplace) -> None:
    lost = place.run("solve", "--conda", "python", "--channel", str(place.folder / "nowhere"), "--platform", "linux-64")
    assert lost.code == 1
    assert "nowhere" in lost.err
    assert "Traceback" not in lost.err


def test_hash_seeds_make_no_difference(place: Workplace) -> None:
    solved = {solve(place, "--conda", "tool", "--json", PYTHONHASHSEED=str(seed)).out for seed in range(4)}
    refused = {solve(place, "--conda", "gpu", "--conda", "python", PYTHONHASHSEED=str(seed)).err for seed in range(4)}
    assert len(solved) == len(refused) == 1
