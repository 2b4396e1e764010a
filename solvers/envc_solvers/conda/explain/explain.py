"""Why there is no solution: the proof of a failed search turned into a `CondaConflict`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from envc_solvers.conda.explain.conflict import CondaConflict, CondaUnsolvable
from envc_solvers.conda.explain.diagnose import Diagnosis
from envc_solvers.conda.explain.failure import Failure, failure_of
from envc_solvers.conda.explain.suggest import suggest
from envc_solvers.conda.explain.trials import Trials
from envc_solvers.conda.search.attempt import Attempt
from envc_solvers.conda.search.tables import Tables

if TYPE_CHECKING:
    from envc_solvers.conda.language.index import Repodata
    from envc_solvers.conda.problem import CondaProblem

_CONFLICTS = 120  # in all trial searches for fewer specs


def refuse(problem: CondaProblem, repodata: Repodata, tables: Tables, attempt: Attempt) -> CondaUnsolvable:
    """The error for a failed search. Trial searches look for fewer specs that fail, and for a change that helps."""
    failure, minimal = _minimise(problem, tables, failure_of(attempt, tuple(range(len(problem.specs)))))
    reasons = Diagnosis(problem, repodata, failure.attempt.encoder).reasons(failure.facts)
    return CondaUnsolvable(
        CondaConflict(
            target=problem.target,
            roots=tuple((problem.specs[number].text, problem.specs[number].origin) for number in failure.numbers),
            minimal=minimal,
            reasons=tuple(reasons),
            suggestion=suggest(problem, repodata, tables, failure.numbers, reasons),
            forbidden=failure.forbidden,
        )
    )


def _minimise(problem: CondaProblem, tables: Tables, failure: Failure) -> tuple[Failure, bool]:
    """A failure with as few specs as possible, and whether leaving out each one was seen to help."""
    trials = Trials(_CONFLICTS, frugal=True)
    minimal = True
    for number in failure.numbers:
        if number not in failure.numbers:
            continue
        fewer = tuple(other for other in failure.numbers if other != number)
        trial = Attempt(problem, tables, fewer)
        solved = trials.solves(trial)
        if solved is None:
            minimal = False
        elif not solved:
            failure = failure_of(trial, fewer)
    return failure, minimal
