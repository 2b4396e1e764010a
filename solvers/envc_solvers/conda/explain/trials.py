"""Searches on trial: what an explanation may spend on finding out what would happen if."""

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
    """Searches that may take no more than so many conflicts together, each of them counting as one at least."""

    def __init__(self, conflicts: int, *, frugal: bool = False) -> None:
        """`frugal`: none takes more than half of what is left, so that a hard one leaves something for the others."""
        self._left = conflicts
        self._frugal = frugal

    @property
    def is_over(self) -> bool:
        return self._left <= 0

    def solves(self, attempt: Attempt) -> bool | None:
        """Whether an attempt succeeds; None when that was not found out."""
        if self.is_over:
            return None
        try:
            return attempt.solve(self._left // 2 if self._frugal else self._left)
        except SearchLimit:
            return None
        finally:
            self._left -= max(1, len(attempt.search.learned))

    def solution(self, problem: CondaProblem, repodata: Repodata) -> Solution | None:
        """The solution of a problem, if it is found in time."""
        if self.is_over:
            return None
        attempt = Attempt(problem, Tables(problem, repodata))
        return attempt.solution() if self.solves(attempt) else None
