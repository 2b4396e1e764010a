"""The METADATA of a wheel, read from as little of the archive as possible, whether local or remote.

The archive is not trusted: every length is checked against a bound before it is used, and the central directory, the
local header and the content must agree. Deviations from the wheel format (PEP 427) and the ZIP specification
(APPNOTE 6.3) raise ValueError with a reason.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import msgspec

from envc.system import zip_structures as zips
from envc_solvers.pypi.language.requirement import canonicalize_name

TAIL = 1 << 16  # bytes of the first read; they hold directory and METADATA of 9 wheels in 10
LARGEST_METADATA = 1 << 24  # bytes
_LARGEST_DIRECTORY = 1 << 26  # bytes
_MAX_ENTRIES = 1 << 18
_METADATA = b".dist-info/METADATA"
_LONGEST_COMMENT = 0xFFFF
_STORED, _DEFLATED = 0, 8

Read = Callable[[int, int], bytes]  # (offset, length) → exactly that many bytes


class _Member(msgspec.Struct, frozen=True):
    name: str
    flags: int
    method: int
    crc: int
    compressed: int  # bytes
    size: int  # bytes
    offset: int  # of the local header


def read_metadata(file: str, size: int, read: Read) -> bytes:
    """The bytes of ``<name>-<version>.dist-info/METADATA`` in the wheel of that file name and size in bytes.

    `read` is called for two or three spans within the file, from the end towards the start. Raises ValueError, and what
    `read` raises.
    """
    member = _metadata_entry(file, *_directory(size, read))
    directory_limit = size - zips.END.size
    if member.offset + zips.LOCAL.size + member.compressed > directory_limit:
        raise ValueError("METADATA lies outside the archive")
    # The extra field of the local header may be longer than that in the directory, so read a little more.
    length = min(zips.LOCAL.size + len(member.name.encode()) + 512 + member.compressed, size - member.offset)
    return _content(member, read(member.offset, length))


def read_metadata_file(path: Path) -> bytes:
    """As `read_metadata`, for a local wheel. Raises ValueError and OSError."""
    with path.open("rb") as stream:

        def read(offset: int, length: int) -> bytes:
            stream.seek(offset)
            data = stream.read(length)
            if len(data) != length:
                raise ValueError("the archive is truncated")
            return data

        return read_metadata(path.name, path.stat().st_size, read)


def name_and_version(file: str) -> tuple[str, str]:
    """The normalised name, and the version as spelt, in the file name of a wheel. Raises ValueError."""
    parts = file.removesuffix(".whl").split("-")
    if not file.endswith(".whl") or len(parts) not in (5, 6):
        raise ValueError("its name is not that of a wheel")
    return canonicalize_name(parts[0]), parts[1]


def same_version(one: str, other: str) -> bool:
    """Whether two spellings are the same version (PEP 440)."""
    if one == other:
        return True
    from packaging.version import InvalidVersion, Version

    try:
        return Version(one) == Version(other)
    except InvalidVersion:
        return False


def _directory(size: int, read: Read) -> tuple[bytes, int]:
    """The bytes of the central directory and the number of its entries."""
    if size < zips.END.size:
        raise ValueError("it is too short for a zip archive")
    start = max(0, size - TAIL)
    tail = read(start, size - start)
    at = zips.find_end(tail)
    if at < 0 and start > 0 and zips.END.size + _LONGEST_COMMENT > TAIL:
        start = max(0, size - zips.END.size - _LONGEST_COMMENT)
        tail = read(start, size - start)
        at = zips.find_end(tail)
    if at < 0:
        raise ValueError("it is not a zip archive")
    record: zips.End | zips.Zip64End = zips.read_end(tail, at)
    end = start + at  # of the directory
    if zips.DEFERRED_COUNT in (record.disk, record.entries) or zips.DEFERRED in (record.length, record.offset):
        record, end = _zip64_end(tail, start, at, read)
    entries, length, offset = record.entries, record.length, record.offset
    if record.disk or record.first_disk or record.entries_here != entries:
        raise ValueError("it is one of several volumes")
    if entries > _MAX_ENTRIES or length > _LARGEST_DIRECTORY:
        raise ValueError("its directory is too large")
    if offset + length != end:
        # ZIP parsers treat bytes between directory and end record, or before the archive, differently.
        raise ValueError("its directory is not where the archive says")
    if offset >= start:
        return tail[offset - start : offset - start + length], entries
    missing = read(offset, min(length, start - offset))
    return missing + tail[: length - len(missing)], entries


def _zip64_end(tail: bytes, start: int, at: int, read: Read) -> tuple[zips.Zip64End, int]:
    """The ZIP64 end record and its position, which must match its locator in front of the end record."""
    locator_at = at - zips.ZIP64_LOCATOR.size
    if locator_at < 0:
        raise ValueError("its zip64 locator is missing")
    locator = zips.read_zip64_locator(tail, locator_at)
    position = locator.offset
    if (
        locator.magic != zips.ZIP64_LOCATOR_MAGIC
        or locator.disks > 1
        or position + zips.ZIP64_END.size != start + locator_at
    ):
        raise ValueError("its zip64 locator is malformed")
    raw = tail[position - start :] if position >= start else read(position, zips.ZIP64_END.size)
    record = zips.read_zip64_end(raw)
    if record.magic != zips.ZIP64_END_MAGIC or record.length_of_rest != zips.ZIP64_END.size - 12:
        raise ValueError("its zip64 end record is malformed")
    return record, position


def _metadata_entry(file: str, directory: bytes, entries: int) -> _Member:
    """The single entry of this wheel's METADATA."""
    name, version = name_and_version(file)
    found: list[_Member] = []
    after = 0
    entry_size, read_lengths = zips.ENTRY.size, zips.ENTRY_LENGTHS.unpack_from
    last = len(directory) - entry_size
    # Some wheels have thousands of entries, and one is needed; only the lengths of the others are read.
    for _ in range(entries):
        at = after
        if at > last:
            raise ValueError("its directory is truncated")
        magic, name_length, extra_length, comment_length = read_lengths(directory, at)
        if magic != zips.ENTRY_MAGIC:
            raise ValueError("its directory is malformed")
        name_at = at + entry_size
        extra_at = name_at + name_length
        after = extra_at + extra_length + comment_length
        if not directory.endswith(_METADATA, name_at, extra_at) or directory.count(b"/", name_at, extra_at) != 1:
            continue
        entry = zips.read_entry(directory, at)
        extra = directory[extra_at : extra_at + extra_length]
        unpacked, packed, offset = _sizes(entry.unpacked, entry.packed, entry.offset, extra)
        text = directory[name_at:extra_at].decode("utf-8", errors="replace")
        found.append(_Member(text, entry.flags, entry.method, entry.crc, packed, unpacked, offset))
    if after != len(directory):
        raise ValueError("its directory holds more entries than it states")
    if len(found) != 1:
        raise ValueError(f"it holds {len(found)} METADATA files where one is expected")
    folder_name, _, folder_version = found[0].name.removesuffix(".dist-info/METADATA").partition("-")
    if canonicalize_name(folder_name) != name or not same_version(folder_version, version):
        raise ValueError(f"its METADATA is in {found[0].name[:200]!r}, which is the folder of another package")
    return found[0]


