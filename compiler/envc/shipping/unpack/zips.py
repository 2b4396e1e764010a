"""Zip archives that every reader reads in the same way.

A zip file describes its contents twice, in a header before each member and in a directory at its end, and readers
differ in which they use. An archive is rejected if the two disagree, or if it contains bytes that belong to neither, so
that the files that a scanner sees are those that get installed. Also rejected are encryption, methods other than stored
and deflated, links and devices, names that leave the folder or collide, and archives that unpack to far more than their
size.
"""

from __future__ import annotations

import stat
import struct
import zipfile
from typing import BinaryIO

import msgspec

from envc.shipping.format.paths import check_path, fold
from envc.system import zip_structures as zips

_UNICODE_PATH_HEAD = 1 + 4  # bytes of version and CRC before the name
_ALIKE = 0xFFFF & ~0x6  # bits 1 and 2 state the effort of the compressor, and do not affect the content


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Limits for the contents of an archive."""

    entries: int = 250_000
    unpacked: int = 32 << 30  # bytes
    ratio: int = 200  # unpacked bytes per byte of the archive, …
    free: int = 256 << 20  # … if it unpacks to more bytes than this
    small: int = 64 << 20  # bytes of a file that is read into memory: of the dist-info folder, or a script

    def forbid(self, unpacked: int, size: int) -> bool:
        """Whether an archive of `size` bytes must not unpack to that many bytes."""
        return unpacked > self.unpacked or (unpacked > self.free and unpacked > self.ratio * size)


def open_zip(stream: BinaryIO, limits: Limits) -> tuple[zipfile.ZipFile, tuple[zipfile.ZipInfo, ...]]:
    """A checked archive, and its files in the order of the directory. Raises ValueError with the reason if rejected."""
    try:
        archive = zipfile.ZipFile(stream)
    except (zipfile.BadZipFile, struct.error, ValueError, OSError, NotImplementedError) as error:
        raise ValueError(f"it is not a readable zip archive ({error})") from None
    infos = archive.infolist()
    _check_size(infos, stream.seek(0, 2), limits)
    seen: set[str] = set()
    for info in infos:
        _check_entry(info)
        name = info.orig_filename.removesuffix("/")
        check_path(name)
        if fold(name) in seen:
            raise ValueError(f"{name!r} occurs twice, or differs from another entry only in case")
        seen.add(fold(name))
    _check_bytes(stream, archive, infos)
    return archive, tuple(info for info in infos if not info.orig_filename.endswith("/"))


def _check_size(infos: list[zipfile.ZipInfo], size: int, limits: Limits) -> None:
    if len(infos) > limits.entries:
        raise ValueError(f"it has {len(infos)} entries, more than {limits.entries}")
    unpacked = sum(info.file_size for info in infos)
    if limits.forbid(unpacked, size):
        raise ValueError(f"it unpacks from {size} to {unpacked} bytes")


def _check_entry(info: zipfile.ZipInfo) -> None:
    name = info.orig_filename
    if info.flag_bits & zips.ENCRYPTED:
        raise ValueError(f"{name!r} is encrypted")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"{name!r} is compressed with method {info.compress_type}")
    # Regardless of the system that the entry states, since readers ignore it.
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFDIR if name.endswith("/") else stat.S_IFREG):
        raise ValueError(f"{name!r} is neither a file nor a folder")
    if name.endswith("/") and info.file_size:
        raise ValueError(f"{name!r} is a folder with content")


def _check_bytes(stream: BinaryIO, archive: zipfile.ZipFile, infos: list[zipfile.ZipInfo]) -> None:
    """Check that each byte before the directory belongs to exactly one member, as a streaming reader sees the
    archive.
    """
    position = 0
    for info in sorted(infos, key=lambda info: info.header_offset):
        name = info.orig_filename
        if info.header_offset != position:
            raise ValueError(f"bytes before {name!r} belong to no entry, or entries overlap")
        position = _check_local_header(stream, info)
    if position != archive.start_dir:
        raise ValueError("bytes before the directory belong to no entry")
    _check_end(stream, archive, infos)


def _check_local_header(stream: BinaryIO, info: zipfile.ZipInfo) -> int:
    """Compare a member's own header with the directory. Returns the offset of the end of the member."""
    name = info.orig_filename
    header = zips.read_local_header(_read(stream, info.header_offset, zips.LOCAL.size))
    local_name = stream.read(header.name_length)
    extra = stream.read(header.extra_length)
    for fields in (extra, info.extra):
        if fields:  # most members have none
            _check_extra(name, local_name, fields)
    if (
        header.magic != zips.LOCAL_MAGIC
        or local_name != _raw_name(info, info.flag_bits)
        or (header.flags ^ info.flag_bits) & _ALIKE
        or header.method != info.compress_type
    ):
        raise ValueError(f"the header of {name!r} and the directory disagree")
    packed, unpacked = header.packed, header.unpacked
    is_large = zips.DEFERRED in (packed, unpacked)
    if is_large:
        packed, unpacked = _zip64_sizes(extra, packed, unpacked)
    stated = (header.crc, packed, unpacked)
    actual = (info.CRC, info.compress_size, info.file_size)
    end = info.header_offset + zips.LOCAL.size + len(local_name) + len(extra) + info.compress_size
    is_streamed = bool(header.flags & zips.STREAMED)
    if stated != actual and not (is_streamed and stated == (0, 0, 0)):
        raise ValueError(f"the header of {name!r} and the directory disagree about its size")
    return end + _check_descriptor(stream, end, info, is_large) if is_streamed else end


