"""Reads ZIP archives of the one form that every common reader reads in the same way (APPNOTE 6.3).

An archive describes its members three times: in the directory at its end, in a header before each member, and, where
the writer could not seek, in a descriptor after the content. Readers use different ones of these: installers use the
directory, and streaming readers the headers. So an archive is accepted only if

* the end record is the last thing in it, its ZIP64 form stands directly before it, and both agree;
* the directory ends where the end record begins, and lists as many entries as that states;
* the members follow each other from the first byte up to the directory. Bytes between them begin no member, and
  follow one whose size is stated before it;
* header, descriptor and directory agree about a member's name, flags, method, checksum and sizes;
* a compressed content ends with the last of its bytes, and a stored one has the size that is stated;
* no field states a second name, type, size or place.

Every archive is read through the functions of this module: to unpack it, to read one file of it, and to read one file
through range requests. The last one cannot see the other members' headers, and checks everything else.

All functions raise ValueError with the reason, in words that follow the name of a file.
"""

from __future__ import annotations

import io
import re
import struct
import zlib
from collections.abc import Iterable
from typing import TYPE_CHECKING, BinaryIO, cast

from envc.system import zip_structures as zips
from envc.system.zip_directory import (
    DEFLATED,
    EFFORT,
    LONGEST_DESCRIPTOR,
    NEWEST,
    STORED,
    Read,
    ZipMember,
    offset_of,
    read_directory,
    zip64_field,
)

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_CHUNK = 1 << 16  # bytes that are decompressed at once
# Of entries, headers, ends and descriptors.
_SIGNATURE = re.compile(rb"PK(?:\x01\x02|\x03\x04|\x05\x06|\x07\x08)")


class BadMember(ValueError):
    """The content of a member is not the one that its entry describes."""


def read_member(member: ZipMember, read: Read) -> bytes:
    """The content of a member, compared with its header. `read` is called once, for the whole member."""
    data = read(member.offset, member.end - member.offset)

    def within(offset: int, length: int) -> bytes:
        return data[offset - member.offset : offset - member.offset + length]

    with _Content(within, member, content_offset(member, within)) as content:
        return content.read()


def content_offset(member: ZipMember, read: Read) -> int:
    """The offset of the content of a member, whose header and descriptor are compared with the directory."""
    head = read(member.offset, min(zips.LOCAL.size + len(member.name.encode()), member.end - member.offset))
    header = zips.read_local_header(head)
    name = member.name.encode()
    start = member.offset + zips.LOCAL.size + len(name) + header.extra_length
    if start + member.packed > member.end:
        raise ValueError(f"{member.name!r} and the entry after it overlap")
    if (
        header.magic != zips.LOCAL_MAGIC
        or header.version > NEWEST
        or header.name_length != len(name)
        or head[zips.LOCAL.size :] != name
        or (header.flags ^ member.flags) & ~EFFORT
        or header.method != member.method
    ):
        raise ValueError(f"the header of {member.name!r} and the directory disagree")
    is_large = False
    stated = (header.crc, header.packed, header.unpacked)
    if header.extra_length:
        extra = read(start - header.extra_length, header.extra_length)
        field = zip64_field(member.name, name, extra)
        if field is not None:
            stated, is_large = _large_sizes(member, stated, field), True
    actual = (member.crc, member.packed, member.size)
    is_streamed = bool(member.flags & zips.STREAMED)
    if stated != actual and not (is_streamed and stated == (0, 0, 0)):
        raise ValueError(f"the header of {member.name!r} and the directory disagree about its size")
    after = start + member.packed
    if is_streamed:
        rest = read(after, min(LONGEST_DESCRIPTOR, member.end - after))
        after += _descriptor_length(member, rest, is_large=is_large)
    if after != member.end:
        # Readers of streams look for the next signature, and others do not look here at all.
        gap = read(after, member.end - after)
        if is_streamed or b"PK" in gap:
            raise ValueError(f"bytes after {member.name!r} belong to no entry")
    return start


class ZipArchive:
    """A whole archive. All its bytes are accounted for, except those of contents: these are checked as they are read.

    One thread may read it. Each content has its own position.
    """

    def __init__(self, stream: BinaryIO, *, most: int) -> None:
        self._stream = stream
        self.size = stream.seek(0, io.SEEK_END)
        self.members = read_directory(self.size, self._read, most=most)
        self._starts = {
            member.offset: content_offset(member, self._read) for member in sorted(self.members, key=offset_of)
        }

    def open(self, member: ZipMember) -> BinaryIO:
        """The content of a member.

        Reading it raises BadMember, with its last byte at the latest, if it is not the one that its entry describes.
        """
        return cast("BinaryIO", _Content(self._read, member, self._starts[member.offset]))

    def read(self, member: ZipMember) -> bytes:
        with self.open(member) as content:
            return content.read()

    def check(self, members: Iterable[ZipMember]) -> None:
        """Read contents that are of no further use, because other readers may find more in them."""
        for member in members:
            with self.open(member) as content:
                while content.read(1 << 20):
                    pass

    def _read(self, offset: int, length: int) -> bytes:
        self._stream.seek(offset)
        data = self._stream.read(length)
        if len(data) != length:
            raise ValueError("it is cut off")
        return data


