"""Solves mixed problems over the channels and the indexes of the manifest."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from typing import TYPE_CHECKING

import msgspec

from envc.context import Limits
from envc.errors import Refusal, Unsolvable
from envc.fetch.conda.channels import Channels
from envc.fetch.pypi.indexes import Indexes
from envc.locking.plan.problems import SharedProblem
from envc.locking.resolve.conda import with_record_digests
from envc.locking.resolve.passed_over import refusal_of, refused, with_passed_over
from envc.locking.resolve.pypi import index_of
from envc.locking.resolve.refusal import mixed_error
from envc.model.progress import Progress
from envc_solvers.conda.explain import floors as conda_floors
from envc_solvers.errors import SolverError
from envc_solvers.mixed.names import Names
from envc_solvers.mixed.problem import MixedProblem
from envc_solvers.mixed.solve import solve_mixed
from envc_solvers.pypi.explain import floors as pypi_floors
from envc_solvers.pypi.language.index import Index
from envc_solvers.pypi.language.markers import Answer
from envc_solvers.pypi.problem import PyPIProblem
from envc_solvers.solution import Solution

if TYPE_CHECKING:
    from envc.locking.builds.run_builds import RunBuilds


class MixedSources(msgspec.Struct, frozen=True):
    """The package sources of the mixed problems of a run."""

    channels: Channels
    origins: Indexes
    names: Names
    builds: RunBuilds | None = None  # see `pypi.solve_all`


def solve_mixed_all(
    problems: tuple[SharedProblem, ...], sources: MixedSources, progress: Progress, limits: Limits
) -> list[tuple[SharedProblem, Solution]]:
    """Every mixed problem with its solution. Raises Unsolvable with every problem that has none.

    The targets of a step are not aligned: conda rarely has the same versions for all of them.
    """
    shared_problems = [(shared, shared.problem) for shared in problems if isinstance(shared.problem, MixedProblem)]
    task = progress.task("solving", len(shared_problems))
    solutions: list[tuple[SharedProblem, Solution]] = []
    refusals: list[Refusal] = []
    for shared, problem in shared_problems:
        run = _Run(shared, problem, sources)
        try:
            solution = run.solve(limits)
        except SolverError as error:
            refused = mixed_error(shared, problem.conda.target, error)
            if not isinstance(refused, Unsolvable):
                raise refused from None
            refusals += (msgspec.structs.replace(one, steps=tuple(shared.steps)) for one in refused.refusals)
        else:
            solution = run.with_passed_over(solution, limits)
            if older := run.refused(solution):
                refusals.append(older)
                task.advance()
                continue
            for warning in (*solution.warnings, *run.excluded_by_floors(solution)):
                progress.warn(f"{shared.title}: {warning}")
            solutions.append((shared, run.complete(solution)))
        task.advance()
    task.done()
    if refusals:
        raise Unsolvable(tuple(refusals))
    return solutions


class _Run:
    """One problem and the indexes that were opened for it."""

    def __init__(self, shared: SharedProblem, problem: MixedProblem, sources: MixedSources) -> None:
        self._shared = shared
        self._problem = problem
        self._sources = sources
        self._platform = shared.step_targets[0].target.platform
        self._repodata = sources.channels.repodata(self._platform, problem.conda.channels)
        self._last: tuple[PyPIProblem, Index] | None = None  # the last PyPI problem, with its index

    def solve(self, limits: Limits) -> Solution:
        """The solution, with wheels in place of the sources that it chose. Raises SolverError."""
        solution = solve_mixed(
            self._problem,
            self._repodata,
            self._sources.names,
            self._open_index,
            max_tries=limits.candidates,
            out_of_time=limits.clock(),
        )
        if self._sources.builds is None or self._last is None:
            return solution
        conda, pypi = _split(solution)
        built = self._sources.builds.build(*self._last, pypi)
        return msgspec.structs.replace(solution, pins=(*conda.pins, *built.pins))

    def with_passed_over(self, solution: Solution, limits: Limits) -> Solution:
        """The solution with the newer PyPI releases that it passed over."""
        if self._last is None:
            return solution
        _, pypi = _split(solution)
        found = with_passed_over(*self._last, pypi, self._sources.origins, limits).passed_over
        return msgspec.structs.replace(solution, passed_over=found)

    def refused(self, solution: Solution) -> Refusal | None:
        """The refusal for newer releases that must not be passed over; None if there are none."""
        if self._last is None or not (older := refused(self._last[0], solution.passed_over)):
            return None
        return refusal_of(self._shared, self._last[0], older)

    def excluded_by_floors(self, solution: Solution) -> Iterator[str]:
        """Warnings about versions of both kinds that declared floors exclude."""
        conda, pypi = _split(solution)
        yield from conda_floors.excluded_by_floors(
            self._problem.conda, conda, self._repodata, self._shared.step_targets[0].target
        )
        if self._last is not None:
            problem, index = self._last
            yield from pypi_floors.excluded_by_floors(problem, pypi, index)

    def complete(self, solution: Solution) -> Solution:
        """The solution, with the digests and sizes that records and pages lack."""
        solution = with_record_digests(solution, self._sources.channels, self._platform)
        return solution if self._last is None else self._sources.origins.complete(solution, self._last[1].view)

    def _open_index(self, problem: PyPIProblem) -> tuple[PyPIProblem, Index, MutableMapping[str, Answer]]:
        listed = index_of(self._shared, problem, self._sources.origins)
        opened: tuple[PyPIProblem, Index] = problem, listed
        if self._sources.builds is not None:
            opened = self._sources.builds.open(self._shared, problem, listed)
        self._last = opened
        return *opened, self._sources.origins.answers(problem.target, problem.python)


def _split(solution: Solution) -> tuple[Solution, Solution]:
    """The pins of conda, and those of PyPI."""
    replace = msgspec.structs.replace
    conda = tuple(pin for pin in solution.pins if pin.kind == "conda")
    pypi = tuple(pin for pin in solution.pins if pin.kind == "pypi")
    return replace(solution, pins=conda), replace(solution, pins=pypi)
