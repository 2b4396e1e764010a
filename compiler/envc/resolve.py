"""resolve: the problems of a run handed to the solvers, over the sources that the manifest names."""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec

from envc.errors import Refusal, Unsolvable, UsageError
from envc.fetch.index import Origins, ProjectIndex
from envc.model.progress import Progress
from envc.pose import PosedProblem
from envc.surroundings import Limits
from envc_solvers.errors import SolverError
from envc_solvers.pypi.floors import kept_out
from envc_solvers.pypi.index import File
from envc_solvers.pypi.solve import Problem, solve
from envc_solvers.solution import Pin, Solution


def solve_all(
    problems: tuple[PosedProblem, ...],
    origins: Origins,
    progress: Progress,
    *,
    align: str = "newest",
    label: Callable[[str], str] = str,
    limits: Limits = Limits(),  # noqa: B008 - a frozen value
) -> list[tuple[PosedProblem, Solution]]:
    """Every PyPI problem with its solution, or Unsolvable with every problem that has none.

    `label` turns the origin of a requirement into what an explanation shows, such as its line; it is called only when
    there is something to explain. With `align` "strong", versions of earlier targets are preferred on later ones.
    """
    asked = [(posed, posed.problem) for posed in problems if isinstance(posed.problem, Problem)]
    indexes = [_index(posed, problem, origins) for posed, problem in asked]
    for (_, problem), index in zip(asked, indexes, strict=True):
        index.expect(root.requirement for root in problem.roots)
    task = progress.task("solving", len(problems))
    solutions: list[tuple[PosedProblem, Solution]] = []
    refusals: list[Refusal] = []
    chosen: dict[str, list[str]] = {}
    for (posed, problem), index in zip(asked, indexes, strict=True):
        if align == "strong" and chosen:
            merged = {name: tuple(versions) for name, versions in chosen.items()} | problem.preferences
            problem = msgspec.structs.replace(problem, preferences=merged)
        answers = origins.answers(problem.target, problem.python)
        try:
            solution = solve(problem, index, answers, max_tries=limits.candidates, out_of_time=_clock(limits.seconds))
        except SolverError as error:
            refusals.append(_refusal(posed, error, label))
        else:
            solutions.append((posed, _with_digests(solution, origins, index)))
            for warning in (*solution.warnings, *kept_out(problem, solution, index)):
                progress.warn(f"{posed.title}: {warning}")
            for pin in solution.pins:
                if pin.version not in chosen.setdefault(pin.name, []):
                    chosen[pin.name].append(pin.version)
        task.advance()
    task.done()
    if refusals:
        raise Unsolvable(tuple(refusals))
    return solutions


def _clock(seconds: float) -> Callable[[], bool]:
    """Says when that time has passed from now."""
    end = time.monotonic() + seconds
    return lambda: time.monotonic() > end


def _index(posed: PosedProblem, problem: Problem, origins: Origins) -> ProjectIndex:
    cell = posed.cells[0]
    if not cell.indexes and cell.pypi:
        raise UsageError(
            f"step {cell.step} asks for PyPI packages on {cell.target.name}, but no index may supply it",
            "widen `steps` or `targets` of a source, or name another one in project.indexes",
        )
    return origins.index(
        problem.target,
        problem.python,
        tuple(source.name for source in cell.indexes),
        posed.only,
        dedicated=tuple(source.name for source in cell.dedicated),
        policy=problem.policy,
        preferences=problem.preferences,
    )


def _with_digests(solution: Solution, origins: Origins, index: ProjectIndex) -> Solution:
    """The solution with the digests and sizes that no page states, found out from the files themselves."""
    if all(pin.sha256 and pin.size for pin in solution.pins):
        return solution
    pins: list[Pin] = []
    for pin in solution.pins:
        if not (pin.sha256 and pin.size):
            digest, size = origins.identify(pin.source, pin.name, _file_of(index, pin))
            pin = msgspec.structs.replace(pin, sha256=digest, size=size)
        pins.append(pin)
    return msgspec.structs.replace(solution, pins=tuple(pins))


def _file_of(index: ProjectIndex, pin: Pin) -> File:
    return next(f for release in index.view(pin.name).releases for f in release.files if f.name == pin.file)


def _refusal(posed: PosedProblem, error: SolverError, label: Callable[[str], str]) -> Refusal:
    from envc_solvers.pypi.explain import GaveUp
    from envc_solvers.pypi.explain import Unsolvable as Conflicting

    steps, target, python = posed.steps, posed.cells[0].target.name, posed.cells[0].python.text
    title = title_of(posed)
    if isinstance(error, Conflicting):
        conflict = error.conflict.relabelled(label)
        # Its first line says for which target; the title does, and targets that fail alike are told together.
        return Refusal(title, "\n".join(str(conflict).splitlines()[1:]), {"steps": steps, **conflict.data()})
    if isinstance(error, GaveUp):
        error = GaveUp(error.tried, error.late, error.deciding, error.conflict.relabelled(label))
        text = f"{error}\ntry: a lower bound for what is named first, or more of --time-limit and --max-candidates"
        return Refusal(title, text, {"steps": steps, "tried": error.tried, "late": error.late, **error.conflict.data()})
    return Refusal(title, str(error), {"steps": steps, "target": target, "python": python, "reason": str(error)})


def title_of(posed: PosedProblem) -> str:
    """``steps prepare, train on linux-64 (Python 3.12)``."""
    steps, cell = posed.steps, posed.cells[0]
    return f"step{'s' if len(steps) > 1 else ''} {', '.join(steps)} on {cell.target.name} (Python {cell.python.text})"
