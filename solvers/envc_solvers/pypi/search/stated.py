"""Requirements that hold in a solution."""

from __future__ import annotations

from collections.abc import Iterator

from envc_solvers.pypi.language.markers import Markers
from envc_solvers.pypi.problem import PyPIProblem
from envc_solvers.solution import Pin, Solution


def requirements_on(
    name: str, problem: PyPIProblem, solution: Solution, markers: Markers
) -> Iterator[tuple[Pin | None, str]]:
    """Each requirement on a project with its specifier set and the package that states it.

    The package is None for roots, constraints and overrides.
    """
    for root in (*problem.roots, *problem.constraints, *problem.overrides):
        if root.requirement.name == name and markers.holds(root.requirement.marker):
            yield None, root.requirement.specifier
    if any(root.requirement.name == name for root in problem.overrides):
        return
    for pin in solution.pins:
        if name in pin.depends:
            for requirement in pin.requires:
                if requirement.name == name and markers.holds(requirement.marker, pin.extras):
                    yield pin, requirement.specifier
