"""derive: makes the object of a verified artifact, unless the store contains it already."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import msgspec

from envc.errors import DigestMismatch, SeveralLines
from envc.model.digest import Sha256, parse_sha256
from envc.model.environment import EnvironmentMember
from envc.model.progress import Progress
from envc.model.record import Member, ObjectIndex, content_digest
from envc.shipping.format.encode import Encoder, Entry
from envc.shipping.format.errors import CorruptBlob, MissingBlob
from envc.shipping.store.blobs import Blobs
from envc.shipping.store.keys import object_key
from envc.shipping.store.objects import StoredObject, get_object, verify_object
from envc.shipping.unpack.conda import open_conda
from envc.shipping.unpack.contents import Contents
from envc.shipping.unpack.standalone import open_standalone
from envc.shipping.unpack.wheel import Wheel, open_wheel
from envc.system.atomic_file import write_file


class MetadataMismatch(SeveralLines):
    """The requirements of an artifact differ from those in the metadata it was locked with."""

    hint = (
        "the metadata of the index belongs to another file: run `envc lock --upgrade`, and report it to its operators"
    )

    def __init__(self, file: str, missing: tuple[str, ...], unlocked: tuple[str, ...]) -> None:
        super().__init__(file, missing, unlocked)
        self.file = file
        self.missing = missing  # locked, and not stated by the artifact
        self.unlocked = unlocked  # stated by the artifact, and not locked

    def lines(self) -> tuple[str, ...]:
        lines = [f"the metadata in {self.file} differs from the metadata it was locked with"]
        lines += [f"  the lock says it requires {requirement}; the file does not" for requirement in self.missing]
        lines += [f"  the file requires {requirement}; the lock does not say that" for requirement in self.unlocked]
        return tuple(lines)

    def data(self) -> dict[str, object]:
        return {"file": self.file, "missing": list(self.missing), "unlocked": list(self.unlocked)}


_DOUBTED = "doubted"


class Ledger:
    """The objects that this machine has made itself, or has compared completely with its own result.

    It stores their `bytes_digest` by artifact and layout. A lost entry costs only time.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, layout: str, artifact: Sha256) -> Sha256 | None:
        """The `bytes_digest` of the object, if known."""
        try:
            return parse_sha256(self._path(layout, artifact).read_text())
        except (OSError, ValueError):
            return None

    def put(self, layout: str, artifact: Sha256, made: Sha256) -> None:
        self._write(layout, artifact, made)

    def mark_doubtful(self, layout: str, artifact: Sha256) -> None:
        """Mark an object as doubtful. The next `pack` derives it again, and replaces the object in the store unless all
        of its bytes match its index.
        """
        self._write(layout, artifact, _DOUBTED)

    def is_doubtful(self, layout: str, artifact: Sha256) -> bool:
        """Whether the object in the store was found corrupt, and has not been derived again since."""
        try:
            return self._path(layout, artifact).read_text() == _DOUBTED
        except (OSError, ValueError):
            return False

    def _write(self, layout: str, artifact: Sha256, text: str) -> None:
        path = self._path(layout, artifact)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_file(path, text.encode())
        except OSError:
            pass

    def _path(self, layout: str, artifact: Sha256) -> Path:
        return self._folder / layout / artifact[:2] / artifact


def find_object(store: Blobs, member: EnvironmentMember, progress: Progress) -> StoredObject | None:
    """The object of a member in the store. An object with a broken index is removed, with a warning."""
    try:
        return get_object(store, artifact=member.sha256, layout=member.layout)
    except MissingBlob:
        return None
    except CorruptBlob as error:
        progress.warn(f"the object of {member.file} is made again: {error}")
        store.delete(object_key(member.layout, member.sha256))
        return None


def is_trusted(
    stored: StoredObject, member: EnvironmentMember, ledger: Ledger, *, trust_store: bool, rederive: bool = False
) -> bool:
    """Whether an object may be used without deriving it in this run.

    If the lock demands a content digest, that digest decides. Otherwise the ledger or `trust_store` decides; with
    `rederive`, no object is trusted. An object that was found corrupt is never trusted, since its content digest comes
    from its index. The ledger identifies exactly these frames, because hydrate compares contents only if a lock demands
    them.
    """
    if ledger.is_doubtful(member.layout, member.sha256):
        return False
    if member.content is not None:
        return stored.index.content == member.content
    return not rederive and (trust_store or stored.index.bytes_digest == ledger.get(member.layout, member.sha256))


