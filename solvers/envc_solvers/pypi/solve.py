"""The entry point of the PyPI solver: takes a problem, and returns a solution or raises an explained error."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from typing import TYPE_CHECKING, Any

from resolvelib.resolvers import ResolutionImpossible

from envc_solvers.errors import ProjectNotFound, SolverError, Unanswered
from envc_solvers.pypi.language.markers import Answer, Markers, marker_environment
from envc_solvers.pypi.problem import MAX_TRIES, Budget, PyPIProblem
from envc_solvers.pypi.search.journal import Journal
from envc_solvers.pypi.search.project import is_prerelease
from envc_solvers.pypi.search.replay import RecordedIndex
from envc_solvers.pypi.search.run import SearchContext, in_order, search
from envc_solvers.pypi.search.search import SearchLimit
from envc_solvers.solution import Solution

if TYPE_CHECKING:
    from envc_solvers.pypi.language.index import Index


def solve_pypi(
    problem: PyPIProblem,
    index: Index,
    answers: MutableMapping[str, Answer],
    *,
    max_tries: int = MAX_TRIES,
    out_of_time: Callable[[], bool] | None = None,
) -> Solution:
    """Choose one version of every project that the roots reach, for one target and Python.

    `answers` are the known answers of markers in this environment (see `markers.environment_key`); new ones are added.
    `max_tries` and `out_of_time` are those of `Budget`. The order of roots, constraints and overrides makes no
    difference. Raises PyPIUnsolvable with an explained conflict, PyPIGaveUp at a limit, and the index's errors about
    sources that do not answer.
    """
    try:
        return attempt(problem, index, answers, Budget(max_tries=max_tries, out_of_time=out_of_time))
    except FailedSearch as failed:
        raise failed.explained() from failed


def attempt(problem: PyPIProblem, index: Index, answers: MutableMapping[str, Answer], budget: Budget) -> Solution:
    """As `solve_pypi`, but raises FailedSearch where that raises PyPIUnsolvable or PyPIGaveUp."""
    markers = Markers(marker_environment(problem.target, problem.python), answers)
    problem = in_order(problem)
    stated = (*problem.roots, *problem.constraints, *problem.overrides)
    direct = [root for root in stated if root.requirement.url and markers.holds(root.requirement.marker)]
    if direct:
        from envc_solvers.pypi.explain.explain import refuse_urls

        raise refuse_urls(problem, direct)
    context, journal = SearchContext(RecordedIndex(index), markers, budget), Journal()
    try:
        solution = search(problem, context, journal)
    except (ResolutionImpossible, ProjectNotFound, SearchLimit) as error:
        raise FailedSearch(error, problem, context, journal) from error
    if problem.policy.prereleases == "if-necessary" and any(is_prerelease(pin.version) for pin in solution.pins):
        from envc_solvers.pypi.prereleases import without_unneeded  # late: few solutions have pre-releases

        return without_unneeded(problem, solution, context.index, markers, lambda other: _trial(other, context))
    return solution


def _trial(problem: PyPIProblem, context: SearchContext) -> Solution | None:
    """The solution of a problem, None if there is none or if it could not be found."""
    try:
        return search(problem, context, Journal())
    except (ResolutionImpossible, ProjectNotFound, SearchLimit, Unanswered):
        return None


class FailedSearch(Exception):
    """A search without a solution. It is explained on demand: a caller that needs only `blamed` does not pay for it."""

    def __init__(
        self,
        error: ResolutionImpossible[Any, Any] | ProjectNotFound | SearchLimit,
        problem: PyPIProblem,
        context: SearchContext,
        journal: Journal,
    ) -> None:
        super().__init__(error)
        self.error = error
        self.blamed = journal.blamed  # facts about provided versions that it depends on; empty if it fails regardless
        self._search = (problem, context, journal)

    def explained(self) -> SolverError:
        """PyPIUnsolvable or PyPIGaveUp. Searches again, over the recorded answers of the index."""
        from envc_solvers.pypi.explain.explain import refuse

        return refuse(self.error, *self._search)
