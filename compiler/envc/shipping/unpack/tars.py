"""Tar archives that every reader reads in the same way: conda packages, interpreters and sdists.

The archive is decompressed once, into a temporary file without a name, and its members are read from there. Rejected
are names that leave the folder or occur twice, links that point outside, devices, sparse files, headers that state two
different sizes, bytes that belong to no member, and archives that unpack to far more than their size.
"""

from __future__ import annotations

import io
import lzma
import tarfile
import tempfile
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import IO, TYPE_CHECKING, BinaryIO, Literal, cast

import msgspec

from envc.shipping.format.frames import MAX_WINDOW
from envc.shipping.format.paths import check_link, check_path
from envc.shipping.format.tar import MAX_OCTAL
from envc.shipping.unpack.zips import Limits
from envc.system.scratch import writing_scratch

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

    from envc.shipping.format.encode import Content

Compression = Literal["gz", "bz2", "zst"]

_BLOCK = 512
_CHUNK = 1 << 20
_LARGEST_OCTAL = 8 << 30  # bytes; the smallest size that a ustar header cannot express


class TarMember(msgspec.Struct, frozen=True):
    """One file or link of an archive. Folders are not members, since the paths of files imply them."""

    path: str
    size: int = 0  # bytes; for a hard link, the size of its target
    executable: bool = False
    mtime: int = 0  # seconds since the epoch
    link: str = ""  # target of a symbolic link, as in the archive
    hard: str = ""  # path of the earlier member that is the target of a hard link
    offset: int = 0  # of the content in the temporary file


class Tar:
    """An open archive. Any number of threads may read its contents until it is closed."""

    def __init__(self, scratch: IO[bytes], members: tuple[TarMember, ...], folders: tuple[str, ...]) -> None:
        self.members = members  # in the order of the archive
        self.folders = folders  # folders with a header of their own
        self._scratch = scratch
        self._lock = threading.Lock()

    def content(self, member: TarMember) -> Content:
        """A function that opens the content of a file or hard link."""
        return partial(self.open, member)

    def read(self, member: TarMember) -> bytes:
        with self.open(member) as stream:
            return stream.read()

    def open(self, member: TarMember) -> BinaryIO:
        section = _Section(self._scratch, self._lock, member.offset, member.size)
        return cast("BinaryIO", io.BufferedReader(section, _CHUNK))


@contextmanager
def open_tar(stream: BinaryIO, compression: Compression, limits: Limits | None = None, *, size: int) -> Iterator[Tar]:
    """The archive in a compressed stream of `size` bytes. Raises ValueError with the reason if it is rejected."""
    limits = limits or Limits()
    with _scratch() as scratch:
        try:
            _decompress(stream, compression, scratch, limits, size)
            with tarfile.open(fileobj=scratch, mode="r:", errorlevel=2) as archive:
                members, folders = _members(archive, scratch, limits)
            _check_sum(members, limits, size)
        except (tarfile.TarError, EOFError, OSError, zlib.error, lzma.LZMAError) as error:
            raise ValueError(f"it is not a readable tar archive ({error})") from None
        yield Tar(scratch, members, folders)


def _scratch() -> IO[bytes]:
    with writing_scratch():
        return tempfile.TemporaryFile()


def _decompress(stream: BinaryIO, compression: Compression, out: IO[bytes], limits: Limits, size: int) -> None:
    unpacked = 0
    with _reader(stream, compression) as reader:
        while chunk := _read_chunk(reader, compression):
            unpacked += len(chunk)
            if limits.forbid(unpacked, size):
                raise ValueError(f"it unpacks from {size} to more than {unpacked - len(chunk)} bytes")
            with writing_scratch():
                out.write(chunk)
    if unpacked % _BLOCK:
        raise ValueError("it is cut off")
    with writing_scratch():
        out.seek(0)


def _read_chunk(reader: IO[bytes], compression: Compression) -> bytes:
    if compression != "zst":
        return reader.read(_CHUNK)
    from zstandard import ZstdError

    try:
        return reader.read(_CHUNK)
    except ZstdError as error:
        raise EOFError(str(error)) from None


