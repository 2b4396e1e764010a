"""The directory of a ZIP archive, of the one form that every common reader reads in the same way (APPNOTE 6.3).

Accepted is a directory whose end record is the last thing in the archive, with its ZIP64 form directly before it and
agreeing with it, and whose entries account for all bytes before it, as far as the directory can tell. Their flags,
methods, versions and extra fields are those that every reader knows, and no field states a second name, type, size or
place of a member. `system.zip_reader` compares entries with the headers and contents of their members.

All functions raise ValueError with the reason, in words that follow the name of a file.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from operator import attrgetter

import msgspec

from envc.model.limits import ZIP_DIRECTORY_BYTES
from envc.system import zip_structures as zips

STORED, DEFLATED = 0, 8  # the methods that every reader knows
NEWEST = 45  # version 4.5, the one of ZIP64; Info-ZIP skips members that need more than 4.6
EFFORT = 0x6  # flag bits: the effort of the compressor, which does not affect the content
LONGEST_DESCRIPTOR = 4 + zips.ZIP64_DESCRIPTOR.size

_LONGEST_FIELD = 0xFFFF  # bytes of a name, an extra field or a comment
_LONGEST_END = zips.ZIP64_LOCATOR.size + zips.END.size + _LONGEST_FIELD
_TAIL = 1 << 16  # bytes of the first read; they hold the directory of 9 wheels in 10

_KNOWN_FLAGS = EFFORT | zips.STREAMED | zips.UTF_8
_FOLDER = 0x10  # bit of the external attributes: a folder, by the rules of MS-DOS
_LABEL = 0x08  # bit of the external attributes: the name of a disk, which Info-ZIP does not unpack
_TIMES = 0x5455  # kind of extra field: times of Info-ZIP, with a byte that says which
_UNICODE_PATH_HEAD = 1 + 4  # bytes of version and CRC before the name

# Kinds of extra fields that give some readers another name, type or content of the member.
_MISLEADING = {
    0x000D: "PKWARE's link target",
    0x0017: "strong encryption",
    0x07C8: "a Macintosh file",
    0x334D: "a Macintosh file",
    0x554E: "Xceed's second name",
    0x6C78: "libarchive's second directory entry",
    0x756E: "the link target of ASi",
    0x9901: "AES encryption",
}
# Names that some readers change, or that lead out of a folder: Info-ZIP takes `;1` at the end for a version of VMS.
_ODD_NAME = re.compile(r"[\x00-\x1f\x7f\\]|^[A-Za-z]:|(?:^|/)\.{0,2}(?:/|$)|;[0-9]*$")

Read = Callable[[int, int], bytes]  # (offset, length) → exactly that many bytes


class ZipMember(msgspec.Struct, gc=False):
    """A file or folder of an archive, as all of its descriptions state it."""

    name: str  # that of a folder ends in a slash
    flags: int
    method: int
    crc: int
    packed: int  # bytes
    size: int  # bytes of the content
    offset: int  # of the header
    end: int  # offset of the next member, or of the directory
    attributes: int  # external ones; the upper 16 bits are the mode of POSIX
    date: int
    time: int

    @property
    def is_folder(self) -> bool:
        return self.name.endswith("/")

    @property
    def is_executable(self) -> bool:
        return bool(self.attributes >> 16 & 0o111)

    @property
    def date_time(self) -> tuple[int, int, int, int, int, int]:
        """Year to second, in no time zone. Nothing is checked."""
        date, time = self.date, self.time
        return (date >> 9) + 1980, date >> 5 & 0xF, date & 0x1F, time >> 11, time >> 5 & 0x3F, (time & 0x1F) * 2


def read_directory(size: int, read: Read, *, most: int) -> tuple[ZipMember, ...]:
    """The members of an archive of `size` bytes, in the order of its directory, and at most that many.

    `read` is called once to four times, from the end towards the start, and never for bytes outside of the archive.
    Everything is checked that can be seen without the headers of the members.
    """
    try:
        directory, count, start = _directory(size, read, most)
        return _members(directory, count, start)
    except struct.error:
        raise ValueError("its directory is cut off") from None


def _directory(size: int, read: Read, most: int) -> tuple[bytes, int, int]:
    """The bytes of the directory, the number of its entries, and its offset."""
    if size < zips.END.size:
        raise ValueError("it is too short for a zip archive")
    start = max(0, size - _TAIL)
    tail = read(start, size - start)
    at = tail.rfind(zips.END_MAGIC)
    if at < zips.ZIP64_LOCATOR.size and start > 0:  # a long comment follows
        start = max(0, size - _LONGEST_END)
        tail = read(start, size - start)
        at = tail.rfind(zips.END_MAGIC)
    # The last signature counts, as for Info-ZIP and Python, so a comment must not contain another one.
    if at < 0 or at + zips.END.size > len(tail):
        raise ValueError("it is not a zip archive, or is cut off")
    end = zips.read_end(tail, at)
    if at + zips.END.size + end.comment_length != len(tail):
        raise ValueError("bytes follow its end, or its comment contains another end")
    record, position = _zip64_end(end, tail, start, at, read)
    count, length, offset = record.entries, record.length, record.offset
    if record.disk or record.first_disk or record.entries_here != count:
        raise ValueError("it is one of several volumes")
    if count > most:
        raise ValueError(f"it has {count} entries, more than {most}")
    if length > ZIP_DIRECTORY_BYTES:
        raise ValueError("its directory is too large")
    if offset + length != position:
        # Readers treat bytes before the archive, and between directory and end record, in different ways.
        raise ValueError("its directory is not where its end record says, or bytes are before the archive")
    if offset >= start:
        return tail[offset - start : offset - start + length], count, offset
    missing = read(offset, min(length, start - offset))
    return missing + tail[: length - len(missing)], count, offset


def _zip64_end(end: zips.End, tail: bytes, start: int, at: int, read: Read) -> tuple[zips.End, int]:
    """The end record with the numbers of its ZIP64 form, if it has one, and the position of the first of them.

    Python uses the ZIP64 form whenever its locator is there, others only for numbers that the plain one leaves open.
    """
    locator_at = at - zips.ZIP64_LOCATOR.size
    if locator_at < 0 or tail[locator_at : locator_at + 4] != zips.ZIP64_LOCATOR_MAGIC:
        return end, start + at
    locator = zips.read_zip64_locator(tail, locator_at)
    position = locator.offset
    if locator.disk or locator.disks != 1 or position + zips.ZIP64_END.size != start + locator_at:
        raise ValueError("its zip64 locator does not refer to a record directly before it")
    raw = tail[position - start :] if position >= start else read(position, zips.ZIP64_END.size)
    large = zips.read_zip64_end(raw)
    if large.magic != zips.ZIP64_END_MAGIC or large.length_of_rest != zips.ZIP64_END.size - 12:
        raise ValueError("its zip64 end record is malformed")
    for field in ("disk", "first_disk", "entries_here", "entries", "length", "offset"):
        plain, value = getattr(end, field), getattr(large, field)
        deferred = zips.DEFERRED if field in ("length", "offset") else zips.DEFERRED_COUNT
        if plain not in (value, deferred):
            raise ValueError(f"its two end records disagree: one says {plain}, the other {value}")
    numbers = (large.disk, large.first_disk, large.entries_here, large.entries, large.length, large.offset)
    return zips.End(end.magic, *numbers, end.comment_length), position


def _members(directory: bytes, count: int, start: int) -> tuple[ZipMember, ...]:
    """The entries of a directory at this offset."""
    members = []
    at = 0
    last = len(directory) - zips.ENTRY.size
    read_entry = zips.ENTRY.unpack_from  # some archives have thousands, so they are not made values first
    for _ in range(count):
        if at > last:
            raise ValueError("its directory is cut off, or holds fewer entries than it states")
        (
            magic,
            _made_by,
            version,
            flags,
            method,
            time,
            date,
            crc,
            packed,
            size,
            name_length,
            extra_length,
            comment_length,
            disk,
            _internal,
            attributes,
            offset,
        ) = read_entry(directory, at)
        if magic != zips.ENTRY_MAGIC:
            raise ValueError("its directory is malformed")
        extra_at = at + zips.ENTRY.size + name_length
        raw = directory[extra_at - name_length : extra_at]
        at = extra_at + extra_length + comment_length
        name = _name(raw, flags)
        if extra_length or zips.DEFERRED in (size, packed, offset):
            field = zip64_field(name, raw, directory[extra_at : extra_at + extra_length])
            size, packed, offset = _deferred_sizes(name, (size, packed, offset), field)
        member = ZipMember(name, flags, method, crc, packed, size, offset, 0, attributes, date, time)
        _check_member(member)
        if disk:
            raise ValueError("it is one of several volumes")
        if version > NEWEST:
            raise ValueError(f"{name!r} needs version {version} of the format, newer than {NEWEST}")
        members.append(member)
    if at != len(directory):
        raise ValueError("its directory holds more entries than it states")
    _check_twins(members)
    _find_ends(members, start)
    return tuple(members)


def _find_ends(members: list[ZipMember], start: int) -> None:
    """Set the end of each member: the offset of the next one, or of the directory at `start`."""
    if not members:
        if start:
            raise ValueError("bytes before its directory belong to no entry")
        return
    ordered = sorted(members, key=offset_of)
    if ordered[0].offset:
        raise ValueError("bytes before its first entry belong to no entry")
    nexts = [member.offset for member in ordered[1:]]
    nexts.append(start)
    least_header = zips.LOCAL.size
    for member, end in zip(ordered, nexts, strict=True):
        name = member.name
        length = len(name) if name.isascii() else len(name.encode())
        left = end - member.offset - least_header - length - member.packed  # for extra fields, a descriptor and a gap
        if left < 0:
            raise ValueError("entries overlap, or lie outside of the archive")
        if left > _LONGEST_FIELD + (LONGEST_DESCRIPTOR if member.flags & zips.STREAMED else 0):
            raise ValueError("bytes between its entries belong to no entry")
        member.end = end


offset_of = attrgetter("offset")


def _check_twins(members: list[ZipMember]) -> None:
    """Raise ValueError for two entries of one name that are not even alike. Some writers list the same file twice."""
    if len({member.name for member in members}) == len(members):
        return
    contents: dict[str, tuple[int, int]] = {}
    for member in members:
        content = (member.size, member.crc)
        if contents.setdefault(member.name, content) != content:
            raise ValueError(f"{member.name!r} occurs twice, with different contents")


def _name(raw: bytes, flags: int) -> str:
    if not raw.isascii() and not flags & zips.UTF_8:
        # Readers take such names for CP437, for the code page of the machine, or for UTF-8.
        raise ValueError(f"the encoding of the name {raw[:80]!r} is not stated")
    try:
        name = raw.decode()
    except UnicodeDecodeError:
        raise ValueError(f"the name {raw[:80]!r} is not UTF-8, as it states") from None
    if _ODD_NAME.search(name, 0, len(name) - 1 if name.endswith("/") else len(name)):
        raise ValueError(f"{_why_odd(name)}: {name[:200]!r}")
    return name


def _why_odd(name: str) -> str:
    if re.search(r"[\x00-\x1f\x7f\\]", name):
        return "a name contains a backslash or a control character"
    if re.match(r"[A-Za-z]:", name):
        return "a name starts with a drive"
    return "a name ends like a version of VMS" if ";" in name else "a name is not a plain relative path"


def _check_member(member: ZipMember) -> None:
    """Raise ValueError for an entry that only some readers understand."""
    flags, method = member.flags, member.method
    if flags & ~_KNOWN_FLAGS:
        if flags & zips.ENCRYPTED:
            raise ValueError(f"{member.name!r} is encrypted")
        raise ValueError(f"{member.name!r} has flags {flags:#06x}, whose meaning is not common")
    if method == STORED:
        if member.packed != member.size:
            raise ValueError(f"{member.name!r} is stored, but its packed size is not its size")
    elif method != DEFLATED:
        raise ValueError(f"{member.name!r} is compressed with method {method}")
    is_folder = member.is_folder
    # Whatever system the entry states, since readers differ in whether they look at that.
    kind = member.attributes >> 28
    if kind not in (0, 0o4 if is_folder else 0o10) or (member.attributes & _FOLDER and not is_folder):
        raise ValueError(f"{member.name!r} is neither a file nor a folder, or both")
    if member.attributes & _LABEL:
        raise ValueError(f"{member.name!r} is the label of a disk")
    if is_folder and member.size:
        raise ValueError(f"{member.name!r} is a folder with content")


def zip64_field(name: str, raw: bytes, extra: bytes) -> bytes | None:
    """The content of the ZIP64 field among extra fields. None without one."""
    found: bytes | None = None
    at = 0
    while at < len(extra):
        if at + 4 > len(extra):
            raise ValueError(f"the extra fields of {name!r} are malformed")
        kind, length = struct.unpack_from("<HH", extra, at)
        field = extra[at + 4 : at + 4 + length]
        at += 4 + length
        if at > len(extra):
            raise ValueError(f"the extra fields of {name!r} are malformed")
        if kind == zips.ZIP64:
            if found is not None:
                raise ValueError(f"{name!r} has two zip64 fields")
            found = field
        elif kind == zips.UNICODE_PATH and field[_UNICODE_PATH_HEAD:] != raw:
            raise ValueError(f"{name!r} has another name in an extra field")
        elif kind == _TIMES and not field:
            raise ValueError(f"the extra fields of {name!r} are malformed")
        elif kind in _MISLEADING:
            raise ValueError(f"{name!r} has an extra field for {_MISLEADING[kind]}")
    return found


def _deferred_sizes(name: str, sizes: tuple[int, int, int], field: bytes | None) -> tuple[int, int, int]:
    """Size, packed size and offset of an entry, with those that it defers to its ZIP64 field (APPNOTE 4.5.3)."""
    deferred = [index for index, value in enumerate(sizes) if value == zips.DEFERRED]
    if len(field or b"") != 8 * len(deferred) or (field is not None and not deferred):
        raise ValueError(f"the zip64 field of {name!r} does not hold the numbers that its entry leaves open")
    if not deferred:
        return sizes
    values = list(sizes)
    for index, value in zip(deferred, struct.unpack(f"<{len(deferred)}Q", field or b""), strict=True):
        values[index] = value
    return values[0], values[1], values[2]
