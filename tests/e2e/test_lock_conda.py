"""`envc lock` for steps with conda packages, with channels on disk."""

from __future__ import annotations

import json
import shutil
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.command import Workplace
from tests.support.channel_server import ChannelServer
from tests.support.channels import CHANNELS, copy_example
from tests.support.manifests import conda_tables

MANIFEST = f"""\
{conda_tables("linux-64", "osx-arm64", "win-64")}
[steps.one]
conda = ["tool"]

[steps.two]
conda = ["tool"]
[steps.two.on.linux-64]
conda = ["extra"]
"""


def record(name: str, version: str, build: str, subdir: str, **more: Any) -> dict[str, Any]:
    file = f"{name}-{version}-{build}.conda"
    return {
        file: {
            "name": name,
            "version": version,
            "build": build,
            "build_number": 0,
            "depends": [],
            "sha256": sha256(f"{subdir}/{file}".encode()).hexdigest(),
            "size": 1000,
            "timestamp": 1_700_000_000_000,
            **more,
        }
    }


def write_channel(folder: Path, **changes: dict[str, Any]) -> None:
    """Write a channel of three platforms. `changes` add records to subdirs, whose names have _ instead of -."""
    for subdir in ("linux-64", "osx-arm64", "win-64", "noarch"):
        packages: dict[str, Any] = {}
        if subdir != "noarch":
            packages |= record("python", "3.12.4", "h1_0_cpython", subdir) | record("python", "3.13.1", "h1_0", subdir)
            packages |= record("tool", "1.0", f"{subdir[:3]}_0", subdir, depends=["python >=3.12,<3.13.0a0", "data"])
            packages |= record("extra", "0.5", "0", subdir)
        else:
            packages |= record("data", "2026a", "0", subdir, noarch="generic", license="CC0-1.0")
        packages |= changes.get(subdir.replace("-", "_"), {})
        (folder / subdir).mkdir(parents=True, exist_ok=True)
        (folder / subdir / "repodata.json").write_text(
            json.dumps({"info": {"subdir": subdir}, "packages": {}, "packages.conda": packages, "repodata_version": 1})
        )


@pytest.fixture
def place(tmp_path: Path) -> Workplace:
    place = Workplace(tmp_path, None)
    place.write(MANIFEST)
    write_channel(place.checkout / "channel")
    return place


def test_every_platform_gets_its_own_builds(place: Workplace) -> None:
    done = place.ok("lock")
    assert "wrote manifest.lock: 2 steps, 3 targets, 4 packages" in done.err
    text = place.lock.read_text()
    assert text.count('id = "conda:tool"') == 1
    for subdir in ("lin", "osx", "win"):
        assert f"tool-1.0-{subdir}_0.conda" in text
    assert '"conda:extra @ linux-64"' in text
    assert "python-3.13" not in text
    assert 'targets = ["linux-64/cp312", "osx-arm64/cp312", "win-64/cp312"]' in text
    place.ok("lock", "--check")
    assert "manifest.lock is unchanged" in place.ok("lock").err
    assert "6 step-targets, 4 environments" in place.ok("status").out


def test_a_new_build_moves_no_pin_without_an_upgrade(place: Workplace) -> None:
    place.ok("lock")
    newer = record("tool", "1.1", "lin_0", "linux-64", depends=["python", "data"])
    write_channel(place.checkout / "channel", linux_64=newer)
    place.write(MANIFEST.replace('conda = ["extra"]', 'conda = ["extra", "python"]'))
    place.ok("lock", "--refresh")
    assert "tool-1.1" not in place.lock.read_text()
    assert "~ tool 1.0 -> 1.1" in place.ok("lock", "-P", "tool", "--refresh").err


def test_a_conflict_names_the_lines_of_the_manifest(place: Workplace) -> None:
    place.write(MANIFEST.replace('[steps.one]\nconda = ["tool"]', '[steps.one]\nconda = ["tool", "python >=3.13"]'))
    done = place.fails(1, "lock")
    assert "cannot solve step one on linux-64 (Python 3.12)" in done.err
    assert "(steps.one.conda[1], line 12)" in done.err
    assert "(project.python, line 4)" in done.err


