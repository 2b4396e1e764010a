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

Requires = tuple[tuple[int, int], ...]  # (variable, room)


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
        self._rooms: dict[str, tuple[int, int]] = {}  # spec text: the variable of its name, the candidates it allows
        self._asks: dict[tuple[int, int], Requires] = {}
        self._needs: dict[tuple[int, int], Requires] = {}
        self._groups: dict[tuple[int, int], list[tuple[int, int]]] = {}
        self.tables: list[Table] = [Table("", ()), Table("", ())]  # by variable
        trail.add_variable(ROOT_CANDIDATE | ABSENT)
        trail.add_variable(ABSENT)
        self.specs = tuple(specs)
        self._needs[ROOT, ROOT_CANDIDATE] = tuple(
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
            found = self._variables[name] = self.trail.add_variable(table.open)
        return found

    def room(self, text: str) -> tuple[int, int]:
        """What a spec's text allows, as (variable, candidates); NOTHING and no candidates for a text that is none."""
        found = self._rooms.get(text)
        if found is None:
            try:
                spec = parse_matchspec(text)
            except InvalidMatchSpec:
                found = NOTHING, 0
            else:
                spec = self._overrides.get(spec.name, spec)
                variable = self.variable(spec.name)
                found = variable, self.tables[variable].matching(spec)
            self._rooms[text] = found
        return found

    def needs(self, variable: int, candidate: int) -> Requires:
        """What a candidate depends on, as (variable, candidates allowed), in the order of its record."""
        found = self._needs.get((variable, candidate))
        if found is None:
            record = self.tables[variable].records[rank(candidate)]
            found = self._needs[variable, candidate] = tuple(map(self.room, record.depends))
        return found

    def asks(self, variable: int, candidate: int) -> Requires:
        """What a candidate asks of every name, each name once: its dependencies and constraints together."""
        found = self._asks.get((variable, candidate))
        if found is None:
            rooms: dict[int, int] = {}
            for other, room in self.needs(variable, candidate):
                rooms[other] = rooms.get(other, -1) & room
            if variable != ROOT:
                for text in self.tables[variable].records[rank(candidate)].constrains:
                    other, room = self.room(text)
                    rooms[other] = rooms.get(other, -1) & (room | ABSENT if other != NOTHING else 0)
            own = rooms.pop(variable, candidate)
            if not own & candidate:
                rooms[NOTHING] = 0
            found = self._asks[variable, candidate] = tuple(rooms.items())
        return found

    def askers(self, variable: int, other: int, room: int) -> tuple[int, int]:
        """All candidates of `variable` that keep `other` within `room`, and the union of what they leave of it."""
        who, left = 0, 0
        for each, mask in self._said(variable, other):
            if not each & ~room:
                who |= mask
                left |= each
        return who, left

    def _said(self, variable: int, other: int) -> list[tuple[int, int]]:
        """What candidates say of a name: each room that is left by some of them, and those."""
        found = self._groups.get((variable, other))
        if found is None:
            if variable == ROOT:
                rooms = {ROOT_CANDIDATE: dict(self.asks(ROOT, ROOT_CANDIDATE))[other]}
            elif other == NOTHING:
                rooms = {
                    bit(place): 0
                    for place in ranks(self.tables[variable].open)
                    if any(asked == NOTHING for asked, _ in self.asks(variable, bit(place)))
                }
            else:
                rooms = self._rooms_of(variable, other)
            together: dict[int, int] = {}
            for candidate, room in rooms.items():
                together[room] = together.get(room, 0) | candidate
            found = self._groups[variable, other] = list(together.items())
        return found

    def _rooms_of(self, variable: int, other: int) -> dict[int, int]:
        """What each candidate that mentions a name leaves of it."""
        rooms: dict[int, int] = {}
        for text, mask, needed in self.tables[variable].mentions(self.tables[other].name):
            target, room = self.room(text)
            if target == other:
                room = room if needed else room | ABSENT
                for place in ranks(mask):
                    candidate = bit(place)
                    rooms[candidate] = rooms.get(candidate, -1) & room
        return rooms
