"""The trail: every change of a domain with its cause, so that changes can be explained and undone."""

from __future__ import annotations

from bisect import bisect_right
from typing import NamedTuple

from envc_solvers.sat.nogood import Nogood


class RequiredBy(NamedTuple):
    """The cause of a change: the decided candidate of `requirer` requires a value in `allowed`.

    It becomes a `Requires` of the proof only when a conflict needs it.
    """

    requirer: int
    allowed: int


Cause = RequiredBy | Nogood | None  # None: a decision


class Step(NamedTuple):
    """One change: a domain became smaller."""

    variable: int
    before: int
    after: int
    cause: Cause


class Trail:
    """Domains with their history.

    A level holds a decision and the steps that follow from it. Level 0 has no decision.
    """

    __slots__ = ("base", "domains", "history", "levels", "steps")

    def __init__(self) -> None:
        self.base: list[int] = []  # by variable: its initial domain
        self.domains: list[int] = []  # by variable: its current domain
        self.history: list[list[int]] = []  # by variable: positions of its steps, ascending
        self.steps: list[Step] = []
        self.levels: list[int] = []  # position of the decision of each level, from level 1

    def add_variable(self, domain: int) -> int:
        """Add a variable. Its initial domain belongs to level 0, whatever the current level."""
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
        """Intersect a domain with `mask`. Returns False if nothing is left; the step is on the trail even then."""
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
        """The position of the step that moved the variable into `mask`. Its initial domain is not within `mask`."""
        for position in self.history[variable]:
            if not self.steps[position].after & ~mask:
                return position
        raise AssertionError("the literal does not hold")
