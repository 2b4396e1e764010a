"""Solves PyPI problems over the indexes of the manifest, and aligns the solutions."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

import msgspec

from envc.context import Limits
from envc.errors import Refusal, Unsolvable, UsageError
from envc.fetch.pypi.indexes import Indexes, ProjectIndex, SourceOrder
from envc.fetch.pypi.prefetch import Hints
from envc.locking.plan.problems import SharedProblem
from envc.locking.resolve.passed_over import refusal_of, refused, with_passed_over
from envc.model.progress import Progress
from envc_solvers.errors import SolverError
from envc_solvers.pypi.language.index import Index
from envc_solvers.pypi.patch_releases import oldest_with_same_answers
from envc_solvers.pypi.problem import PyPIProblem
from envc_solvers.pypi.solve import solve_pypi
from envc_solvers.solution import Solution

_COLLECT_AFTER = 50_000  # values made since the last collection

if TYPE_CHECKING:
    from envc.locking.builds.run_builds import RunBuilds
    from envc_solvers.pypi.align import Mode


@contextmanager
def _rare_collections() -> Iterator[None]:
    """Collect reference cycles rarely. A search makes many small values that live as long as the search, and the
    collector would spend a twentieth of its time on scanning them again and again.
    """
    threshold = gc.get_threshold()
    if threshold[0]:  # 0 means that the collector is switched off
        gc.set_threshold(max(threshold[0], _COLLECT_AFTER), *threshold[1:])
    try:
        yield
    finally:
        gc.set_threshold(*threshold)


@_rare_collections()
def solve_all(
    problems: tuple[SharedProblem, ...],
    origins: Indexes,
    progress: Progress,
    *,
    align: Mode | Literal["off"] = "newest",
    limits: Limits = Limits(),  # noqa: B008 - a frozen value
    builds: RunBuilds | None = None,
) -> list[tuple[SharedProblem, Solution]]:
    """Every PyPI problem with its solution. Raises Unsolvable with every problem that has none.

    `align` is how much the targets of a step should agree (`envc_solvers.pypi.align`). `builds` is needed if a
    problem has direct requirements or may build.
    """
    shared_problems = [(shared, shared.problem) for shared in problems if isinstance(shared.problem, PyPIProblem)]
    indexes = [index_of(shared, problem, origins) for shared, problem in shared_problems]
    for (shared, problem), listed in zip(shared_problems, indexes, strict=True):
        # The names of projects that come from elsewhere are not sent to an index.
        direct = {dependency.requirement.name for dependency in shared.direct}
        listed.expect(root.requirement for root in problem.roots if root.requirement.name not in direct)
    task = progress.task("solving", len(problems))
    solutions: list[Solution] = []
    refusals: list[Refusal] = []
    opened: list[tuple[SharedProblem, PyPIProblem, Index]] = []
    for (shared, problem), listed in zip(shared_problems, indexes, strict=True):
        if builds is None:
            opened.append((shared, problem, listed))
        else:
            opened.append((shared, *builds.open(shared, problem, listed)))
    for shared, problem, index in opened:
        answers = origins.answers(problem.target, problem.python)
        try:
            solutions.append(
                solve_pypi(problem, index, answers, max_tries=limits.candidates, out_of_time=limits.clock())
            )
        except SolverError as error:
            refusals.append(_refusal(shared, _with_other_python(shared, problem, error, origins, limits)))
        task.advance()
    task.done()
    if refusals:
        raise Unsolvable(tuple(refusals))
    separate = solutions
    if align != "off" and len(opened) > 1:
        solutions = _align(opened, solutions, origins, align, progress, limits)
    result = []
    for (shared, problem, index), found, unaligned in zip(opened, solutions, separate, strict=True):
        try:
            solution = found if builds is None else builds.build(problem, index, found)
        except SolverError as error:
            refusals.append(_refusal(shared, error))
            continue
        solution = with_passed_over(problem, index, solution, origins, limits, unaligned)
        if older := refused(problem, solution.passed_over):
            refusals.append(refusal_of(shared, problem, older))
            continue
        warnings = solution.warnings
        if problem.target.declared:
            from envc_solvers.pypi.explain.floors import excluded_by_floors  # late: most targets declare no floors

            warnings += excluded_by_floors(problem, solution, index)
        if shared.step_targets[0].interpreter == "host":
            solution = msgspec.structs.replace(solution, patch=oldest_with_same_answers(problem, solution))
            if problem.python.limits:
                warnings += _changes_above(problem, solution)
        for warning in warnings:
            progress.warn(f"{shared.title}: {warning}")
        result.append((shared, origins.complete(solution, index.view)))
    if refusals:
        raise Unsolvable(tuple(refusals))
    return result


def _align(
    opened: list[tuple[SharedProblem, PyPIProblem, Index]],
    solutions: list[Solution],
    origins: Indexes,
    mode: Mode,
    progress: Progress,
    limits: Limits,
) -> list[Solution]:
    """The solutions with as many versions in common as `mode` requires, among problems that share a step."""
    aligned = list(solutions)
    for group in _sharing_a_step([shared for shared, _, _ in opened]):
        if not _differ([solutions[number] for number in group]):
            continue
        from envc_solvers.pypi.align import Member, align
        from envc_solvers.pypi.problem import Budget
        from envc_solvers.pypi.solve import FailedSearch, attempt

        members = [
            Member(problem=problem, index=index, answers=origins.answers(problem.target, problem.python))
            for _, problem, index in (opened[number] for number in group)
        ]
        budget = Budget(max_tries=limits.candidates, out_of_time=limits.clock())

        def trial(
            number: int, problem: PyPIProblem, members: list[Member] = members, budget: Budget = budget
        ) -> Solution | None:
            member = members[number]
            try:
                return attempt(problem, member.index, member.answers, budget)
            except FailedSearch:
                return None

        found, apart = align(members, [solutions[number] for number in group], mode, trial)
        for number, solution in zip(group, found, strict=True):
            aligned[number] = solution
        for one in apart:
            kept = ", ".join(f"{version} on {target}" for target, version in one.versions)
            steps = ", ".join(opened[group[0]][0].steps)
            progress.warn(f"{steps}: {one.project} keeps several versions ({kept}): {one.reason}")
    return aligned


def _sharing_a_step(problems: list[SharedProblem]) -> list[list[int]]:
    """Groups of problems, by number, that share a step directly or through others; each group in order."""
    groups: list[tuple[set[str], list[int]]] = []
    for number, shared in enumerate(problems):
        steps, numbers = set(shared.steps), [number]
        for group in [group for group in groups if group[0] & steps]:
            groups.remove(group)
            steps |= group[0]
            numbers += group[1]
        groups.append((steps, sorted(numbers)))
    return [numbers for _, numbers in groups if len(numbers) > 1]


def _differ(solutions: list[Solution]) -> bool:
    versions: dict[str, str] = {}
    return any(versions.setdefault(pin.name, pin.version) != pin.version for one in solutions for pin in one.pins)


def index_of(shared: SharedProblem, problem: PyPIProblem, origins: Indexes) -> ProjectIndex:
    """The index of a problem. Raises UsageError for a step whose packages no index may supply."""
    step_target = shared.step_targets[0]
    if not step_target.indexes and step_target.pypi:
        raise UsageError(
            f"step {step_target.step} requires PyPI packages on {step_target.target.name}, "
            "but no index may supply them",
            "widen `steps` or `targets` of a source, or name another one in project.indexes",
        )
    return origins.index(
        problem.target,
        problem.python,
        SourceOrder(
            tuple(source.name for source in step_target.indexes),
            shared.only,
            tuple(source.name for source in step_target.dedicated),
        ),
        Hints(policy=problem.policy, preferences=problem.preferences, provided=problem.provided.keys()),
    )


def _with_other_python(
    shared: SharedProblem, problem: PyPIProblem, error: SolverError, origins: Indexes, limits: Limits
) -> SolverError:
    """The error, with a suggestion of another Python, if the problem has a solution for it."""
    from envc.locking.resolve.other_python import suggested_python
    from envc_solvers.errors import Unanswered
    from envc_solvers.pypi.explain.conflict import PyPIUnsolvable
    from envc_solvers.pypi.problem import MAX_SUGGESTION_TRIES, Budget
    from envc_solvers.pypi.solve import FailedSearch, attempt

    if not isinstance(error, PyPIUnsolvable) or shared.direct or shared.step_targets[0].uses_conda:
        return error
    budget = Budget(max_tries=MAX_SUGGESTION_TRIES, out_of_time=limits.clock())

    def is_solvable(other: PyPIProblem) -> bool:
        try:
            attempt(other, index_of(shared, other, origins), origins.answers(other.target, other.python), budget)
        except (FailedSearch, SolverError, Unanswered):
            return False
        return True

    line = suggested_python(problem, error.conflict, is_solvable)
    if not line:
        return error
    words = f"{line}, or {error.conflict.suggestion}" if error.conflict.suggestion else line
    return PyPIUnsolvable(msgspec.structs.replace(error.conflict, suggestion=words))


def _changes_above(problem: PyPIProblem, solution: Solution) -> tuple[str, ...]:
    """A warning if a range states a floor in its minor version, and a later patch release needs other packages."""
    from envc.locking.plan.python_releases import with_newest_release

    python, exclude_newer = problem.python, problem.policy.exclude_newer
    newest = with_newest_release(msgspec.structs.replace(python, release=0), exclude_newer)
    changed = oldest_with_same_answers(msgspec.structs.replace(problem, python=newest), solution)
    if changed <= python.release:
        return ()
    minor = f"{python.minor[0]}.{python.minor[1]}"
    return (
        f"the packages are for Python {python.full_version}, the oldest that `{python.text}` allows; "
        f"from {minor}.{changed} on, their markers or Requires-Python have other results",
    )


def _refusal(shared: SharedProblem, error: SolverError) -> Refusal:
    # Imported here, because most problems have a solution.
    from envc.locking.resolve.refusal import pypi_refusal

    return pypi_refusal(shared, error)
