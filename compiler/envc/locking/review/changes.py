"""changes: the differences between two lock graphs, package by package."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import msgspec

from envc.model.digest import Sha256
from envc.model.graph import Build, LockGraph, Package, target_name_of
from envc.model.kinds import DIRECT_SOURCES, ArtifactKind

_MOST_NAMES = 4  # of steps or targets in one line


class Change(msgspec.Struct, frozen=True, order=True):
    """One package that has moved from one version to another, and where."""

    kind: str  # an ArtifactKind; the JSON schemas of the reports leave it open
    name: str
    old: tuple[str, ...]  # one version; () for a new package; "1.0 @ 3f2a91c0" if the manifest has its address
    new: tuple[str, ...]  # one version; () for a removed package
    steps: tuple[str, ...] = ()  # sorted: the steps whose environments have changed in this way
    targets: tuple[str, ...] = ()  # sorted: the names of their targets where they have
    all_steps: bool = True  # whether these are all steps of the lock
    all_targets: bool = True  # whether these are all targets of these steps

    def __str__(self) -> str:
        parts = [] if self.all_steps else [_few(self.steps)]
        parts += [] if self.all_targets else [f"on {_few(self.targets)}"]
        where = f" ({' '.join(parts)})" if parts else ""
        if not self.old:
            return f"+ {self.name} {', '.join(self.new)}{where}"
        if not self.new:
            return f"- {self.name} {', '.join(self.old)}{where}"
        return f"~ {self.name} {', '.join(self.old)} -> {', '.join(self.new)}{where}"


StepTargetName = tuple[str, str]  # step, target name
Versions = dict[tuple[ArtifactKind, str], tuple[str, str]]  # the version of each package, and its version in full


def changes(old: LockGraph | None, new: LockGraph) -> tuple[Change, ...]:
    """Each move of a package from one version to another, once, sorted by kind, name and versions.

    A step or target that one of the locks lacks is compared with the whole other lock: a new step with known packages
    is no change of packages.
    """
    before, after = _versions(old), _versions(new)
    known = {one: _everything(versions) for one, versions in (("old", before), ("new", after))}
    pairs: dict[tuple[int, int], list[StepTargetName]] = {}
    contents: dict[int, Versions] = {0: {}}
    for place in before.keys() | after.keys():
        left, right = before.get(place, contents[0]), after.get(place, contents[0])
        contents |= {id(left): left, id(right): right}
        pairs.setdefault((id(left), id(right)), []).append(place)
    moves: dict[tuple[str, str, str, str], set[StepTargetName]] = {}
    for (left_id, right_id), places in pairs.items():
        left, right = contents[left_id], contents[right_id]
        is_in_both = places[0] in before and places[0] in after
        for key in left.keys() | right.keys():
            was, now = _shown(left.get(key), right.get(key))
            if was == now or (not is_in_both and {(key, was or now)} <= (known["old"] & known["new"])):
                continue
            moves.setdefault((*key, was, now), set()).update(places)
    return tuple(
        _change(move, places, after.keys() if move[3] else before.keys()) for move, places in sorted(moves.items())
    )


def _few(names: tuple[str, ...]) -> str:
    """The first names, and the number of the others."""
    left = len(names) - _MOST_NAMES
    return ", ".join(names) if left <= 0 else f"{', '.join(names[:_MOST_NAMES])} and {left} more"


def _change(
    move: tuple[str, str, str, str], places: set[StepTargetName], possible: Collection[StepTargetName]
) -> Change:
    """`possible` are all steps on all targets of the lock that has the package."""
    kind, name, old, new = move
    steps = {step for step, _ in places}
    return Change(
        kind,
        name,
        (old,) if old else (),
        (new,) if new else (),
        tuple(sorted(steps)),
        tuple(sorted({target for _, target in places})),
        steps >= {step for step, _ in possible},
        places >= {place for place in possible if place[0] in steps},
    )


def _shown(old: tuple[str, str] | None, new: tuple[str, str] | None) -> tuple[str, str]:
    """The versions as they are shown, "" for none: in full if they differ only then."""
    if old is not None and new is not None and old[0] == new[0]:
        return old[1], new[1]
    return old[0] if old is not None else "", new[0] if new is not None else ""


def _everything(places: Mapping[StepTargetName, Versions]) -> set[tuple[tuple[ArtifactKind, str], str]]:
    different = {id(versions): versions for versions in places.values()}
    return {(key, version) for versions in different.values() for key, (version, _) in versions.items()}


def _versions(graph: LockGraph | None) -> dict[StepTargetName, Versions]:
    """The versions of the packages of every step on every target. Steps that share an environment share the value.

    Builds of one version differ in full: by the build of conda, or by the source.
    """
    found: dict[StepTargetName, Versions] = {}
    if graph is None:
        return found
    builds = graph.builds_by_wheel()
    packages = {package.id: package for package in graph.packages}
    shown: dict[tuple[str, str], tuple[str, str]] = {}
    for environment in graph.environments:
        for key in environment.targets:
            target = target_name_of(key)
            versions: Versions = {}
            for ref in environment.packages:
                package = packages.get(ref.id)
                if package is None or (ref.targets and target not in ref.targets):
                    continue
                if (ref.id, key) not in shown:
                    shown[ref.id, key] = _version(package, key, builds)
                versions[package.kind, package.name] = shown[ref.id, key]
            found.update(((step, target), versions) for step in environment.steps)
    return found


def _version(package: Package, target_key: str, builds: Mapping[Sha256, tuple[Build, ...]]) -> tuple[str, str]:
    if package.source in DIRECT_SOURCES:
        version = f"{package.version} @ {_state(package, builds)}"
        return version, version
    serving = [one for one in package.artifacts if not one.targets or target_key in one.targets]
    file = serving[0].file if package.kind == "conda" and serving else ""
    build = file.removesuffix(".conda").removesuffix(".tar.bz2").rpartition("-")[2]
    return package.version, f"{package.version}{f' {build}' if build else ''} from {package.source}"


def _state(package: Package, builds: Mapping[Sha256, tuple[Build, ...]]) -> str:
    """The start of a commit or digest, which distinguishes two states of a project with the same version."""
    states: set[str] = set()
    for artifact in package.artifacts:
        made_from = [build.state for build in builds.get(artifact.sha256, ())]
        states.update(state[:8] for state in made_from or [artifact.sha256])
    return ", ".join(sorted(states))
