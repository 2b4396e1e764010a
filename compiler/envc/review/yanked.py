"""yanked: files of a lock that their authors took back (PEP 592). They stay usable, and are named each time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from envc.expand import StepTarget
from envc.model.graph import LockGraph, Package
from envc_solvers.pypi.index import was_yanked

Listed = tuple[str, str]  # source and sha256 of a file
_MOST = 5  # names of a list that are shown


class Place(msgspec.Struct, frozen=True, order=True):
    """Where a package is used: every one of these steps on every one of these targets."""

    steps: tuple[str, ...]  # sorted
    targets: tuple[str, ...]  # target names, sorted

    def __str__(self) -> str:
        return f"{_some(self.steps)} on {_some(self.targets)}"


class YankedPackage(msgspec.Struct, frozen=True, order=True):
    """One version of a package, of which files were taken back for one reason."""

    name: str
    version: str
    source: str  # name of the source that said so
    reason: str  # "" where none was given
    files: tuple[str, ...]  # sorted
    places: tuple[Place, ...]  # where these files are used, sorted

    def __str__(self) -> str:
        told = f"{self.name} {self.version} {was_yanked(self.reason)}"
        return f"{_some(map(str, self.places), '; ')}: {told}" if self.places else told

    @property
    def hint(self) -> str:
        """The way out."""
        return (
            f"`envc lock -P {self.name}` takes another version; a requirement that names {self.version} exactly has to "
            "change first"
        )


def yanked(graph: LockGraph, cells: Iterable[StepTarget] | None = None) -> tuple[YankedPackage, ...]:
    """What a lock knows to be yanked, sorted: all of it, or what some step-targets use."""
    meant = None if cells is None else {(cell.step, cell.key) for cell in cells}
    found = []
    for package in graph.packages if graph.holds_yanked else ():
        by_reason: dict[str, list[int]] = {}
        for number, artifact in enumerate(package.artifacts):
            if artifact.yanked is not None:
                by_reason.setdefault(artifact.yanked, []).append(number)
        for reason, numbers in by_reason.items():
            places = _places(graph, package, numbers, meant)
            if places or meant is None:
                files = tuple(sorted(package.artifacts[number].file for number in numbers))
                found.append(YankedPackage(package.name, package.version, package.source, reason, files, places))
    return tuple(sorted(found))


def with_yanked(graph: LockGraph, said: Mapping[Listed, str | None]) -> LockGraph:
    """The graph with what indexes said of these files now: None, or why they were taken back. Of others it stands."""

    def updated(package: Package) -> Package:
        artifacts = tuple(
            msgspec.structs.replace(artifact, yanked=said.get((package.source, artifact.sha256), artifact.yanked))
            for artifact in package.artifacts
        )
        return package if artifacts == package.artifacts else msgspec.structs.replace(package, artifacts=artifacts)

    return msgspec.structs.replace(graph, packages=tuple(map(updated, graph.packages)))


def _places(
    graph: LockGraph, package: Package, numbers: Iterable[int], meant: set[tuple[str, str]] | None
) -> tuple[Place, ...]:
    """Where these artifacts of a package are used, steps on the same targets together."""
    artifacts = [package.artifacts[number] for number in numbers]
    targets_of: dict[str, set[str]] = {}  # by step
    for environment in graph.environments:
        for ref in environment.packages:
            if ref.id != package.id:
                continue
            for key in environment.targets:
                name = key.partition("/")[0]
                serves = any(not artifact.targets or key in artifact.targets for artifact in artifacts)
                if not serves or (ref.targets and name not in ref.targets):
                    continue
                for step in environment.steps:
                    if meant is None or (step, key) in meant:
                        targets_of.setdefault(step, set()).add(name)
    together: dict[tuple[str, ...], list[str]] = {}
    for step, targets in targets_of.items():
        together.setdefault(tuple(sorted(targets)), []).append(step)
    return tuple(sorted(Place(tuple(sorted(steps)), targets) for targets, steps in together.items()))


def _some(names: Iterable[str], separator: str = ", ") -> str:
    """The first of them, and how many more there are."""
    known = tuple(names)
    shown = separator.join(known[:_MOST])
    return f"{shown} and {len(known) - _MOST} more" if len(known) > _MOST else shown
