"""The ids of packages in a lock: ``pypi:torch``, and ``pypi:torch@2.3.1`` for a further release in the same lock."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from envc.model.digest import Sha256
from envc.model.graph import Choice, LockGraph
from envc.model.kinds import ArtifactKind

if TYPE_CHECKING:
    from packaging.version import Version

Release = tuple[ArtifactKind, str, str, str]  # kind, name, version, source
Variant = tuple[ArtifactKind, str, str, str, str]  # a release, and the build that distinguishes its files, or ""
# An artifact as some step-target uses it. Two sources may have the same file, so the digest alone is not enough.
ArtifactKey = tuple[Sha256, Release]


def artifact_key(choice: Choice) -> ArtifactKey:
    return choice.sha256, choice.release


def assign_ids(
    artifacts: Mapping[ArtifactKey, Choice], by_target: Iterable[Iterable[ArtifactKey]], previous: LockGraph | None
) -> dict[ArtifactKey, str]:
    """The package id of each artifact.

    `by_target` holds the artifacts used under each target key. A release keeps its id from the previous lock
    for as long as it is in the lock, so that adding another release changes none of its lines.
    """
    variants = _variants(artifacts, by_target)
    by_variant = _ids_of(set(variants.values()), previous)
    return {key: by_variant[variant] for key, variant in variants.items()}


def _variants(
    artifacts: Mapping[ArtifactKey, Choice], by_target: Iterable[Iterable[ArtifactKey]]
) -> dict[ArtifactKey, Variant]:
    """The variant of each artifact: "" unless two files of one release are chosen under one target key.

    In that case the build string becomes part of the id, since an id has at most one file per target key.
    """
    split: set[Release] = set()
    for keys in by_target:
        seen: set[Release] = set()
        for _, release in keys:
            (split if release in seen else seen).add(release)
    return {
        key: (*key[1], (choice.build or choice.sha256[:8]) if key[1] in split else "")
        for key, choice in artifacts.items()
    }


def _ids_of(variants: set[Variant], previous: LockGraph | None) -> dict[Variant, str]:
    before: dict[Variant, str] = {
        (package.kind, package.name, package.version, package.source, package.variant): package.id
        for package in (previous.packages if previous else ())
    }
    by_name: dict[tuple[str, str], list[Variant]] = {}
    for variant in variants:
        by_name.setdefault(variant[:2], []).append(variant)
    ids: dict[Variant, str] = {}
    for group in by_name.values():
        if len(group) > 1:
            group.sort(key=lambda variant: (_version_order(variant[2]), variant), reverse=True)
        taken: set[str] = set()
        for variant in group:
            # A merged lock may contain one id for two releases, and an edited one an id of another version.
            kept = before.get(variant)
            if kept is not None and kept not in taken and kept in spellings(variant):
                ids[variant] = kept
                taken.add(kept)
        for variant in group:
            if variant in ids:
                continue
            ids[variant] = next(spelling for spelling in spellings(variant) if spelling not in taken)
            taken.add(ids[variant])
    return ids


def spellings(variant: Variant) -> tuple[str, ...]:
    """The ids that a variant may have in a lock, the shortest first."""
    kind, name, version, source, build = variant
    plain = f"{kind}:{name}"
    if build:
        return f"{plain}@{version}={build}", f"{plain}@{version}:{source}={build}"
    return plain, f"{plain}@{version}", f"{plain}@{version}:{source}"


def _version_order(version: str) -> tuple[int, Version | str]:
    from packaging.version import Version

    try:
        return (1, Version(version))
    except ValueError:  # it is none, or has thousands of digits
        return (0, version)
