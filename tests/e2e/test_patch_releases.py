"""Steps for a minor version of Python whose patch releases differ in what they need or support."""

from __future__ import annotations

import subprocess
import sys
import tarfile
from pathlib import Path

import msgspec
import pytest
import zstandard

from envc.locking.builds.environment import machine_for
from envc.shipping.machine.interpreter import this_python
from envc_solvers.target import Python
from tests.e2e.command import HOST_PYTHON, Workplace, host_platform
from tests.support.servers import IndexServer
from tests.support.wheels import build_wheel

OLD, NEW = f"{HOST_PYTHON}.1", f"{HOST_PYTHON}.2"
UPPER = f"{sys.version_info[0]}.{sys.version_info[1] + 1}"
pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="pretends to be an interpreter with a shell script"),
    pytest.mark.skipif(sys.version_info[2] < 2, reason=f"this Python is older than {NEW}"),
]


def manifest(python: str = HOST_PYTHON, pypi: str = '"alpha"', targets: str = f'"{host_platform()}"') -> str:
    return f"""\
[project]
name = "demo"
targets = [{targets}]
python = "{python}"

[steps.train]
pypi = [{pypi}]
run = "python -c 'import alpha, sys; print(alpha.__version__)'"
"""


def place_for(tmp_path: Path, index: IndexServer, text: str) -> Workplace:
    place = Workplace(tmp_path, index.url)
    place.write(text)
    return place


def pretend(folder: Path, version: str) -> str:
    """An executable that describes itself as this Python in another version."""
    path = folder / f"python-{version}"
    host = msgspec.structs.replace(this_python(), executable=str(path), version=version)
    path.write_text(f"#!/bin/sh\ncat <<'END'\n{msgspec.json.encode(host).decode()}\nEND\n")
    path.chmod(0o755)
    return str(path)


def python_from(place: Workplace) -> str:
    lines = [line for line in place.lock.read_text().splitlines() if line.startswith("python-from")]
    return lines[0].removeprefix("python-from = ") if lines else ""


def test_a_release_for_newer_patch_releases_is_taken_for_a_minor_and_refused_on_an_older_interpreter(
    tmp_path: Path, index: IndexServer
) -> None:
    """cryptography 44 excludes the first two patch releases of Python 3.9, and `python = "3.9"` is not one of these."""
    excluded = f"!={HOST_PYTHON}.0,!={OLD},>=3.7"
    index.add(build_wheel("alpha", "44.0", requires_python=excluded))
    place = place_for(tmp_path, index, manifest())
    place.ok("lock")
    assert "alpha-44.0" in place.lock.read_text()
    assert python_from(place) == f'["{NEW}"]'
    place.ok("lock", "--check")
    assert place.ok("run", "train").out == "44.0\n"
    for verb in (("run", "train"), ("hydrate", "train")):
        old = place.fails(1, *verb, ENVC_PYTHON=pretend(tmp_path, OLD)).err
        assert f"no CPython {NEW} or a newer {HOST_PYTHON}" in old
        assert f"CPython {OLD} in ENVC_PYTHON" in old
        assert f'write python = ">={OLD},<{UPPER}" and run `envc lock`' in old


def test_a_dependency_of_newer_patch_releases_is_locked(tmp_path: Path, index: IndexServer) -> None:
    """It was dropped as if the interpreter were X.Y.0, and the import failed on every real one."""
    index.add(build_wheel("alpha", "2.0", [f'delta; python_full_version >= "{NEW}"']))
    place = place_for(tmp_path, index, manifest())
    place.ok("lock")
    assert "pypi:delta" in place.lock.read_text()
    assert python_from(place) == f'["{NEW}"]'
    place.ok("run", "train", "--", "python", "-c", "import alpha, delta")
    place.ok("lock", "--verify")
    assert place.ok("lock").err.count("unchanged") == 1


def test_a_lock_does_not_mention_patch_releases_that_need_the_same(tmp_path: Path, index: IndexServer) -> None:
    index.add(build_wheel("alpha", "2.0", [f'delta; python_full_version < "{HOST_PYTHON}.0"'], requires_python=">=3.7"))
    place = place_for(tmp_path, index, manifest())
    place.ok("lock")
    assert python_from(place) == ""
    place.ok("run", "train", "--", "true", ENVC_PYTHON=sys.executable)


def test_a_named_patch_release_means_what_it_says(tmp_path: Path, index: IndexServer) -> None:
    index.add(build_wheel("alpha", "44.0", requires_python=f"!={HOST_PYTHON}.0,!={OLD},>=3.7"))
    place = place_for(tmp_path, index, manifest(f"{HOST_PYTHON}.0"))
    place.ok("lock")
    assert "alpha-1.1" in place.lock.read_text(), "the newest release for this very Python"
    assert python_from(place) == ""