def derive(
    member: EnvironmentMember,
    path: Path,
    stored: StoredObject | None,
    store: Blobs,
    encoder: Encoder,
    ledger: Ledger,
    progress: Progress,
) -> StoredObject:
    """The object of a verified artifact: `stored` if all of its bytes are right, otherwise a new object.

    Raises BadArtifact, MetadataMismatch, StoreError, and DigestMismatch if the lock demands different content.
    """
    with _open(path, member) as contents:
        content = content_digest(contents.members)
        if member.content not in (None, content):
            raise DigestMismatch(
                f"the content of {member.file} in layout {member.layout}",
                member.content or "",
                content,
                "the lock records different content for this artifact; `envc bundle --record` records its content",
            )
        if stored is not None and not _is_same(store, stored, content, member, progress):
            store.delete(stored.key)
            stored = None
        if stored is None:
            stored = _write(member, contents, store, encoder)
        else:
            contents.check(_read_members(contents.entries, contents.members))
    ledger.put(member.layout, member.sha256, stored.index.bytes_digest)
    return stored


@contextmanager
def _open(path: Path, member: EnvironmentMember) -> Iterator[Contents]:
    """The contents of a verified artifact, according to its kind.

    The requirements of a conda package are not compared with the lock: channels correct them in their repodata long
    after a file was made ("repodata patches"), so the file often states others.
    """
    if member.kind == "conda":
        with open_conda(path, member.file, member.layout, member.sha256) as package:
            yield package
        return
    if member.kind == "interpreter":
        with open_standalone(path, member.file) as interpreter:
            yield interpreter
        return
    with open_wheel(path, member.file, member.layout) as wheel:
        check_requirements(member, wheel)
        yield wheel


def _is_same(
    store: Blobs, stored: StoredObject, content: Sha256, member: EnvironmentMember, progress: Progress
) -> bool:
    """Whether the object in the store consists of exactly what the artifact unpacks to."""
    try:
        verify_object(store, stored, content)
    except (CorruptBlob, DigestMismatch) as error:
        progress.warn(f"the object of {member.file} is made again: {error}")
        return False
    return True


def _write(member: EnvironmentMember, contents: Contents, store: Blobs, encoder: Encoder) -> StoredObject:
    key = object_key(member.layout, member.sha256)
    made: list[tuple[ObjectIndex, int]] = []

    def write(out: BinaryIO) -> None:
        made.append(encoder.write_object(contents.entries, out, layout=member.layout, artifact=member.sha256))
        contents.check(made[-1][0].members)

    if store.write_new(key, write):
        index, size = made[0]
        return StoredObject(key=key, size=size, index=index)
    # Another writer was faster. Both derived the object from the same bytes, so any difference is an error.
    stored = get_object(store, artifact=member.sha256, layout=member.layout)
    verify_object(store, stored, content_digest(contents.members))
    return stored


def _read_members(entries: Iterable[Entry], promised: Iterable[Member]) -> tuple[Member, ...]:
    """The members with the digests of their contents."""
    actual = []
    for entry, member in zip(entries, promised, strict=True):
        if member.link:
            actual.append(member)
            continue
        with entry.open() as stream:
            digest = hashlib.sha256()
            while chunk := stream.read(1 << 20):
                digest.update(chunk)
        actual.append(msgspec.structs.replace(member, sha256=digest.hexdigest()))
    return tuple(actual)


def check_requirements(member: EnvironmentMember, wheel: Wheel) -> None:
    """Raise MetadataMismatch unless the artifact's own Requires-Dist match those it was locked with.

    The lock contains all requirements, except those of extras that are not requested and those with a URL. So the
    artifact must state each locked requirement, and the lock must contain each requirement without an extra.
    """
    own = {str(each): "extra" in each.marker for each in wheel.metadata.requires if not each.url}
    locked = set(member.depends)
    missing = tuple(sorted(locked - own.keys()))
    unlocked = tuple(sorted(each for each, is_extra in own.items() if not is_extra and each not in locked))
    if missing or unlocked:
        raise MetadataMismatch(member.file, missing, unlocked)
