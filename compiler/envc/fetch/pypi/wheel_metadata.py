"""The METADATA of a wheel, read from as little of the archive as possible, wherever its bytes are.

The archive is hostile: every length is bounded before it is believed, and the central directory, the local header and
the content must agree. What is not as the wheel format (PEP 427) and the ZIP specification (APPNOTE 6.3) have it
raises ValueError with a reason.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import msgspec

from envc_solvers.pypi.language.requirement import canonicalize_name

TAIL = 1 << 16  # bytes that the first read takes; holds directory and METADATA of 9 wheels in 10
LARGEST_METADATA = 1 << 24  # bytes
_LARGEST_DIRECTORY = 1 << 26  # bytes
_MOST_ENTRIES = 1 << 18
_END = struct.Struct("<4sHHHHIIH")
_END64_LOCATOR = struct.Struct("<4sIQI")
_END64 = struct.Struct("<4sQHHIIQQQQ")
_CENTRAL = struct.Struct("<4sHHHHHHIIIHHHHHII")
_CENTRAL_SHAPE = struct.Struct("<4s24xHHH")  # of the same: magic, lengths of name, extra field and comment
_LOCAL = struct.Struct("<4sHHHHHIIIHH")
_METADATA = b".dist-info/METADATA"
_LONGEST_COMMENT = 0xFFFF
_ENCRYPTED = 0x1 | 0x40 | 0x2000  # flag bits: traditional, strong, masked directory
_STORED, _DEFLATED = 0, 8

Read = Callable[[int, int], bytes]  # (offset, length) → exactly that many bytes


class _Entry(msgspec.Struct, frozen=True):
    name: str
    flags: int
    method: int
    crc: int
    compressed: int  # bytes
    size: int  # bytes
    offset: int  # of the local header


def read_metadata(file: str, size: int, read: Read) -> bytes:
    """The bytes of ``<name>-<version>.dist-info/METADATA`` in the wheel of that file name and size in bytes.

    `read` is asked for two or three spans, all within the file, from the end towards the start. Raises ValueError, and
    whatever `read` raises.
    """
    entry = _metadata_entry(file, *_directory(size, read))
    directory_limit = size - _END.size
    if entry.offset + _LOCAL.size + entry.compressed > directory_limit:
        raise ValueError("METADATA lies outside the archive")
    # The local header's extra field may differ in length from the directory's, so read a little more than needed.
    length = min(_LOCAL.size + len(entry.name.encode()) + 512 + entry.compressed, size - entry.offset)
    return _content(entry, read(entry.offset, length))


def read_metadata_file(path: Path) -> bytes:
    """The same of a local wheel. Raises ValueError and OSError."""
    with path.open("rb") as stream:

        def read(offset: int, length: int) -> bytes:
            stream.seek(offset)
            data = stream.read(length)
            if len(data) != length:
                raise ValueError("the archive is truncated")
            return data

        return read_metadata(path.name, path.stat().st_size, read)


def name_and_version(file: str) -> tuple[str, str]:
    """The normalised name and the version, as spelt, that a wheel's file name states. Raises ValueError."""
    parts = file.removesuffix(".whl").split("-")
    if not file.endswith(".whl") or len(parts) not in (5, 6):
        raise ValueError("its name is not a wheel's")
    return canonicalize_name(parts[0]), parts[1]


def same_version(one: str, other: str) -> bool:
    """Whether two spellings are one version (PEP 440)."""
    if one == other:
        return True
    from packaging.version import InvalidVersion, Version

    try:
        return Version(one) == Version(other)
    except InvalidVersion:
        return False


def _directory(size: int, read: Read) -> tuple[bytes, int]:
    """The bytes of the central directory and the number of its entries."""
    if size < _END.size:
        raise ValueError("it is too short for a zip archive")
    start = max(0, size - TAIL)
    tail = read(start, size - start)
    at = _find_end(tail)
    if at < 0 and start > 0 and _END.size + _LONGEST_COMMENT > TAIL:
        start = max(0, size - _END.size - _LONGEST_COMMENT)
        tail = read(start, size - start)
        at = _find_end(tail)
    if at < 0:
        raise ValueError("it is not a zip archive")
    _, disk, first_disk, here, entries, length, offset, _ = _END.unpack_from(tail, at)
    end = start + at  # of the directory
    if 0xFFFF in (disk, entries) or 0xFFFFFFFF in (length, offset):
        disk, first_disk, here, entries, length, offset, end = _end64(tail, start, at, read)
    if disk or first_disk or here != entries:
        raise ValueError("it is one of several volumes")
    if entries > _MOST_ENTRIES or length > _LARGEST_DIRECTORY:
        raise ValueError("its directory is too large")
    if offset + length != end:
        # Bytes between directory and end record, or before the archive, are where zip parsers disagree.
        raise ValueError("its directory is not where the archive says")
    if offset >= start:
        return tail[offset - start : offset - start + length], entries
    missing = read(offset, min(length, start - offset))
    return missing + tail[: length - len(missing)], entries


def _find_end(tail: bytes) -> int:
    """Where the end record starts; its comment must reach exactly to the end of the file. -1 for none."""
    at = tail.rfind(b"PK\x05\x06")
    while at >= 0:
        if at + _END.size <= len(tail):
            comment: int = _END.unpack_from(tail, at)[7]
            if at + _END.size + comment == len(tail):
                return at
        at = tail.rfind(b"PK\x05\x06", 0, at)
    return -1


