"""The JSON of ``envc solve``, apart from the others: this verb is called often, and for one answer each time."""

from __future__ import annotations

import msgspec

from envc_solvers.solution import Kind, Pin, Solution


class SolvedPackage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One package of a solution."""

    kind: Kind
    name: str  # normalised
    version: str
    build: str = ""  # conda build string
    file: str
    sha256: str | None  # lower-case hex; null where no source states it: a lock finds it out by fetching the file
    source: str  # source name
    depends: tuple[str, ...]  # names of packages of this solution
    yanked: str | None = None  # why its author took the file back, "" without a reason

    @classmethod
    def of(cls, pin: Pin) -> SolvedPackage:
        return cls(
            kind=pin.kind,
            name=pin.name,
            version=pin.version,
            build=pin.build,
            file=pin.file,
            sha256=pin.sha256 or None,
            source=pin.source,
            depends=pin.depends,
            yanked=pin.yanked,
        )


class SolveDocument(msgspec.Struct, frozen=True, kw_only=True):
    """What ``envc solve --json`` writes. Nothing else in it has both a name and a version."""

    packages: tuple[SolvedPackage, ...]  # sorted by kind and name

    @classmethod
    def of(cls, solution: Solution) -> SolveDocument:
        return cls(packages=tuple(SolvedPackage.of(pin) for pin in solution.pins))
