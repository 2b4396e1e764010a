"""yanked: files of a lock that their authors took back (PEP 592). They stay usable, and are named each time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from envc.locking.plan.closure import Pin
from envc.locking.plan.expand import StepTarget
from envc.model.graph import Artifact, Build, BuildRequirement, LockGraph, Package, target_name_of
from envc_solvers.pypi.language.index import was_yanked

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
    places: tuple[Place, ...]  # where these files, or what was built with them, are used; sorted
    builds: tuple[str, ...] = ()  # wheels in whose builds they stood, sorted; () for files that steps have themselves

    def __str__(self) -> str:
        told = f"{self.name} {self.version} {was_yanked(self.reason)}"
        if self.builds:
            told = f"{_some(self.builds)} is built with what is yanked: {told}"
        return f"{_some(map(str, self.places), '; ')}: {told}" if self.places else told

    @property
    def hint(self) -> str:
        """The way out."""
        if self.builds:
            names = sorted({wheel.partition("-")[0] for wheel in self.builds})
            what = f"`envc lock {' '.join(f'-P {name}' for name in names)}` builds with another version"
        else:
            what = f"`envc lock -P {self.name}` takes another version"
        return f"{what}; a requirement that names {self.version} exactly has to change first"


def yanked(graph: LockGraph, step_targets: Iterable[StepTarget] | None = None) -> tuple[YankedPackage, ...]:
    """What a lock knows to be yanked, sorted: all of it, or what some step-targets use."""
    if not graph.holds_yanked:
        return ()
    uses = _Uses(graph, None if step_targets is None else {step_target.id for step_target in step_targets})
    found = [*_in_steps(graph, uses), *_in_builds(graph, uses)]
    return tuple(sorted(each for each in found if each.places or step_targets is None))


def _in_steps(graph: LockGraph, uses: _Uses) -> Iterable[YankedPackage]:
    for package in graph.packages:
        by_reason: dict[str, list[Artifact]] = {}
        for artifact in package.artifacts:
            if artifact.yanked is not None:
                by_reason.setdefault(artifact.yanked, []).append(artifact)
        for reason, artifacts in by_reason.items():
            files = tuple(sorted(artifact.file for artifact in artifacts))
            places = uses.of([(package, artifact) for artifact in artifacts])
            yield YankedPackage(package.name, package.version, package.source, reason, files, places)


def _in_builds(graph: LockGraph, uses: _Uses) -> Iterable[YankedPackage]:
    standing: dict[tuple[str, str, str, str], list[tuple[BuildRequirement, Build]]] = {}
    for build in graph.builds:
        for one in build.packages:
            if one.yanked is not None:
                standing.setdefault((one.name, one.version, one.source, one.yanked), []).append((one, build))
    for identity, pairs in standing.items():
        made = {build.sha256 for _, build in pairs}
        pins = [(package, each) for package in graph.packages for each in package.artifacts if each.sha256 in made]
        files = tuple(sorted({one.file for one, _ in pairs}))
        yield YankedPackage(*identity, files, uses.of(pins), tuple(sorted({build.wheel for _, build in pairs})))


def with_yanked(graph: LockGraph, said: Mapping[Listed, str | None]) -> LockGraph:
    """The graph with what indexes said of these files now: None, or why they were taken back. Of others it stands."""

    def package(each: Package) -> Package:
        artifacts = tuple(
            msgspec.structs.replace(artifact, yanked=said.get((each.source, artifact.sha256), artifact.yanked))
            for artifact in each.artifacts
        )
        return each if artifacts == each.artifacts else msgspec.structs.replace(each, artifacts=artifacts)

    def build(each: Build) -> Build:
        packages = tuple(
            msgspec.structs.replace(one, yanked=said.get((one.source, one.sha256), one.yanked)) for one in each.packages
        )
        return msgspec.structs.replace(each, packages=packages)

    return msgspec.structs.replace(
        graph, packages=tuple(map(package, graph.packages)), builds=tuple(map(build, graph.builds))
    )


class _Uses:
    """Where artifacts of a lock are used, as far as somebody asks."""

    def __init__(self, graph: LockGraph, meant: set[tuple[str, str]] | None) -> None:
        """`meant` are steps with target keys; None is all of them."""
        self._graph = graph
        self._meant = meant

    def of(self, pins: Iterable[Pin]) -> tuple[Place, ...]:
        """The places of any of these artifacts, steps on the same targets together."""
        targets_of: dict[str, set[str]] = {}  # by step
        for package, artifact in pins:
            for step, target in self._pairs(package, artifact):
                targets_of.setdefault(step, set()).add(target)
        together: dict[tuple[str, ...], list[str]] = {}
        for step, targets in targets_of.items():
            together.setdefault(tuple(sorted(targets)), []).append(step)
        return tuple(sorted(Place(tuple(sorted(steps)), targets) for targets, steps in together.items()))

    def _pairs(self, package: Package, artifact: Artifact) -> Iterable[tuple[str, str]]:
        """Steps with names of targets."""
        for environment in self._graph.environments:
            for ref in environment.packages:
                if ref.id != package.id:
                    continue
                for key in environment.targets:
                    name = target_name_of(key)
                    if (artifact.targets and key not in artifact.targets) or (ref.targets and name not in ref.targets):
                        continue
                    for step in environment.steps:
                        if self._meant is None or (step, key) in self._meant:
                            yield step, name


def _some(names: Iterable[str], separator: str = ", ") -> str:
    """The first of them, and how many more there are."""
    known = tuple(names)
    shown = separator.join(known[:_MOST])
    return f"{shown} and {len(known) - _MOST} more" if len(known) > _MOST else shown
