"""Another Python for a step that has no solution with its own: what is suggested, and what a range gives way to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING

import msgspec

from envc.errors import Refusal, Unsolvable
from envc.locking.manifest.python import MINORS, python_of_minor
from envc.locking.plan.expand import StepTarget
from envc.locking.plan.python_releases import with_newest_release
from envc.model.manifest import Manifest, PythonRequest
from envc_solvers.pypi.explain.conflict import PyPIConflict
from envc_solvers.pypi.explain.subjects import NoFile, OnlySdists, Refused, Subject
from envc_solvers.target import Python

if TYPE_CHECKING:
    from envc_solvers.pypi.problem import PyPIProblem

_MOST_TRIALS = 4  # Pythons that are tried for a suggestion


def suggested_python(problem: PyPIProblem, conflict: PyPIConflict, is_solvable: Callable[[PyPIProblem], bool]) -> str:
    """The line of a manifest with a Python for which the problem has a solution; "" if the conflict is not about Python
    or none was found.

    The nearest one is preferred: another patch release of the minor version, then older and newer minor versions.
    """
    if not any(map(_is_about_python, conflict.subjects)):
        return ""
    for python in islice(_others(problem.python), _MOST_TRIALS):
        solved_for = with_newest_release(python, problem.policy.exclude_newer)
        if solved_for != problem.python and is_solvable(msgspec.structs.replace(problem, python=solved_for)):
            return f'python = "{python.text}"'
    return ""


def _is_about_python(subject: Subject) -> bool:
    """Whether a project may have versions for another Python."""
    match subject:
        case NoFile():
            # The files for a newer Python often need a newer system than those for older ones.
            return any(file.other_python or file.above_floor for file in subject.nearest)
        case Refused():
            return any(why.kind == "requires-python" for _, why in subject.rejected)
        case _:
            return isinstance(subject, OnlySdists)


def _others(python: Python) -> Iterator[Python]:
    plain = Python(implementation=python.implementation, minor=python.minor, free_threaded=python.free_threaded)
    if plain != msgspec.structs.replace(python, release=0):
        yield plain
    if python.free_threaded:
        yield msgspec.structs.replace(plain, free_threaded=False)
    minors = MINORS[python.implementation]
    first = (3, 13) if python.free_threaded else minors[0]
    older = [minor for minor in reversed(minors) if first <= minor < python.minor]
    newer = [minor for minor in minors if minor > python.minor]
    for minor in (*older, *newer):
        yield msgspec.structs.replace(plain, minor=minor)


class GivesWay(msgspec.Struct, frozen=True):
    """Steps with a range of Pythons that get an older minor version, because a newer one lacks files."""

    steps: frozenset[str]
    old: Python
    new: Python
    because: str

    def __str__(self) -> str:
        names = ", ".join(sorted(self.steps))
        return f"{names}: Python {self.old.text} gives way to {self.new.text}, because {self.because}"


def giving_way(manifest: Manifest, solved: Iterable[StepTarget], error: Unsolvable) -> GivesWay | None:
    """The next Python that a range allows, for a step whose direct requirements lack files for its Python.

    All steps that were `solved` with the same range and Python get it, so that the steps of a project agree. None if
    another Python would not help, or the manifest allows none.
    """
    solved = tuple(solved)
    for refusal in error.refusals:
        failing = [step_target for step_target in solved if step_target.step in (refusal.steps or ())]
        because = _because(refusal, failing) if failing else ""
        if not because:
            continue
        request, old = _request(manifest, failing[0].step), failing[0].python
        older = [minor for minor in MINORS[request.implementation] if minor < old.minor]
        allowed = (python_of_minor(request, minor) for minor in reversed(older))
        new = next((python for python in allowed if python is not None), None)
        if new is not None:
            same = (one.step for one in solved if one.python == old and _request(manifest, one.step) == request)
            return GivesWay(frozenset(same), old, new, because)
    return None


def _request(manifest: Manifest, step: str) -> PythonRequest:
    return manifest.steps[step].python or manifest.python


def _because(refusal: Refusal, failing: list[StepTarget]) -> str:
    """Why these step-targets have no solution, if it may be due to their Python and their own requirements; else ""."""
    why, python = refusal.why, f"Python {failing[0].python.text}"
    if isinstance(why, PyPIConflict):
        direct = {dependency.requirement.name for one in failing for dependency in one.pypi}
        names = [one.project for one in why.subjects if _is_about_python(one) and one.project in direct]
        return f"{' and '.join(dict.fromkeys(names))} has no release for {python} on {why.target}" if names else ""
    if failing[0].uses_conda:
        from envc.locking.plan.conda_problems import python_spec
        from envc_solvers.conda.explain.conflict import CondaConflict

        own = python_spec(failing[0].python)
        if isinstance(why, CondaConflict) and own in (specs := [spec for spec, _ in why.roots]):
            others = " and ".join(spec for spec in specs if spec != own)
            return f"{others} has no build for {python} on {why.target}" if others else f"no channel has {python}"
    return ""
