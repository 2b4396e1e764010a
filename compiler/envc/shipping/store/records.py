"""The documents of a store: records of environments, step pointers, and lock files.

Everything that is read is checked before it is returned: size, digest, JSON, types, and the consistency of the fields.
The details of the indexes in a record are checked before they are used, by `decode.ObjectReader`.
"""

from __future__ import annotations

import msgspec

from envc.errors import DigestMismatch
from envc.model.digest import Sha256, parse_sha256, sha256
from envc.model.limits import LOCK_BYTES, POINTER_BYTES, RECORD_BYTES
from envc.model.record import Record, StepPointer
from envc.shipping.format.documents import canonical_json, decode_json
from envc.shipping.format.errors import CorruptBlob, MissingBlob
from envc.shipping.format.frames import compress, decompress
from envc.shipping.format.record_rules import check_record
from envc.shipping.store.blobs import Blobs
from envc.shipping.store.keys import environment_key, lock_key

_LEVEL = 9


class StoredRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A record that was read from a store and checked. Its text is kept, since encoding takes as long as checking."""

    record: Record
    text: bytes  # JSON
    digest: Sha256  # of the text


def put_record(blobs: Blobs, record: Record, *, replace: bool = False) -> Sha256:
    """Write the record of an environment. Returns the digest of the record that the store then contains.

    An existing record stays, since pointers name its digest, unless `replace` is set because it must not be used.
    Raises CorruptBlob if an existing record stays and is corrupt.
    """
    text = canonical_json(record)
    data = compress(text, _LEVEL)
    key = environment_key(record.environment)
    if replace:
        blobs.write(key, data)
    elif not blobs.write_new(key, data):
        return read_record(blobs, record.environment).digest
    return sha256(text)


def get_record(blobs: Blobs, environment: Sha256, digest: Sha256 | None = None) -> Record:
    """The record of an environment. As `read_record`."""
    return read_record(blobs, environment, digest).record


def read_record(blobs: Blobs, environment: Sha256, digest: Sha256 | None = None) -> StoredRecord:
    """The record of an environment, and its text. Makes one request.

    Raises MissingBlob; DigestMismatch if the record does not have that digest; and CorruptBlob if it violates the
    format, or its artifacts do not match the id of the environment.
    """
    key = environment_key(parse_sha256(environment))
    what = f"{blobs.name}: {key}"
    text = decompress(blobs.read(key, RECORD_BYTES), what, limit=RECORD_BYTES)
    actual = sha256(text)
    if digest is not None and actual != digest:
        raise DigestMismatch(what, digest, actual)
    record = decode_json(text, Record, what)
    if record.environment != environment:
        raise CorruptBlob(what, "is the record of another environment")
    check_record(record, what)
    return StoredRecord(record=record, text=text, digest=actual)


def put_pointer(blobs: Blobs, key: str, pointer: StepPointer) -> None:
    """Make the key of a step (`keys.step_key`) point to its environment."""
    blobs.write(key, canonical_json(pointer))


def get_pointer(blobs: Blobs, key: str) -> StepPointer:
    """The pointer under a step's key. Makes one request. Raises MissingBlob and CorruptBlob."""
    what = f"{blobs.name}: {key}"
    pointer = decode_json(blobs.read(key, POINTER_BYTES), StepPointer, what)
    try:
        for digest in (pointer.environment, pointer.record, pointer.code, pointer.code_object):
            if digest is not None:
                parse_sha256(digest)
    except ValueError as error:
        raise CorruptBlob(what, str(error)) from None
    if (pointer.code is None) != (pointer.code_object is None):
        raise CorruptBlob(what, "names code by only one of its two digests")
    return pointer


def put_lock(blobs: Blobs, text: bytes) -> Sha256:
    """Store a lock file. Returns its digest, which is part of the keys of step pointers. A damaged one is replaced."""
    digest = sha256(text)
    if not blobs.write_new(lock_key(digest), text):
        try:
            get_lock(blobs, digest)
        except (CorruptBlob, DigestMismatch, MissingBlob):
            blobs.write(lock_key(digest), text)
    return digest


def get_lock(blobs: Blobs, digest: Sha256) -> bytes:
    key = lock_key(parse_sha256(digest))
    text = blobs.read(key, LOCK_BYTES)
    if sha256(text) != digest:
        raise DigestMismatch(f"{blobs.name}: {key}", digest, sha256(text))
    return text
