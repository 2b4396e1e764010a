"""derive: makes the object of a verified artifact, unless the store contains it already."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import msgspec

from envc.errors import DigestMismatch
from envc.model.digest import Sha256, parse_sha256
from envc.model.environment import EnvironmentMember
from envc.model.progress import Progress
from envc.model.record import Member, ObjectIndex, content_digest
from envc.shipping.deliver.reuse import Ledger, metadata_member
from envc.shipping.deliver.stated_metadata import Stated, Use
from envc.shipping.format.encode import Encoder, Entry
from envc.shipping.format.errors import CorruptBlob
from envc.shipping.store.blobs import Blobs
from envc.shipping.store.keys import object_key
from envc.shipping.store.objects import StoredObject, get_object, verify_object
from envc.shipping.unpack.conda import open_conda
from envc.shipping.unpack.contents import Contents
from envc.shipping.unpack.errors import FaultyRecord
from envc.shipping.unpack.standalone import open_standalone
from envc.shipping.unpack.wheel import Wheel, open_wheel
from envc.system.waits import waits_for


def derive(
    uses: tuple[Use, ...],
    path: Path,
    stored: StoredObject | None,
    store: Blobs,
    encoder: Encoder,
    ledger: Ledger,
    progress: Progress,
) -> StoredObject:
    """The object of a verified artifact: `stored` if all of its bytes are right, otherwise a new object.

    `uses` are the same artifact in the same layout, as environments use it. Of an object that is intact and has other
    contents, the caller warns (`warn_of_replaced`); a damaged one causes a warning here.

    Raises BadArtifact (FaultyRecord if the ledger is strict), MetadataMismatch, StoreError, and DigestMismatch if the
    lock demands different content.
    """
    member = uses[0].member
    with _open(path, member) as contents:
        if isinstance(contents, Wheel):
            for use in uses:
                use.check(Stated.of(contents.metadata))
        if contents.record_faults and ledger.is_strict:
            raise FaultyRecord(contents.file, contents.record_faults[0])
        for warning in contents.warnings:
            progress.warn(warning)
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
        if isinstance(contents, Wheel) and (own := metadata_member(contents.members, member)) is not None:
            ledger.put_stated(parse_sha256(own.sha256), Stated.of(contents.metadata))
    ledger.put(member.layout, member.sha256, stored.index.bytes_digest, lax=bool(contents.record_faults))
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
        yield wheel


def _is_same(
    store: Blobs, stored: StoredObject, content: Sha256, member: EnvironmentMember, progress: Progress
) -> bool:
    """Whether the object in the store consists of exactly what the artifact unpacks to."""
    if stored.index.content != content:
        return False
    try:
        verify_object(store, stored)
    except CorruptBlob as error:
        progress.warn(f"the object of {member.file} is made again: {error}")
        return False
    return True


def warn_of_replaced(members: Sequence[EnvironmentMember], store: Blobs, progress: Progress) -> None:
    """Name in one warning the objects that a store had with contents that their artifacts do not unpack to."""
    if not members:
        return
    files = sorted({member.file for member in members})
    more = f" and {len(files) - 3} more" if len(files) > 3 else ""
    verb = "object of {} is" if len(files) == 1 else "objects of {} are"
    progress.warn(
        f"the {verb.format(', '.join(files[:3]) + more)} made again: {store.name} had other contents, from another "
        "version of envc or changed in the store. Run `envc bundle` also for other locks that use these files"
    )


def _write(member: EnvironmentMember, contents: Contents, store: Blobs, encoder: Encoder) -> StoredObject:
    key = object_key(member.layout, member.sha256)
    made: list[tuple[ObjectIndex, int]] = []

    def write(out: BinaryIO) -> None:
        made.append(encoder.write_object(contents.entries, out, layout=member.layout, artifact=member.sha256))
        contents.check(made[-1][0].members)

    with waits_for(member.file):
        is_new = store.write_new(key, write)
    if is_new:
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