def _check_extra(name: str, raw: bytes, extra: bytes) -> None:
    """Check Info-ZIP's Unicode path (APPNOTE 4.6.9), a second name for a member that some readers prefer."""
    for kind, _, field in zips.extra_fields(extra):
        if kind == zips.UNICODE_PATH and field[_UNICODE_PATH_HEAD:] != raw:
            raise ValueError(f"{name!r} has another name in an extra field")


def _check_descriptor(stream: BinaryIO, at: int, info: zipfile.ZipInfo, is_large: bool) -> int:
    """Check the sizes after a streamed member, with or without a signature. Returns the length of this descriptor."""
    stream.seek(at)
    data = stream.read(24)
    actual = (info.CRC, info.compress_size, info.file_size)
    for signature in (zips.DESCRIPTOR_MAGIC, b""):
        for layout in (zips.ZIP64_DESCRIPTOR, zips.DESCRIPTOR) if is_large else (zips.DESCRIPTOR,):
            body = data[len(signature) : len(signature) + layout.size]
            if data.startswith(signature) and len(body) == layout.size and layout.unpack(body) == actual:
                return len(signature) + layout.size
    raise ValueError(f"what follows {info.orig_filename!r} and the directory disagree about its size")


def _zip64_sizes(extra: bytes, packed: int, unpacked: int) -> tuple[int, int]:
    """Sizes from the ZIP64 field of a local header, which states both (APPNOTE 4.5.3)."""
    for kind, _, field in zips.extra_fields(extra):
        if kind == zips.ZIP64 and len(field) >= 16:
            large_unpacked, large_packed = struct.unpack_from("<QQ", field)
            return large_packed, large_unpacked
    return packed, unpacked


def _check_end(stream: BinaryIO, archive: zipfile.ZipFile, infos: list[zipfile.ZipInfo]) -> None:
    """Check that the end record is at the end of the file, and describes the directory correctly.

    Python's reader would correct a wrong offset of the directory, but others would use it.
    """
    at = stream.seek(0, 2) - zips.END.size - len(archive.comment)
    end = zips.read_end(_read(stream, at, zips.END.size))
    if end.magic != zips.END_MAGIC or end.disk or end.first_disk or end.comment_length != len(archive.comment):
        raise ValueError("bytes follow its end")
    if end.entries_here != end.entries or end.entries not in (len(infos), zips.DEFERRED_COUNT):
        raise ValueError("its end and its directory disagree about the number of entries")
    offsets = {end.offset} - {zips.DEFERRED}
    large_at = at - zips.ZIP64_LOCATOR.size - zips.ZIP64_END.size
    if large_at >= 0:
        large = _read(stream, large_at, at - large_at)
        locator = zips.read_zip64_locator(large, zips.ZIP64_END.size)
        record = zips.read_zip64_end(large)
        if record.magic == zips.ZIP64_END_MAGIC and locator.magic == zips.ZIP64_LOCATOR_MAGIC:
            offsets.add(record.offset)
    if offsets != {archive.start_dir}:
        raise ValueError("its end and its directory disagree about the offset of the directory")


def _raw_name(info: zipfile.ZipInfo, flags: int) -> bytes:
    return info.orig_filename.encode("utf-8" if flags & zips.UTF_8 else "cp437")


def _read(stream: BinaryIO, at: int, length: int) -> bytes:
    stream.seek(max(at, 0))
    data = stream.read(length)
    if at < 0 or len(data) != length:
        raise ValueError("it is cut off")
    return data
