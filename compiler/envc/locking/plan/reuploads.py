"""reuploads: files that a source has replaced. A version that stays in a lock keeps its bytes. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from envc.errors import SeveralLines
from envc.model.graph import Build, LockGraph, target_name_of
from envc.model.kinds import DIRECT_SOURCES
from envc_solvers.solution import Pin


class Reupload(msgspec.Struct, frozen=True, order=True):
    """A file that its source serves with other bytes than those locked."""

    name: str
    version: str
    source: str  # name
    file: str
    locked: str  # sha256
    current: str  # sha256


class Reuploaded(SeveralLines):
    """Versions that were uploaded again with other bytes."""

    def __init__(self, reuploads: tuple[Reupload, ...]) -> None:
        super().__init__(reuploads)
        self.reuploads = reuploads
        names = sorted({one.name for one in reuploads})
        accept = " ".join(f"--accept-reupload {name}" for name in names)
        self.hint = f"find out why before you trust the new bytes; `envc lock {accept}` takes them"

    def lines(self) -> tuple[str, ...]:
        lines = []
        for one in self.reuploads:
            lines.append(f"{one.file} of {one.name} {one.version} has other bytes on {one.source} than in the lock")
            lines += [f"  locked sha256 {one.locked}", f"  now    sha256 {one.current}"]
        return tuple(lines)

    def data(self) -> dict[str, object]:
        return {"files": [msgspec.to_builtins(one) for one in self.reuploads]}


def refuse_reuploads(
    graph: LockGraph, pins: Iterable[tuple[str, Pin]], builds: Iterable[Build], accepted: frozenset[str]
) -> None:
    """Raise Reuploaded if a pin has the file name and source of a locked file, but other bytes.

    Each pin comes with the key of a target that it is for: the files of a channel have the same name on several
    platforms. A wheel that was built here is compared by its source distribution, because a build may give other bytes.
    `accepted` are names whose new bytes are taken.
    """
    locked: dict[tuple[str, str, str, str], dict[str, str]] = {}  # by source, name, file and target: version by digest
    before: dict[str, Sequence[Build]] = dict(graph.builds_by_wheel().items())
    # The target keys of conda packages, whose artifacts need not name them.
    of_package: dict[str, set[str]] = {package.id: set() for package in graph.packages if package.kind == "conda"}
    for environment in graph.environments if of_package else ():
        for ref in environment.packages:
            if ref.id not in of_package:
                continue
            serving = (key for key in environment.targets if not ref.targets or target_name_of(key) in ref.targets)
            of_package[ref.id].update(serving)
    for package in graph.packages:
        if package.source in DIRECT_SOURCES:
            continue  # edits of a path are recorded, and the bytes of a URL are compared where it is resolved
        for artifact in package.artifacts:
            for file, digest in _served(artifact.file, artifact.sha256, before):
                keys = (artifact.targets or of_package[package.id]) if package.kind == "conda" else {""}
                for key in keys:
                    locked.setdefault((package.source, package.name, file, key), {})[digest] = package.version
    after: dict[str, Sequence[Build]] = {}
    for build in builds:
        after[build.sha256] = (*after.get(build.sha256, ()), build)
    found = set()
    for key, pin in pins:
        if pin.name in accepted:
            continue
        for file, digest in _served(pin.file, pin.sha256, after):
            known = locked.get((pin.source, pin.name, file, key if pin.kind == "conda" else ""))
            if known and digest not in known:
                old, version = min(known.items())
                found.add(Reupload(pin.name, version, pin.source, file, old, digest))
    if found:
        raise Reuploaded(tuple(sorted(found)))


def _served(file: str, digest: str, builds: Mapping[str, Sequence[Build]]) -> list[tuple[str, str]]:
    """The files that a source serves for a wheel, with their digests: the wheel, or what it was built from."""
    made_from = builds.get(digest)
    if made_from is None:
        return [(file, digest)]
    return [(build.sdist.file, build.sdist.sha256) for build in made_from if build.sdist is not None]
