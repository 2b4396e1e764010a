"""Steps with a range of Pythons: which one is chosen, what is said about it, and what happens if it cannot be used."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.e2e.command import HOST_PYTHON, Workplace, host_platform
from tests.e2e.test_lock_conda import write_channel
from tests.support.manifests import conda_tables
from tests.support.servers import IndexServer
from tests.support.wheels import build_sdist, build_wheel

TARGETS = '["linux-64", "osx-arm64"]'
_PLATFORMS = ("manylinux_2_17_x86_64", "macosx_11_0_arm64")


def manifest(python: str, *pypi: str, targets: str = TARGETS) -> str:
    quoted = ", ".join(f'"{one}"' for one in pypi)
    return f"""\
[project]
name = "demo"
targets = {targets}
python = "{python}"

[steps.first]
pypi = ["alpha"]

[steps.second]
pypi = [{quoted}]
"""


@pytest.fixture
def place(tmp_path: Path, index: IndexServer) -> Workplace:
    for minor in (12, 13):
        for platform in _PLATFORMS:
            index.add(build_wheel("fast", "2.0", tag=f"cp3{minor}-cp3{minor}-{platform}"))
    index.add(build_wheel("capped", "1.0", requires_python="<3.14"))
    index.add(build_wheel("brings", "1.0", ["capped"]))
    return Workplace(tmp_path, index.url)


def test_the_newest_is_chosen_and_said(place: Workplace) -> None:
    place.write(manifest(">=3.11", "beta"))
    done = place.ok("lock")
    line = "Python 3.15 for first, second: the newest that `>=3.11` allows"
    assert line in done.err
    assert line in place.ok("lock").err, "also if the lock is unchanged"
    assert line in place.ok("status").out
    place.lock.unlink()
    assert place.ok("lock", "--json").json["pythons"] == [
        {"steps": ["first", "second"], "python": "3.15", "requested": ">=3.11", "why": "newest", "because": ""}
    ]
    assert place.ok("status", "--json").json["pythons"][0]["why"] == "newest"
    place.write(manifest("3.13", "beta"))
    assert "Python 3.13" not in place.ok("lock").err, "the manifest says so itself"
    assert place.ok("status", "--json").json["pythons"][0]["why"] == "named"


@pytest.mark.parametrize("package", ["fast", "capped"])
def test_a_minor_without_files_of_a_direct_requirement_gives_way(place: Workplace, package: str) -> None:
    place.write(manifest(">=3.11", package))
    done = place.ok("lock")
    assert "warning: first, second: Python 3.14 gives way to 3.13, because " + package in done.err
    assert "Python 3.13 for first, second: a newer one gave way, because" in done.err
    assert "linux-64/cp313" in place.lock.read_text()
    assert "cp315" not in place.lock.read_text()
    place.ok("lock", "--check")
    assert "Python 3.13 for first, second: as locked; `>=3.11` allows newer ones" in place.ok("status").out
    before = place.lock.read_bytes()
    place.write(manifest(">=3.11", package, "beta"))
    assert "gives way" not in place.ok("lock").err, "the choice is in the lock"
    place.write(manifest(">=3.11", package))
    place.ok("lock")
    assert place.lock.read_bytes() == before
    place.lock.unlink()
    place.ok("lock", "--quiet")
    assert place.lock.read_bytes() == before, "the same without the lock"
    place.write(manifest(">=3.11", "beta"))
    place.ok("lock", "--upgrade")
    assert "linux-64/cp315" in place.lock.read_text()


def test_a_minor_whose_files_need_a_newer_system_gives_way(place: Workplace, index: IndexServer) -> None:
    """The wheels of orjson for a new Python are for a newer glibc than those for older ones."""
    for minor, tag in ((15, "manylinux_2_39_x86_64"), (14, "manylinux_2_17_x86_64")):
        index.add(build_wheel("json", "3.0", tag=f"cp3{minor}-cp3{minor}-{tag}"))
    place.write(manifest(">=3.11", "json", targets='["linux-64"]'))
    assert "Python 3.15 gives way to 3.14, because json has no release" in place.ok("lock").err


def test_a_step_that_is_locked_by_run_has_the_python_that_was_locked(place: Workplace, index: IndexServer) -> None:
    """The range allows a newer one, which was not chosen."""
    index.add(build_wheel("here", "1.0", requires_python=f"=={HOST_PYTHON}.*"))
    place.write(manifest(f">={HOST_PYTHON}", "here", targets=f'["{host_platform()}"]'))
    assert place.ok("run", "second", "--", "python", "-c", "print('ran')").out == "ran\n"


def test_what_is_only_brought_along_does_not_change_the_python(place: Workplace) -> None:
    """The refusal suggests it: the range alone does not say that an older Python is better than another package."""
    place.write(manifest(">=3.11", "brings"))
    refused = place.fails(1, "lock").err
    assert 'try: python = "3.13", or ' in refused


def test_if_no_minor_helps_the_newest_one_explains_it(place: Workplace, index: IndexServer) -> None:
    index.add(build_sdist("only-sdist", "1.0"))
    place.write(manifest(">=3.11", "only-sdist"))
    refused = place.fails(1, "lock").err
    assert "(Python 3.15)" in refused
    assert "gives way" not in refused


def test_a_refusal_suggests_another_python(place: Workplace) -> None:
    place.write(manifest("3.15", "fast"))
    assert 'try: python = "3.13", or ' in place.fails(1, "lock").err
    place.write(manifest("3.11", "fast"))
    assert 'try: python = "3.12", or ' in place.fails(1, "lock").err


def test_a_refusal_suggests_another_patch_release(place: Workplace, index: IndexServer) -> None:
    index.add(build_wheel("alpha", "44.0", requires_python="!=3.9.0,!=3.9.1,>=3.7"))
    place.write(manifest("3.9.0", "alpha>=44"))
    assert 'try: python = "3.9", or ' in place.fails(1, "lock").err


def test_a_part_of_the_targets_does_not_change_the_python(place: Workplace) -> None:
    place.write(manifest(">=3.11", "beta"))
    place.ok("lock")
    place.write(manifest(">=3.11", "fast"))
    place.fails(1, "lock", "--target", "linux-64", "--step", "second")
    place.ok("lock", "--step", "second")
    text = place.lock.read_text()
    assert "linux-64/cp315" in text, "the other step keeps its own"
    assert "linux-64/cp313" in text


def test_a_machine_without_the_chosen_one_is_told_the_line_to_write(place: Workplace) -> None:
    if sys.version_info[:2] == (3, 15):
        pytest.skip("this Python is the chosen one")
    text = manifest(">=3.11", "beta", targets=f'["{host_platform()}"]')
    place.write(text)
    line = f'write python = "{HOST_PYTHON}" under [project]'
    assert f"this machine has no CPython 3.15; it has CPython {HOST_PYTHON}." in place.ok("lock").err
    locked = place.lock.read_bytes()
    refused = place.fails(1, "run", "first", "--", "python", "-V").err
    assert line in refused
    place.write(text.replace(">=3.11", HOST_PYTHON))
    assert place.ok("lock").err.count("this machine has no") == 0
    assert place.ok("run", "first", "--", "python", "-V").out.startswith(f"Python {HOST_PYTHON}")
    assert place.lock.read_bytes() != locked


def test_a_minor_that_no_channel_has_gives_way(tmp_path: Path, index: IndexServer) -> None:
    """The channel has Python 3.12 and 3.13, and its `tool` is for 3.12 alone."""
    for spec, pypi, chosen, because in (
        ("data", "", "3.13", "no channel has Python 3.14"),
        ("tool", "", "3.12", "tool has no build for Python 3.13 on linux-64"),
        ("tool", '"alpha"', "3.12", "tool has no build for Python 3.13 on linux-64"),
    ):
        place = Workplace(tmp_path / f"{spec}-{len(pypi)}", index.url)
        write_channel(place.checkout / "channel")
        text = conda_tables("linux-64").replace('python = "3.12"', 'python = ">=3.11"')
        place.write(f'{text}\n[steps.train]\nconda = ["{spec}"]\npypi = [{pypi}]\n')
        done = place.ok("lock")
        assert f"because {because}" in done.err
        assert f"Python {chosen} for train: a newer one gave way" in done.err
        assert f'id = "conda:python"\nversion = "{chosen}.' in place.lock.read_text()
        place.ok("lock", "--check")