def test_a_stated_floor_means_what_it_says(tmp_path: Path, index: IndexServer) -> None:
    """The environment holds from the floor on, on every later patch release, and conditions are those of the floor."""
    index.add(build_wheel("alpha", "2.0", [f'delta; python_full_version < "{NEW}"']))
    place = place_for(tmp_path, index, manifest(f">={OLD},<{UPPER}"))
    told = f"warning: train on {host_platform()}: the packages are for Python {OLD}, the oldest that"
    assert f"from {NEW} on, their markers" in place.ok("lock").err.partition(told)[2]
    assert "pypi:delta" in place.lock.read_text(), "the floor needs it"
    assert python_from(place) == f'["{OLD}"]'
    place.ok("run", "train")
    place.fails(1, "run", "train", ENVC_PYTHON=pretend(tmp_path, f"{HOST_PYTHON}.0"))


def test_a_range_without_some_patch_releases_refuses_these(tmp_path: Path, index: IndexServer) -> None:
    place = place_for(tmp_path, index, manifest(f">={HOST_PYTHON},<{UPPER},!={OLD}"))
    place.ok("lock")
    place.ok("run", "train")
    assert f"CPython {OLD} in ENVC_PYTHON" in place.fails(1, "run", "train", ENVC_PYTHON=pretend(tmp_path, OLD)).err


def test_a_cut_off_before_a_patch_release_solves_for_an_older_one(tmp_path: Path, index: IndexServer) -> None:
    index.add(build_wheel("alpha", "44.0", requires_python=f">={NEW}"), uploaded="2019-01-01T00:00:00Z")
    index.add(build_wheel("alpha", "1.2"), uploaded="2019-01-01T00:00:00Z")
    index.add(build_wheel("gamma", "3.0"), uploaded="2019-01-01T00:00:00Z")
    text = manifest().replace("[steps", 'exclude-newer = "2020-01-01"\n\n[steps', 1)
    place = place_for(tmp_path, index, text)
    place.ok("lock")
    assert "alpha-1.2" in place.lock.read_text(), "no such patch release existed then"
    assert python_from(place) == ""


def test_targets_with_different_answers_have_a_line_each(tmp_path: Path, index: IndexServer) -> None:
    marker = f'sys_platform == "win32" and python_full_version >= "{NEW}"'
    index.add(build_wheel("alpha", "2.0", [f"delta; {marker}"]))
    place = place_for(tmp_path, index, manifest(targets='"linux-64", "win-64"'))
    place.ok("lock")
    assert python_from(place) == f'["{NEW} @ win-64"]'
    before = place.lock.read_bytes()
    place.ok("lock", "--check")
    place.ok("lock", "--target", "linux-64", "-U")
    assert place.lock.read_bytes() == before, "a part that is not solved keeps its line"


def test_an_edited_line_is_reported_or_found_by_bundle(tmp_path: Path, index: IndexServer) -> None:
    index.add(build_wheel("alpha", "2.0", [f'delta; python_full_version >= "{NEW}"']))
    place = place_for(tmp_path, index, manifest())
    place.ok("lock")
    right = place.lock.read_text()
    for wrong in (f'["{OLD}"]', "[]", '["3.8.2"]', f'["{NEW} @ nowhere"]'):
        place.lock.write_text(right.replace(f'["{NEW}"]', wrong))
        place.fails(1, "lock", "--check")
        place.ok("lock")
        assert place.lock.read_text() == right


def test_an_edited_line_that_only_files_contradict_is_found_by_bundle(tmp_path: Path, index: IndexServer) -> None:
    index.add(build_wheel("alpha", "2.0", requires_python=f">={NEW}"))
    place = place_for(tmp_path, index, manifest())
    place.ok("lock")
    place.lock.write_text(place.lock.read_text().replace(f'["{NEW}"]', f'["{OLD}"]'))
    assert f"requires Python >={NEW}" in place.fails(1, "bundle").err


def test_a_single_file_refuses_an_older_interpreter(tmp_path: Path, index: IndexServer) -> None:
    index.add(build_wheel("alpha", "44.0", requires_python=f">={NEW}"))
    place = place_for(tmp_path, index, manifest())
    place.ok("lock")
    place.ok("bundle", "--output", "demo.tar.zst")
    assert place.ok("run", "demo.tar.zst").out == "44.0\n"
    old = place.fails(1, "run", "demo.tar.zst", ENVC_PYTHON=pretend(tmp_path, OLD)).err
    assert f"no CPython {NEW} or a newer {HOST_PYTHON}" in old
    (script,) = _unpacked(place, "demo.tar.zst").glob(".envc/relocate.sh")
    assert f"and sys.version_info[2] >= {NEW.rpartition('.')[2]}" in script.read_text()
    subprocess.run(["sh", script, sys.executable], check=True)


def _unpacked(place: Workplace, file: str) -> Path:
    folder = place.folder / "unpacked"
    folder.mkdir()
    with zstandard.open(place.checkout / file, "rb") as data, tarfile.open(fileobj=data, mode="r|") as archive:
        archive.extractall(folder, filter="tar")
    return folder


def test_a_build_uses_the_python_of_the_minor_whatever_its_patch_release(tmp_path: Path) -> None:
    """The step is solved for a newer patch release than most machines have."""
    own = Python(minor=sys.version_info[:2], release=99, limits=f"!={HOST_PYTHON}.{sys.version_info[2]}")
    pretended = pretend(tmp_path, OLD)
    assert machine_for(own, {"ENVC_PYTHON": pretended}, tmp_path / "cache").host.executable == pretended
