"""The trail: how each domain came to be what it is, and the way back."""

from __future__ import annotations

from bisect import bisect_right
from typing import NamedTuple

from envc_solvers.sat.nogood import Nogood


class RequiredBy(NamedTuple):
    """Why a domain shrank: the decided candidate of `requirer` requires it.

    The proof leaf is built only when a conflict needs it.
    """

    requirer: int
    allowed: int


Cause = RequiredBy | Nogood | None  # None: a decision


class Step(NamedTuple):
    """One domain became smaller."""

    variable: int
    before: int
    after: int
    cause: Cause


class Trail:
    """Domains with their history. A level is a decision and what followed from it; level 0 has no decision."""

    __slots__ = ("base", "domains", "history", "levels", "steps")

    def __init__(self) -> None:
        self.base: list[int] = []  # by variable: the domain it started with
        self.domains: list[int] = []  # by variable: the domain now
        self.history: list[list[int]] = []  # by variable: positions of its steps, ascending
        self.steps: list[Step] = []
        self.levels: list[int] = []  # position of the decision of each level, from level 1

    def add_variable(self, domain: int) -> int:
        """A new variable. Its domain is a fact of level 0 even if it is met later."""
        self.base.append(domain)
        self.domains.append(domain)
        self.history.append([])
        return len(self.base) - 1

    @property
    def level(self) -> int:
        return len(self.levels)

    def level_of(self, position: int) -> int:
        return bisect_right(self.levels, position)

    def narrow(self, variable: int, mask: int, cause: Cause) -> bool:
        """Leave of a domain what is in `mask`; False when nothing is left (the step is on the trail even then)."""
        before = self.domains[variable]
        after = before & mask
        if after != before:
            self.domains[variable] = after
            self.history[variable].append(len(self.steps))
            self.steps.append(Step(variable, before, after, cause))
        return after != 0

    def decide(self, variable: int, mask: int) -> None:
        self.levels.append(len(self.steps))
        self.narrow(variable, mask, None)

    def back_to(self, level: int) -> None:
        """Undo every level above `level`."""
        if level >= len(self.levels):
            return
        floor = self.levels[level]
        del self.levels[level:]
        while len(self.steps) > floor:
            step = self.steps.pop()
            self.domains[step.variable] = step.before
            self.history[step.variable].pop()

    def since(self, variable: int, mask: int) -> int:
        """The position of the step since which the variable is within `mask`, which its base is not."""
        for position in self.history[variable]:
            if not self.steps[position].after & ~mask:
                return position
        raise AssertionError("the literal does not hold")
