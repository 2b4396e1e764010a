"""What is remembered about locks that agreed with themselves: it saves time, and never decides anything by itself."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.command import ENVC, HOST_PYTHON, Workplace
from tests.support.servers import IndexServer
from tests.support.wheels import build_wheel

MANIFEST = f"""\
[project]
name = "demo"
targets = ["linux-64"]
python = "{HOST_PYTHON}"
[steps.train]
pypi = ["web"]
run = "python -V"
[steps.serve]
pypi = ["markdown"]
"""
COMPARES = "envc.locking.plan.coherence"


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Workplace]:
    server = IndexServer()
    server.add(build_wheel("web", "1.0", ["markdown"]))
    server.add(build_wheel("markdown", "2.0"))
    server.add(build_wheel("markdown", "2.1"))
    with server:
        place = Workplace(tmp_path, server.url)
        place.write(MANIFEST)
        place.ok("lock")
        yield place


def imported(place: Workplace, *arguments: str, **env: str) -> str:
    """Return the modules that a command imports, after its output."""
    command = [sys.executable, "-X", "importtime", str(ENVC), *arguments]
    done = subprocess.run(command, env=place.env | env, cwd=place.checkout, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stderr


def test_a_lock_is_compared_once(place: Workplace) -> None:
    assert COMPARES in imported(place, "lock", "--check")
    assert COMPARES not in imported(place, "lock", "--check")
    assert COMPARES not in imported(place, "status")
    assert COMPARES not in imported(place, "lock", "--offline")
    place.ok("bundle")
    assert COMPARES not in imported(place, "run", "train", "--", "true")
    (entry,) = (place.cache / "coherent").iterdir()
    shown = {part["part"]: part["entries"] for part in place.ok("cache", "--json").json["parts"]}
    assert shown["coherent locks"] == 1
    entry.unlink()
    assert COMPARES in imported(place, "lock", "--check")


def test_a_run_remembers_its_own_step_alone(place: Workplace) -> None:
    place.ok("bundle", "--frozen")
    for entry in (place.cache / "coherent").iterdir():
        entry.unlink()
    place.ok("run", "train")
    assert COMPARES not in imported(place, "hydrate", "train")
    assert COMPARES in imported(place, "hydrate", "serve")
    assert COMPARES not in imported(place, "hydrate", "train")
    assert COMPARES in imported(place, "lock", "--check")


@pytest.mark.parametrize("changed", ["manifest", "lock"])
def test_another_text_is_compared_again(changed: str, place: Workplace) -> None:
    place.ok("lock", "--check")
    path = place.manifest if changed == "manifest" else place.lock
    path.write_text(path.read_text() + "# a comment\n")
    assert COMPARES in imported(place, "lock", "--check")


def test_an_edit_after_a_check_is_found(place: Workplace) -> None:
    before = place.lock.read_text()
    place.ok("lock", "--check")
    place.lock.write_text(before.replace('version = "2.1"', 'version = "9.9"'))
    for verb in (["lock", "--check"], ["run", "train"], ["lock", "--check"]):
        assert "pypi:markdown 9.9 has the file markdown-2.1" in place.fails(1, *verb).err
    place.lock.write_text(before)
    place.ok("lock", "--check")


def test_the_name_of_no_step_remembers_nothing(place: Workplace) -> None:
    for name in ("*", "absent", "train\n*"):
        place.fails(2, "hydrate", name)
    assert not (place.cache / "coherent").exists()


def test_a_check_makes_no_cache(place: Workplace) -> None:
    place.ok("lock", "--check", ENVC_CACHE_DIR=str(place.folder / "absent"))
    assert not (place.folder / "absent").exists()
    place.ok("lock", "--check", ENVC_CACHE_DIR="", HOME="")


@pytest.mark.skipif(os.name != "posix", reason="modes of POSIX")
@pytest.mark.parametrize("mode", [0o777, 0o775])
def test_a_cache_that_others_can_write_to_is_not_believed(mode: int, place: Workplace) -> None:
    place.ok("lock", "--check")
    place.cache.chmod(mode)
    assert COMPARES in imported(place, "lock", "--check")


@pytest.mark.parametrize("content", [b"", b"\n*", b"\xff\xfe", b"0" * 64 + b"\n*", b"x" * (2 << 20)])
def test_a_damaged_entry_means_that_the_lock_is_compared(content: bytes, place: Workplace) -> None:
    place.ok("lock", "--check")
    (entry,) = (place.cache / "coherent").iterdir()
    entry.write_bytes(content)
    assert COMPARES in imported(place, "lock", "--check")
    assert COMPARES not in imported(place, "lock", "--check")


def test_a_folder_in_place_of_the_entry(place: Workplace) -> None:
    place.ok("lock", "--check")
    (entry,) = (place.cache / "coherent").iterdir()
    entry.unlink()
    entry.mkdir()
    assert COMPARES in imported(place, "lock", "--check")
    place.ok("lock", "--check")
