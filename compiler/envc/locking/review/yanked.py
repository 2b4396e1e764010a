"""yanked: files of a lock that their authors have yanked (PEP 592). They stay usable, with a warning in every run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from envc.locking.plan.closure import LockedPin
from envc.locking.plan.expand import StepTarget, StepTargetId
from envc.model.graph import Artifact, Build, BuildRequirement, LockGraph, Package, target_name_of
from envc_solvers.pypi.language.index import was_yanked

Listed = tuple[str, str]  # source and sha256 of a file
_MAX_NAMES = 5  # names shown of a list


class Place(msgspec.Struct, frozen=True, order=True):
    """Where a package is used: in all of these steps, on all of these targets."""

    steps: tuple[str, ...]  # sorted
    targets: tuple[str, ...]  # target names, sorted

    def __str__(self) -> str:
        return f"{_shortened(self.steps)} on {_shortened(self.targets)}"


class YankedPackage(msgspec.Struct, frozen=True, order=True):
    """One version of a package with the files that were yanked for one reason."""

    name: str
    version: str
    source: str  # name of the source that reported it
    reason: str  # "" if none was given
    files: tuple[str, ...]  # sorted
    places: tuple[Place, ...]  # that use these files, or wheels that were built with them; sorted
    builds: tuple[str, ...] = ()  # wheels that were built with them, sorted; () for files of steps

    def __str__(self) -> str:
        text = f"{self.name} {self.version} {was_yanked(self.reason)}"
        if self.builds:
            text = f"{_shortened(self.builds)} is built with a yanked file: {text}"
        return f"{_shortened(map(str, self.places), '; ')}: {text}" if self.places else text

    @property
    def hint(self) -> str:
        """How to get another version."""
        if self.builds:
            names = sorted({wheel.partition("-")[0] for wheel in self.builds})
            what = f"`envc lock {' '.join(f'-P {name}' for name in names)}` builds with another version"
        else:
            what = f"`envc lock -P {self.name}` takes another version"
        return f"{what}; a requirement that names {self.version} exactly has to change first"


def yanked(graph: LockGraph, step_targets: Iterable[StepTarget] | None = None) -> tuple[YankedPackage, ...]:
    """The yanked packages of a lock, sorted: all of them, or those that some step-targets use."""
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
    used: dict[tuple[str, str, str, str], list[tuple[BuildRequirement, Build]]] = {}
    for build in graph.builds:
        for one in build.packages:
            if one.yanked is not None:
                used.setdefault((one.name, one.version, one.source, one.yanked), []).append((one, build))
    for identity, pairs in used.items():
        made = {build.sha256 for _, build in pairs}
        pins = [(package, each) for package in graph.packages for each in package.artifacts if each.sha256 in made]
        files = tuple(sorted({one.file for one, _ in pairs}))
        yield YankedPackage(*identity, files, uses.of(pins), tuple(sorted({build.wheel for _, build in pairs})))


def with_yanked(graph: LockGraph, yank_reasons: Mapping[Listed, str | None]) -> LockGraph:
    """The graph with the current state of these files: None, or why they were yanked. Others keep their state."""

    def package(each: Package) -> Package:
        artifacts = tuple(
            msgspec.structs.replace(artifact, yanked=yank_reasons.get((each.source, artifact.sha256), artifact.yanked))
            for artifact in each.artifacts
        )
        return each if artifacts == each.artifacts else msgspec.structs.replace(each, artifacts=artifacts)

    def build(each: Build) -> Build:
        packages = tuple(
            msgspec.structs.replace(one, yanked=yank_reasons.get((one.source, one.sha256), one.yanked))
            for one in each.packages
        )
        return msgspec.structs.replace(each, packages=packages)

    return msgspec.structs.replace(
        graph, packages=tuple(map(package, graph.packages)), builds=tuple(map(build, graph.builds))
    )


class _Uses:
    """The step-targets that use artifacts of a lock."""

    def __init__(self, graph: LockGraph, selected: set[StepTargetId] | None) -> None:
        """Only uses by `selected` step-targets are found; None selects all."""
        self._graph = graph
        self._selected = selected

    def of(self, pins: Iterable[LockedPin]) -> tuple[Place, ...]:
        """The places that use any of these artifacts. Steps on the same targets are one place."""
        targets_of: dict[str, set[str]] = {}  # by step
        for package, artifact in pins:
            for step, target in self._pairs(package, artifact):
                targets_of.setdefault(step, set()).add(target)
        together: dict[tuple[str, ...], list[str]] = {}
        for step, targets in targets_of.items():
            together.setdefault(tuple(sorted(targets)), []).append(step)
        return tuple(sorted(Place(tuple(sorted(steps)), targets) for targets, steps in together.items()))

    def _pairs(self, package: Package, artifact: Artifact) -> Iterable[tuple[str, str]]:
        """The steps that use an artifact, each with the name of a target."""
        for environment in self._graph.environments:
            for ref in environment.packages:
                if ref.id != package.id:
                    continue
                for key in environment.targets:
                    name = target_name_of(key)
                    if (artifact.targets and key not in artifact.targets) or (ref.targets and name not in ref.targets):
                        continue
                    for step in environment.steps:
                        if self._selected is None or (step, key) in self._selected:
                            yield step, name


def _shortened(names: Iterable[str], separator: str = ", ") -> str:
    """The first names, and how many more there are."""
    known = tuple(names)
    shown = separator.join(known[:_MAX_NAMES])
    return f"{shown} and {len(known) - _MAX_NAMES} more" if len(known) > _MAX_NAMES else shown
