"""Names become variables, records candidates, specs the sets of candidates that they leave: lazily, name by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from envc_solvers.conda.language.matchspec import InvalidMatchSpec, MatchSpec, parse_matchspec
from envc_solvers.conda.search.table import Table
from envc_solvers.sat.domain import ABSENT, bit, rank, ranks
from envc_solvers.sat.trail import Trail

ROOT = 0  # the problem itself: one candidate, which asks for the problem's specs
NOTHING = 1  # a name that no record has: what a candidate asks for that can never be chosen
ROOT_CANDIDATE = bit(0)

Requirements = tuple[tuple[int, int], ...]  # (variable, room)


class Encoder:
    """All names that a search has reached. It adds them to `trail` as they come up.

    `load` makes the table of a name, with everything hidden that may not be chosen; `specs` are what the problem
    itself asks for, in order; `overrides` replace what packages say of a name.
    """

    def __init__(
        self,
        load: Callable[[str], Table],
        specs: Iterable[MatchSpec],
        trail: Trail,
        overrides: dict[str, MatchSpec] | None = None,
    ) -> None:
        self.trail = trail
        self._load = load
        self._overrides = overrides or {}
        self._variables: dict[str, int] = {}
        self._allowed: dict[str, tuple[int, int]] = {}  # spec text: the variable of its name, the candidates it allows
        self._requires: dict[tuple[int, int], Requirements] = {}
        self._dependencies: dict[tuple[int, int], Requirements] = {}
        self._groups: dict[tuple[int, int], list[tuple[int, int]]] = {}
        self.tables: list[Table] = [Table("", ()), Table("", ())]  # by variable
        trail.add_variable(ROOT_CANDIDATE | ABSENT)
        trail.add_variable(ABSENT)
        self.specs = tuple(specs)
        self._dependencies[ROOT, ROOT_CANDIDATE] = tuple(
            (variable, self.tables[variable].matching(spec))
            for spec in self.specs
            for variable in (self.variable(spec.name),)
        )

    def variable(self, name: str) -> int:
        """The variable of a name; its table is loaded when the name comes up first."""
        found = self._variables.get(name)
        if found is None:
            table = self._load(name)
            self.tables.append(table)
            found = self._variables[name] = self.trail.add_variable(table.selectable)
        return found

    def allowed(self, text: str) -> tuple[int, int]:
        """What a spec's text allows, as (variable, candidates); NOTHING and no candidates for a text that is none."""
        found = self._allowed.get(text)
        if found is None:
            try:
                spec = parse_matchspec(text)
            except InvalidMatchSpec:
                found = NOTHING, 0
            else:
                spec = self._overrides.get(spec.name, spec)
                variable = self.variable(spec.name)
                found = variable, self.tables[variable].matching(spec)
            self._allowed[text] = found
        return found

    def dependencies(self, variable: int, candidate: int) -> Requirements:
        """What a candidate depends on, as (variable, candidates allowed), in the order of its record."""
        found = self._dependencies.get((variable, candidate))
        if found is None:
            record = self.tables[variable].records[rank(candidate)]
            found = self._dependencies[variable, candidate] = tuple(map(self.allowed, record.depends))
        return found

    def requires(self, variable: int, candidate: int) -> Requirements:
        """What a candidate asks of every name, each name once: its dependencies and constraints together."""
        found = self._requires.get((variable, candidate))
        if found is None:
            allowed_by: dict[int, int] = {}
            for other, allowed in self.dependencies(variable, candidate):
                allowed_by[other] = allowed_by.get(other, -1) & allowed
            if variable != ROOT:
                for text in self.tables[variable].records[rank(candidate)].constrains:
                    other, allowed = self.allowed(text)
                    allowed_by[other] = allowed_by.get(other, -1) & (allowed | ABSENT if other != NOTHING else 0)
            own = allowed_by.pop(variable, candidate)
            if not own & candidate:
                allowed_by[NOTHING] = 0
            found = self._requires[variable, candidate] = tuple(allowed_by.items())
        return found

    def requirers(self, variable: int, other: int, allowed: int) -> tuple[int, int]:
        """All candidates of `variable` that keep `other` within `allowed`, and the union of what they leave of it."""
        candidates, left = 0, 0
        for each, mask in self._groups_of(variable, other):
            if not each & ~allowed:
                candidates |= mask
                left |= each
        return candidates, left

    def _groups_of(self, variable: int, other: int) -> list[tuple[int, int]]:
        """What candidates say of a name: each room that is left by some of them, and those."""
        found = self._groups.get((variable, other))
        if found is None:
            if variable == ROOT:
                allowed_by = {ROOT_CANDIDATE: dict(self.requires(ROOT, ROOT_CANDIDATE))[other]}
            elif other == NOTHING:
                allowed_by = {
                    bit(place): 0
                    for place in ranks(self.tables[variable].selectable)
                    if any(asked == NOTHING for asked, _ in self.requires(variable, bit(place)))
                }
            else:
                allowed_by = self._allowed_by_candidate(variable, other)
            together: dict[int, int] = {}
            for candidate, allowed in allowed_by.items():
                together[allowed] = together.get(allowed, 0) | candidate
            found = self._groups[variable, other] = list(together.items())
        return found

    def _allowed_by_candidate(self, variable: int, other: int) -> dict[int, int]:
        """What each candidate that mentions a name leaves of it."""
        allowed_by: dict[int, int] = {}
        for text, mask, needed in self.tables[variable].mentions(self.tables[other].name):
            target, allowed = self.allowed(text)
            if target == other:
                allowed = allowed if needed else allowed | ABSENT
                for place in ranks(mask):
                    candidate = bit(place)
                    allowed_by[candidate] = allowed_by.get(candidate, -1) & allowed
        return allowed_by
