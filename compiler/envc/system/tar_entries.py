"""The entries of tar archives that every common reader reads in the same way.

Tar has grown in several directions (V7, POSIX ustar and pax, GNU, star, Solaris). Readers differ in which extensions
they know, which of two headers counts, and whether content follows a header. This reader accepts what all of them read
alike, and refuses the rest with a reason. It does not judge names: its users check where paths and links lead.

Accepted are headers of files, folders, symbolic links and hard links, all of them in the format of ustar, GNU or V7. In
a ustar archive, one pax header may stand before an entry, and at the start a global one with a comment, as git writes
it. In a GNU archive, headers of a long name and a long link may stand before an entry.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from typing import BinaryIO, Literal, NamedTuple
from zlib import adler32

from envc.model.limits import TAR_EXTENSION_BYTES

BLOCK = 512  # bytes; headers and contents start at multiples of this
MAX_OCTAL = 0o77777777777  # the largest number in a twelve-byte field

Kind = Literal["file", "folder", "symbolic link", "hard link"]

_CHUNK = 1 << 20
_ZEROS = bytes(BLOCK)
_LARGEST_NUMBER = 1 << 60  # of a field; some readers ignore higher bits
_MAX_OWNER = (1 << 32) - 2  # the largest id of a user or group

# name, mode, uid, gid, size, mtime, checksum, type, link name, magic with version, names of user and group,
# two device numbers, prefix, padding
_FIELDS = struct.Struct("100s 8s 8s 8s 12s 12s 8s c 100s 8s 64x 8s 8s 155s 12s")
_CHECKSUM, _CHECKSUM_END = 148, 156  # offsets
_V7_END = 257  # offset of the magic, where a V7 header ends
_GNU_END = 345  # offset of the fields that GNU headers have instead of a prefix, for sparse and incremental archives
_POSIX, _GNU, _V7 = b"ustar\x0000", b"ustar  \x00", bytes(8)

_KINDS: dict[bytes, Kind] = {b"0": "file", b"\0": "file", b"1": "hard link", b"2": "symbolic link", b"5": "folder"}
_PAX, _GLOBAL, _LONG_NAME, _LONG_LINK = b"x", b"g", b"L", b"K"
_DIALECTS = {_PAX: _POSIX, _GLOBAL: _POSIX, _LONG_NAME: _GNU, _LONG_LINK: _GNU}  # of the extended headers

_RECORD = re.compile(rb"([1-9][0-9]{0,6}) ([!-<>-~]+)=")  # length of the whole record, keyword
_NUMBER = re.compile(rb"0|[1-9][0-9]{0,17}")
_TIME = re.compile(rb"-?[0-9]{1,12}(?:\.[0-9]{1,30})?")
_TIMES = frozenset((b"mtime", b"atime", b"ctime", b"LIBARCHIVE.creationtime"))
_OWNERS = frozenset((b"uid", b"gid"))
_NAMES = frozenset((b"path", b"linkpath"))
_CHARSETS = frozenset((b"ISO-IR 10646 2000 UTF-8", b"BINARY"))  # names must be UTF-8 under both
# Texts and numbers that affect neither names nor contents nor links.
_NEUTRAL = frozenset(
    (
        b"comment",
        b"gname",
        b"uname",
        b"LIBARCHIVE.symlinktype",
        b"SCHILY.dev",
        b"SCHILY.ino",
        b"SCHILY.nlink",
    )
)
_ATTRIBUTES = (b"SCHILY.xattr.", b"LIBARCHIVE.xattr.", b"RHT.security.")  # their values are bytes


class TarEntry(NamedTuple):
    """One file, folder or link, as its headers state it."""

    path: str  # without "./" at its start and without the slash after a folder; "" for the top folder
    kind: Kind
    size: int  # bytes; 0 unless it is a file
    executable: bool  # for anybody, as in pip and uv
    mtime: float  # seconds since the epoch
    target: str  # of a link; that of a hard link is without "./" at its start
    offset: int  # of the content in the archive


class _Header(NamedTuple):
    name: bytes  # with the prefix
    mode: int
    size: int
    mtime: int
    type: bytes
    link: bytes
    dialect: bytes  # _POSIX, _GNU or _V7


class _Extension(NamedTuple):
    """What the extended headers before an entry state about it."""

    types: bytes = b""  # of these headers
    path: bytes | None = None
    link: bytes | None = None
    size: int | None = None
    mtime: float | None = None


_NO_EXTENSION = _Extension()


def read_entries(stream: BinaryIO) -> Iterator[TarEntry]:
    """The entries of an uncompressed archive in a seekable stream, in order.

    Raises ValueError with the reason for an archive that readers may read differently. An archive is accepted only when
    the iterator ends.
    """
    at = 0
    extension = _NO_EXTENSION
    dialect = b""
    while (block := _read(stream, at, BLOCK)) != _ZEROS:
        header = _header(block)
        offset = at + BLOCK
        size = header.size
        dialect = dialect or header.dialect
        if header.dialect != dialect or header.dialect != _DIALECTS.get(header.type, dialect):
            raise ValueError(f"{_shown(header.name)} has a header of another format than the rest of the archive")
        if header.type == _GLOBAL:
            _check_global(_content(stream, header, offset), is_first=at == 0)
        elif header.type in _DIALECTS:
            extension = _extended(extension, header, _content(stream, header, offset))
        else:
            entry = _entry(header, extension, offset)
            yield entry
            size = entry.size
            extension = _NO_EXTENSION
        at = offset + size + -size % BLOCK
    if extension is not _NO_EXTENSION:
        raise ValueError("its last extended header belongs to no entry")
    _read(stream, at, 2 * BLOCK)  # Some readers demand the two blocks of zeros that POSIX specifies.
    stream.seek(at)
    while chunk := stream.read(_CHUNK):
        if chunk.count(0) != len(chunk):
            raise ValueError("bytes after its last entry belong to no entry")


def _read(stream: BinaryIO, at: int, size: int) -> bytes:
    stream.seek(at)
    data = stream.read(size)
    if len(data) != size:
        raise ValueError("it is cut off")
    return data


def _header(block: bytes) -> _Header:
    (
        name, mode, uid, gid, size, mtime, checksum, kind, link, magic, major, minor, prefix, padding,
    ) = _FIELDS.unpack(block)  # fmt: skip
    if _octal(checksum) != _sum(block):
        raise ValueError("a header has a wrong checksum, so the bytes after the entry before it belong to no entry")
    path = _text(name)
    if magic == _POSIX:
        if padding.strip(b"\0"):
            raise ValueError(f"{_shown(path)} has a header with unknown fields")
        if prefix[0]:
            path = _text(prefix) + b"/" + path
    elif block[_GNU_END if magic == _GNU else _V7_END :].strip(b"\0"):
        raise ValueError(f"{_shown(path)} has a header with fields that only some readers know")
    for field in (uid, gid):
        if _number(field, path, default=0) > _MAX_OWNER:
            raise ValueError(f"{_shown(path)} has an owner that not every reader can read")
    for field in (major, minor):
        _number(field, path, default=0)
    if mode[0] & 0x80:
        raise ValueError(f"{_shown(path)} has a mode that not every reader can read")
    return _Header(
        name=path,
        mode=_number(mode, path, default=0),
        size=_number(size, path),
        mtime=_number(mtime, path, default=0, negative=True),
        type=kind,
        link=_text(link),
        dialect=magic,
    )


def _sum(block: bytes) -> int:
    """The sum of the bytes, with the checksum field as spaces (POSIX). Some readers sum signed bytes as well."""
    text = block[:_CHECKSUM] + b"        " + block[_CHECKSUM_END:]
    # The low half of an Adler-32 that starts at 0 is the sum of the bytes modulo 65521 (RFC 1950). ASCII stays below.
    return adler32(text, 0) & 0xFFFF if text.isascii() else sum(text)


def _octal(field: bytes) -> int | None:
    """The number in a field: spaces, octal digits, then at least one space or NUL. None for anything else."""
    digits = field.rstrip(b"\0 ")
    if len(digits) == len(field):
        return None
    digits = digits.lstrip(b" ")
    try:
        return int(digits, 8) if digits.isdigit() else None
    except ValueError:
        return None


def _number(field: bytes, path: bytes, *, default: int | None = None, negative: bool = False) -> int:
    """The number in a field: octal digits, or GNU's form for large numbers. A field of NULs has the number `default`.

    GNU's form of negative numbers is accepted only with `negative`.
    """
    number = _octal(field)
    if number is None and field[0] == 0x80:
        number = int.from_bytes(field[1:], "big")
    elif number is None and field[0] == 0xFF and negative:
        number = int.from_bytes(field, "big", signed=True)
    elif number is None and not field.strip(b"\0"):
        number = default
    if number is None or not -_LARGEST_NUMBER <= number <= _LARGEST_NUMBER:
        raise ValueError(f"{_shown(path)} has the number {field!r} in its header, which not every reader can read")
    return number


def _text(field: bytes) -> bytes:
    """The bytes of a field before its first NUL. Some writers leave parts of longer names after it."""
    return field.partition(b"\0")[0]


def _content(stream: BinaryIO, header: _Header, offset: int) -> bytes:
    """The content of an extended header."""
    if not 0 < header.size <= TAR_EXTENSION_BYTES:
        raise ValueError(f"it has an extended header of {header.size} bytes")
    return _read(stream, offset, header.size)


def _check_global(data: bytes, *, is_first: bool) -> None:
    if not is_first:
        raise ValueError("it has a global pax header after its first header")
    other = sorted(_records(data).keys() - {b"comment"})
    if other:
        raise ValueError(f"its global pax header sets {_shown(other[0])} for all entries, which not every reader does")


def _extended(before: _Extension, header: _Header, data: bytes) -> _Extension:
    """What is stated about the next entry after one more extended header."""
    types = before.types + header.type
    if before.types and types not in (_LONG_NAME + _LONG_LINK, _LONG_LINK + _LONG_NAME):
        raise ValueError("it has several extended headers before one entry, of which readers use different ones")
    if header.type == _PAX:
        return _pax(_records(data))
    text = data[:-1]
    if not text or b"\0" in text or data[-1]:
        raise ValueError(f"it has the long name {_shown(data)}, which is empty, or does not end with its only NUL")
    path, link = (text, before.link) if header.type == _LONG_NAME else (before.path, text)
    return _Extension(types, path, link)


def _pax(records: dict[bytes, bytes]) -> _Extension:
    for keyword, value in records.items():
        _check_record(keyword, value)
    size, mtime = records.get(b"size"), records.get(b"mtime")
    return _Extension(
        types=_PAX,
        path=records.get(b"path"),
        link=records.get(b"linkpath"),
        size=None if size is None else int(size),
        mtime=None if mtime is None else float(mtime),
    )


def _check_record(keyword: bytes, value: bytes) -> None:
    if keyword in _NAMES:
        is_valid = bool(value) and b"\0" not in value
    elif keyword == b"size":
        is_valid = _NUMBER.fullmatch(value) is not None
    elif keyword in _OWNERS:
        is_valid = _NUMBER.fullmatch(value) is not None and int(value) <= _MAX_OWNER
    elif keyword in _TIMES:
        is_valid = _TIME.fullmatch(value) is not None
    elif keyword == b"hdrcharset":
        is_valid = value in _CHARSETS
    elif keyword in _NEUTRAL:
        is_valid = b"\0" not in value and _is_utf8(value)
    elif keyword.startswith(_ATTRIBUTES):
        is_valid = True
    else:
        raise ValueError(f"it has a pax header with {_shown(keyword)}, which not every reader knows")
    if not is_valid:
        raise ValueError(f"it has a pax header with {_shown(keyword)}={_shown(value)}, which is not a valid value")


def _records(data: bytes) -> dict[bytes, bytes]:
    """The records ``length keyword=value\\n`` of a pax header (POSIX.1-2001).

    Line feeds in values are refused: some readers split records there.
    """
    records: dict[bytes, bytes] = {}
    at = 0
    while at < len(data):
        match = _RECORD.match(data, at)
        if match is None:
            raise ValueError("it has a pax header with a damaged record")
        at += int(match[1])
        value = data[match.end() : at]
        if at > len(data) or not value.endswith(b"\n") or value.count(b"\n") != 1:
            raise ValueError(f"it has a pax header with a damaged record of {_shown(match[2])}")
        if match[2] in records:
            raise ValueError(f"it has a pax header with {_shown(match[2])} twice")
        records[match[2]] = value[:-1]
    return records


def _entry(header: _Header, extension: _Extension, offset: int) -> TarEntry:
    raw = header.name if extension.path is None else extension.path
    kind = _KINDS.get(header.type)
    path = _decoded(raw)
    if kind is None:
        raise ValueError(f"{path!r} is neither a file, a folder nor a link, but of type {header.type!r}")
    if not path:
        raise ValueError("it has an entry without a name")
    target = _decoded(header.link if extension.link is None else extension.link)
    if kind in ("symbolic link", "hard link"):
        # Without a target in the plain header, libarchive ignores the one in the extended header.
        if not header.link or not target:
            raise ValueError(f"{path!r} is a {kind} to nothing")
    elif header.link or target:
        raise ValueError(f"{path!r} is a {kind} with the target of a link")
    size = _size(header, extension, path)
    if size and kind != "file":
        raise ValueError(f"{path!r} is a {kind} with a size, and readers differ in whether content follows it")
    if kind != "folder" and path.endswith("/"):
        raise ValueError(f"{path!r} is a {kind} with the name of a folder")
    path = path.removeprefix("./")
    if kind == "folder":
        path = "" if path in ("", ".") else path.removesuffix("/")
    return TarEntry(
        path=path,
        kind=kind,
        size=size,
        executable=bool(header.mode & 0o111),
        mtime=header.mtime if extension.mtime is None else extension.mtime,
        target=target.removeprefix("./") if kind == "hard link" else target,
        offset=offset,
    )


def _size(header: _Header, extension: _Extension, path: str) -> int:
    """The size of an entry. If a pax header states it, the plain header must agree as far as its field can."""
    size = extension.size
    if size is None or size == header.size:
        return header.size
    if size <= MAX_OCTAL or header.size not in (0, MAX_OCTAL):
        raise ValueError(f"the headers of {path!r} disagree about its size")
    return size


def _decoded(name: bytes) -> str:
    try:
        return name.decode()
    except UnicodeDecodeError:
        raise ValueError(f"{_shown(name)} is not UTF-8") from None


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def _shown(text: bytes) -> str:
    return repr(text[:200].decode("utf-8", "backslashreplace"))
