"""contents: records the content digests of artifacts in a lock. hydrate then requires them."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from envc.locking.lockfile.canonical import canonical
from envc.model.digest import Sha256
from envc.model.graph import LockGraph


def with_contents(graph: LockGraph, contents: Mapping[tuple[Sha256, str], Sha256]) -> LockGraph:
    """The graph with these content digests, by artifact and layout, added to those that it already records.

    A different recorded digest is replaced, because the new one was derived from the artifact.
    """
    by_artifact: dict[Sha256, dict[str, Sha256]] = {}
    for (artifact, layout), content in contents.items():
        by_artifact.setdefault(artifact, {})[layout] = content
    packages = tuple(
        msgspec.structs.replace(
            package,
            artifacts=tuple(
                msgspec.structs.replace(artifact, content=artifact.content | by_artifact.get(artifact.sha256, {}))
                for artifact in package.artifacts
            ),
        )
        for package in graph.packages
    )
    return canonical(msgspec.structs.replace(graph, packages=packages))
