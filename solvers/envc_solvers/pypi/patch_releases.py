"""Patch releases of one minor version of Python: from which one on the answers of a solve hold.

A lock is for a minor version, and machines have different patch releases of it. Markers (``python_full_version``) and
Requires-Python can tell them apart.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import msgspec

from envc_solvers.pypi.language.markers import Markers, marker_environment
from envc_solvers.pypi.language.specifier import allows, python_fits
from envc_solvers.pypi.problem import PyPIProblem
from envc_solvers.solution import Solution
from envc_solvers.target import Python, Target

_VARIABLES = ("python_full_version", "implementation_version")  # of markers: the two that hold a patch release


def oldest_with_same_answers(problem: PyPIProblem, solution: Solution) -> int:
    """The oldest patch release from which on, up to that of the problem, the solution holds unchanged.

    There, every marker of the problem and of the chosen packages has the same result, every chosen package supports
    the Python, and PyPy has the same ABI. Packages that were not chosen have no influence, so that the result depends
    on the solution alone and not on the way to it. A problem that names a patch release holds for that one.
    """
    python = problem.python
    newest = python.answered_for
    if python.patch is not None or not newest:
        return newest
    markers = _markers(problem, solution)
    stated = _requires_python(solution, python)
    expected = _results(markers, problem.target, python)
    oldest = newest
    for patch in range(newest - 1, -1, -1):
        other = msgspec.structs.replace(python, release=patch)
        if python.limits and not allows(python.limits, other.full_version):
            continue
        same_abi = python.implementation == "cpython" or other.pypy_abi == python.pypy_abi
        if not same_abi or not all(python_fits(one, other.full_version) for one in stated):
            break
        if markers and _results(markers, problem.target, other) != expected:
            break
        oldest = patch
    return oldest


def _markers(problem: PyPIProblem, solution: Solution) -> dict[str, frozenset[str]]:
    """The markers that tell patch releases apart, each with the extras that were requested where it occurs."""
    found: dict[str, frozenset[str]] = {}
    stated = (root.requirement for root in (*problem.roots, *problem.constraints, *problem.overrides))
    for requirements, extras in (
        (stated, frozenset[str]()),
        *((pin.requires, frozenset(pin.extras)) for pin in solution.pins),
    ):
        for requirement in requirements:
            marker = requirement.marker
            if marker and any(variable in marker for variable in _VARIABLES):
                found[marker] = found.get(marker, frozenset()) | extras
    return found


def _requires_python(solution: Solution, python: Python) -> frozenset[str]:
    """The Requires-Python of chosen packages that may tell patch releases apart: they name the minor or a patch."""
    minor = re.compile(rf"{python.minor[0]}\.0*{python.minor[1]}(?![0-9])(?!\.\*)")
    return frozenset(text for pin in solution.pins for text in pin.requires_python if minor.search(text))


def _results(markers: dict[str, frozenset[str]], target: Target, python: Python) -> list[tuple[bool, ...]]:
    here = Markers(marker_environment(target, python), {})
    return [_result(here, marker, sorted(extras)) for marker, extras in markers.items()]


def _result(here: Markers, marker: str, extras: Iterable[str]) -> tuple[bool, ...]:
    return (here.holds(marker), *(here.holds(marker, (extra,)) for extra in extras))
