"""Objects and code packages in a store. Everything that is read is checked."""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import TYPE_CHECKING

import msgspec

from envc.errors import DigestMismatch
from envc.model.digest import Sha256, sha256
from envc.model.limits import CODE_BYTES
from envc.model.record import ObjectIndex, StepPointer
from envc.shipping.format.decode import read_object
from envc.shipping.format.errors import CorruptBlob
from envc.shipping.format.object_index import ReadRange, read_index
from envc.shipping.store.blobs import Blobs, Ranges
from envc.shipping.store.keys import code_key, object_key

if TYPE_CHECKING:  # not needed for reading, and it imports a thread pool
    from envc.shipping.format.encode import Encoder, Entry

CODE_LAYOUT = "code"


class StoredObject(msgspec.Struct, frozen=True, kw_only=True):
    """An object in a store."""

    key: str
    size: int  # bytes, index included
    index: ObjectIndex


def get_object(blobs: Blobs, *, artifact: Sha256, layout: str) -> StoredObject:
    """The object of an artifact in a layout. Makes three requests. Raises MissingBlob and CorruptBlob."""
    key = object_key(layout, artifact)
    size = blobs.size(key)
    index = read_index(size, range_reader(blobs, key), f"{blobs.name}: {key}")
    if (index.artifact, index.layout) != (artifact, layout):
        raise CorruptBlob(f"{blobs.name}: {key}", "is the object of another artifact or layout")
    return StoredObject(key=key, size=size, index=index)


def verify_object(blobs: Blobs, stored: StoredObject, content: Sha256 | None = None) -> None:
    """Read and verify a whole object. Raises CorruptBlob unless its frames match its index.

    With `content`, raises DigestMismatch unless the tree has that content digest.
    """
    what = f"{blobs.name}: {stored.key}"
    if content is not None and stored.index.content != content:
        raise DigestMismatch(what, content, stored.index.content)
    for _ in read_object(stored.index, range_reader(blobs, stored.key), what):
        pass


def range_reader(blobs: Ranges, key: str) -> ReadRange:
    """`Ranges.read_range` for one key."""
    return lambda offset, length: blobs.read_range(key, offset, length)


def bytes_reader(data: bytes) -> ReadRange:
    """Ranges of bytes in memory."""
    return lambda offset, length: data[offset : offset + length]


def encode_code(encoder: Encoder, entries: Iterable[Entry]) -> tuple[ObjectIndex, bytes]:
    """A code package: its index and its bytes."""
    buffer = io.BytesIO()
    index, _ = encoder.write_object(entries, buffer, layout=CODE_LAYOUT)
    return index, buffer.getvalue()


def put_code(blobs: Blobs, index: ObjectIndex, data: bytes) -> tuple[Sha256, Sha256]:
    """Write a code package. Returns its content digest, and the sha256 of the bytes that the store then contains.

    If the package under its key is corrupt, it is replaced.
    """
    key = code_key(index.content)
    if blobs.write_new(key, data):
        return index.content, sha256(data)
    # It may have been written with another level or version of libzstd. It only has to be the same tree.
    try:
        stored = blobs.read(key, CODE_BYTES)
        read_code(stored, f"{blobs.name}: {key}", index.content)
    except CorruptBlob:
        blobs.write(key, data)
        return index.content, sha256(data)
    return index.content, sha256(stored)


def get_code(blobs: Blobs, pointer: StepPointer) -> tuple[ObjectIndex, bytes] | None:
    """The code package of a step, whose bytes match the digest in the pointer. None for a step without code."""
    if pointer.code is None or pointer.code_object is None:
        return None
    key = code_key(pointer.code)
    data = blobs.read(key, CODE_BYTES)
    if sha256(data) != pointer.code_object:
        raise DigestMismatch(f"{blobs.name}: {key}", pointer.code_object, sha256(data))
    return read_code(data, f"{blobs.name}: {key}", pointer.code), data


def read_code(data: bytes, what: str, content: Sha256) -> ObjectIndex:
    """The index of a code package, which is verified completely. Raises CorruptBlob unless its tree has that digest."""
    index = read_index(len(data), bytes_reader(data), what)
    if (index.layout, index.content) != (CODE_LAYOUT, content):
        raise CorruptBlob(what, "contains a tree that does not match its name")
    for _ in read_object(index, bytes_reader(data), what):
        pass
    return index
