"""What a store holds, as values: objects, code, environment records, step pointers, locks.

Everything that is read back is checked before it is handed out: size, digest, JSON, types, and that the fields fit each
other. The depth of the indexes in a record is checked where it is used, by `decode.ObjectReader`.
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import TypeVar

import msgspec

from envc.errors import DigestMismatch
from envc.model.digest import Sha256, parse_sha256, sha256
from envc.model.record import ObjectIndex, Record, StepPointer
from envc.store.blobs import Blobs
from envc.store.check import check_record
from envc.store.decode import read_object
from envc.store.encode import Encoder, Entry
from envc.store.errors import CorruptBlob
from envc.store.frames import compress, decompress
from envc.store.index import ReadRange, canonical_json, read_index
from envc.store.keys import code_key, environment_key, lock_key, object_key

MAX_RECORD = 256 << 20  # bytes of JSON; a record of 100,000 files has about 20 MiB
MAX_POINTER = 1 << 20  # bytes
MAX_LOCK = 64 << 20  # bytes
MAX_CODE = 1 << 30  # bytes of a code package
CODE_LAYOUT = "code"
_RECORD_LEVEL = 9

Document = TypeVar("Document")


class StoredObject(msgspec.Struct, frozen=True, kw_only=True):
    """An object as a store holds it."""

    key: str
    size: int  # bytes, index included
    index: ObjectIndex


def put_object(
    blobs: Blobs, encoder: Encoder, entries: Iterable[Entry], *, artifact: Sha256, layout: str
) -> StoredObject:
    """Write an object, and answer with the one that the store holds then.

    That may be another writer's: its index was checked, but whether to trust its content is the caller's decision.
    """
    key = object_key(layout, artifact)
    made: list[tuple[ObjectIndex, int]] = []
    if blobs.write_new(
        key, lambda out: made.append(encoder.write_object(entries, out, layout=layout, artifact=artifact))
    ):
        index, size = made[0]
        return StoredObject(key=key, size=size, index=index)
    return get_object(blobs, artifact=artifact, layout=layout)


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


def range_reader(blobs: Blobs, key: str) -> ReadRange:
    """`Blobs.read_range` for one key."""
    return lambda offset, length: blobs.read_range(key, offset, length)


def bytes_reader(data: bytes) -> ReadRange:
    """Ranges of bytes at hand."""
    return lambda offset, length: data[offset : offset + length]


def put_code(blobs: Blobs, encoder: Encoder, entries: Iterable[Entry]) -> tuple[Sha256, Sha256]:
    """Write a code package; answer with its content digest and the sha256 of the bytes that the store holds."""
    draft = io.BytesIO()
    index, _ = encoder.write_object(entries, draft, layout=CODE_LAYOUT)
    data = draft.getvalue()
    if blobs.write_new(code_key(index.content), data):
        return index.content, sha256(data)
    # Another level or libzstd may have written it: what counts is that it is the same tree.
    there = blobs.read(code_key(index.content), MAX_CODE)
    read_code(there, f"{blobs.name}: {code_key(index.content)}", index.content)
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
    if index.content != content:
        raise CorruptBlob(what, "is another tree than its name says")
    for _ in read_object(index, bytes_reader(data), what):
        pass
    return index


def put_record(blobs: Blobs, record: Record, *, replace: bool = False) -> Sha256:
    """Write the record of an environment; answer with the digest of the record that the store holds then.

    The first record stays, since pointers name its digest, unless `replace` says that it is not to be trusted.
    """
    text = canonical_json(record)
    data = compress(text, _RECORD_LEVEL)
    key = environment_key(record.environment)
    if replace:
        blobs.write(key, data)
    elif not blobs.write_new(key, data):
        return sha256(canonical_json(get_record(blobs, record.environment)))
    return sha256(text)


def get_record(blobs: Blobs, environment: Sha256, digest: Sha256 | None = None) -> Record:
    """The record of an environment: one request.

    Raises MissingBlob; DigestMismatch when it is not the one of that digest; CorruptBlob when it breaks the format, or
    is about other artifacts than the environment's id says.
    """
    key = environment_key(parse_sha256(environment))
    what = f"{blobs.name}: {key}"
    text = decompress(blobs.read(key, MAX_RECORD), what, limit=MAX_RECORD)
    if digest is not None and sha256(text) != digest:
        raise DigestMismatch(what, digest, sha256(text))
    record = _decode(text, Record, what)
    if record.environment != environment:
        raise CorruptBlob(what, "is the record of another environment")
    check_record(record, what)
    return record


def put_pointer(blobs: Blobs, key: str, pointer: StepPointer) -> None:
    """Let a step's key (`keys.step_key`) point to its environment, from now on."""
    blobs.write(key, canonical_json(pointer))


def get_pointer(blobs: Blobs, key: str) -> StepPointer:
    """What a step runs in: one request. Raises MissingBlob and CorruptBlob."""
    what = f"{blobs.name}: {key}"
    pointer = _decode(blobs.read(key, MAX_POINTER), StepPointer, what)
    try:
        for digest in (pointer.environment, pointer.record, pointer.code, pointer.code_object):
            if digest is not None:
                parse_sha256(digest)
    except ValueError as error:
        raise CorruptBlob(what, str(error)) from None
    if (pointer.code is None) != (pointer.code_object is None):
        raise CorruptBlob(what, "names code by one of its two digests only")
    return pointer


def put_lock(blobs: Blobs, text: bytes) -> Sha256:
    """Keep a lock file; answer with its digest, under which steps point to their environments."""
    digest = sha256(text)
    blobs.write_new(lock_key(digest), text)
    return digest


def get_lock(blobs: Blobs, digest: Sha256) -> bytes:
    key = lock_key(parse_sha256(digest))
    text = blobs.read(key, MAX_LOCK)
    if sha256(text) != digest:
        raise DigestMismatch(f"{blobs.name}: {key}", digest, sha256(text))
    return text


def _decode(text: bytes, form: type[Document], what: str) -> Document:
    try:
        return msgspec.json.decode(text, type=form)
    except (msgspec.DecodeError, RecursionError) as error:
        raise CorruptBlob(what, f"cannot be read as a {form.__name__} ({error})") from None
