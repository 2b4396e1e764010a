"""Why there is no solution: the proof of a failed search turned into a `Conflict`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from envc_solvers.conda.conflict import Conflict, Unsolvable
from envc_solvers.conda.failure import Failure, failure_of
from envc_solvers.conda.run import Attempt, Shelf
from envc_solvers.conda.suggest import suggest
from envc_solvers.conda.tell import Teller
from envc_solvers.conda.trials import Trials

if TYPE_CHECKING:
    from envc_solvers.conda.index import Repodata
    from envc_solvers.conda.solve import CondaProblem

_CONFLICTS = 120  # in all trial searches for fewer specs


def refuse(problem: CondaProblem, repodata: Repodata, shelf: Shelf, attempt: Attempt) -> Unsolvable:
    """The error for a failed search. Trial searches look for fewer specs that fail, and for a change that helps."""
    failure, minimal = _minimise(problem, shelf, failure_of(attempt, tuple(range(len(problem.specs)))))
    reasons = Teller(problem, repodata, failure.attempt.encoder).reasons(failure.facts)
    return Unsolvable(
        Conflict(
            target=problem.target,
            roots=tuple((problem.specs[number].text, problem.specs[number].origin) for number in failure.numbers),
            minimal=minimal,
            reasons=tuple(reasons),
            suggestion=suggest(problem, repodata, shelf, failure.numbers, reasons),
            forbidden=failure.forbidden,
        )
    )


def _minimise(problem: CondaProblem, shelf: Shelf, failure: Failure) -> tuple[Failure, bool]:
    """A failure of fewest specs, and whether leaving out each of them was seen to help."""
    trials = Trials(_CONFLICTS, frugal=True)
    minimal = True
    for number in failure.numbers:
        if number not in failure.numbers:
            continue
        fewer = tuple(other for other in failure.numbers if other != number)
        trial = Attempt(problem, shelf, fewer)
        solved = trials.solves(trial)
        if solved is None:
            minimal = False
        elif not solved:
            failure = failure_of(trial, fewer)
    return failure, minimal
