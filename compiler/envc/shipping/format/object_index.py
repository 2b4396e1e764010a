"""The index at the end of an object, which lists its frames and members, and the checks that make it safe to use."""

from __future__ import annotations

import struct
from collections.abc import Callable
from operator import attrgetter

from envc.model.digest import parse_sha256
from envc.model.limits import CONTENT_BYTES, INDEX_BYTES
from envc.model.record import OBJECT_FORMAT, Member, ObjectIndex
from envc.shipping.format.documents import canonical_json, decode_json
from envc.shipping.format.errors import CorruptBlob, UnsafePath
from envc.shipping.format.frames import SKIPPABLE, compress, decompress
from envc.shipping.format.paths import check_tree, rules
from envc.shipping.format.spans import FRAME, Span, spans
from envc.shipping.format.tar import MAX_OCTAL
from envc.system.buffers import Owned

ReadRange = Callable[[int, int], Owned]  # (offset, length) -> exactly that many bytes

FOOTER_MAGIC = b"ENVCBND1"
INDEX_LEVEL = 9
_size = attrgetter("size")
_UNKNOWN = "is not an object or bundle of envc, or its end is missing"
_TAIL = 1 << 16  # bytes read first from the end; contains the index of most objects

_SKIPPABLE_HEADER = struct.Struct("<II")  # magic number, size of the payload
_FOOTER = struct.Struct("<QQ8s")  # offset and length of the compressed index, FOOTER_MAGIC


def encode_trailer(document: object, offset: int) -> bytes:
    """The skippable frame at the end of an object or a bundle, if it starts at `offset`."""
    payload = compress(canonical_json(document), INDEX_LEVEL)
    footer = _FOOTER.pack(offset + _SKIPPABLE_HEADER.size, len(payload), FOOTER_MAGIC)
    return _SKIPPABLE_HEADER.pack(SKIPPABLE, len(payload) + len(footer)) + payload + footer


def read_trailer(size: int, read_range: ReadRange, what: str) -> tuple[bytes, int]:
    """The JSON text of the skippable frame at the end of `size` bytes, and the offset at which that frame starts.

    Raises CorruptBlob if the bytes do not end with such a frame. Makes one or two reads.
    """
    least = _SKIPPABLE_HEADER.size + _FOOTER.size
    if size < least:
        raise CorruptBlob(what, _UNKNOWN)
    tail = read_range(size - min(size, _TAIL), min(size, _TAIL))
    offset, length, magic = _FOOTER.unpack(tail[-_FOOTER.size :])
    if magic != FOOTER_MAGIC:
        raise CorruptBlob(what, _UNKNOWN)
    start = offset - _SKIPPABLE_HEADER.size
    if length > INDEX_BYTES or start < 0 or offset + length + _FOOTER.size != size:
        raise CorruptBlob(what, "states an impossible place for its index")
    if size - start > len(tail):
        tail = read_range(start, size - start)
    frame = tail[len(tail) - (size - start) :]
    if _SKIPPABLE_HEADER.unpack(frame[: _SKIPPABLE_HEADER.size]) != (SKIPPABLE, length + _FOOTER.size):
        raise CorruptBlob(what, "does not store its index in a skippable frame")
    payload = frame[_SKIPPABLE_HEADER.size : -_FOOTER.size]
    return decompress(payload, what, limit=INDEX_BYTES), start


def read_index(size: int, read_range: ReadRange, what: str = "an object") -> ObjectIndex:
    """Read the index of an object of `size` bytes. Raises CorruptBlob unless it consists of frames and index only."""
    text, end = read_trailer(size, read_range, what)
    index = decode_json(text, ObjectIndex, what)
    check_index(index, what, end=end)
    return index


def check_index(index: ObjectIndex, what: str, *, end: int | None = None) -> list[Span]:
    """Raise CorruptBlob unless the index describes exactly one safe tree in exactly one way. Returns its spans.

    Afterwards the following holds. The format is known. Members are sorted, unique and safe to write, with valid
    digests and sizes. Frames are contiguous from 0 (to `end`, if given), contain at most FRAME bytes each, and are cut
    as `spans.spans` cuts these members.
    """
    if index.format != OBJECT_FORMAT:
        raise CorruptBlob(what, f"is object format {index.format}; this envc reads {OBJECT_FORMAT}", "upgrade envc")
    try:
        parse_sha256(index.artifact)
        for member in index.members:
            check_member(member)
        check_tree(index.members, **rules(index.layout))
    except UnsafePath as error:
        raise CorruptBlob(what, str(error)) from None
    except ValueError as error:
        raise CorruptBlob(what, str(error)) from None
    # A member of a TiB takes a hundred thousand frames, so their number is checked before they are computed.
    if sum(map(_size, index.members)) > FRAME * len(index.frames):
        raise CorruptBlob(what, f"has {len(index.frames)} frames, too few for its members")
    cut = spans(index.members)
    _check_frames(index, cut, what, end)
    return cut


def check_member(member: Member) -> None:
    """Raise ValueError unless the fields of a member are consistent."""
    if not 0 <= member.mtime <= MAX_OCTAL:
        raise ValueError(f"{member.path[:200]!r} has a time that tar cannot store")
    if member.type == "file":
        parse_sha256(member.sha256)
        if member.mode not in (0o644, 0o755) or not 0 <= member.size <= CONTENT_BYTES or member.link:
            raise ValueError(f"{member.path[:200]!r} is not a plain file")
    elif member.mode != 0o777 or member.size or member.sha256 or not member.link:
        raise ValueError(f"{member.path[:200]!r} is not a plain link")


def _check_frames(index: ObjectIndex, cut: list[Span], what: str, end: int | None) -> None:
    if len(cut) != len(index.frames):
        raise CorruptBlob(what, f"has {len(index.frames)} frames, but its members fill {len(cut)}")
    position = 0
    for number, (frame, span) in enumerate(zip(index.frames, cut, strict=True)):
        continued = index.members[span.first] if span.at else None
        expected = (span.raw, continued.path if continued else "", span.at, continued.mode if continued else 0)
        if (frame.raw, frame.path, frame.at, frame.mode) != expected:
            raise CorruptBlob(what, f"frame {number} does not contain the members that belong there")
        if frame.offset != position or frame.length <= 0:
            raise CorruptBlob(what, f"frame {number} does not follow the one before")
        try:
            parse_sha256(frame.sha256)
        except ValueError as error:
            raise CorruptBlob(what, f"frame {number}: {error}") from None
        position += frame.length
    if end is not None and position != end:
        raise CorruptBlob(what, f"its frames end at byte {position}, but its index starts at byte {end}")
