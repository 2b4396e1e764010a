"""The cost of a declared floor: newer packages that need a higher one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from envc_solvers.conda.language.index import Repodata
from envc_solvers.conda.language.matchspec import InvalidMatchSpec, MatchSpec, parse_matchspec
from envc_solvers.conda.language.record import Record
from envc_solvers.conda.language.version import parse_version
from envc_solvers.conda.problem import CondaProblem
from envc_solvers.conda.search.tables import candidates, is_too_new
from envc_solvers.solution import Pin, Solution
from envc_solvers.target import Target

_FLOORS = {"glibc": "__glibc", "macos": "__osx", "cuda": "__cuda"}
# Higher than any that exist. Packages limit glibc to its major version.
_ANY = {"__glibc": "2.99", "__osx": "99.0", "__cuda": "99.0"}


def excluded_by_floors(
    problem: CondaProblem, solution: Solution, repodata: Repodata, target: Target
) -> tuple[str, ...]:
    """One line for each package with a newer version that only a declared floor excludes from the solution:
    ``tool 1.0 is locked: 2.0 needs __glibc >=2.34, target has 2.28``.

    Nothing for targets with the default floors. Raises whatever `repodata` raises.
    """
    declared = {_FLOORS[floor]: value for floor, value in target.declared.items() if floor in _FLOORS}
    if not declared:
        return ()
    search = _Search(problem, solution, declared)
    lines = []
    for pin in solution.pins:
        if pin.kind != "conda":
            continue
        found = search.newest(pin, candidates(problem, repodata, pin.source, pin.name))
        if found is not None:
            record, floor = found
            needed = f"{record.version} needs {floor.text}, target has {declared[floor.name]}"
            lines.append(f"{pin.name} {pin.version} is locked: {needed}")
    return tuple(lines)


class _Floor(NamedTuple):
    """A dependency on a virtual package."""

    name: str
    text: str  # the whole spec, as the record states it


class _Search:
    def __init__(self, problem: CondaProblem, solution: Solution, declared: Mapping[str, str]) -> None:
        self._problem = problem
        self._declared = declared
        self._current = {record.name: record for record in problem.virtual}
        self._unrestricted = {
            name: msgspec.structs.replace(record, version=_ANY[name]) if name in declared else record
            for name, record in self._current.items()
        }
        self._pins = {pin.name: _record(pin) for pin in solution.pins if pin.kind == "conda"}
        self._specs_on: dict[str, list[MatchSpec]] = {}
        for root in (*problem.specs, *problem.constraints):
            self._specs_on.setdefault(root.spec.name, []).append(root.spec)
        for pin in solution.pins:
            for spec in _specs(pin.specs) or ():
                self._specs_on.setdefault(spec.name, []).append(spec)

    def newest(self, pin: Pin, records: list[Record]) -> tuple[Record, _Floor] | None:
        """The newest record that only a floor excludes, and the dependency that needs a higher one."""
        best: tuple[Record, _Floor] | None = None
        least = parse_version(pin.version)
        for record in records:
            version = parse_version(record.version)
            if version <= least or record.track_features or not self._is_allowed(record):
                continue
            floor = self._floor(record)
            if floor is not None:
                best, least = (record, floor), version
        return best

    def _is_allowed(self, record: Record) -> bool:
        if is_too_new(self._problem, record):
            return False
        return all(spec.matches(record) for spec in self._specs_on.get(record.name, ()))

    def _floor(self, record: Record) -> _Floor | None:
        """The dependency that a higher floor would meet, if the solution meets all others."""
        unmet: _Floor | None = None
        specs = _specs(record.depends)
        if specs is None:
            return None
        for text, spec in zip(record.depends, specs, strict=True):
            if spec.name.startswith("__"):
                current, unrestricted = self._current.get(spec.name), self._unrestricted.get(spec.name)
                if unrestricted is None or not spec.matches(unrestricted):
                    return None
                if current is None or not spec.matches(current):
                    unmet = unmet or _Floor(spec.name, text)
            elif spec.name in self._pins and not spec.matches(self._pins[spec.name]):
                return None
        return unmet


def _specs(texts: tuple[str, ...]) -> list[MatchSpec] | None:
    """The specs of a record; None if one cannot be read, since the record cannot be chosen then."""
    try:
        return [parse_matchspec(text) for text in texts]
    except InvalidMatchSpec:
        return None


def _record(pin: Pin) -> Record:
    return Record(name=pin.name, version=pin.version, build=pin.build, channel=pin.source, file=pin.file)
