"""Tar archives that every reader reads in the same way: conda packages, interpreters and sdists.

The archive is decompressed once, into a temporary file without a name, and its members are read from there. The
compressed stream is read by `system.single_stream` and the headers by `system.tar_entries`, which refuse what readers
read differently. Also rejected are names that leave the folder, or that occur twice with different contents, links that
point outside, and archives that unpack to far more than their size.
"""

from __future__ import annotations

import io
import tempfile
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import IO, TYPE_CHECKING, BinaryIO, cast

import msgspec

from envc.model.limits import ARCHIVE_LINK_PARTS
from envc.shipping.format.errors import UnsafePath
from envc.shipping.format.paths import check_link, check_path
from envc.shipping.format.tar import MAX_OCTAL
from envc.shipping.unpack.zips import Limits
from envc.system.scratch import writing_scratch
from envc.system.single_stream import Compression, decompress
from envc.system.tar_entries import BLOCK, TarEntry, read_entries

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

    from envc.shipping.format.encode import Content

_CHUNK = 1 << 20
_MOST_LINKS = 40  # that one target may lead through, as in Linux


class TarMember(msgspec.Struct, frozen=True):
    """One file or link of an archive. Folders are not members, since the paths of files imply them."""

    path: str
    size: int = 0  # bytes; for a hard link, the size of its target
    executable: bool = False
    mtime: int = 0  # seconds since the epoch
    link: str = ""  # target of a symbolic link, in the form that `check_link` allows
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
            members, folders = _members(scratch, limits)
            _check_sum(members, limits, size)
        except OSError as error:
            raise ValueError(f"it is not a readable tar archive ({error})") from None
        yield Tar(scratch, members, folders)


def _scratch() -> IO[bytes]:
    with writing_scratch():
        return tempfile.TemporaryFile()


def _decompress(stream: BinaryIO, compression: Compression, out: IO[bytes], limits: Limits, size: int) -> None:
    unpacked = 0
    for chunk in decompress(stream, compression):
        unpacked += len(chunk)
        if limits.forbid(unpacked, size):
            raise ValueError(f"it unpacks from {size} to more than {unpacked - len(chunk)} bytes")
        with writing_scratch():
            out.write(chunk)
    if unpacked % BLOCK:
        raise ValueError("it is cut off")
    with writing_scratch():
        out.seek(0)


def _members(scratch: IO[bytes], limits: Limits) -> tuple[tuple[TarMember, ...], tuple[str, ...]]:
    found: dict[str, TarMember] = {}
    folders: set[str] = set()
    for count, entry in enumerate(read_entries(cast("BinaryIO", scratch))):
        if count == limits.entries:
            raise ValueError(f"it has more than {limits.entries} entries")
        path = entry.path
        if entry.kind == "folder" and not path:
            continue
        check_path(path)
        if entry.kind == "folder":
            folders.add(path)
            continue
        member = _member(entry, found)
        if not _is_same(found.setdefault(path, member), member, scratch):
            raise ValueError(f"{path!r} occurs twice, with different contents, modes or times")
    links = _Links({path: member.link for path, member in found.items() if member.link})
    for path, member in found.items():
        if member.link:
            found[path] = msgspec.structs.replace(member, link=links.plain_target(path))
    _check_folders(found, folders)
    return tuple(found.values()), tuple(sorted(folders))


def _is_same(one: TarMember, other: TarMember, scratch: IO[bytes]) -> bool:
    """Whether two members make the same file or link, so that it does not matter which of them a reader writes last."""
    if one.offset == other.offset:
        return one == other
    if msgspec.structs.replace(one, offset=other.offset) != other:
        return False
    for at in range(0, one.size, _CHUNK):
        length = min(_CHUNK, one.size - at)
        contents = []
        for member in (one, other):
            scratch.seek(member.offset + at)
            contents.append(scratch.read(length))
        if contents[0] != contents[1]:
            return False
    return True


class _Links:
    """The symbolic links of an archive, whose targets may have parts that change nothing, such as ``.`` and
    ``sub/..``.
    """

    def __init__(self, targets: Mapping[str, str]) -> None:
        self._targets = targets  # by path, as they are spelt
        self._steps = 0

    def plain_target(self, path: str) -> str:
        """The target of a link in the form that `check_link` allows. Raises UnsafePath if it is not inside."""
        target = self._targets[path]
        try:
            check_link(path, target)
            return target
        except UnsafePath:
            if target.startswith("/"):
                raise
        folder = path.split("/")[:-1]
        parts = [part for part in target.split("/") if part not in ("", ".")]
        climbing = next((at for at in range(len(parts), 0, -1) if parts[at - 1] == ".."), 0)
        place = self._followed(path, [*folder, *parts[:climbing]]) + parts[climbing:]
        shared = 0
        while shared < min(len(folder), len(place)) and folder[shared] == place[shared]:
            shared += 1
        plain = "/".join([".."] * (len(folder) - shared) + place[shared:]) or "."
        check_link(path, plain)
        return plain

    def _followed(self, path: str, parts: list[str]) -> list[str]:
        """The place that these parts lead to. Other links are followed: ``..`` after one is the folder above its
        target.
        """
        place: list[str] = []
        left = parts[::-1]
        followed = 0
        while left:
            part = left.pop()
            self._steps += 1
            if self._steps > ARCHIVE_LINK_PARTS:
                raise ValueError("its links lead through too many folders")
            if part in ("", "."):
                continue
            if part == "..":
                if not place:
                    raise UnsafePath(path, f"is a link that leaves the tree: {self._targets[path][:200]!r}")
                place.pop()
                continue
            place.append(part)
            target = self._targets.get("/".join(place))
            if target is not None:
                followed += 1
                if followed > _MOST_LINKS or target.startswith("/"):
                    reason = f"is a link through too many links, or out of the tree: {self._targets[path][:200]!r}"
                    raise UnsafePath(path, reason)
                place.pop()
                left += target.split("/")[::-1]
        return place


def _member(entry: TarEntry, earlier: dict[str, TarMember]) -> TarMember:
    path = entry.path
    if entry.mtime > MAX_OCTAL:
        raise ValueError(f"{path!r} is dated {entry.mtime}, a time that an object cannot store")
    mtime = int(max(0.0, entry.mtime))
    if entry.kind == "symbolic link":
        return TarMember(path, link=entry.target, mtime=mtime)
    if entry.kind == "hard link":
        target = earlier.get(entry.target)
        if target is None or target.link:
            raise ValueError(f"{path!r} is a hard link to {entry.target[:200]!r}, which is not an earlier file")
        if entry.executable != target.executable:
            raise ValueError(f"{path!r} is a hard link, but only one of it and its target is executable")
        return msgspec.structs.replace(target, path=path, hard=target.hard or target.path)
    return TarMember(path, entry.size, entry.executable, mtime, offset=entry.offset)


def _check_folders(files: Iterable[str], folders: Iterable[str]) -> None:
    """Check that no file or link is in the place of a folder. Readers differ in which of the two remains."""
    places = set(folders)
    for path in (*files, *folders):
        while (path := path.rpartition("/")[0]) and path not in places:
            places.add(path)
    if not places.isdisjoint(files):
        raise ValueError(f"{min(places.intersection(files))!r} is both a member and a folder of other members")


def _check_sum(members: tuple[TarMember, ...], limits: Limits, size: int) -> None:
    """Check the total size. Each hard link becomes a file, so a small archive of links to a large file can unpack to
    far more than its size.
    """
    unpacked = sum(member.size for member in members)
    if limits.forbid(unpacked, size):
        raise ValueError(f"it unpacks from {size} to {unpacked} bytes, hard links included")


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
