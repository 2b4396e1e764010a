"""The encoding for the SAT search: a name is a variable, a record is a candidate, a spec is the set that it allows.

Everything is encoded lazily, name by name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from envc_solvers.conda.language.matchspec import InvalidMatchSpec, MatchSpec, parse_matchspec
from envc_solvers.conda.search.table import Table
from envc_solvers.sat.domain import ABSENT, bit, rank, ranks
from envc_solvers.sat.trail import Trail

ROOT = 0  # the variable of the problem itself; its one candidate requires the problem's specs
NOTHING = 1  # a variable without candidates; a candidate that requires it can never be chosen
ROOT_CANDIDATE = bit(0)

Requirements = tuple[tuple[int, int], ...]  # (variable, allowed candidates)


class Encoder:
    """The names that a search has reached. It adds a variable to `trail` for each new name.

    `load` builds the table of a name and hides all records that must not be chosen. `specs` are the problem's own
    specs, in order. An entry of `overrides` replaces every spec of a package on that name.
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
        """The variable of a name. The table of the name is loaded the first time."""
        found = self._variables.get(name)
        if found is None:
            table = self._load(name)
            self.tables.append(table)
            found = self._variables[name] = self.trail.add_variable(table.selectable)
        return found

    def allowed(self, text: str) -> tuple[int, int]:
        """The variable of a spec's name and the candidates that the spec allows.

        For an invalid spec: NOTHING and no candidates.
        """
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
        """The dependencies of a candidate, in the order of its record."""
        found = self._dependencies.get((variable, candidate))
        if found is None:
            record = self.tables[variable].records[rank(candidate)]
            found = self._dependencies[variable, candidate] = tuple(map(self.allowed, record.depends))
        return found

    def requires(self, variable: int, candidate: int) -> Requirements:
        """The dependencies and constraints of a candidate together, each name once."""
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
        """All candidates of `variable` that restrict `other` to a part of `allowed`, and the union of these parts."""
        candidates, left = 0, 0
        for part, mask in self._groups_of(variable, other):
            if not part & ~allowed:
                candidates |= mask
                left |= part
        return candidates, left

    def _groups_of(self, variable: int, other: int) -> list[tuple[int, int]]:
        """The candidates of `variable`, grouped by the candidates of `other` that they allow: (allowed, candidates)."""
        found = self._groups.get((variable, other))
        if found is None:
            if variable == ROOT:
                allowed_by = {ROOT_CANDIDATE: dict(self.requires(ROOT, ROOT_CANDIDATE))[other]}
            elif other == NOTHING:
                allowed_by = {
                    bit(place): 0
                    for place in ranks(self.tables[variable].selectable)
                    if any(required == NOTHING for required, _ in self.requires(variable, bit(place)))
                }
            else:
                allowed_by = self._allowed_by_candidate(variable, other)
            groups: dict[int, int] = {}
            for candidate, allowed in allowed_by.items():
                groups[allowed] = groups.get(allowed, 0) | candidate
            found = self._groups[variable, other] = list(groups.items())
        return found

    def _allowed_by_candidate(self, variable: int, other: int) -> dict[int, int]:
        """By candidate of `variable` that mentions `other`: the candidates of `other` that it allows."""
        allowed_by: dict[int, int] = {}
        for text, mask, needed in self.tables[variable].mentions(self.tables[other].name):
            target, allowed = self.allowed(text)
            if target == other:
                allowed = allowed if needed else allowed | ABSENT
                for place in ranks(mask):
                    candidate = bit(place)
                    allowed_by[candidate] = allowed_by.get(candidate, -1) & allowed
        return allowed_by
