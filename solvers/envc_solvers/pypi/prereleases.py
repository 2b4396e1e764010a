"""Pre-releases that a solution does not need: with "if-necessary", one is chosen only if nothing else is possible.

A search tries the pre-releases of a project after its final releases, and it prefers newer versions of other projects.
So it may choose a pre-release only because that allows a newer version of something else. Such a solution is searched
again without these pre-releases.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from envc_solvers.pypi.language.index import Index
from envc_solvers.pypi.language.markers import Markers
from envc_solvers.pypi.language.specifier import allows
from envc_solvers.pypi.problem import PyPIProblem
from envc_solvers.pypi.search.project import is_prerelease
from envc_solvers.pypi.search.stated import requirements_on
from envc_solvers.solution import Solution

# Returns None for a problem without a solution, or if that is undecided.
Trial = Callable[[PyPIProblem], "Solution | None"]


def without_unneeded(
    problem: PyPIProblem, solution: Solution, index: Index, markers: Markers, trial: Trial
) -> Solution:
    """The solution of a problem, with as few pre-releases as possible.

    A pre-release is needed if no final release is within the ranges of all requirements on the project. First all
    others are left out. If that fails, each is left out that can be, in the order of their names. Locked pre-releases
    stay.
    """
    names = _avoidable(problem, solution, index, markers)
    if not names:
        return solution
    found = trial(_finals_only(problem, names))
    if found is not None:
        return found
    if len(names) > 1:
        for name in names:
            if name not in _avoidable(problem, solution, index, markers):
                continue  # another project needed it
            found = trial(narrowed := _finals_only(problem, [name]))
            if found is not None:
                problem, solution = narrowed, found
    return solution


def _avoidable(problem: PyPIProblem, solution: Solution, index: Index, markers: Markers) -> list[str]:
    """The projects with a chosen pre-release that is not allowed as such, and with a final release in its place."""
    found = []
    for pin in solution.pins:
        if (
            not is_prerelease(pin.version)
            or pin.name in problem.policy.prereleases_for
            or pin.version in problem.preferences.get(pin.name, ())
        ):
            continue
        specifiers = {specifier for _, specifier in requirements_on(pin.name, problem, solution, markers)}
        if any(
            not is_prerelease(release.version) and all(allows(one, release.version) for one in specifiers)
            for release in index.view(pin.name).releases
        ):
            found.append(pin.name)
    return found


def _finals_only(problem: PyPIProblem, names: list[str]) -> PyPIProblem:
    policy = problem.policy
    return msgspec.structs.replace(
        problem, policy=msgspec.structs.replace(policy, finals_only=policy.finals_only | set(names))
    )