def test_an_invalid_spec_is_reported_with_its_line(place: Workplace) -> None:
    place.write(MANIFEST.replace('conda = ["extra"]', 'conda = ["extra >=1.*.2.*.x["]'))
    done = place.fails(2, "lock")
    assert "steps.two.on.linux-64.conda[0]" in done.err


def test_a_channel_without_the_platform_is_named(place: Workplace) -> None:
    for subdir in ("win-64", "noarch"):
        shutil.rmtree(place.checkout / "channel" / subdir)
    done = place.fails(1, "lock")
    assert "small" in done.err
    assert "win-64" in done.err


def test_a_record_without_a_digest_is_hashed_when_it_is_locked(place: Workplace) -> None:
    bare = record("extra", "0.6", "0", "linux-64")
    for entry in bare.values():
        del entry["sha256"], entry["size"]
    write_channel(place.checkout / "channel", linux_64=bare)
    missing = place.fails(1, "lock")
    assert "extra-0.6-0.conda, whose record has no digest" in missing.err
    (place.checkout / "channel" / "linux-64" / "extra-0.6-0.conda").write_bytes(b"package")
    place.ok("lock")
    assert sha256(b"package").hexdigest() in place.lock.read_text()
    assert "size = 7" in place.lock.read_text()


def one_step(place: Workplace, channels: str, *specs: str, more: str = "") -> None:
    place.write(
        f"""
[project]
name = "made"
targets = ["linux-64"]
python = "3.12"
channels = {channels}

[steps.one]
conda = {json.dumps(specs)}
{more}"""
    )


def test_channels_are_names_urls_and_paths(place: Workplace, tmp_path: Path) -> None:
    """As `solve --channel` takes them; the lock holds their names alone."""
    write_channel(place.checkout / "forge", linux_64=record("forged", "1.0", "0", "linux-64"))
    write_channel(tmp_path / "mirror" / "bioconda", linux_64=record("blast", "1.0", "0", "linux-64"))
    write_channel(tmp_path / "mirror" / "pkgs" / "main", linux_64=record("blender", "1.0", "0", "linux-64"))
    write_channel(tmp_path / "mirror" / "pkgs" / "r", linux_64=record("r-base", "4.3", "0", "linux-64"))
    with ChannelServer() as server:
        server.add_folder("team", place.checkout / "channel")
        alias = {"ENVC_CHANNEL_ALIAS": (tmp_path / "mirror").as_uri()}
        one_step(
            place,
            f'["./forge", "{server.base}/team", "bioconda", "defaults"]',
            *("forged", "team::data", "bioconda::blast", "defaults::blender", "r-base"),
        )
        place.ok("lock", **alias)
        text = place.lock.read_text()
        for name, source in {
            "forged": "forge",
            "data": "team",
            "blast": "bioconda",
            "blender": "pkgs/main",
            "r-base": "pkgs/r",
        }.items():
            (block,) = [part for part in text.split("\n\n") if f'id = "conda:{name}"' in part]
            assert f'source = "{source}"' in block
        assert 'channels = ["forge", "team", "bioconda", "pkgs/main", "pkgs/r"]' in text
        assert "127.0.0.1" not in text and "://" not in text and str(tmp_path) not in text
        place.ok("lock", "--check")
    done = place.fails(1, "lock", "--refresh", "--upgrade", **alias)
    assert "team" in done.err and "127.0.0.1" not in done.err


def test_a_spec_that_names_a_channel_which_the_step_lacks_says_so(place: Workplace) -> None:
    one_step(place, '["./channel"]', "conda-forge::data")
    done = place.fails(2, "lock")
    assert (
        "steps.one.conda[0]: conda-forge::data: conda-forge is not a channel of step one on linux-64, "
        "which has channel" in done.err
    )
    assert 'add "conda-forge" to project.channels' in done.err


