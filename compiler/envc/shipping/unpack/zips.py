"""Zip archives whose contents are safe to unpack, besides being read alike by every reader (`system.zip_reader`).

Rejected are names that leave the folder or collide, and archives that unpack to far more than their size.
"""

from __future__ import annotations

import hashlib
from typing import BinaryIO

import msgspec

from envc.model.limits import ARCHIVE_BYTES, ARCHIVE_ENTRIES, ARCHIVE_FREE_BYTES, ARCHIVE_RATIO, ARCHIVE_TEXT_BYTES
from envc.shipping.format.paths import check_path, fold, visible
from envc.system.zip_directory import ZipMember
from envc.system.zip_reader import ZipArchive


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Limits for the contents of an archive."""

    entries: int = ARCHIVE_ENTRIES
    unpacked: int = ARCHIVE_BYTES
    ratio: int = ARCHIVE_RATIO  # unpacked bytes per byte of the archive, …
    free: int = ARCHIVE_FREE_BYTES  # … if it unpacks to more bytes than this
    small: int = ARCHIVE_TEXT_BYTES  # of a file that is read into memory: of the dist-info folder, or a script

    def forbid(self, unpacked: int, size: int) -> bool:
        """Whether an archive of `size` bytes must not unpack to that many bytes."""
        return unpacked > self.unpacked or (unpacked > self.free and unpacked > self.ratio * size)


def open_zip(stream: BinaryIO, limits: Limits, *, fold_case: bool = True) -> tuple[ZipArchive, tuple[ZipMember, ...]]:
    """A checked archive, and its files in the order of the directory. Raises ValueError with the reason if rejected.

    With `fold_case`, names may not differ only in what a file system may ignore; without, not only in invisible
    characters, and the caller has to check them.
    Contents are checked when they are read. A caller that leaves some out must pass them to `ZipArchive.check`.
    """
    archive = ZipArchive(stream, most=limits.entries)
    unpacked = sum(member.size for member in archive.members)
    if limits.forbid(unpacked, archive.size):
        raise ValueError(f"it unpacks from {archive.size} to {unpacked} bytes")
    found: dict[str, ZipMember] = {}  # by name
    for member in archive.members:
        path = member.name.removesuffix("/")
        check_path(path)
        twin = found.setdefault(fold(path) if fold_case else visible(path), member)
        if twin is not member and not _is_same(archive, twin, member):
            raise ValueError(f"{path!r} occurs twice, or differs from another entry only in case")
    _check_folders(found)
    archive.check(member for member in archive.members if member.is_folder)
    return archive, tuple(member for member in found.values() if not member.is_folder)


def _is_same(archive: ZipArchive, one: ZipMember, other: ZipMember) -> bool:
    """Whether two entries make the same file, so that it does not matter which of them a reader writes last.

    Some writers of wheels list files twice.
    """
    if (one.name, one.size, one.crc) != (other.name, other.size, other.crc):
        return False
    if one.is_executable != other.is_executable:
        return False
    return _digest(archive, one) == _digest(archive, other)


def _digest(archive: ZipArchive, member: ZipMember) -> bytes:
    digest = hashlib.sha256()
    with archive.open(member) as content:
        while chunk := content.read(1 << 20):
            digest.update(chunk)
    return digest.digest()


def _check_folders(found: dict[str, ZipMember]) -> None:
    """Raise ValueError for a file with entries below it."""
    above = {key.rpartition("/")[0] for key in found}
    while above:
        for key in above:
            if key in found and not found[key].is_folder:
                raise ValueError(f"{found[key].name!r} is both a file and a folder of other entries")
        above = {key.rpartition("/")[0] for key in above if "/" in key}
