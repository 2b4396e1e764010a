"""The canonical form of a lock graph: every set sorted and free of duplicates, and no addresses in free text."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import pairwise
from operator import attrgetter
from typing import Any, TypeVar

import msgspec

from envc.model.graph import (
    Artifact,
    Build,
    LockedEnvironment,
    LockGraph,
    Package,
    PackageRef,
    PythonFrom,
    target_name_of,
)
from envc.model.lock_lines import LockedInput
from envc.model.reason import plain_reason

_Value = TypeVar("_Value", LockedEnvironment, Package, Artifact, Build)


def canonical(graph: LockGraph) -> LockGraph:
    """The same graph with every set sorted and free of duplicates. `dumps` writes this form, `loads` returns it.

    Addresses are removed from licences and from the reasons of yanked files. A lock has only those of the manifest.
    """
    return LockGraph(
        version=graph.version,
        options=graph.options,
        environments=_in_order(map(_canonical_environment, graph.environments), lambda each: each.steps),
        packages=_in_order(map(_canonical_package, graph.packages), lambda each: (each.kind, each.name, each.id)),
        builds=_without_duplicates(
            _in_order(map(_canonical_build, graph.builds), lambda each: (each.wheel, each.sha256, each.identity))
        ),
    )


def _canonical_environment(environment: LockedEnvironment) -> LockedEnvironment:
    return msgspec.structs.replace(
        environment,
        steps=_sorted_set(environment.steps),
        targets=_sorted_set(environment.targets),
        requires=_canonical_inputs(environment),
        python_from=_canonical_floors(environment.python_from) if environment.python_from else (),
        packages=tuple(sorted(set(map(_canonical_ref, environment.packages)))),
        passed_over=tuple(sorted(set(environment.passed_over))),
    )


def _canonical_floors(floors: tuple[PythonFrom, ...]) -> tuple[PythonFrom, ...]:
    # The first patch release is not written.
    kept = (one for one in floors if one.version.rpartition(".")[2].strip("0"))
    return tuple(sorted({PythonFrom(one.version, _sorted_set(one.targets)) for one in kept}))


def _canonical_inputs(environment: LockedEnvironment) -> tuple[LockedInput, ...]:
    inputs = set(environment.requires)
    ambiguous = [one for one in inputs if " @ " in one.line]
    if ambiguous:
        known = set(map(target_name_of, environment.targets))
        inputs = inputs.difference(ambiguous).union(LockedInput.read(one.line, known) for one in ambiguous)
    return tuple(sorted(inputs, key=attrgetter("line")))


def _canonical_ref(ref: PackageRef) -> PackageRef:
    return PackageRef(ref.id, _sorted_set(ref.targets)) if len(ref.targets) > 1 else ref


def _canonical_package(package: Package) -> Package:
    return msgspec.structs.replace(
        package,
        license="" if "://" in package.license else package.license,
        pypi=_sorted_set(package.pypi),
        depends=_sorted_set(package.depends),
        artifacts=_without_duplicates(
            _in_order(map(_canonical_artifact, package.artifacts), lambda each: (each.file, each.sha256))
        ),
    )


def _canonical_artifact(artifact: Artifact) -> Artifact:
    return msgspec.structs.replace(
        artifact,
        targets=_sorted_set(artifact.targets),
        depends=None if artifact.depends is None else _sorted_set(artifact.depends),
        content=dict(sorted(artifact.content.items())),
        yanked=_canonical_yanked(artifact.yanked),
    )


def _canonical_build(build: Build) -> Build:
    packages = {msgspec.structs.replace(one, yanked=_canonical_yanked(one.yanked)) for one in build.packages}
    return msgspec.structs.replace(
        build,
        requires=_sorted_set(build.requires),
        added=_sorted_set(build.added),
        constraints=_sorted_set(build.constraints),
        packages=tuple(sorted(packages, key=msgspec.json.encode)),
    )


def _canonical_yanked(reason: str | None) -> str | None:
    return None if reason is None else plain_reason(reason)


def _sorted_set(values: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted(set(values))) if len(values) > 1 else values


def _in_order(values: Iterable[_Value], key: Callable[[_Value], tuple[Any, ...]]) -> tuple[_Value, ...]:
    """Sort values by key. If a merge has left two with the same key, all their fields decide."""
    ordered = sorted(values, key=key)
    if any(key(left) == key(right) for left, right in pairwise(ordered)):
        ordered.sort(key=lambda value: (key(value), msgspec.json.encode(value)))
    return tuple(ordered)


def _without_duplicates(values: tuple[_Value, ...]) -> tuple[_Value, ...]:
    return values[:1] + tuple(right for left, right in pairwise(values) if left != right)
