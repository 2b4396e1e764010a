"""One member as tar bytes. Each member has exactly one encoding, so a reader only compares bytes.

The format is ustar (POSIX.1-2001, pax interchange format). A pax extended header is used only for what ustar cannot
express: a path that is not ASCII or does not fit into name and prefix, a link target that is not ASCII or longer than
100 bytes, and a size of 8 GiB or more.
"""

from __future__ import annotations

import hashlib
import struct
from zlib import adler32

from envc.model.record import Member

BLOCK = 512  # bytes; headers and contents start at multiples of this
MAX_OCTAL = 0o77777777777  # the largest number in a twelve-byte field
END = bytes(2 * BLOCK)  # end-of-archive marker

_NAME = 100  # bytes of the name field and of the linkname field
_PREFIX = 155  # bytes of the prefix field
# name, mode, uid and gid, size and mtime, checksum, type, link name, fields between it and the prefix, prefix
_HEADER = struct.Struct("100s 8s 16s 24s 8s c 100s 88s 155s 12x")
_ZERO = b"0000000\0"
_OWNER = 2 * _ZERO
_MAGIC = b"ustar\x0000" + bytes(64) + 2 * _ZERO  # with version, names of the owner and device numbers
# The sum of the bytes that are equal in every header. The checksum field counts as spaces (POSIX).
_FIXED_SUM = sum(_OWNER) + sum(_MAGIC) + 8 * ord(" ")
_PAX_NAME = b"././@PaxHeader"  # as in Python's tarfile


def padding(size: int) -> int:
    """The number of zero bytes after a content of `size` bytes."""
    return -size % BLOCK


def text_size(member: Member) -> int:
    """The bytes of the whole member: header, content and padding."""
    return header_size(member) + member.size + -member.size % BLOCK


def header_size(member: Member) -> int:
    """The bytes before the content of the member."""
    path = member.path
    if (
        not member.link
        and member.size <= MAX_OCTAL
        and path.isascii()
        and (len(path) <= _NAME or _split(path.encode())[1])
    ):
        return BLOCK
    return len(encode_header(member))


def encode_header(member: Member) -> bytes:
    """All blocks before the content. `mtime` must be between 0 and MAX_OCTAL."""
    path, link = member.path.encode(), member.link.encode()
    if len(path) <= _NAME and not link and member.size <= MAX_OCTAL and path.isascii():
        return _header(path, member.mode, member.size, member.mtime, b"0", b"", b"")
    pax: dict[str, bytes] = {}
    if len(link) > _NAME or not link.isascii():
        pax["linkpath"], link = link, b""
    prefix, name = _split(path)
    if not name:
        # A reader without pax support sees a safe and unique name instead of a truncated path.
        pax["path"], name = path, b"pax/" + hashlib.sha256(path).hexdigest()[:32].encode()
    size = member.size
    if size > MAX_OCTAL:
        pax["size"], size = b"%d" % size, 0
    typeflag = b"2" if member.type == "link" else b"0"
    header = _header(name, member.mode, size, member.mtime, typeflag, link, prefix)
    if not pax:
        return header
    records = b"".join(_pax_record(key.encode(), value) for key, value in pax.items())
    extended = _header(_PAX_NAME, 0o644, len(records), 0, b"x", b"", b"")
    return extended + records + bytes(padding(len(records))) + header


def _split(path: bytes) -> tuple[bytes, bytes]:
    """A path as prefix and name fields. The name is empty if ustar cannot express the path.

    Only the longest prefix is tried, since every other leaves a longer name.
    """
    if not path.isascii():
        return b"", b""
    if len(path) <= _NAME:
        return b"", path
    cut = path.rfind(b"/", 0, _PREFIX + 1)
    if cut > 0 and len(path) - cut - 1 <= _NAME:
        return path[:cut], path[cut + 1 :]
    return b"", b""


def _header(name: bytes, mode: int, size: int, mtime: int, typeflag: bytes, link: bytes, prefix: bytes) -> bytes:
    numbers = b"%07o\0%011o\0%011o\0" % (mode, size, mtime)
    # The low half of an Adler-32 that starts at 0 is the sum of the bytes modulo 65521 (RFC 1950). ASCII stays below.
    total = _FIXED_SUM + (adler32(numbers + name + prefix + link + typeflag, 0) & 0xFFFF)
    checksum = b"%06o\0 " % total
    return _HEADER.pack(name, numbers[:8], _OWNER, numbers[8:], checksum, typeflag, link, _MAGIC, prefix)


def _pax_record(key: bytes, value: bytes) -> bytes:
    """``"%d %s=%s\\n"``, where the number is the length of the whole record, including its own digits."""
    rest = len(key) + len(value) + 3  # space, "=", line feed
    size = rest + len(str(rest))
    if size - rest != len(str(size)):
        size += 1
    return b"%d %s=%s\n" % (size, key, value)
