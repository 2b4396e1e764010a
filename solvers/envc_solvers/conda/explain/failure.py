"""The basis of a failed search: a few facts of its proof, and the specs among them."""

from __future__ import annotations

import msgspec

from envc_solvers.conda.search.attempt import Attempt
from envc_solvers.conda.search.encode import ROOT, ROOT_CANDIDATE
from envc_solvers.sat.core import Fact, shrink
from envc_solvers.sat.nogood import Forbidden, Requires, leaves

_MOST_FACTS = 250  # a larger proof is not reduced


class Failure(msgspec.Struct, frozen=True):
    """A search that failed, and a small set of facts that fails on its own."""

    attempt: Attempt
    numbers: tuple[int, ...]  # of the problem's specs among the facts, ascending
    facts: tuple[Fact, ...]

    @property
    def forbidden(self) -> tuple[int, ...]:
        return tuple(sorted({fact.number for fact in self.facts if isinstance(fact, Forbidden)}))


def failure_of(attempt: Attempt, numbers: tuple[int, ...]) -> Failure:
    """The failure of an attempt at these specs, reduced to facts that are all necessary. Each fact costs a search."""
    used = _used(attempt)
    origins = _named(used, attempt, numbers)
    facts: list[Fact] = [fact for fact, _ in origins]
    facts += [leaf for leaf in used if isinstance(leaf, Forbidden) or leaf.requirer != ROOT]
    if len(facts) <= _MOST_FACTS:
        facts = shrink(facts, ROOT, attempt.encoder.trail.base.__getitem__)
    kept = {id(fact) for fact in facts}
    return Failure(attempt, tuple(number for fact, number in origins if id(fact) in kept), tuple(facts))


def specs_at_fault(attempt: Attempt, numbers: tuple[int, ...]) -> tuple[int, ...]:
    """The specs of a failed attempt that its proof uses. A part of them may fail as well."""
    return tuple(number for _, number in _named(_used(attempt), attempt, numbers))


def _used(attempt: Attempt) -> list[Requires | Forbidden]:
    proof = attempt.search.proof
    assert proof is not None, "only a failed search is explained"
    return [leaf for leaf in leaves(proof) if isinstance(leaf, Requires | Forbidden)]


def _named(used: list[Requires | Forbidden], attempt: Attempt, numbers: tuple[int, ...]) -> list[tuple[Requires, int]]:
    """The specs that a proof uses, as facts with their numbers.

    The search combines all specs on one name; the problem states them separately.
    """
    named = {leaf.variable for leaf in used if isinstance(leaf, Requires) and leaf.requirer == ROOT}
    stated = zip(numbers, attempt.encoder.dependencies(ROOT, ROOT_CANDIDATE), strict=True)
    return [
        (Requires(ROOT, ROOT_CANDIDATE, variable, allowed), number)
        for number, (variable, allowed) in stated
        if variable in named
    ]
