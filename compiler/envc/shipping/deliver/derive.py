"""One verified artifact into one object of a store, unless the store holds that object already."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import msgspec

from envc.errors import DigestMismatch, EnvcError
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


class MetadataMismatch(EnvcError):
    """An artifact requires other packages than the metadata said that it was locked by."""

    hint = "the index describes another file than it serves: run `envc lock --upgrade`, and tell its operators"

    def __init__(self, file: str, missing: tuple[str, ...], unlocked: tuple[str, ...]) -> None:
        super().__init__(file, missing, unlocked)
        self.file = file
        self.missing = missing  # locked, and not stated by the artifact
        self.unlocked = unlocked  # stated by the artifact, and not locked

    def __str__(self) -> str:
        lines = [f"the metadata of {self.file} is not what it was locked by"]
        lines += [f"  the lock says it requires {requirement}; the file does not" for requirement in self.missing]
        lines += [f"  the file requires {requirement}; the lock does not say so" for requirement in self.unlocked]
        return "\n".join(lines)

    def data(self) -> dict[str, object]:
        return {"file": self.file, "missing": list(self.missing), "unlocked": list(self.unlocked)}


_DOUBT = "doubted"


class Ledger:
    """Which objects this machine has made, or compared to their last byte with what it would have made: their
    `bytes_digest` per artifact and layout. Lost entries cost time and nothing else.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, layout: str, artifact: Sha256) -> Sha256 | None:
        """The `bytes_digest` of the object, if one is known."""
        try:
            return parse_sha256(self._path(layout, artifact).read_text())
        except (OSError, ValueError):
            return None

    def put(self, layout: str, artifact: Sha256, made: Sha256) -> None:
        self._write(layout, artifact, made)

    def forget(self, layout: str, artifact: Sha256) -> None:
        """Have the next `pack` derive the object again, whoever vouches for it, and replace the store's if it is not
        what its index says to the last byte.
        """
        self._write(layout, artifact, _DOUBT)

    def doubts(self, layout: str, artifact: Sha256) -> bool:
        """Whether the store's object has turned out corrupt and was not derived again since."""
        try:
            return self._path(layout, artifact).read_text() == _DOUBT
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


def look_up(store: Blobs, member: EnvironmentMember, progress: Progress) -> StoredObject | None:
    """The store's object of a member; one whose index is broken is named, removed and not there any more."""
    try:
        return get_object(store, artifact=member.sha256, layout=member.layout)
    except MissingBlob:
        return None
    except CorruptBlob as error:
        progress.warn(f"the object of {member.file} is made again: {error}")
        store.delete(object_key(member.layout, member.sha256))
        return None


def is_trusted(
    stored: StoredObject, member: EnvironmentMember, ledger: Ledger, *, trust_store: bool, anew: bool = False
) -> bool:
    """Whether an object may be used although this run does not derive it.

    The lock's word on its content decides, if there is one; else what this machine derived before, or `trust_store`,
    or, with `anew`, nothing. No word counts for an object that was found corrupt: contents are what indexes say.
    The ledger vouches for these very frames, since hydrate compares contents only where a lock demands them.
    """
    if ledger.doubts(member.layout, member.sha256):
        return False
    if member.content is not None:
        return stored.index.content == member.content
    return not anew and (trust_store or stored.index.bytes_digest == ledger.get(member.layout, member.sha256))


def derive(
    member: EnvironmentMember,
    path: Path,
    stored: StoredObject | None,
    store: Blobs,
    encoder: Encoder,
    ledger: Ledger,
    progress: Progress,
) -> StoredObject:
    """The object of a verified artifact: `stored`, if it turns out to be the same to its last byte, else a new one.

    Raises BadArtifact, MetadataMismatch, StoreError, and DigestMismatch when the lock demands another content.
    """
    with _open(path, member) as contents:
        content = content_digest(contents.members)
        if member.content not in (None, content):
            raise DigestMismatch(
                f"the content of {member.file} in layout {member.layout}",
                member.content or "",
                content,
                "the lock records another content than this artifact has: `envc bundle --record` writes what it has",
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
    """What a verified artifact unpacks to, by its kind.

    What a conda package requires is not compared with the lock: channels correct it in their repodata long after a file
    was made ("repodata patches"), so that the file is known to say something else.
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
    """Whether the store's object is what the artifact unpacks to, down to its last byte."""
    try:
        verify_object(store, stored, content)
    except (CorruptBlob, DigestMismatch) as error:
        progress.warn(f"the object of {member.file} is made again: {error}")
        return False
    return True


def _write(member: EnvironmentMember, contents: Contents, store: Blobs, encoder: Encoder) -> StoredObject:
    key = object_key(member.layout, member.sha256)
    made: list[tuple[ObjectIndex, int]] = []

    def fill(out: BinaryIO) -> None:
        made.append(encoder.write_object(contents.entries, out, layout=member.layout, artifact=member.sha256))
        contents.check(made[-1][0].members)

    if store.write_new(key, fill):
        index, size = made[0]
        return StoredObject(key=key, size=size, index=index)
    # Somebody else was faster. Both derived it from the same bytes, so anything but equality is worth an error.
    stored = get_object(store, artifact=member.sha256, layout=member.layout)
    verify_object(store, stored, content_digest(contents.members))
    return stored


def _read_members(entries: Iterable[Entry], promised: Iterable[Member]) -> tuple[Member, ...]:
    """The members with the digests that their contents have."""
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
    """Raise MetadataMismatch unless the artifact's own Requires-Dist are those that it was locked by.

    The lock keeps every requirement but those of extras that nobody asks for and those that name a URL. So each locked
    one must be the artifact's, and each of the artifact's that no extra guards must be locked.
    """
    own = {str(each): "extra" in each.marker for each in wheel.metadata.requires if not each.url}
    locked = set(member.depends)
    missing = tuple(sorted(locked - own.keys()))
    unlocked = tuple(sorted(each for each, is_extra in own.items() if not is_extra and each not in locked))
    if missing or unlocked:
        raise MetadataMismatch(member.file, missing, unlocked)