def _reader(stream: BinaryIO, compression: Compression) -> IO[bytes]:
    if compression == "gz":
        import gzip

        return cast("IO[bytes]", gzip.GzipFile(fileobj=stream, mode="rb"))
    if compression == "bz2":
        import bz2

        return cast("IO[bytes]", bz2.BZ2File(stream, mode="rb"))
    from zstandard import ZstdDecompressor

    decompressor = ZstdDecompressor(max_window_size=MAX_WINDOW)
    return cast("IO[bytes]", decompressor.stream_reader(stream, read_across_frames=True, closefd=False))


def _members(
    archive: tarfile.TarFile, scratch: IO[bytes], limits: Limits
) -> tuple[tuple[TarMember, ...], tuple[str, ...]]:
    found: dict[str, TarMember] = {}
    folders: set[str] = set()
    for count, info in enumerate(iter(archive.next, None)):
        if count == limits.entries:
            raise ValueError(f"it has more than {limits.entries} entries")
        archive.members.clear()  # type: ignore[attr-defined]  # else tarfile keeps every header
        path = info.name.removeprefix("./").removesuffix("/")
        if info.isdir() and path in ("", "."):
            continue
        check_path(path)
        if info.isdir():
            folders.add(path)
            continue
        if path in found:
            raise ValueError(f"{path!r} occurs twice")
        found[path] = _member(info, path, scratch, found)
    _check_end(archive, scratch)
    return tuple(found.values()), tuple(sorted(folders))


def _member(info: tarfile.TarInfo, path: str, scratch: IO[bytes], earlier: dict[str, TarMember]) -> TarMember:
    if not info.mtime <= MAX_OCTAL:
        raise ValueError(f"{path!r} is dated {info.mtime}, a time that an object cannot store")
    mtime = int(max(0.0, info.mtime))
    executable = bool(info.mode & 0o111)
    if info.issym():
        check_link(path, info.linkname)
        return TarMember(path, link=info.linkname, mtime=mtime)
    if info.islnk():
        target = earlier.get(info.linkname.removeprefix("./"))
        if target is None or target.link:
            raise ValueError(f"{path!r} is a hard link to {info.linkname[:200]!r}, which is not an earlier file")
        return msgspec.structs.replace(target, path=path, hard=target.hard or target.path)
    if not info.isreg() or info.issparse():
        raise ValueError(f"{path!r} is neither a file, a folder nor a link")
    _check_size(info, path, scratch)
    return TarMember(path, info.size, executable, mtime, offset=info.offset_data)


def _check_size(info: tarfile.TarInfo, path: str, scratch: IO[bytes]) -> None:
    """Compare the two sizes of a member with an extended header. Readers differ in which of them they use."""
    if "size" not in info.pax_headers:
        return
    at = scratch.tell()
    scratch.seek(info.offset_data - _BLOCK)
    plain = tarfile.TarInfo.frombuf(scratch.read(_BLOCK), "utf-8", "strict").size
    scratch.seek(at)
    if plain != info.size and info.size < _LARGEST_OCTAL:
        raise ValueError(f"the headers of {path!r} disagree about its size")


def _check_sum(members: tuple[TarMember, ...], limits: Limits, size: int) -> None:
    """Check the total size. Each hard link becomes a file, so a small archive of links to a large file can unpack to
    far more than its size.
    """
    unpacked = sum(member.size for member in members)
    if limits.forbid(unpacked, size):
        raise ValueError(f"it unpacks from {size} to {unpacked} bytes, hard links included")


def _check_end(archive: tarfile.TarFile, scratch: IO[bytes]) -> None:
    """Check that only zeros follow the last member, because tarfile also stops at a broken or missing header."""
    scratch.seek(archive.offset)
    if not scratch.read(1):
        raise ValueError("it is cut off")
    while chunk := scratch.read(_CHUNK):
        if chunk.count(0) != len(chunk):
            raise ValueError("bytes after its last entry belong to no entry")


class _Section(io.RawIOBase):
    """A section of a file that several threads read."""

    def __init__(self, file: IO[bytes], lock: threading.Lock, offset: int, size: int) -> None:
        self._file, self._lock = file, lock
        self._at, self._end = offset, offset + size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer).cast("B")
        with self._lock:
            self._file.seek(self._at)
            data = self._file.read(min(len(view), self._end - self._at))
        view[: len(data)] = data
        self._at += len(data)
        return len(data)
