"""Unsatisfiable cores: reduce facts without a solution to those that are needed for the contradiction."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from envc_solvers.sat.domain import ABSENT, is_decided
from envc_solvers.sat.nogood import Forbidden, Requires
from envc_solvers.sat.search import Search, SearchLimit
from envc_solvers.sat.trail import Trail

_CONFLICTS = 200  # in one trial; a trial that needs more counts as solvable
_CONFLICTS_IN_ALL = 300  # in all trials; after that no more facts are dropped


Fact = Requires | Forbidden


def shrink(facts: Sequence[Fact], goal: int, base: Callable[[int], int]) -> list[Fact]:
    """Drop facts as long as the rest has no solution. The result keeps the given order.

    `base` is the initial domain of a variable. Each fact is tried once, from the last to the first. Without any one
    fact of the result, the others have a solution or are too hard to decide.
    """
    kept = list(facts)
    spent = 0
    for fact in reversed(facts):
        if spent > _CONFLICTS_IN_ALL:
            break
        fewer = [each for each in kept if each is not fact]
        search, theory = _search(fewer, goal, base)
        try:
            if not search.solve(theory.goal, _CONFLICTS):
                kept = fewer
        except SearchLimit:
            pass
        spent += len(search.learned)
    return kept


def is_solvable(facts: Sequence[Fact], goal: int, base: Callable[[int], int], max_conflicts: int) -> bool:
    """Whether the facts have a solution in which `goal` is chosen. Raises SearchLimit."""
    search, theory = _search(facts, goal, base)
    return search.solve(theory.goal, max_conflicts)


def _search(facts: Sequence[Fact], goal: int, base: Callable[[int], int]) -> tuple[Search, _Facts]:
    theory = _Facts(facts, base, goal)
    return Search(theory, theory.trail, theory.forbidden), theory


def variables(fact: Fact) -> tuple[int, ...]:
    """The variables that a fact mentions."""
    if isinstance(fact, Forbidden):
        return tuple(variable for variable, _ in fact.literals)
    return fact.requirer, fact.variable


class _Facts:
    """A theory made of some facts and nothing else. It numbers the variables of the facts from 0."""

    def __init__(self, facts: Sequence[Fact], base: Callable[[int], int], goal: int) -> None:
        self.trail = Trail()
        numbers: dict[int, int] = {}
        for variable in dict.fromkeys([goal, *(each for fact in facts for each in variables(fact))]):
            numbers[variable] = self.trail.add_variable(base(variable))
        self.goal = numbers[goal]
        self._facts: dict[int, list[Requires]] = {}
        self.forbidden: list[Forbidden] = []
        for fact in facts:
            if isinstance(fact, Forbidden):
                renumbered = tuple((numbers[variable], mask) for variable, mask in fact.literals)
                self.forbidden.append(Forbidden(renumbered, fact.number))
                continue
            renamed = fact._replace(requirer=numbers[fact.requirer], variable=numbers[fact.variable])
            self._facts.setdefault(renamed.requirer, []).append(renamed)

    def requires(self, variable: int, candidate: int) -> list[tuple[int, int]]:
        return [(fact.variable, fact.allowed) for fact in self._facts.get(variable, ()) if fact.candidates & candidate]

    def requirers(self, variable: int, other: int, allowed: int) -> tuple[int, int]:
        candidates, left = 0, 0
        for fact in self._facts.get(variable, ()):
            if fact.variable == other and not fact.allowed & ~allowed:
                candidates |= fact.candidates
                left |= fact.allowed
        return candidates, left

    def next_decision(self) -> tuple[int, int] | None:
        for variable, domain in enumerate(self.trail.domains):
            if not domain & ABSENT and not is_decided(domain):
                return variable, domain & -domain
        return None

    def backjumped(self) -> None:
        """No state depends on decisions."""
