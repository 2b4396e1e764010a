"""Why there is no solution: the proof of a failed search turned into a `Conflict`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from envc_solvers.conda.conflict import Conflict, Unsolvable
from envc_solvers.conda.encode import ROOT, ROOT_CANDIDATE
from envc_solvers.conda.run import Attempt, Shelf
from envc_solvers.conda.suggest import suggest
from envc_solvers.conda.tell import Teller
from envc_solvers.conda.trials import Trials
from envc_solvers.sat.core import Fact, shrink
from envc_solvers.sat.nogood import Asks, Barred, leaves

if TYPE_CHECKING:
    from envc_solvers.conda.index import Repodata
    from envc_solvers.conda.solve import CondaProblem

_CONFLICTS = 120  # in all trial searches for fewer specs
_MOST_FACTS = 250  # a larger proof is told as it is: every fact costs a trial


class Failure(msgspec.Struct, frozen=True):
    """A search that failed, and a small set of facts that fails by itself."""

    attempt: Attempt
    numbers: tuple[int, ...]  # the problem's specs that the facts need, ascending
    facts: tuple[Fact, ...]

    @property
    def forbidden(self) -> tuple[int, ...]:
        return tuple(sorted({fact.number for fact in self.facts if isinstance(fact, Barred)}))


def refuse(problem: CondaProblem, repodata: Repodata, shelf: Shelf, attempt: Attempt) -> Unsolvable:
    """The error for a failed search. Trial searches look for fewer specs that fail, and for a change that helps."""
    failure, minimal = _minimise(problem, shelf, _failure(attempt, tuple(range(len(problem.specs)))))
    reasons = Teller(problem, repodata, failure.attempt.encoder).reasons(failure.facts)
    return Unsolvable(
        Conflict(
            target=problem.target,
            roots=tuple((problem.specs[number].text, problem.specs[number].origin) for number in failure.numbers),
            minimal=minimal,
            reasons=tuple(reasons),
            suggestion=suggest(problem, repodata, failure.numbers, reasons),
            forbidden=failure.forbidden,
        )
    )


def _failure(attempt: Attempt, numbers: tuple[int, ...]) -> Failure:
    """What failed in an attempt at these specs."""
    encoder, proof = attempt.encoder, attempt.search.proof
    assert proof is not None, "only a failed search is explained"
    used = [leaf for leaf in leaves(proof) if isinstance(leaf, Asks | Barred)]
    named = {leaf.variable for leaf in used if isinstance(leaf, Asks) and leaf.asker == ROOT}
    facts: list[Fact] = []
    origins: list[tuple[Asks, int]] = []
    # The search takes specs on one name together; people wrote them apart.
    for number, (variable, room) in zip(numbers, encoder.needs(ROOT, ROOT_CANDIDATE), strict=True):
        if variable in named:
            fact = Asks(ROOT, ROOT_CANDIDATE, variable, room)
            origins.append((fact, number))
            facts.append(fact)
    facts += [leaf for leaf in used if isinstance(leaf, Barred) or leaf.asker != ROOT]
    if len(facts) <= _MOST_FACTS:
        facts = shrink(facts, ROOT, encoder.trail.base.__getitem__)
    kept = {id(fact) for fact in facts}
    return Failure(attempt, tuple(number for fact, number in origins if id(fact) in kept), tuple(facts))


def _minimise(problem: CondaProblem, shelf: Shelf, failure: Failure) -> tuple[Failure, bool]:
    """A failure of fewest specs, and whether leaving out each of them was seen to help."""
    trials = Trials(_CONFLICTS)
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
            failure = _failure(trial, fewer)
    return failure, minimal