def _end64(tail: bytes, start: int, at: int, read: Read) -> tuple[int, int, int, int, int, int, int]:
    """What the zip64 end record says, as disk, first disk, entries here, entries, length, offset, own position."""
    if at < _END64_LOCATOR.size:
        raise ValueError("its zip64 locator is missing")
    magic, _, position, disks = _END64_LOCATOR.unpack_from(tail, at - _END64_LOCATOR.size)
    if magic != b"PK\x06\x07" or disks > 1 or position + _END64.size != start + at - _END64_LOCATOR.size:
        raise ValueError("its zip64 locator is malformed")
    raw = tail[position - start :] if position >= start else read(position, _END64.size)
    magic, length_of_record, _, _, disk, first_disk, here, entries, length, offset = _END64.unpack_from(raw)
    if magic != b"PK\x06\x06" or length_of_record != _END64.size - 12:
        raise ValueError("its zip64 end record is malformed")
    return disk, first_disk, here, entries, length, offset, position


def _metadata_entry(file: str, directory: bytes, entries: int) -> _Entry:
    """The one entry that is this wheel's METADATA."""
    name, version = name_and_version(file)
    found: list[_Entry] = []
    after = 0
    last = len(directory) - _CENTRAL.size
    # Of the thousands of entries that some wheels have one is of interest: the others are no more than stepped over.
    for _ in range(entries):
        at = after
        if at > last:
            raise ValueError("its directory is truncated")
        magic, name_length, extra_length, comment_length = _CENTRAL_SHAPE.unpack_from(directory, at)
        if magic != b"PK\x01\x02":
            raise ValueError("its directory is malformed")
        name_at = at + _CENTRAL.size
        extra_at = name_at + name_length
        after = extra_at + extra_length + comment_length
        if not directory.endswith(_METADATA, name_at, extra_at) or directory.count(b"/", name_at, extra_at) != 1:
            continue
        fields = _CENTRAL.unpack_from(directory, at)
        sizes = _sizes(fields[9], fields[8], fields[16], directory[extra_at : extra_at + extra_length])
        text = directory[name_at:extra_at].decode("utf-8", errors="replace")
        found.append(_Entry(text, fields[3], fields[4], fields[7], sizes[1], sizes[0], sizes[2]))
    if after != len(directory):
        raise ValueError("its directory holds more than it counts")
    if len(found) != 1:
        raise ValueError(f"it holds {len(found)} METADATA files where one is expected")
    folder_name, _, folder_version = found[0].name.removesuffix(".dist-info/METADATA").partition("-")
    if canonicalize_name(folder_name) != name or not same_version(folder_version, version):
        raise ValueError(f"its METADATA lies in {found[0].name[:200]!r}, which is another package's place")
    return found[0]


def _sizes(size: int, compressed: int, offset: int, extra: bytes) -> tuple[int, int, int]:
    """Size, compressed size and offset, taken from the zip64 extra field where the directory defers to it."""
    values = [size, compressed, offset]
    deferred = [index for index, value in enumerate(values) if value == 0xFFFFFFFF]
    at = 0
    while deferred and at + 4 <= len(extra):
        identifier, length = struct.unpack_from("<HH", extra, at)
        if identifier == 1 and length >= 8 * len(deferred) and at + 4 + length <= len(extra):
            for position, index in enumerate(deferred):
                values[index] = struct.unpack_from("<Q", extra, at + 4 + 8 * position)[0]
            return values[0], values[1], values[2]
        at += 4 + length
    if deferred:
        raise ValueError("its zip64 sizes are missing")
    return size, compressed, offset


def _content(entry: _Entry, data: bytes) -> bytes:
    """The entry's content, out of bytes that start with its local header."""
    if entry.flags & _ENCRYPTED:
        raise ValueError("its METADATA is encrypted")
    if entry.method not in (_STORED, _DEFLATED):
        raise ValueError(f"its METADATA uses compression method {entry.method}")
    if entry.size > LARGEST_METADATA or entry.compressed > LARGEST_METADATA:
        raise ValueError("its METADATA is too large")
    if len(data) < _LOCAL.size:
        raise ValueError("the archive is truncated")
    magic, _, flags, method, _, _, _, compressed, size, name_length, extra_length = _LOCAL.unpack_from(data)
    name = data[_LOCAL.size : _LOCAL.size + name_length]
    agrees = (
        magic == b"PK\x03\x04"
        and method == entry.method
        and flags == entry.flags
        and name == entry.name.encode()
        # With a data descriptor (bit 3) or zip64 the local sizes stand elsewhere.
        and (flags & 0x8 or 0xFFFFFFFF in (compressed, size) or (compressed, size) == (entry.compressed, entry.size))
    )
    if not agrees:
        raise ValueError("the local header of METADATA contradicts the directory")
    start = _LOCAL.size + name_length + extra_length
    raw = data[start : start + entry.compressed]
    if len(raw) != entry.compressed:
        raise ValueError("the local header of METADATA is longer than usual headers are")
    if entry.method == _DEFLATED:
        raw = _inflate(raw, entry.size)
    if len(raw) != entry.size or zlib.crc32(raw) != entry.crc:
        raise ValueError("its METADATA is damaged")
    return raw


def _inflate(raw: bytes, size: int) -> bytes:
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        # One byte more than announced is enough to tell a lie; a bomb goes no further.
        content = inflater.decompress(raw, size + 1)
    except zlib.error:
        raise ValueError("its METADATA is damaged") from None
    if not inflater.eof or inflater.unused_data:
        raise ValueError("its METADATA is damaged")
    return content
