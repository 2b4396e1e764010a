"""Objects and code packages under their keys, checked as they are read back."""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import TYPE_CHECKING

import msgspec

from envc.errors import DigestMismatch
from envc.model.digest import Sha256, sha256
from envc.model.record import ObjectIndex, StepPointer
from envc.shipping.format.decode import read_object
from envc.shipping.format.errors import CorruptBlob
from envc.shipping.format.object_index import ReadRange, read_index
from envc.shipping.store.blobs import Blobs, Ranges
from envc.shipping.store.keys import code_key, object_key

if TYPE_CHECKING:  # reading starts no thread pool, so it need not import one
    from envc.shipping.format.encode import Encoder, Entry

MAX_CODE = 1 << 30  # bytes of a code package
CODE_LAYOUT = "code"


class StoredObject(msgspec.Struct, frozen=True, kw_only=True):
    """An object as a store holds it."""

    key: str
    size: int  # bytes, index included
    index: ObjectIndex


def get_object(blobs: Blobs, *, artifact: Sha256, layout: str) -> StoredObject:
    """What the store holds of an artifact in a layout: three requests. Raises MissingBlob and CorruptBlob."""
    key = object_key(layout, artifact)
    size = blobs.size(key)
    index = read_index(size, range_reader(blobs, key), f"{blobs.name}: {key}")
    if (index.artifact, index.layout) != (artifact, layout):
        raise CorruptBlob(f"{blobs.name}: {key}", "is the object of another artifact or layout")
    return StoredObject(key=key, size=size, index=index)


def verify_object(blobs: Blobs, stored: StoredObject, content: Sha256 | None = None) -> None:
    """Read an object to its last byte. Raises CorruptBlob unless its frames hold what its index says.

    With `content`, DigestMismatch unless the tree is the one of that content digest.
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
    """Ranges of bytes at hand."""
    return lambda offset, length: data[offset : offset + length]


def encode_code(encoder: Encoder, entries: Iterable[Entry]) -> tuple[ObjectIndex, bytes]:
    """The index and the bytes of a code package."""
    draft = io.BytesIO()
    index, _ = encoder.write_object(entries, draft, layout=CODE_LAYOUT)
    return index, draft.getvalue()


def put_code(blobs: Blobs, index: ObjectIndex, data: bytes) -> tuple[Sha256, Sha256]:
    """Write a code package; answer with its content digest and the sha256 of the bytes that the store holds then.

    A corrupt package under its key is replaced.
    """
    key = code_key(index.content)
    if blobs.write_new(key, data):
        return index.content, sha256(data)
    # Another level or libzstd may have written it: what counts is that it is the same tree.
    try:
        there = blobs.read(key, MAX_CODE)
        read_code(there, f"{blobs.name}: {key}", index.content)
    except CorruptBlob:
        blobs.write(key, data)
        return index.content, sha256(data)
    return index.content, sha256(there)


def get_code(blobs: Blobs, pointer: StepPointer) -> tuple[ObjectIndex, bytes] | None:
    """The code package of a step, its bytes compared with the pointer's digest; None for a step without code."""
    if pointer.code is None or pointer.code_object is None:
        return None
    key = code_key(pointer.code)
    data = blobs.read(key, MAX_CODE)
    if sha256(data) != pointer.code_object:
        raise DigestMismatch(f"{blobs.name}: {key}", pointer.code_object, sha256(data))
    return read_code(data, f"{blobs.name}: {key}", pointer.code), data


def read_code(data: bytes, what: str, content: Sha256) -> ObjectIndex:
    """The index of a code package, read to its last byte. Raises CorruptBlob unless it is the tree of that digest."""
    index = read_index(len(data), bytes_reader(data), what)
    if (index.layout, index.content) != (CODE_LAYOUT, content):
        raise CorruptBlob(what, "is another tree than its name says")
    for _ in read_object(index, bytes_reader(data), what):
        pass
    return index
