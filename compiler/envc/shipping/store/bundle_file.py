"""A single-file bundle on this machine, opened and checked: its record, its card, and ranges of its objects.

The checks ensure that every reader sees the same tree: the parts are the objects of the record, in the same order, and
each ends with the index that the record repeats. So there cannot be bytes that `tar` reads and hydrate does not. The
frames themselves are checked when they are read.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from envc.errors import StoreError
from envc.model.digest import Sha256, sha256
from envc.model.limits import POINTER_BYTES, RECORD_BYTES
from envc.model.record import (
    CARD_FORMAT,
    CARD_PATH,
    CODE_FOLDER,
    RECORD_PATH,
    Member,
    ObjectIndex,
    Record,
    StepCard,
    content_digest,
)
from envc.shipping.format.bundle import BundlePart, check_trailer, part_reader, read_bundle, read_part
from envc.shipping.format.decode import read_object
from envc.shipping.format.documents import canonical_json, decode_json
from envc.shipping.format.errors import CorruptBlob, MissingBlob
from envc.shipping.format.paths import RESERVED
from envc.shipping.format.record_rules import check_record, check_requirements
from envc.shipping.store.keys import object_key
from envc.system.buffers import Owned


class BundleFile(msgspec.Struct, frozen=True, kw_only=True):
    """A bundle with checked documents. Any number of threads may read from it."""

    path: Path
    parts: dict[str, BundlePart]  # by the key that the object has in a store
    record: Record
    card: StepCard
    own_files: ObjectIndex  # the environment object

    @property
    def name(self) -> str:
        return str(self.path)

    @property
    def in_flight(self) -> int:
        return 1

    def read_range(self, key: str, offset: int, length: int) -> Owned:
        """As `Ranges.read_range`."""
        part = self.parts.get(key)
        if part is None:
            raise MissingBlob(self.name, key)
        return part_reader(part, _File(self.path).read_range)(offset, length)


def open_bundle(path: Path) -> BundleFile:
    """Read and check the documents of a bundle. Raises CorruptBlob unless the file is exactly one valid bundle, and
    StoreError if it cannot be read.
    """
    file = _File(path)
    what = str(path)
    index = read_bundle(file.size(), file.read_range, what)
    *parts, last = index.parts
    own = read_part(last, file.read_range)
    texts = _documents(own, last, file)
    record = decode_json(texts.get(RECORD_PATH, b""), Record, f"{what}: {RECORD_PATH}")
    card = decode_json(texts.get(CARD_PATH, b""), StepCard, f"{what}: {CARD_PATH}")
    check_record(record, f"{what}: {RECORD_PATH}")
    _check_card(card, record, texts, own, what)
    if [(part.artifact, part.layout, part.length) for part in parts] != [
        (item.index.artifact, item.index.layout, item.size) for item in record.objects
    ]:
        raise CorruptBlob(what, "does not contain the objects of its record in the order of the record")
    for part, item in zip(parts, record.objects, strict=True):
        check_trailer(item.index, part.length, part_reader(part, file.read_range), f"{what}: the object of {item.name}")
    keys = {object_key(part.layout, part.artifact): part for part in index.parts}
    return BundleFile(path=path, parts=keys, record=record, card=card, own_files=own)


def _documents(own: ObjectIndex, part: BundlePart, file: _File) -> dict[str, bytes]:
    """The texts of record and card. The whole object is read, and compared with its digests."""
    limits = {RECORD_PATH: RECORD_BYTES, CARD_PATH: POINTER_BYTES}
    texts: dict[str, bytearray] = {}
    what = f"{file.path}: the environment's own files"
    for piece in read_object(own, part_reader(part, file.read_range), what):
        path = piece.member.path
        if path in limits:
            if piece.member.size > limits[path]:
                raise CorruptBlob(what, f"{path} is larger than {limits[path]} bytes")
            texts.setdefault(path, bytearray()).extend(piece.data)
    return {path: bytes(text) for path, text in texts.items()}


def _check_card(card: StepCard, record: Record, texts: dict[str, bytes], own: ObjectIndex, what: str) -> None:
    """Raise CorruptBlob unless the environment's own files are consistent and in permitted places."""
    if card.format != CARD_FORMAT:
        raise CorruptBlob(what, f"has a card of format {card.format}; this envc reads {CARD_FORMAT}", "upgrade envc")
    try:
        check_requirements(card.floors or {})
    except ValueError as error:
        raise CorruptBlob(what, f"has a card that is wrong: {error}") from None
    if own.artifact != own.content:
        raise CorruptBlob(what, "does not name its own files by their content")
    if texts[RECORD_PATH] != canonical_json(record) or sha256(texts[RECORD_PATH]) != card.record:
        raise CorruptBlob(what, "contains another record than its card names")
    if code_digest(own) != card.code:
        raise CorruptBlob(what, "contains other code than its card names")
    for member in own.members:
        if not member.path.startswith(f"{RESERVED}/") and member.path not in record.made:
            raise CorruptBlob(what, f"contains {member.path!r} among the environment's own files")


def code_digest(own: ObjectIndex) -> Sha256 | None:
    """The content digest of the code in an environment object, which is its name in stores. None without code."""
    start = f"{CODE_FOLDER}/"
    code: tuple[Member, ...] = tuple(
        msgspec.structs.replace(member, path=member.path.removeprefix(start))
        for member in own.members
        if member.path.startswith(start)
    )
    return content_digest(code) if code else None


class _File:
    """Ranges of a file. It is opened for each range, since a bundle may be read for long and by many threads."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def size(self) -> int:
        try:
            return self.path.stat().st_size
        except OSError as error:
            raise StoreError(str(self.path), f"cannot be read: {error.strerror}") from None

    def read_range(self, offset: int, length: int) -> bytes:
        try:
            with self.path.open("rb") as stream:
                stream.seek(offset)
                data = stream.read(length)
        except OSError as error:
            raise StoreError(str(self.path), f"cannot be read: {error.strerror}") from None
        if len(data) != length:
            raise CorruptBlob(str(self.path), f"ends before byte {offset + length}")
        return data