def _sizes(unpacked: int, packed: int, offset: int, extra: bytes) -> tuple[int, int, int]:
    """Unpacked and packed size, and offset, from the ZIP64 extra field where the entry defers to it."""
    values = [unpacked, packed, offset]
    deferred = [index for index, value in enumerate(values) if value == zips.DEFERRED]
    if not deferred:
        return unpacked, packed, offset
    for kind, length, field in zips.extra_fields(extra):
        if kind == zips.ZIP64 and length == len(field) >= 8 * len(deferred):
            for position, index in enumerate(deferred):
                values[index] = struct.unpack_from("<Q", field, 8 * position)[0]
            return values[0], values[1], values[2]
    raise ValueError("its zip64 sizes are missing")


def _content(member: _Member, data: bytes) -> bytes:
    """The member's content, out of bytes that start with its local header."""
    if member.flags & zips.ENCRYPTED:
        raise ValueError("its METADATA is encrypted")
    if member.method not in (_STORED, _DEFLATED):
        raise ValueError(f"its METADATA uses compression method {member.method}")
    if member.size > LARGEST_METADATA or member.compressed > LARGEST_METADATA:
        raise ValueError("its METADATA is too large")
    if len(data) < zips.LOCAL.size:
        raise ValueError("the archive is truncated")
    header = zips.read_local_header(data)
    name = data[zips.LOCAL.size : zips.LOCAL.size + header.name_length]
    agrees = (
        header.magic == zips.LOCAL_MAGIC
        and header.method == member.method
        and header.flags == member.flags
        and name == member.name.encode()
        # With a data descriptor or ZIP64 the local sizes are stated elsewhere.
        and (
            header.flags & zips.STREAMED
            or zips.DEFERRED in (header.packed, header.unpacked)
            or (header.packed, header.unpacked) == (member.compressed, member.size)
        )
    )
    if not agrees:
        raise ValueError("the local header of METADATA contradicts the directory")
    start = zips.LOCAL.size + header.name_length + header.extra_length
    raw = data[start : start + member.compressed]
    if len(raw) != member.compressed:
        raise ValueError("the local header of METADATA is longer than usual headers are")
    if member.method == _DEFLATED:
        raw = _inflate(raw, member.size)
    if len(raw) != member.size or zlib.crc32(raw) != member.crc:
        raise ValueError("its METADATA is damaged")
    return raw


def _inflate(raw: bytes, size: int) -> bytes:
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        # One byte more than announced is enough to detect a wrong size, and stops a decompression bomb.
        content = inflater.decompress(raw, size + 1)
    except zlib.error:
        raise ValueError("its METADATA is damaged") from None
    if not inflater.eof or inflater.unused_data:
        raise ValueError("its METADATA is damaged")
    return content
