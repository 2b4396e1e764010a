"""The JSON of ``envc solve``. It has its own module so that this verb, which runs often, imports nothing else."""

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
    sha256: str | None  # lower-case hex; null if no source states it (a lock computes it from the file)
    source: str  # source name
    depends: tuple[str, ...]  # names of packages of this solution
    yanked: str | None = None  # why its author yanked the file, "" without a reason; null for a file that is not yanked

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
    """The output of ``envc solve --json``."""

    packages: tuple[SolvedPackage, ...]  # sorted by kind and name

    @classmethod
    def of(cls, solution: Solution) -> SolveDocument:
        return cls(packages=tuple(SolvedPackage.of(pin) for pin in solution.pins))
