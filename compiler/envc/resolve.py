"""resolve: the problems of a run handed to the solvers, over the sources that the manifest names."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import msgspec

from envc.errors import Refusal, Unsolvable, UsageError
from envc.fetch.index import Origins, ProjectIndex
from envc.fetch.settings import FetchSettings
from envc.model.manifest import Manifest
from envc.model.progress import Progress
from envc.pose import PosedProblem
from envc_solvers.errors import SolverError
from envc_solvers.pypi.index import File
from envc_solvers.pypi.solve import solve
from envc_solvers.solution import Pin, Solution


def open_origins(
    manifest: Manifest,
    settings: FetchSettings,
    progress: Progress,
    *,
    now: datetime,
    offline: bool = False,
    refresh: bool = False,
) -> Origins:
    """The sources of a manifest. Use it as a context manager."""
    return Origins(
        {name: source for name, source in manifest.sources.items() if source.kind != "conda"},
        settings=settings,
        progress=progress,
        now=int(now.timestamp()),
        offline=offline,
        refresh=refresh,
        root=manifest.root,
    )


def solve_all(
    problems: tuple[PosedProblem, ...],
    origins: Origins,
    progress: Progress,
    *,
    align: str = "newest",
    label: Callable[[str], str] = str,
) -> list[tuple[PosedProblem, Solution]]:
    """Every problem with its solution, or Unsolvable with every problem that has none.

    `label` turns the origin of a requirement into what an explanation shows, such as its line; it is called only when
    there is something to explain. With `align` "strong", versions of earlier targets are preferred on later ones.
    """
    indexes = [_index(posed, origins) for posed in problems]
    for posed, index in zip(problems, indexes, strict=True):
        index.expect(root.requirement for root in posed.problem.roots)
    task = progress.task("solving", len(problems))
    solutions: list[tuple[PosedProblem, Solution]] = []
    refusals: list[Refusal] = []
    chosen: dict[str, list[str]] = {}
    for posed, index in zip(problems, indexes, strict=True):
        problem = posed.problem
        if align == "strong" and chosen:
            merged = {name: tuple(versions) for name, versions in chosen.items()} | problem.preferences
            problem = msgspec.structs.replace(problem, preferences=merged)
        answers = origins.answers(problem.target, problem.python)
        try:
            solution = solve(problem, index, answers)
        except SolverError as error:
            refusals.append(_refusal(posed, error, label))
        else:
            solutions.append((posed, _with_digests(solution, origins, index)))
            for warning in solution.warnings:
                progress.warn(f"{posed.title}: {warning}")
            for pin in solution.pins:
                if pin.version not in chosen.setdefault(pin.name, []):
                    chosen[pin.name].append(pin.version)
        task.advance()
    task.done()
    if refusals:
        raise Unsolvable(tuple(refusals))
    return solutions


def _index(posed: PosedProblem, origins: Origins) -> ProjectIndex:
    cell, problem = posed.cells[0], posed.problem
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

    steps = sorted({cell.step for cell in posed.cells})
    target, python = posed.problem.target.name, posed.problem.python.text
    title = f"step{'s' if len(steps) > 1 else ''} {', '.join(steps)} on {target} (Python {python})"
    if isinstance(error, Conflicting):
        conflict = error.conflict.relabelled(label)
        # Its first line says for which target; the title does, and targets that fail alike are told together.
        return Refusal(title, "\n".join(str(conflict).splitlines()[1:]), {"steps": steps, **conflict.data()})
    if isinstance(error, GaveUp):
        error = GaveUp(error.tried, error.deciding, error.conflict.relabelled(label))
        return Refusal(title, str(error), {"steps": steps, **error.conflict.data()})
    return Refusal(title, str(error), {"steps": steps, "target": target, "python": python, "reason": str(error)})
