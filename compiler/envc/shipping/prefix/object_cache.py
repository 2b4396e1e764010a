"""Objects that this machine has unpacked before, as plain files that further prefixes share.

``<cache>/objects/<layout>/<aa>/<name>/<number>`` is the content of an object's member of that number. The name says
what the files were compared with: it is the content digest if each was compared with its member's digest, else the
`bytes_digest` of the object, whose frames were. So a store that puts other bytes into frames than members say reaches
nobody but those who trust these very frames.

A folder appears by a rename when all that it holds has been checked, and may be removed at any time: a lost object
costs time and nothing else. A file that is shared by hard link changes with the prefix that changes it, so each is
compared with its member before it is used: size, whether it is executable, and the time of its last change, which every
member has from its object. A copy is compared by its sha256, as its bytes pass by anyway.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal, NamedTuple

from envc.model.digest import Sha256
from envc.model.record import Member, ObjectIndex
from envc.system.buffers import write_all

LinkMode = Literal["clone", "hardlink", "copy"]

_DRAFTS = "tmp"
_ABANDONED = 24 * 3600  # seconds after which a draft has no writer any more
_CHUNK = 1 << 20  # bytes copied at once
_CLONE = 0x40049409  # FICLONE of linux/fs.h
_BINARY = getattr(os, "O_BINARY", 0)
_PROGRAM = stat.S_IFREG if os.name == "nt" else stat.S_IFREG | stat.S_IXUSR
_TOLD = stat.S_IFMT(0o177777) | _PROGRAM  # what a mode says of a member; the rest is the umask's
_STARTS = {os.stat, os.open, os.link, os.utime, os.unlink} <= os.supports_dir_fd and hasattr(os, "O_DIRECTORY")
# What a file system answers that cannot do it, for these two places or at all. EMLINK is about one file only.
_CANNOT = frozenset(
    {errno.EXDEV, errno.EPERM, errno.EACCES, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL, errno.ENOTTY}
)


class _Changed(Exception):
    """A file in the cache that is not what was put there."""


class Unpacked:
    """The unpacked objects of one cache. Any number of processes may use it at once; an instance is for one thread."""

    def __init__(self, folder: Path, *, mode: LinkMode | None = None, copies: bool = False) -> None:
        """With a `mode` only that one is tried; else reflink, hard link and copy, in this order.

        `copies` says that it is worth keeping objects even if keeping means copying. A `mode` of copy implies it.
        """
        self._folder = folder
        self._modes: list[LinkMode] = [mode] if mode else ["clone", "hardlink", "copy"]
        self._copies = copies or mode == "copy"
        self._swept = False

    def holds(self, layout: str, name: Sha256) -> bool:
        """Whether an object of that name was kept. Its index has been checked then, for it was written by it."""
        return self._place_of(layout, name).is_dir()

    def place(self, root: Path, index: ObjectIndex, name: Sha256, skipped: frozenset[str]) -> bool:
        """Give the files of an object their places below `root`, where their folders are. False, and nothing is there,
        when the object is not whole, or not any more.

        Links are not made. Nothing is there after an error either: FileExistsError when another object's file is in the
        way, other OSErrors for a disk that cannot take the files.
        """
        folder = self._place_of(index.layout, name)
        placed: list[str] = []
        try:
            with _opened(folder) as source, _opened(root) as target:
                for number, member in _files(index.members, skipped):
                    file, path = str(number), member.path
                    if not _is_intact(source, file, member):
                        raise _Changed
                    self._share(source, file, target, path, member)
                    placed.append(path)
        except BaseException as error:
            for path in placed:
                (root / path).unlink()
            if not isinstance(error, _Changed):
                raise
            self._discard(folder)
            return False
        return True

    def keep(
        self, root: Path, index: ObjectIndex, name: Sha256, skipped: frozenset[str], *, may_copy: bool = True
    ) -> bool:
        """Remember an object whose files have been written below `root` and checked. What the disk refuses is let be.

        Unless it `may_copy`, False where nothing else is left: copies take room, which the prefix may still need.
        Skipped members are not kept; who needs them finds the object incomplete.
        """

        def must_not() -> bool:
            return self._modes == ["copy"] and not (self._copies and may_copy)

        if must_not():
            return not self._copies
        folder = self._place_of(index.layout, name)
        drafts = self._folder / _DRAFTS
        draft = drafts / os.urandom(16).hex()
        is_kept = False
        try:
            draft.mkdir(parents=True)
            self._sweep(drafts)
            with _opened(root) as source, _opened(draft) as target:
                for number, member in _files(index.members, skipped):
                    self._share(source, member.path, target, str(number), member)
                    if must_not():
                        return not self._copies
            folder.parent.mkdir(parents=True, exist_ok=True)
            draft.rename(folder)
            is_kept = True
        except (OSError, _Changed):
            pass  # a full disk, a cache that is read-only, or another process that kept the same object meanwhile
        finally:
            if not is_kept:
                _remove(draft)
        return True

    def _place_of(self, layout: str, name: Sha256) -> Path:
        return self._folder / layout / name[:2] / name

    def _share(self, source: _Folder, name: str, target: _Folder, path: str, member: Member) -> None:
        """Let the file `path` in `target` become the one called `name` in `source`, in the first way that works here.

        Raises _Changed.
        """
        while True:
            mode = self._modes[0]
            try:
                _WAYS[mode](source, name, target, path, member)
                return
            except FileNotFoundError:
                # The target's folder has been made, so it is the source that somebody has removed.
                raise _Changed from None
            except OSError as error:
                if error.errno == errno.EMLINK and mode == "hardlink" and "copy" in self._modes:
                    _copy(source, name, target, path, member)
                    return
                if error.errno not in _CANNOT or len(self._modes) == 1:
                    raise
            self._modes.pop(0)

    def _discard(self, folder: Path) -> None:
        grave = self._folder / _DRAFTS / os.urandom(16).hex()
        with suppress(OSError):
            grave.parent.mkdir(parents=True, exist_ok=True)
            folder.rename(grave)
        _remove(grave)

    def _sweep(self, drafts: Path) -> None:
        """Once per instance: remove what killed runs left."""
        if self._swept:
            return
        self._swept = True
        for path in drafts.iterdir():
            with suppress(OSError):
                if time.time() - path.stat().st_mtime > _ABANDONED:
                    _remove(path)


def _remove(folder: Path) -> None:
    import shutil  # most prefixes need nothing of it

    shutil.rmtree(folder, ignore_errors=True)


class _Folder(NamedTuple):
    """A folder, open where the system can start at one: the way to it is then not looked up for every file."""

    start: str  # what a name in it is to be written behind; "" behind an open folder
    fd: int | None


@contextmanager
def _opened(folder: Path) -> Iterator[_Folder]:
    if not _STARTS:
        yield _Folder(f"{folder}{os.sep}", None)
        return
    try:
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:
        raise _Changed from None
    try:
        yield _Folder("", fd)
    finally:
        os.close(fd)


def _files(members: Iterable[Member], skipped: frozenset[str]) -> Iterable[tuple[int, Member]]:
    return (
        (number, member)
        for number, member in enumerate(members)
        if member.type == "file" and member.path not in skipped
    )


def _is_intact(folder: _Folder, name: str, member: Member) -> bool:
    """Whether a file of the cache still is what was put there, as far as can be told without reading it."""
    try:
        status = os.stat(folder.start + name, dir_fd=folder.fd, follow_symlinks=False)
    except OSError:
        return False
    return (
        status.st_size == member.size
        and status.st_mode & _TOLD == (_PROGRAM if member.mode == 0o755 else stat.S_IFREG)
        and status.st_mtime_ns == member.mtime * 1_000_000_000
    )


def _clone(source: _Folder, name: str, target: _Folder, path: str, member: Member) -> None:
    """A file that shares its blocks with another until one of the two changes."""
    try:
        from fcntl import ioctl
    except ImportError:
        raise OSError(errno.ENOSYS, "no reflinks") from None

    def fill(reading: int, writing: int) -> None:
        ioctl(writing, _CLONE, reading)

    _create(source, name, target, path, member, fill)


def _hardlink(source: _Folder, name: str, target: _Folder, path: str, member: Member) -> None:
    os.link(source.start + name, target.start + path, src_dir_fd=source.fd, dst_dir_fd=target.fd, follow_symlinks=False)


def _copy(source: _Folder, name: str, target: _Folder, path: str, member: Member) -> None:
    def fill(reading: int, writing: int) -> None:
        digest = hashlib.sha256()
        while data := os.read(reading, _CHUNK):
            digest.update(data)
            write_all(writing, data)
        if digest.hexdigest() != member.sha256:
            raise _Changed

    _create(source, name, target, path, member, fill)


def _create(
    source: _Folder, name: str, target: _Folder, path: str, member: Member, fill: Callable[[int, int], None]
) -> None:
    """A new file with the member's mode and time; none if `fill` fails."""
    reading = os.open(source.start + name, os.O_RDONLY | _BINARY, dir_fd=source.fd)
    place = target.start + path
    try:
        writing = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _BINARY, member.mode, dir_fd=target.fd)
        try:
            try:
                fill(reading, writing)
            finally:
                os.close(writing)
            os.utime(place, (member.mtime, member.mtime), dir_fd=target.fd)
        except BaseException:
            os.unlink(place, dir_fd=target.fd)
            raise
    finally:
        os.close(reading)


_WAYS: dict[LinkMode, Callable[[_Folder, str, _Folder, str, Member], None]] = {
    "clone": _clone,
    "hardlink": _hardlink,
    "copy": _copy,
}
