"""The structures of ZIP archives (PKWARE's APPNOTE 6.3), as bytes and as values.

This module does not decide which archives are accepted; `system.zip_directory` and `system.zip_reader` do. The readers
here raise struct.error if bytes are missing, and check nothing else.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

LOCAL_MAGIC = b"PK\x03\x04"
ENTRY_MAGIC = b"PK\x01\x02"
END_MAGIC = b"PK\x05\x06"
ZIP64_END_MAGIC = b"PK\x06\x06"
ZIP64_LOCATOR_MAGIC = b"PK\x06\x07"
DESCRIPTOR_MAGIC = b"PK\x07\x08"

LOCAL = struct.Struct("<4sHHHHHIIIHH")
ENTRY = struct.Struct("<4sHHHHHHIIIHHHHHII")
END = struct.Struct("<4sHHHHIIH")
ZIP64_END = struct.Struct("<4sQHHIIQQQQ")
ZIP64_LOCATOR = struct.Struct("<4sIQI")
DESCRIPTOR = struct.Struct("<III")  # CRC-32, packed and unpacked size; may follow DESCRIPTOR_MAGIC
ZIP64_DESCRIPTOR = struct.Struct("<IQQ")

ENCRYPTED = 0x1 | 0x40 | 0x2000  # flag bits: traditional and strong encryption, masked directory
STREAMED = 0x8  # flag bit: a descriptor after the content states its CRC-32 and sizes
UTF_8 = 0x800  # flag bit: the name is UTF-8, otherwise CP437

ZIP64 = 0x0001  # kind of extra field: sizes and offset of 64 bits
UNICODE_PATH = 0x7075  # kind of extra field: Info-ZIP's second name

DEFERRED = 0xFFFFFFFF  # a size or offset that the ZIP64 extra field or end record states
DEFERRED_COUNT = 0xFFFF  # a count or disk number that the ZIP64 end record states


class LocalHeader(NamedTuple):
    """The header before a member's content. Name and extra field follow it."""

    magic: bytes
    version: int
    flags: int
    method: int
    time: int
    date: int
    crc: int
    packed: int  # bytes
    unpacked: int  # bytes
    name_length: int
    extra_length: int


class Entry(NamedTuple):
    """A member's entry in the directory at the end. Name, extra field and comment follow it."""

    magic: bytes
    made_by: int
    version: int
    flags: int
    method: int
    time: int
    date: int
    crc: int
    packed: int  # bytes
    unpacked: int  # bytes
    name_length: int
    extra_length: int
    comment_length: int
    disk: int
    internal: int
    external: int
    offset: int  # of the local header


class End(NamedTuple):
    """The end record, which locates the directory. A comment follows it."""

    magic: bytes
    disk: int
    first_disk: int  # of the directory
    entries_here: int  # on this disk
    entries: int
    length: int  # bytes of the directory
    offset: int  # of the directory
    comment_length: int


class Zip64End(NamedTuple):
    """The end record with 64-bit numbers, before its locator and the plain end record."""

    magic: bytes
    length_of_rest: int  # bytes of the record after this field
    made_by: int
    version: int
    disk: int
    first_disk: int
    entries_here: int
    entries: int
    length: int  # bytes of the directory
    offset: int  # of the directory


class Zip64Locator(NamedTuple):
    """The locator of the ZIP64 end record."""

    magic: bytes
    disk: int
    offset: int  # of the ZIP64 end record
    disks: int


def read_local_header(data: bytes, at: int = 0) -> LocalHeader:
    return LocalHeader._make(LOCAL.unpack_from(data, at))


def read_end(data: bytes, at: int = 0) -> End:
    return End._make(END.unpack_from(data, at))


def read_zip64_end(data: bytes, at: int = 0) -> Zip64End:
    return Zip64End._make(ZIP64_END.unpack_from(data, at))


def read_zip64_locator(data: bytes, at: int) -> Zip64Locator:
    return Zip64Locator._make(ZIP64_LOCATOR.unpack_from(data, at))
