"""From which patch release of Python on a solution holds, judged by `packaging`."""

from __future__ import annotations

import msgspec
import pytest
from packaging.markers import Marker
from packaging.specifiers import SpecifierSet

from envc.locking.plan.python_releases import _releases, with_newest_release
from envc_solvers.pypi.language.markers import marker_environment
from envc_solvers.pypi.language.requirement import Requirement
from envc_solvers.pypi.patch_releases import oldest_with_same_answers
from envc_solvers.pypi.problem import PyPIProblem, PyPIRoot
from envc_solvers.solution import Pin, Solution
from envc_solvers.target import Python, default_target

LINUX = default_target("linux-64")


def oldest(python: Python, *, marker: str = "", requires_python: str = "", extras: tuple[str, ...] = ()) -> int:
    requires = (Requirement("other", marker=marker),) if marker else ()
    pin = Pin(
        kind="pypi", name="lib", version="1", source="pypi", file="lib-1-py3-none-any.whl", sha256="0" * 64, size=1,
        requires=requires, requires_python=(requires_python,) if requires_python else (), extras=extras,
    )  # fmt: skip
    return oldest_with_same_answers(PyPIProblem(target=LINUX, python=python, roots=()), Solution(pins=(pin,), roots=()))


@pytest.mark.parametrize(
    "marker",
    [
        'python_full_version < "3.11.3"',
        'python_full_version >= "3.11.2"',
        'python_full_version != "3.11.5"',
        'python_full_version == "3.11.*"',
        "python_full_version == '3.11.9'",
        'implementation_version >= "3.11.7" and sys_platform == "linux"',
        'python_full_version <= "3.11.0a6"',
        'python_version < "3.12"',
        'python_full_version >= "3.11.7" and sys_platform == "win32"',
    ],
)
def test_markers(marker: str) -> None:
    found = oldest(Python(minor=(3, 11), release=9), marker=marker)
    results = [
        Marker(marker).evaluate(dict(marker_environment(LINUX, Python(minor=(3, 11), release=n)))) for n in range(10)
    ]
    assert len(set(results[found:])) == 1
    assert found == 0 or results[found - 1] != results[found]


@pytest.mark.parametrize(
    "specifier",
    ["!=3.11.0,!=3.11.1,>=3.7", ">=3.11.4", ">3.11", "!=3.11.*,>=3.7 || x", ">=3.7", "!=3.11", ">=3.11.2,<4"],
)
def test_requires_python(specifier: str) -> None:
    found = oldest(Python(minor=(3, 11), release=9), requires_python=specifier)
    if "||" in specifier:
        assert found == 0, "a malformed one allows every Python"
        return
    allowed = [SpecifierSet(specifier).contains(f"3.11.{patch}") for patch in range(10)]
    assert all(allowed[found:])
    assert found == 0 or not allowed[found - 1]


def test_only_requested_extras_count() -> None:
    marker = 'extra == "old" and python_full_version < "3.11.3"'
    assert oldest(Python(minor=(3, 11), release=9), marker=marker) == 0
    assert oldest(Python(minor=(3, 11), release=9), marker=marker, extras=("old",)) == 3


def test_requirements_of_the_manifest_count() -> None:
    root = PyPIRoot(Requirement("lib", marker='python_full_version >= "3.11.6"'))
    empty = PyPIProblem(target=LINUX, python=Python(minor=(3, 11), release=9), roots=())
    for field in ("roots", "constraints", "overrides"):
        problem = msgspec.structs.replace(empty, **{field: (root,)})
        assert oldest_with_same_answers(problem, Solution(pins=(), roots=())) == 6


def test_a_named_patch_release_is_kept() -> None:
    marker = 'python_full_version >= "3.11.2"'
    assert oldest(Python(minor=(3, 11), patch=9), marker=marker) == 9


def seconds(day: str) -> int:
    from datetime import UTC, datetime

    return int(datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp())


@pytest.mark.parametrize(
    ("python", "cut_off", "expected"),
    [
        (Python(minor=(3, 9)), None, "3.9.25"),
        (Python(minor=(3, 9)), "2021-02-19", "3.9.1"),
        (Python(minor=(3, 9)), "2021-02-20", "3.9.2"),
        (Python(minor=(3, 9)), "2019-01-01", "3.9.0"),
        (Python(minor=(3, 9), patch=0), None, "3.9.0"),
        (Python(minor=(3, 9), release=4, limits=">=3.9.4"), None, "3.9.4"),
        (Python(minor=(3, 9), limits="!=3.9.25"), None, "3.9.24"),
        (Python(minor=(3, 99)), None, "3.99.0"),
        (Python(minor=(3, 10), implementation="pypy"), None, "3.10.16"),
        (Python(minor=(3, 11), implementation="pypy"), None, "3.11.15"),
    ],
)
def test_the_newest_patch_release_as_of_the_cut_off(python: Python, cut_off: str | None, expected: str) -> None:
    found = with_newest_release(python, seconds(cut_off) if cut_off else None)
    assert found.full_version == expected
    assert found.pypy_abi == python.pypy_abi


def test_the_table_is_in_order() -> None:
    for minor, releases in _releases().items():
        assert list(releases) == sorted(releases, key=lambda one: one[0]), minor
        assert [day for _, day in releases] == sorted(day for _, day in releases), minor
        assert "pypy" in minor or [patch for patch, _ in releases] == list(range(len(releases))), minor
