"""changes: what one lock graph has that another has not, package by package."""

from __future__ import annotations

import msgspec

from envc.model.graph import LockGraph


class Change(msgspec.Struct, frozen=True, order=True):
    """How one package's versions in the lock changed."""

    kind: str
    name: str
    old: tuple[str, ...]  # sorted; () for a package that is new
    new: tuple[str, ...]  # sorted; () for a package that is gone

    def __str__(self) -> str:
        if not self.old:
            return f"+ {self.name} {', '.join(self.new)}"
        if not self.new:
            return f"- {self.name} {', '.join(self.old)}"
        return f"~ {self.name} {', '.join(self.old)} -> {', '.join(self.new)}"


def changes(old: LockGraph | None, new: LockGraph) -> tuple[Change, ...]:
    """Every package whose versions differ, sorted by kind and name."""
    before, after = _versions(old), _versions(new)
    return tuple(
        Change(kind, name, before.get((kind, name), ()), after.get((kind, name), ()))
        for kind, name in sorted(before.keys() | after.keys())
        if before.get((kind, name)) != after.get((kind, name))
    )


def _versions(graph: LockGraph | None) -> dict[tuple[str, str], tuple[str, ...]]:
    found: dict[tuple[str, str], list[str]] = {}
    for package in graph.packages if graph else ():
        found.setdefault((package.kind, package.name), []).append(package.version)
    return {key: tuple(sorted(versions)) for key, versions in found.items()}
