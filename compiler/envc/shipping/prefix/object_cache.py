"""The object cache: objects that this machine has unpacked before, as plain files that other prefixes share.

``<cache>/objects/<layout>/<aa>/<name>/<number>`` is the content of the object's member of that number. The name states
what the files were compared with. It is the content digest of the object if each file was compared with the digest of
its member; otherwise it is the `bytes_digest` of the object, whose frames were compared. So if the bytes in the
frames of a store differ from those of the members, they reach only environments whose records name these frames.

A folder appears by a rename once everything in it has been checked. It may be removed at any time: a lost object costs
only time. A file that is shared by hard link changes when a prefix changes it. Each file is therefore compared with its
member before it is used: by size, executable bit, and the modification time, which every member has from its object. A
copy is compared by its sha256, since its bytes are read anyway.

Only files of this user are shared by link or reflink. A file of another user, or one that every user may write to, can
be changed without a trace: a prefix that was given to another owner (chown) also gives away the files that it shares
with the cache. Such a file is copied instead, and so compared by its sha256. If it has changed, the object is made
again.

`system.atomic_folder` is not used here: no lock is needed, because if two processes add the same object, either of them
may win.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal, NamedTuple

from envc.model.digest import Sha256
from envc.model.record import Member, ObjectIndex
from envc.system.buffers import write_all
from envc.system.drafts import is_hex

LinkMode = Literal["clone", "hardlink", "copy"]

_DRAFTS = "tmp"
_RANDOM = 32  # hexadecimal digits in the name of a draft
_ABANDONED = 24 * 3600  # seconds after which the writer of a draft is considered dead
_CHUNK = 1 << 20  # bytes copied at once
_CLONE = 0x40049409  # FICLONE of linux/fs.h
_BINARY = getattr(os, "O_BINARY", 0)
_PROGRAM = stat.S_IFREG if os.name == "nt" else stat.S_IFREG | stat.S_IXUSR
_MODE_MASK = stat.S_IFMT(0o177777) | _PROGRAM  # the bits that a member determines; the others depend on the umask
_COMPARED_MODE = _MODE_MASK if os.name == "nt" else _MODE_MASK | stat.S_IWOTH
_CHANGED, _OWN, _OF_OTHERS = range(3)  # what a cached file is found to be
_CAN_OPEN_FOLDERS = {os.stat, os.open, os.link, os.utime, os.unlink} <= os.supports_dir_fd and hasattr(
    os, "O_DIRECTORY"
)
# Errors of a file system that cannot share files in this way, between these folders or at all. EMLINK concerns only
# one file.
_UNSUPPORTED = frozenset(
    {errno.EXDEV, errno.EPERM, errno.EACCES, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL, errno.ENOTTY}
)


_USER = os.geteuid() if hasattr(os, "geteuid") else None  # None: files have no such owners


class _Changed(Exception):
    """A file in the cache was changed or removed."""


class ObjectCache:
    """The unpacked objects in one folder. Any number of processes may use it at once; an instance is for one thread."""

    def __init__(self, folder: Path, *, mode: LinkMode | None = None, copies: bool = False) -> None:
        """With a `mode`, only that one is tried; otherwise reflink, hard link and copy, in this order.

        `copies` means that caching an object is worth a copy of its files. The mode "copy" implies it.
        """
        self._folder = folder
        self._modes: list[LinkMode] = [mode] if mode else ["clone", "hardlink", "copy"]
        self._copies = copies or mode == "copy"
        self._swept = False

    def holds(self, layout: str, name: Sha256) -> bool:
        """Whether the cache contains an object of that name. Its index was checked when it was added."""
        return self._place_of(layout, name).is_dir()

    def place(self, root: Path, index: ObjectIndex, name: Sha256, skipped: frozenset[str]) -> bool:
        """Share the files of an object with `root`, which contains their folders already. Returns False, and leaves no
        file behind, if the cached object is incomplete or was changed.

        Links are not created. Errors leave no file behind either: FileExistsError if a file of another object is in the
        way, and other OSErrors if the files cannot be written.
        """
        folder = self._place_of(index.layout, name)
        placed: list[str] = []
        try:
            with _opened(folder) as source, _opened(root) as target:
                for number, member in _files(index.members, skipped):
                    file, path = str(number), member.path
                    found = _compare(source, file, member)
                    if found == _CHANGED:
                        raise _Changed
                    self._share(source, file, target, path, member, only_copy=found == _OF_OTHERS)
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
        """Add an object, whose files have been written below `root` and checked, to the cache. Disk errors are ignored.

        Without `may_copy`, returns False if only copying is possible: copies take disk space that the prefix may still
        need. Skipped members are not added; for a prefix that needs them, the cached object is incomplete.
        """

        def must_not_copy() -> bool:
            return self._modes == ["copy"] and not (self._copies and may_copy)

        if must_not_copy():
            return not self._copies
        folder = self._place_of(index.layout, name)
        drafts = self._folder / _DRAFTS
        draft = drafts / os.urandom(_RANDOM // 2).hex()
        is_kept = False
        try:
            draft.mkdir(parents=True)
            self._sweep(drafts, draft.stat().st_mtime)
            with _opened(root) as source, _opened(draft) as target:
                for number, member in _files(index.members, skipped):
                    self._share(source, member.path, target, str(number), member)
                    if must_not_copy():
                        return not self._copies
            folder.parent.mkdir(parents=True, exist_ok=True)
            # Not `publish_folder`: the draft is already complete, and an object that another process added is kept.
            draft.rename(folder)
            is_kept = True
        except (OSError, _Changed):
            pass  # a full disk, a read-only cache, or another process that has just added the same object
        finally:
            if not is_kept:
                _remove(draft)
        return True

    def _place_of(self, layout: str, name: Sha256) -> Path:
        return self._folder / layout / name[:2] / name

    def _share(
        self, source: _Folder, name: str, target: _Folder, path: str, member: Member, *, only_copy: bool = False
    ) -> None:
        """Create the file `path` in `target` from the file `name` in `source`, in the first way that works here.

        Raises _Changed.
        """
        while True:
            mode = "copy" if only_copy else self._modes[0]
            try:
                _WAYS[mode](source, name, target, path, member)
                return
            except FileNotFoundError:
                # The folder of the target exists, so another process has removed the source.
                raise _Changed from None
            except OSError as error:
                if error.errno == errno.EMLINK and mode == "hardlink" and "copy" in self._modes:
                    _copy(source, name, target, path, member)
                    return
                if only_copy or error.errno not in _UNSUPPORTED or len(self._modes) == 1:
                    raise
            self._modes.pop(0)

    def _discard(self, folder: Path) -> None:
        discarded = self._folder / _DRAFTS / os.urandom(_RANDOM // 2).hex()
        with suppress(OSError):
            discarded.parent.mkdir(parents=True, exist_ok=True)
            folder.rename(discarded)
        _remove(discarded)

    def _sweep(self, drafts: Path, now: float) -> None:
        """Remove the leftovers of killed runs, once per instance. `now` is by the clock of the disk."""
        if self._swept:
            return
        self._swept = True
        for path in drafts.iterdir():
            with suppress(OSError):
                if is_hex(path.name, _RANDOM) and now - path.lstat().st_mtime > _ABANDONED:
                    _remove(path)


def _remove(folder: Path) -> None:
    import shutil  # not needed for most prefixes

    shutil.rmtree(folder, ignore_errors=True)


class _Folder(NamedTuple):
    """A folder. It is opened if the system supports relative paths, so that it is not resolved for every file."""

    start: str  # the prefix of the paths in it; "" for an open folder
    fd: int | None


@contextmanager
def _opened(folder: Path) -> Iterator[_Folder]:
    if not _CAN_OPEN_FOLDERS:
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


def _compare(folder: _Folder, name: str, member: Member) -> int:
    """Whether a file of the cache is unchanged, as far as can be known without reading it: _CHANGED, _OWN, or
    _OF_OTHERS if another user may have changed it.
    """
    try:
        status = os.stat(folder.start + name, dir_fd=folder.fd, follow_symlinks=False)
    except OSError:
        return _CHANGED
    if status.st_size != member.size or status.st_mtime_ns != member.mtime * 1_000_000_000:
        return _CHANGED
    mode, expected = status.st_mode & _COMPARED_MODE, _PROGRAM if member.mode == 0o755 else stat.S_IFREG
    if mode != expected:
        return _OF_OTHERS if mode & _MODE_MASK == expected else _CHANGED
    return _OWN if _USER is None or status.st_uid == _USER else _OF_OTHERS


def _clone(source: _Folder, name: str, target: _Folder, path: str, member: Member) -> None:
    """Create a file that shares its blocks with another until one of the two changes."""
    try:
        from fcntl import ioctl
    except ImportError:
        raise OSError(errno.ENOSYS, "no reflinks") from None

    def transfer(reading: int, writing: int) -> None:
        ioctl(writing, _CLONE, reading)

    _create(source, name, target, path, member, transfer)


def _hardlink(source: _Folder, name: str, target: _Folder, path: str, member: Member) -> None:
    os.link(source.start + name, target.start + path, src_dir_fd=source.fd, dst_dir_fd=target.fd, follow_symlinks=False)


def _copy(source: _Folder, name: str, target: _Folder, path: str, member: Member) -> None:
    def transfer(reading: int, writing: int) -> None:
        digest = hashlib.sha256()
        while data := os.read(reading, _CHUNK):
            digest.update(data)
            write_all(writing, data)
        if digest.hexdigest() != member.sha256:
            raise _Changed

    _create(source, name, target, path, member, transfer)


def _create(
    source: _Folder, name: str, target: _Folder, path: str, member: Member, transfer: Callable[[int, int], None]
) -> None:
    """Create a file with the mode and time of the member. It is removed if `transfer` fails."""
    reading = os.open(source.start + name, os.O_RDONLY | _BINARY, dir_fd=source.fd)
    place = target.start + path
    try:
        writing = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _BINARY, member.mode, dir_fd=target.fd)
        try:
            try:
                transfer(reading, writing)
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
