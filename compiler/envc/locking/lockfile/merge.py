"""merge: joins two locks of one manifest by key. Contradictions are left for the next lock to solve."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import msgspec

from envc.locking.lockfile.canonical import canonical
from envc.locking.lockfile.dump import render_ref
from envc.model.digest import Sha256
from envc.model.graph import Artifact, LockedEnvironment, LockGraph, Package, PackageRef, target_name_of


class Dangling(msgspec.Struct, frozen=True, order=True):
    """A package or step that a lock refers to but does not contain, or contains twice."""

    steps: tuple[str, ...]  # of the environment, which is stale because of it
    reason: str


def merge(ours: LockGraph, theirs: LockGraph) -> LockGraph:
    """Merge two graphs. Neither side takes precedence, except that options that differ come from ours.

    Packages are merged by id. Two that differ only in their artifacts are united. Others are kept twice, which
    `dangling` reports and closures reject. Environments are merged by their steps: two with a common step are both
    dropped unless they are equal.
    """
    environments = {*map(_environment_key, ours.environments), *map(_environment_key, theirs.environments)}
    claims = Counter(step for key in environments for step in key[0])
    return canonical(
        LockGraph(
            version=max(ours.version, theirs.version),
            options={**theirs.options, **ours.options},
            environments=tuple(
                environment
                for environment in _distinct((*ours.environments, *theirs.environments))
                if all(claims[step] == 1 for step in environment.steps)
            ),
            packages=_merge_packages((*ours.packages, *theirs.packages)),
            # A build is a fact about its wheel. The next lock drops those that no package uses any more.
            builds=(*ours.builds, *theirs.builds),
        )
    )


def _environment_key(environment: LockedEnvironment) -> tuple[tuple[str, ...], bytes]:
    # What was passed over decides nothing, so a difference there is no contradiction.
    return environment.steps, msgspec.json.encode(msgspec.structs.replace(environment, passed_over=()))


def _distinct(environments: Iterable[LockedEnvironment]) -> Iterable[LockedEnvironment]:
    return {_environment_key(environment): environment for environment in environments}.values()


def _merge_packages(packages: Iterable[Package]) -> tuple[Package, ...]:
    merged: dict[bytes, Package] = {}
    for package in packages:
        key = msgspec.json.encode(msgspec.structs.replace(package, artifacts=(), pypi=()))
        twin = merged.get(key)
        if twin == package:
            continue
        united = None if twin is None else _unite(twin.artifacts, package.artifacts)
        if united is None:
            # A package whose artifacts contradict those of its twin is kept beside it, under a key of its own.
            key = msgspec.json.encode(package) if twin is not None else key
            merged.setdefault(key, package)
        else:
            # Only a side that mixes both kinds says which projects a package supplies.
            projects = (*twin.pypi, *package.pypi) if twin is not None else package.pypi
            merged[key] = msgspec.structs.replace(package, artifacts=united, pypi=projects)
    return tuple(merged.values())


def _unite(left: tuple[Artifact, ...], right: tuple[Artifact, ...]) -> tuple[Artifact, ...] | None:
    """The artifacts of both sides; None if they contradict each other on a digest, or a target key would have two."""
    united: dict[Sha256, Artifact] = {}
    for artifact in (*left, *right):
        twin = united.get(artifact.sha256)
        if twin is None:
            united[artifact.sha256] = artifact
            continue
        if _facts(twin) != _facts(artifact):
            return None
        if any(twin.content.get(layout, digest) != digest for layout, digest in artifact.content.items()):
            return None
        everywhere = not twin.targets or not artifact.targets
        united[artifact.sha256] = msgspec.structs.replace(
            artifact,
            targets=() if everywhere else (*twin.targets, *artifact.targets),
            content={**twin.content, **artifact.content},
            # A side that records a yank is the newer one. The next solve of the package finds the current state.
            yanked=max((reason for reason in (twin.yanked, artifact.yanked) if reason is not None), default=None),
        )
    if len(united) > 1:
        keys = Counter(key for artifact in united.values() for key in set(artifact.targets))
        if any(not artifact.targets for artifact in united.values()) or max(keys.values()) > 1:
            return None
    return tuple(united.values())


def _facts(artifact: Artifact) -> tuple[object, ...]:
    """The facts that are the same wherever a digest is locked."""
    return (artifact.file, artifact.size, artifact.depends, artifact.noarch, artifact.site_packages)


def dangling(graph: LockGraph) -> tuple[Dangling, ...]:
    """The contradictions that make environments of this graph unusable, sorted; () if `envc lock` wrote it."""
    held: dict[str, list[Package]] = {}
    for package in graph.packages:
        held.setdefault(package.id, []).append(package)
    claims = Counter(step for environment in graph.environments for step in environment.steps)
    known: dict[tuple[PackageRef, tuple[str, ...]], tuple[str, ...]] = {}  # environments share most of their lines
    found: set[Dangling] = set()
    for environment in graph.environments:
        steps, targets = environment.steps, environment.targets
        found |= {Dangling(steps, f"step {s} is in {claims[s]} environments") for s in steps if claims[s] > 1}
        for ref in environment.packages:
            reasons = known.get((ref, targets))
            if reasons is None:
                reasons = known[ref, targets] = tuple(_faults(ref, targets, held.get(ref.id, [])))
            found.update(Dangling(steps, reason) for reason in reasons)
    return tuple(sorted(found))


def _faults(ref: PackageRef, target_keys: tuple[str, ...], packages: list[Package]) -> Iterable[str]:
    """The reasons why a line of an environment with these targets names no file, or more than one."""
    if len(packages) != 1:
        yield f"{ref.id} is in the lock {len(packages)} times" if packages else f"{ref.id} is not in the lock"
        return
    names = {key: target_name_of(key) for key in target_keys}
    if not set(names.values()).issuperset(ref.targets):
        yield f"{render_ref(ref)} is for a target that the environment lacks"
    for key, name in names.items():
        if not ref.targets or name in ref.targets:
            serving = sum(not artifact.targets or key in artifact.targets for artifact in packages[0].artifacts)
            if serving != 1:
                yield f"{ref.id} has {serving or 'no'} files for {key}"
