"""resolve_mixed: problems of both kinds, over the channels and the indexes that the manifest names."""

from __future__ import annotations

from collections.abc import Callable, Iterator, MutableMapping
from typing import TYPE_CHECKING

import msgspec

from envc.context import Limits
from envc.errors import EnvcError, Refusal, Unsolvable
from envc.fetch.conda.channels import Channels
from envc.fetch.pypi.origins import Origins
from envc.locking.plan.problems import PosedProblem
from envc.locking.resolve.conda import located, refused, with_record_digests
from envc.locking.resolve.pypi import index_of
from envc.locking.resolve.refusal import refusal_of, title_of
from envc.model.progress import Progress
from envc_solvers.conda.explain import floors as conda_floors
from envc_solvers.errors import SolverError
from envc_solvers.mixed.conflict import MixedGaveUp
from envc_solvers.mixed.conflict import MixedUnsolvable as Conflicting
from envc_solvers.mixed.names import Names
from envc_solvers.mixed.problem import MixedProblem
from envc_solvers.mixed.solve import solve_mixed
from envc_solvers.pypi.explain import floors as pypi_floors
from envc_solvers.pypi.explain.conflict import PyPIGaveUp
from envc_solvers.pypi.explain.conflict import PyPIUnsolvable as PyPIConflicting
from envc_solvers.pypi.language.index import Index
from envc_solvers.pypi.language.markers import Answer
from envc_solvers.pypi.problem import PyPIProblem
from envc_solvers.solution import Solution

if TYPE_CHECKING:
    from envc.locking.builds.sources import Sources


def solve_mixed_all(
    problems: tuple[PosedProblem, ...],
    channels: Channels,
    origins: Origins,
    names: Names,
    progress: Progress,
    *,
    label: Callable[[str], str] = str,
    limits: Limits = Limits(),  # noqa: B008 - a frozen value
    sources: Sources | None = None,
) -> list[tuple[PosedProblem, Solution]]:
    """Every mixed problem with its solution, or Unsolvable with every problem that has none. As `resolve.solve_all`.

    The targets of a step are not aligned: what conda has for one is seldom what it has for another.
    """
    asked = [(posed, posed.problem) for posed in problems if isinstance(posed.problem, MixedProblem)]
    task = progress.task("solving", len(asked))
    solutions: list[tuple[PosedProblem, Solution]] = []
    refusals: list[Refusal] = []
    for posed, problem in asked:
        one = _Run(posed, problem, channels, origins, sources)
        try:
            solution = one.solve(names, limits)
        except SolverError as error:
            told = _refused(posed, problem, error, label)
            if not isinstance(told, Unsolvable):
                raise told from None
            refusals += told.refusals
        else:
            for warning in (*solution.warnings, *one.kept_out(solution)):
                progress.warn(f"{posed.title}: {warning}")
            solutions.append((posed, one.complete(solution)))
        task.advance()
    task.done()
    if refusals:
        raise Unsolvable(tuple(refusals))
    return solutions


class _Run:
    """One problem and who answers its questions."""

    def __init__(
        self,
        posed: PosedProblem,
        problem: MixedProblem,
        channels: Channels,
        origins: Origins,
        sources: Sources | None,
    ) -> None:
        self._posed = posed
        self._problem = problem
        self._channels = channels
        self._origins = origins
        self._sources = sources
        self._platform = posed.step_targets[0].target.platform
        self._repodata = channels.repodata(self._platform, problem.conda.channels)
        self._asked: tuple[PyPIProblem, Index] | None = None  # what PyPI was asked last

    def solve(self, names: Names, limits: Limits) -> Solution:
        """The solution, with wheels in place of the sources that it chose. Raises SolverError."""
        solution = solve_mixed(
            self._problem,
            self._repodata,
            names,
            self._ask,
            max_tries=limits.candidates,
            out_of_time=limits.clock(),
        )
        if self._sources is None or self._asked is None:
            return solution
        conda, pypi = _split(solution)
        built = self._sources.build(*self._asked, pypi)
        return msgspec.structs.replace(solution, pins=(*conda.pins, *built.pins))

    def kept_out(self, solution: Solution) -> Iterator[str]:
        """What declared floors cost, of both kinds."""
        conda, pypi = _split(solution)
        yield from conda_floors.kept_out(self._problem.conda, conda, self._repodata, self._posed.step_targets[0].target)
        if self._asked is not None:
            problem, index = self._asked
            yield from pypi_floors.kept_out(problem, pypi, index)

    def complete(self, solution: Solution) -> Solution:
        """The solution with the digests and sizes that neither records nor pages state."""
        solution = with_record_digests(solution, self._channels, self._platform)
        return solution if self._asked is None else self._origins.complete(solution, self._asked[1].view)

    def _ask(self, problem: PyPIProblem) -> tuple[PyPIProblem, Index, MutableMapping[str, Answer]]:
        listed = index_of(self._posed, problem, self._origins)
        asked: tuple[PyPIProblem, Index] = problem, listed
        if self._sources is not None:
            asked = self._sources.open(self._posed, problem, listed)
        self._asked = asked
        return *asked, self._origins.answers(problem.target, problem.python)


def _split(solution: Solution) -> tuple[Solution, Solution]:
    """The pins of conda, and those of PyPI."""
    replace = msgspec.structs.replace
    conda = tuple(pin for pin in solution.pins if pin.kind == "conda")
    pypi = tuple(pin for pin in solution.pins if pin.kind == "pypi")
    return replace(solution, pins=conda), replace(solution, pins=pypi)


def _refused(posed: PosedProblem, problem: MixedProblem, error: SolverError, label: Callable[[str], str]) -> EnvcError:
    if isinstance(error, Conflicting):
        conflict = error.conflict.relabelled(label)
        # Its first line says for which target; the title does.
        text = located("\n".join(str(conflict).splitlines()[1:]), problem.conda, label)
        return Unsolvable((Refusal(title_of(posed), text, {"steps": posed.steps, **conflict.data()}),))
    if isinstance(error, MixedGaveUp):
        data: dict[str, object] = {"steps": posed.steps, "target": error.target, "reason": str(error)}
        return Unsolvable((Refusal(title_of(posed), str(error.relabelled(label)), data),))
    if isinstance(error, PyPIConflicting | PyPIGaveUp):
        return Unsolvable((refusal_of(posed, error, label),))
    return refused(title_of(posed), problem.conda, error, label)
