"""The search: decide, propagate, learn from conflicts, jump back (CDCL over finite domains)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from envc_solvers.sat.domain import ABSENT
from envc_solvers.sat.nogood import Forbidden, Given, Nogood, Reason, Requires
from envc_solvers.sat.trail import Cause, RequiredBy, Trail


class SearchLimit(Exception):
    """The search had more conflicts than allowed."""

    def __init__(self, conflicts: int) -> None:
        super().__init__(conflicts)
        self.conflicts = conflicts


class Theory(Protocol):
    """The meaning of the variables. The search calls these methods lazily. Equal arguments must give equal results."""

    def requires(self, variable: int, candidate: int) -> Iterable[tuple[int, int]]:
        """The requirements of a candidate (one bit) as (variable, allowed). May add variables to the trail."""

    def requirers(self, variable: int, other: int, allowed: int) -> tuple[int, int]:
        """All candidates of `variable` that restrict `other` to a part of `allowed`, and the union of these parts."""

    def next_decision(self) -> tuple[int, int] | None:
        """A required variable that is undecided, and its candidate to try (one bit); None if all are decided."""

    def backjumped(self) -> None:
        """Called after decisions were undone."""


class Search:
    """One search. `trail` is shared with the theory, which adds variables and reads domains."""

    def __init__(self, theory: Theory, trail: Trail, forbidden: Iterable[Forbidden] = ()) -> None:
        """`forbidden` applies from the start. None of its literals may contain the initial domain of its variable."""
        self._theory = theory
        self._trail = trail
        self._forbidden = tuple(Nogood(dict(leaf.literals), (leaf,)) for leaf in forbidden)
        self._head = 0  # position on the trail: all steps before it are propagated
        self._watchers: dict[int, list[Nogood]] = {}  # by variable: the nogoods that watch it
        self._watched: dict[int, tuple[int, int]] = {}  # by id of a nogood: its two watched variables
        self.learned: list[Nogood] = []
        self.proof: Nogood | None = None  # set when `solve` returns False

    def solve(self, goal: int, max_conflicts: int) -> bool:
        """Choose a candidate for `goal` and for every variable that is then required.

        Returns False if that is impossible; then `proof` is set. Raises SearchLimit after `max_conflicts`.
        """
        self._trail.narrow(goal, ~ABSENT, Nogood({goal: ABSENT}, ()))
        for nogood in self._forbidden:
            first, *others = nogood.literals
            if not others:
                self._trail.narrow(first, ~nogood.literals[first], nogood)
            else:
                self._watch(nogood, first, others[0])
        while True:
            conflict = self._propagate()
            if conflict is None:
                choice = self._theory.next_decision()
                if choice is None:
                    return True
                conflict = self._decide(*choice)
            if conflict is not None:
                if not self._learn(conflict):
                    return False
                if len(self.learned) > max_conflicts:
                    raise SearchLimit(len(self.learned))

    def _decide(self, variable: int, candidate: int) -> Nogood | None:
        """Decide, unless the candidate requires something that is already impossible.

        In that case, rule out all candidates with an equal or narrower requirement on the current level. That costs no
        conflict, and later decisions remain. Returns a conflict if the variable has no candidate left.
        """
        trail = self._trail
        for other, allowed in self._theory.requires(variable, candidate):
            now = trail.domains[other]
            if now & allowed:
                continue
            candidates, left = self._theory.requirers(variable, other, ~now)
            if other == variable:
                nogood = Nogood({variable: candidates}, (Requires(variable, candidates, other, left),))
            else:
                nogood = Nogood({variable: candidates, other: ~left}, (Requires(variable, candidates, other, left),))
            return None if trail.narrow(variable, ~candidates, nogood) else self._empty_domain_conflict(variable)
        trail.decide(variable, candidate)
        return None

    def _propagate(self) -> Nogood | None:
        """Propagate until nothing changes. Returns the conflict, a nogood whose literals all hold, if there is one."""
        trail = self._trail
        steps, domains = trail.steps, trail.domains
        while self._head < len(steps):
            step = steps[self._head]
            variable, after = step.variable, step.after
            self._head += 1
            if variable in self._watchers:
                conflict = self._visit_watchers(variable)
                if conflict is not None:
                    return conflict
            if after & (after - 1) == 0 and after != ABSENT:
                for other, allowed in self._theory.requires(variable, after):
                    if domains[other] & ~allowed and not trail.narrow(other, allowed, RequiredBy(variable, allowed)):
                        return self._empty_domain_conflict(other)
        return None

    def _visit_watchers(self, variable: int) -> Nogood | None:
        """Check the nogoods that watch a variable whose domain has shrunk. Returns a conflict if there is one."""
        trail = self._trail
        domains = trail.domains
        kept: list[Nogood] = []
        watching = self._watchers[variable]
        conflict = None
        for number, nogood in enumerate(watching):
            literals = nogood.literals
            if domains[variable] & ~literals[variable]:
                kept.append(nogood)
                continue
            first, second = self._watched[id(nogood)]
            partner = second if first == variable else first
            elsewhere = domains[partner] & ~literals[partner]
            if elsewhere != domains[partner]:  # otherwise the partner's literal is false
                moved = next(
                    (each for each, mask in literals.items() if each not in (first, second) and domains[each] & ~mask),
                    None,
                )
                if moved is not None:
                    self._watched[id(nogood)] = (partner, moved)
                    self._watchers.setdefault(moved, []).append(nogood)
                    continue
                if not elsewhere:
                    conflict = nogood
                    kept.extend(watching[number:])
                    break
                trail.narrow(partner, elsewhere, nogood)
            kept.append(nogood)
        self._watchers[variable] = kept
        return conflict

    def _empty_domain_conflict(self, variable: int) -> Nogood:
        """The conflict of a variable with an empty domain: the cause of its last step, as a nogood that holds."""
        step = self._trail.steps[self._trail.history[variable][-1]]
        literals, leaf = self._reason(variable, 0, step.cause)
        return Nogood(literals, (leaf,))

    def _reason(self, variable: int, held: int, cause: Cause) -> tuple[dict[int, int], Reason]:
        """The literals of a nogood that moved `variable` into `held`, and the reason for the proof.

        The nogood is generalised: a candidate that restricts the variable to what the cause allows, or to `held`, is as
        good a reason as the cause itself. So all such candidates of the requirer are included.
        """
        if isinstance(cause, RequiredBy):
            candidates, left = self._theory.requirers(cause.requirer, variable, cause.allowed | held)
            return {cause.requirer: candidates, variable: ~left}, Requires(cause.requirer, candidates, variable, left)
        assert cause is not None, "a decision has no reason"
        return dict(cause.literals), cause

    def _learn(self, conflict: Nogood) -> bool:
        """Resolve a conflict to its first unique implication point and jump back.

        Returns False if no literal is left; then `proof` is set.
        """
        trail = self._trail
        reasons: list[Reason] = list(conflict.reasons) if id(conflict) not in self._watched else [conflict]
        literals: dict[int, int] = {}
        since: dict[int, int] = {}
        self._merge(conflict.literals, literals, since, reasons)
        while literals:
            latest = max(since, key=since.__getitem__)
            position = since[latest]
            level = trail.level_of(position)
            rest = max((since[each] for each in since if each != latest), default=-1)
            if level and (rest < 0 or trail.level_of(rest) < level):
                target = trail.level_of(rest) if rest >= 0 else 0
                self._keep_and_backjump(Nogood(literals, tuple(reasons)), latest, target, rest)
                return True
            step = trail.steps[position]
            held = literals.pop(latest)
            del since[latest]
            reason, leaf = self._reason(latest, held, step.cause)
            reasons.append(leaf)
            own = reason.pop(latest)
            self._merge(reason, literals, since, reasons)
            self._merge({latest: own | held}, literals, since, reasons)
        self.proof = Nogood({}, tuple(reasons))
        return False

    def _merge(
        self, more: dict[int, int], literals: dict[int, int], since: dict[int, int], reasons: list[Reason]
    ) -> None:
        """Add literals: sets of one variable are intersected; a literal that always holds becomes a `Given`."""
        trail = self._trail
        for variable, mask in more.items():
            if not trail.base[variable] & ~mask:
                reasons.append(Given(variable, mask))
                continue
            both = mask & literals.get(variable, -1)
            literals[variable] = both
            since[variable] = trail.since(variable, both)

    def _keep_and_backjump(self, nogood: Nogood, variable: int, level: int, partner_since: int) -> None:
        """Keep a nogood, jump back to `level`, at which it is unit, and propagate it."""
        trail = self._trail
        self.learned.append(nogood)
        if len(nogood.literals) > 1:
            partner = trail.steps[partner_since].variable
            self._watch(nogood, variable, partner)
        trail.back_to(level)
        self._head = min(self._head, len(trail.steps))
        self._theory.backjumped()
        trail.narrow(variable, ~nogood.literals[variable], nogood)

    def _watch(self, nogood: Nogood, first: int, second: int) -> None:
        self._watched[id(nogood)] = (first, second)
        self._watchers.setdefault(first, []).append(nogood)
        self._watchers.setdefault(second, []).append(nogood)
