"""Objects that this machine has unpacked before, as plain files that further prefixes share.

``<cache>/objects/<layout>/<aa>/<name>/<number>`` is the content of an object's member of that number. The name says
what the files were compared with: it is the content digest if each was compared with its member's digest, else the
digest of the index, whose frames they came from. So a store that puts other bytes into frames than members say reaches
nobody but those who trust its very index.

A folder appears by a rename when all that it holds has been checked, and may be removed at any time: a lost object
costs time and nothing else. A file that is shared by hard link changes with the prefix that changes it, so each is
compared with its member before it is used: size, whether it is executable, and the time of its last change, which every
member has from its object. A copy is compared by its sha256, as its bytes pass by anyway.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import stat
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Literal

from envc.model.digest import Sha256
from envc.model.record import Member, ObjectIndex

LinkMode = Literal["clone", "hardlink", "copy"]

_DRAFTS = "tmp"
_ABANDONED = 24 * 3600  # seconds after which a draft has no writer any more
_CHUNK = 1 << 20  # bytes copied at once
_CLONE = 0x40049409  # FICLONE of linux/fs.h
_BINARY = getattr(os, "O_BINARY", 0)
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

        Links are not made. Raises FileExistsError when another object's file is there, other OSErrors for a disk that
        cannot take the files.
        """
        folder = self._place_of(index.layout, name)
        source, target = f"{folder}{os.sep}", f"{root}{os.sep}"
        placed: list[str] = []
        try:
            for number, member in _files(index.members, skipped):
                path = f"{source}{number}"
                _check(path, member)
                self._share(path, target + member.path, member)
                placed.append(target + member.path)
        except _Changed:
            for path in placed:
                Path(path).unlink()
            self._discard(folder)
            return False
        return True

    def keep(self, root: Path, index: ObjectIndex, name: Sha256, skipped: frozenset[str]) -> None:
        """Remember an object whose files have been written below `root` and checked. What the disk refuses is let be.

        Skipped members are not kept; who needs them finds the object incomplete.
        """
        if self._modes == ["copy"] and not self._copies:
            return
        folder = self._place_of(index.layout, name)
        drafts = self._folder / _DRAFTS
        draft = drafts / os.urandom(16).hex()
        try:
            draft.mkdir(parents=True)
            self._sweep(drafts)
            source, target = f"{root}{os.sep}", f"{draft}{os.sep}"
            for number, member in _files(index.members, skipped):
                self._share(source + member.path, f"{target}{number}", member)
                if self._modes == ["copy"] and not self._copies:
                    break
            else:
                folder.parent.mkdir(parents=True, exist_ok=True)
                draft.rename(folder)
        except (OSError, _Changed):
            pass  # a full disk, a cache that is read-only, or another process that kept the same object meanwhile
        finally:
            shutil.rmtree(draft, ignore_errors=True)

    def _place_of(self, layout: str, name: Sha256) -> Path:
        return self._folder / layout / name[:2] / name

    def _share(self, source: str, target: str, member: Member) -> None:
        """Let `target` become the file `source`, in the first way that works here. Raises _Changed."""
        while True:
            mode = self._modes[0]
            try:
                _WAYS[mode](source, target, member)
                return
            except FileNotFoundError:
                # The target's folder has been made, so it is the source that somebody has removed.
                raise _Changed from None
            except OSError as error:
                if error.errno == errno.EMLINK and mode == "hardlink" and "copy" in self._modes:
                    _copy(source, target, member)
                    return
                if error.errno not in _CANNOT or len(self._modes) == 1:
                    raise
            self._modes.pop(0)

    def _discard(self, folder: Path) -> None:
        grave = self._folder / _DRAFTS / os.urandom(16).hex()
        with suppress(OSError):
            grave.parent.mkdir(parents=True, exist_ok=True)
            folder.rename(grave)
        shutil.rmtree(grave, ignore_errors=True)

    def _sweep(self, drafts: Path) -> None:
        """Once per instance: remove what killed runs left."""
        if self._swept:
            return
        self._swept = True
        for path in drafts.iterdir():
            with suppress(OSError):
                if time.time() - path.stat().st_mtime > _ABANDONED:
                    shutil.rmtree(path, ignore_errors=True)


def _files(members: Iterable[Member], skipped: frozenset[str]) -> Iterable[tuple[int, Member]]:
    return (
        (number, member)
        for number, member in enumerate(members)
        if member.type == "file" and member.path not in skipped
    )


def _check(path: str, member: Member) -> None:
    try:
        status = os.lstat(path)
    except OSError:
        raise _Changed from None
    mode = status.st_mode
    if (
        status.st_size != member.size
        or not stat.S_ISREG(mode)
        or status.st_mtime_ns != member.mtime * 1_000_000_000
        or (os.name != "nt" and bool(mode & stat.S_IXUSR) != (member.mode == 0o755))
    ):
        raise _Changed


def _clone(source: str, target: str, member: Member) -> None:
    """A file that shares its blocks with another until one of the two changes."""
    try:
        from fcntl import ioctl
    except ImportError:
        raise OSError(errno.ENOSYS, "no reflinks") from None

    def fill(reading: int, writing: int) -> None:
        ioctl(writing, _CLONE, reading)

    _create(source, target, member, fill)


def _hardlink(source: str, target: str, member: Member) -> None:
    os.link(source, target, follow_symlinks=False)


def _copy(source: str, target: str, member: Member) -> None:
    def fill(reading: int, writing: int) -> None:
        digest = hashlib.sha256()
        while data := os.read(reading, _CHUNK):
            digest.update(data)
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(writing, rest) :]
        if digest.hexdigest() != member.sha256:
            raise _Changed

    _create(source, target, member, fill)


def _create(source: str, target: str, member: Member, fill: Callable[[int, int], None]) -> None:
    """A new file with the member's mode and time; none if `fill` fails."""
    reading = os.open(source, os.O_RDONLY | _BINARY)
    try:
        writing = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _BINARY, member.mode)
        try:
            try:
                fill(reading, writing)
            finally:
                os.close(writing)
            os.utime(target, (member.mtime, member.mtime))
        except BaseException:
            Path(target).unlink()
            raise
    finally:
        os.close(reading)


_WAYS: dict[LinkMode, Callable[[str, str, Member], None]] = {"clone": _clone, "hardlink": _hardlink, "copy": _copy}
