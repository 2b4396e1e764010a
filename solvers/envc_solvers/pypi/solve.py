"""The front door: a problem in, a solution or an explained refusal out."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from typing import TYPE_CHECKING, Any

from resolvelib.resolvers import ResolutionImpossible

from envc_solvers.errors import ProjectNotFound, SolverError
from envc_solvers.pypi.language.markers import Answer, Markers, marker_environment
from envc_solvers.pypi.problem import MAX_TRIES, PyPIProblem
from envc_solvers.pypi.search.journal import Journal
from envc_solvers.pypi.search.replay import RecordedIndex
from envc_solvers.pypi.search.run import in_order, search
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

    `answers` are what is known of markers in this environment (see `markers.environment_key`); it grows. `out_of_time`
    is asked before each candidate and stops the search when it says so. The order of roots, constraints and overrides
    makes no difference. Raises Unsolvable with an explained conflict, GaveUp at a limit, and whatever the index raises
    about sources that do not answer.
    """
    try:
        return attempt(problem, index, answers, max_tries, out_of_time)
    except Refusal as refusal:
        raise refusal.explained() from refusal


def attempt(
    problem: PyPIProblem,
    index: Index,
    answers: MutableMapping[str, Answer],
    max_tries: int,
    out_of_time: Callable[[], bool] | None,
) -> Solution:
    """As `solve.solve`, but raises Refusal where that raises Unsolvable or GaveUp."""
    markers = Markers(marker_environment(problem.target, problem.python), answers)
    problem = in_order(problem)
    stated = (*problem.roots, *problem.constraints, *problem.overrides)
    direct = [root for root in stated if root.requirement.url and markers.holds(root.requirement.marker)]
    if direct:
        from envc_solvers.pypi.explain.explain import refuse_urls

        raise refuse_urls(problem, direct)
    journal = Journal()
    recorded = RecordedIndex(index)
    try:
        return search(problem, recorded, markers, journal, max_tries, out_of_time)
    except (ResolutionImpossible, ProjectNotFound, SearchLimit) as error:
        raise Refusal(error, problem, recorded, markers, journal, out_of_time) from error


class Refusal(Exception):
    """A search without a solution, not explained yet: who only wants to know whom to blame pays for nothing else."""

    def __init__(
        self,
        error: ResolutionImpossible[Any, Any] | ProjectNotFound | SearchLimit,
        problem: PyPIProblem,
        recorded: RecordedIndex,
        markers: Markers,
        journal: Journal,
        out_of_time: Callable[[], bool] | None,
    ) -> None:
        super().__init__(error)
        self.error = error
        self.blamed = journal.blamed  # what of provided versions it rests on; empty where it fails whatever they are
        self._known = (problem, recorded, markers, journal, out_of_time)

    def explained(self) -> SolverError:
        """Unsolvable or GaveUp. Searches again, only over what the index has said already."""
        from envc_solvers.pypi.explain.explain import refuse

        return refuse(self.error, *self._known)
