"""Trial searches of an explanation, with a limit on their total cost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from envc_solvers.conda.search.attempt import Attempt
from envc_solvers.conda.search.tables import Tables
from envc_solvers.sat.search import SearchLimit
from envc_solvers.solution import Solution

if TYPE_CHECKING:
    from envc_solvers.conda.language.index import Repodata
    from envc_solvers.conda.problem import CondaProblem


class Trials:
    """Searches with a limit on the conflicts of all of them together. Each search counts as at least one conflict."""

    def __init__(self, conflicts: int, *, frugal: bool = False) -> None:
        """`frugal`: no search may use more than half of the remaining conflicts, so that others have some left."""
        self._left = conflicts
        self._frugal = frugal

    @property
    def is_over(self) -> bool:
        return self._left <= 0

    def solves(self, attempt: Attempt) -> bool | None:
        """Whether an attempt succeeds; None if the limit was reached first."""
        if self.is_over:
            return None
        try:
            return attempt.solve(self._left // 2 if self._frugal else self._left)
        except SearchLimit:
            return None
        finally:
            self._left -= max(1, len(attempt.search.learned))

    def solution(self, problem: CondaProblem, repodata: Repodata) -> Solution | None:
        """The solution of a problem; None if there is none or the limit was reached first."""
        if self.is_over:
            return None
        attempt = Attempt(problem, Tables(problem, repodata))
        return attempt.solution() if self.solves(attempt) else None