class _Content(io.RawIOBase):
    """The content of one member. Its end and its checksum are verified with its last byte."""

    def __init__(self, read: Read, member: ZipMember, start: int) -> None:
        self._bytes = read
        self._member = member
        self._at = start  # of the next byte that is still packed
        self._end = start + member.packed
        self._left = member.size
        self._crc = 0
        self._waiting = b""  # bytes that were read, and not decompressed
        # A streaming reader finds the end of such a member by its descriptor, which the content could imitate.
        self._is_searched = member.method == STORED and bool(member.flags & zips.STREAMED)
        self._last = b""  # bytes of the content in which a signature may begin
        self._inflater = zlib.decompressobj(-zlib.MAX_WBITS) if member.method == DEFLATED else None
        if not self._left:
            self._finish()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer).cast("B")
        data = self.read(len(view))
        view[: len(data)] = data
        return len(data)

    def readall(self) -> bytes:
        parts = []
        while part := self.read(1 << 20):
            parts.append(part)
        return b"".join(parts)

    def read(self, size: int | None = -1) -> bytes:
        if size is None or size < 0:
            return self.readall()
        size = min(size, self._left)
        if not size:
            return b""
        data = self._next(size) if self._inflater is None else self._inflate(size)
        if self._is_searched:
            self._search(data)
        self._left -= len(data)
        self._crc = zlib.crc32(data, self._crc)
        if not self._left:
            self._finish()
        return data

    def _search(self, data: bytes) -> None:
        window = self._last + data
        if _SIGNATURE.search(window):
            raise BadMember(f"{self._member.name!r} states its size only at its end, and contains such an end")
        self._last = window[-3:]

    def _next(self, size: int) -> bytes:
        size = min(size, self._end - self._at)
        data = self._bytes(self._at, size) if size else b""
        self._at += size
        return data

    def _inflate(self, size: int) -> bytes:
        """The next bytes of the content, at least one."""
        while True:
            packed = self._waiting or self._next(_CHUNK)
            data = self._decompress(packed, size)
            if data:
                return data
            if not packed or self._is_done:
                raise BadMember(f"the compressed content of {self._member.name!r} ends too early")

    def _decompress(self, packed: bytes, size: int) -> bytes:
        assert self._inflater is not None
        try:
            data = self._inflater.decompress(packed, size)
        except zlib.error:
            raise BadMember(f"{self._member.name!r} is damaged") from None
        self._waiting = self._inflater.unconsumed_tail
        return data

    @property
    def _is_done(self) -> bool:
        """Whether the compressed stream has ended, wherever the member ends."""
        return self._inflater is not None and self._inflater.eof

    def _finish(self) -> None:
        name = self._member.name
        if self._inflater is not None:
            while not self._is_done:
                packed = self._waiting or self._next(_CHUNK)
                if self._decompress(packed, 1) or not packed:
                    raise BadMember(f"the content of {name!r} has another size than its entry states")
            if self._inflater.unused_data or self._at != self._end:
                raise BadMember(f"bytes follow the end of the compressed content of {name!r}")
        if self._crc != self._member.crc:
            raise BadMember(f"{name!r} does not match its checksum")


def _large_sizes(member: ZipMember, stated: tuple[int, int, int], field: bytes) -> tuple[int, int, int]:
    """Checksum and sizes of a header with a ZIP64 field, which states both sizes (APPNOTE 4.5.3).

    protobuf's wheels have such fields beside plain sizes, with the same numbers.
    """
    crc, packed, unpacked = stated
    if len(field) != 16:
        raise ValueError(f"the zip64 field in the header of {member.name!r} does not hold two sizes")
    large_unpacked, large_packed = struct.unpack("<QQ", field)
    if (packed, unpacked) == (zips.DEFERRED, zips.DEFERRED):
        return crc, large_packed, large_unpacked
    if (packed, unpacked) != (large_packed, large_unpacked) or member.flags & zips.STREAMED:
        raise ValueError(f"the header of {member.name!r} states two different sizes")
    return stated


def _descriptor_length(member: ZipMember, data: bytes, *, is_large: bool) -> int:
    """The length of the descriptor at the start of these bytes, with or without a signature (APPNOTE 4.3.9)."""
    layout = zips.ZIP64_DESCRIPTOR if is_large else zips.DESCRIPTOR
    signature = zips.DESCRIPTOR_MAGIC if data.startswith(zips.DESCRIPTOR_MAGIC) else b""
    body = data[len(signature) : len(signature) + layout.size]
    if len(body) != layout.size or layout.unpack(body) != (member.crc, member.packed, member.size):
        raise ValueError(f"the descriptor after {member.name!r} and the directory disagree about its size")
    if member.method == STORED and not signature:
        raise ValueError(f"the descriptor after {member.name!r} has no signature, so that its start cannot be found")
    return len(signature) + layout.size
