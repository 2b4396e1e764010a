"""changes: the differences between two lock graphs, package by package."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from envc.model.digest import Sha256
from envc.model.graph import Build, LockGraph, Package
from envc.model.kinds import DIRECT_SOURCES, ArtifactKind


class Change(msgspec.Struct, frozen=True, order=True):
    """How the versions of one package in the lock have changed."""

    kind: str  # an ArtifactKind; the JSON schemas of the reports leave it open
    name: str
    old: tuple[str, ...]  # sorted; () for a new package; "1.0 @ 3f2a91c0" if the manifest has its address
    new: tuple[str, ...]  # sorted; () for a removed package

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


def _versions(graph: LockGraph | None) -> dict[tuple[ArtifactKind, str], tuple[str, ...]]:
    found: dict[tuple[ArtifactKind, str], list[str]] = {}
    if graph is not None:
        builds = graph.builds_by_wheel()
        for package in graph.packages:
            version = package.version
            if package.source in DIRECT_SOURCES:
                version = f"{version} @ {_state(package, builds)}"
            found.setdefault((package.kind, package.name), []).append(version)
    return {key: tuple(sorted(versions)) for key, versions in found.items()}


def _state(package: Package, builds: Mapping[Sha256, tuple[Build, ...]]) -> str:
    """The start of a commit or digest, which distinguishes two states of a project with the same version."""
    states: set[str] = set()
    for artifact in package.artifacts:
        made_from = [build.state for build in builds.get(artifact.sha256, ())]
        states.update(state[:8] for state in made_from or [artifact.sha256])
    return ", ".join(sorted(states))
