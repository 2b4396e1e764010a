"""Steps whose conda packages bring another kind of Python than the one that the step names."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.command import Workplace
from tests.e2e.test_lock_conda import record
from tests.support.manifests import conda_tables
from tests.support.servers import IndexServer
from tests.support.wheels import build_wheel

_LINUX = "manylinux_2_17_x86_64"


@pytest.fixture
def index() -> Iterator[IndexServer]:
    server = IndexServer()
    for python, abi in (("cp313", "cp313"), ("cp313", "cp313t"), ("cp39", "cp39")):
        server.add(build_wheel("markupsafe", "3.0.2", tag=f"{python}-{abi}-{_LINUX}"))
    with server:
        yield server


@pytest.fixture
def place(tmp_path: Path, index: IndexServer) -> Workplace:
    """A channel as conda-forge has it: builds of `python` depend on an ABI, and some exclude each other."""
    place = Workplace(tmp_path, index.url)
    records = {}
    for version, build, abi, more in (
        ("3.13.1", "h2_100_cp313", "python_abi 3.13.* *_cp313", {}),
        ("3.13.1", "h2_2_cp313t", "python_abi 3.13.* *_cp313t", {"track_features": "py_freethreading"}),
        ("3.9.18", "0_73_pypy", "python_abi 3.9.* *_pypy39_pp73", {"track_features": "pypy"}),
        ("3.9.18", "h1_0_cpython", "python_abi 3.9.* *_cp39", {}),
        ("3.9.18", "2_graalpy230_39_native", "python_abi 3.9.* *_graalpy230_39_native", {"track_features": "graalpy"}),
    ):
        records |= record("python", version, build, "linux-64", depends=[abi], **more)
        records |= record("python_abi", version.rpartition(".")[0], f"5_{abi.partition('*_')[2]}", "linux-64")
    records |= record("python-freethreading", "3.13.1", "h1_2", "linux-64", depends=["python 3.13.1 *_cp313t"])
    folder = place.checkout / "channel/linux-64"
    folder.mkdir(parents=True)
    (folder / "repodata.json").write_text(
        json.dumps({"info": {"subdir": "linux-64"}, "packages": {}, "packages.conda": records})
    )
    (place.checkout / "channel/noarch").mkdir()
    (place.checkout / "channel/noarch/repodata.json").write_text(
        json.dumps({"info": {"subdir": "noarch"}, "packages": {}})
    )
    return place


def manifest(python: str, *conda: str, pypi: str = '"markupsafe==3.0.2"') -> str:
    specs = ", ".join(f'"{spec}"' for spec in conda)
    text = conda_tables("linux-64").replace('python = "3.12"', f'python = "{python}"')
    return f'{text}\n[steps.train]\ninterpreter = "conda"\nconda = [{specs}]\npypi = [{pypi}]\n'


@pytest.mark.parametrize("spec", ["python-freethreading", "python * *_cp313t", "python_abi * *_cp313t"])
@pytest.mark.parametrize("pypi", ['"markupsafe==3.0.2"', ""])
def test_a_free_threaded_python_of_conda_is_refused_for_another_step(place: Workplace, spec: str, pypi: str) -> None:
    """The lock paired a free-threaded interpreter with a wheel for the other one, which cannot be imported."""
    place.write(manifest("3.13", spec, pypi=pypi))
    refused = place.fails(1, "lock").err
    assert "is a free-threaded CPython 3.13, and the Python is 3.13" in refused
    assert 'write python = "3.13t"' in refused
    place.write(manifest("3.13t", spec, pypi=pypi))
    place.ok("lock")
    text = place.lock.read_text()
    assert "linux-64/cp313t" in text
    assert "h2_2_cp313t" in text
    assert pypi == "" or "markupsafe-3.0.2-cp313-cp313t-" in text


def test_without_such_a_package_the_python_of_the_step_is_chosen(place: Workplace) -> None:
    place.write(manifest("3.13"))
    place.ok("lock")
    text = place.lock.read_text()
    assert "h2_100_cp313" in text
    assert "markupsafe-3.0.2-cp313-cp313-" in text
    place.ok("lock", "--check")


@pytest.mark.parametrize(("spec", "kind"), [("python * *_pypy", "PyPy"), ("python * *_native", "GraalPy")])
def test_another_implementation_is_refused(place: Workplace, spec: str, kind: str) -> None:
    place.write(manifest("3.9", spec))
    refused = place.fails(1, "lock").err
    assert f"is {kind}, and the Python is 3.9" in refused
    assert "only CPython can come from conda channels" in refused
    place.write(manifest("3.9"))
    place.ok("lock")
    assert "3.9.18-h1_0_cpython" in place.lock.read_text()


def test_the_other_kind_is_refused_for_a_free_threaded_step(place: Workplace) -> None:
    """A channel whose `python` does not depend on its `python_abi` may pair the two."""
    channel = place.checkout / "channel/linux-64/repodata.json"
    text = channel.read_text().replace('["python_abi 3.13.* *_cp313t"]', '["python_abi"]')
    channel.write_text(text)
    place.write(manifest("3.13t", "python_abi * *_cp313"))
    refused = place.fails(1, "lock").err
    assert (
        "python_abi 3.13 (build 5_cp313) is a CPython 3.13 without free threading, and the Python is 3.13t" in refused
    )


def test_a_lock_that_was_edited_to_pair_them_is_reported(place: Workplace) -> None:
    place.write(manifest("3.13"))
    place.ok("lock")
    place.lock.write_text(place.lock.read_text().replace("h2_100_cp313", "h2_2_cp313t"))
    assert "is a free-threaded CPython 3.13, and the Python is 3.13" in place.fails(1, "lock", "--check").err
    assert "is a free-threaded CPython 3.13, and the Python is 3.13" in place.fails(1, "bundle", "--frozen").err


def test_one_command_line_is_checked_too(place: Workplace) -> None:
    arguments = ("solve", "--channel", "./channel", "--platform", "linux-64", "--pypi", "markupsafe")
    refused = place.fails(1, *arguments, "--python", "3.13", "--conda", "python-freethreading").err
    assert "is a free-threaded CPython 3.13, and the Python is 3.13" in refused
    place.ok(*arguments, "--python", "3.13t", "--conda", "python-freethreading")