def write_builds(place: Workplace) -> None:
    """A channel with builds of two packages for several Pythons."""
    packages: dict[str, Any] = {}
    for minor in range(8, 14):
        packages |= record("python", f"3.{minor}.4", "h1_0_cpython", "linux-64")
    for version, minors in {"1.0": (9, 10), "1.1": (8, 9, 10, 11), "2.0": (11, 12, 13)}.items():
        for minor in minors:
            on = [f"python >=3.{minor},<3.{minor + 1}.0a0"]
            packages |= record("num", version, f"py3{minor}_0", "linux-64", depends=on)
    for minor, tide in {9: "tide >=1.1,<2", 10: "tide >=1.2,<2", 11: "tide >=1.3,<2", 12: "tide >=2"}.items():
        on = [f"python >=3.{minor},<3.{minor + 1}.0a0", tide]
        packages |= record("frame", "1.0", f"py3{minor}_0", "linux-64", depends=on)
    for version in ("1.0", "1.5", "2.0"):
        packages |= record("tide", version, "h_0", "linux-64")
    write_channel(place.checkout / "channel", linux_64=packages)


@pytest.mark.parametrize(
    ("specs", "reason", "suggestion"),
    [
        # Only the Pythons of the versions that the spec allows, without the gap between them and others.
        (["num <2"], "num 1.0 to 1.1 needs python 3.8.4 to 3.11.4", 'python = "3.11"'),
        (["num 1.0.*"], "num 1.0 needs python >=3.9,<3.10.0a0 or python >=3.10,<3.11.0a0", 'python = "3.10"'),
    ],
)
def test_a_conflict_with_python_says_which_python_would_do(
    place: Workplace, specs: list[str], reason: str, suggestion: str
) -> None:
    write_builds(place)
    one_step(place, '["./channel"]', *specs)
    done = place.fails(1, "lock")
    assert f"    {reason}\n" in done.err
    assert f'  try: `{suggestion}` instead of `python = "3.12"`; that gives python 3.' in done.err


def test_builds_for_other_pythons_are_not_mentioned(place: Workplace) -> None:
    write_builds(place)
    one_step(place, '["./channel"]', "frame", "tide 1.*")
    done = place.fails(1, "lock")
    assert "because\n    frame 1.0 needs tide >=2\n  try:" in done.err
    assert "leave out `python" not in done.err


def test_a_cut_off_spares_channels_that_state_no_times(place: Workplace) -> None:
    undated = record("extra", "0.7", "0", "linux-64")
    for entry in undated.values():
        del entry["timestamp"]
    write_channel(place.checkout / "channel", linux_64=undated)
    cut_off = '[project]\nexclude-newer = "2030-01-01"'
    place.write(MANIFEST.replace("[project]", cut_off))
    place.ok("lock")
    assert "extra-0.5-0.conda" in place.lock.read_text()
    exempt = MANIFEST.replace("[project]", cut_off).replace('kind = "conda"', 'kind = "conda"\nexclude-newer = false')
    place.write(exempt)
    assert "options.sources" in place.fails(1, "lock", "--check").err
    place.ok("lock", "--upgrade")
    assert "extra-0.7-0.conda" in place.lock.read_text()
    assert "conda exclude-newer=false" in place.lock.read_text()
    place.ok("lock", "--check")


@pytest.mark.skipif(not CHANNELS.is_dir(), reason="the recorded channels are not beside this checkout")
def test_locking_the_example_twice_gives_the_same_lock(tmp_path: Path) -> None:
    place = Workplace(tmp_path, None)
    copy_example("conda", place.checkout)
    place.ok("lock", PYTHONHASHSEED="1")
    first = place.lock.read_text()
    place.lock.unlink()
    place.ok("lock", PYTHONHASHSEED="2")
    assert place.lock.read_text() == first
    for package in ("numpy", "pandas", "python", "scikit-learn"):
        assert f'id = "conda:{package}"' in first
    assert '"conda:openblas @ linux-64"' in first
