"""Files below a folder that other users may write to, reached without following any link below it.

Each folder on the way is opened relative to the one above it, so a link cannot be swapped in between a check and a use
(CWE-59, CWE-367). Only regular files are opened, and without waiting, so a FIFO never blocks. The folder itself and
the folders above it may be links, because the user chose that path.

Windows has no relative opens. There, each part of a path is checked for a reparse point (a link, junction or mount
point) before it is used. A part that is replaced between the check and the use is not noticed.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, Self

import msgspec

_HAS_RELATIVE_OPENS = (
    {os.open, os.stat, os.mkdir, os.unlink, os.link, os.rename} <= os.supports_dir_fd
    and os.scandir in os.supports_fd
    and hasattr(os, "O_DIRECTORY")
    and hasattr(os, "O_NOFOLLOW")
)
_BINARY = getattr(os, "O_BINARY", 0)
_NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)
_LIST = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0)
_ENTER = getattr(os, "O_PATH", os.O_RDONLY) | getattr(os, "O_DIRECTORY", 0)  # O_PATH needs no permission to list
_READ = os.O_RDONLY | _BINARY | _NO_FOLLOW | getattr(os, "O_NONBLOCK", 0)
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _BINARY | _NO_FOLLOW
# Folders at this depth, such as those of layouts in a store, are kept open. Opening each folder on the way for every
# file would add 10 µs to a read.
_KEPT_DEPTH = 3
_KEPT = 32  # folders
_MAX_DEPTH = 16  # folders below the root that are listed; those of envc need six
_REPARSE_POINT = 0x400  # FILE_ATTRIBUTE_REPARSE_POINT of Windows
# Errors of opening a link with O_NOFOLLOW or O_DIRECTORY (Linux, macOS, FreeBSD), and of opening a socket.
_OPENING_ODD = frozenset({errno.ELOOP, errno.EMLINK, errno.ENOTDIR, errno.ENXIO, errno.EOPNOTSUPP})


class NotPlain(OSError):
    """A link, or a file that is not regular, where envc keeps only its own folders and regular files."""

    def __init__(self, path: str, reason: str) -> None:
        """`path` is relative to the folder."""
        super().__init__(errno.ELOOP, f"{path} {reason}")
        self.path = path
        self.reason = reason


class Found(NamedTuple):
    path: str  # relative, with "/" between parts
    status: os.stat_result  # of the entry itself, never of the target of a link

    @property
    def is_folder(self) -> bool:
        return stat.S_ISDIR(self.status.st_mode) and not _is_link(self.status)


class _Entry(msgspec.Struct, frozen=True, gc=False):
    """A name in an open folder; on Windows, a whole path whose folders were checked."""

    path: str
    fd: int | None  # of the folder

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.fd is not None:
            os.close(self.fd)

    def status(self) -> os.stat_result:
        return os.stat(self.path, dir_fd=self.fd, follow_symlinks=False)


class Beneath:
    """The files below the folder `root`. Paths are relative, with "/" between parts, and without "." and "..".

    Every method raises OSErrors, and NotPlain for a link in the path. A missing folder in the path is a missing file.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._kept: dict[str, tuple[int, tuple[int, int]]] = {}  # by path: descriptor; device and inode
        self._stale: list[int] = []  # descriptors of folders that were replaced; another thread may be using them

    def __del__(self, close: Callable[[int], None] = os.close) -> None:
        for fd in (*self._stale, *(fd for fd, _ in self._kept.values())):
            close(fd)

    def open(self, path: str) -> tuple[int, int]:
        """Open a regular file for reading. Returns its descriptor, which the caller must close, and its size in bytes.

        Raises NotPlain for any other kind of file, and IsADirectoryError for a folder.
        """
        with self._entry(path) as entry:
            if entry.fd is None:
                _require_regular(entry.status(), path)
            try:
                fd = os.open(entry.path, _READ, dir_fd=entry.fd)
            except OSError as error:
                if error.errno in _OPENING_ODD:
                    _require_regular(entry.status(), path)
                raise
        try:
            status = os.fstat(fd)
            _require_regular(status, path)
        except BaseException:
            os.close(fd)
            raise
        return fd, status.st_size

    def read(self, path: str, limit: int) -> bytes:
        """Read a regular file. Raises as `open`, and OSError (EFBIG) for one of more than `limit` bytes."""
        fd, _ = self.open(path)
        with os.fdopen(fd, "rb") as stream:
            data = stream.read(limit + 1)
        if len(data) > limit:
            raise OSError(errno.EFBIG, f"it is larger than {limit} bytes", path)
        return data

    def status(self, path: str) -> os.stat_result:
        """The status of a regular file. Raises as `open`."""
        with self._entry(path) as entry:
            status = entry.status()
        _require_regular(status, path)
        return status

    def create(self, path: str) -> int:
        """Create a file, and the folders above it. Returns a descriptor for writing, which the caller must close.

        Raises FileExistsError if the name is taken, by a link as well.
        """
        with self._entry(path, create=True) as entry:
            return os.open(entry.path, _CREATE, 0o666, dir_fd=entry.fd)

    def link(self, source: str, path: str) -> None:
        """Give a file a second name, and create the folders above it. Raises FileExistsError if the name is taken."""
        with self._entry(source) as old, self._entry(path, create=True) as new:
            os.link(old.path, new.path, src_dir_fd=old.fd, dst_dir_fd=new.fd, follow_symlinks=False)

    def replace(self, source: str, path: str) -> None:
        """Rename a file, and create the folders above its new name. A file or link of that name is replaced."""
        with self._entry(source) as old, self._entry(path, create=True) as new:
            os.replace(old.path, new.path, src_dir_fd=old.fd, dst_dir_fd=new.fd)

    def rename(self, source: str, path: str) -> None:
        """As `replace`, but on Windows, raises FileExistsError if the name is taken."""
        with self._entry(source) as old, self._entry(path, create=True) as new:
            os.rename(old.path, new.path, src_dir_fd=old.fd, dst_dir_fd=new.fd)

    def remove(self, path: str) -> None:
        """Remove a file. A link is removed itself, never its target."""
        with self._entry(path) as entry:
            os.unlink(entry.path, dir_fd=entry.fd)

    def remove_folder(self, path: str) -> None:
        """Remove an empty folder."""
        with self._entry(path) as entry:
            os.rmdir(entry.path, dir_fd=entry.fd)

    def remove_tree(self, path: str) -> None:
        """Remove a folder with everything in it. Links are removed themselves, never their targets; NotPlain is raised
        if `path` itself is one.
        """
        import shutil  # not needed by most runs

        with self._entry(path) as entry:
            status = entry.status()
            if _is_link(status):
                raise NotPlain(path, "is a link")
            if entry.fd is None:
                shutil.rmtree(entry.path)
            else:
                shutil.rmtree(entry.path, dir_fd=entry.fd)

    def entries(self, path: str = "") -> list[Found]:
        """The entries of a folder of any kind, sorted; links are not followed. An entry that another process has just
        removed is left out.
        """
        found = []
        folder = self._folder(path, _LIST)
        try:
            with os.scandir(folder.path if folder.fd is None else folder.fd) as listing:
                for entry in listing:
                    try:
                        status = entry.stat(follow_symlinks=False)
                    except FileNotFoundError:
                        continue
                    found.append(Found(f"{path}/{entry.name}" if path else entry.name, status))
        finally:
            folder.__exit__()
        return sorted(found)

    def files(self, path: str) -> Iterator[Found]:
        """All files below a folder; a folder at the greatest depth is yielded itself. Raises NotPlain for a link or an
        irregular file anywhere below it.
        """
        for found in self.entries(path):
            if found.is_folder and found.path.count("/") >= _MAX_DEPTH:
                yield found
            elif found.is_folder:
                try:
                    yield from self.files(found.path)
                except FileNotFoundError:  # another process has just removed it
                    continue
            else:
                _require_regular(found.status, found.path)
                yield found

    def _entry(self, path: str, *, create: bool = False) -> _Entry:
        """A name in its folder, which the caller must close. With `create`, missing folders are made."""
        parent, _, name = path.rpartition("/")
        folder = self._folder(parent, create=create)
        return _Entry(f"{folder.path}{os.sep}{name}" if folder.fd is None else name, folder.fd)

    def _folder(self, path: str, flags: int = _ENTER, *, create: bool = False) -> _Entry:
        """A folder, which the caller must close: its descriptor, or its path on Windows."""
        names = path.split("/") if path else []
        if not _HAS_RELATIVE_OPENS:
            return _Entry(self._checked_path(names, create=create), None)
        kept = self._kept_folder(names[:_KEPT_DEPTH], create=create) if len(names) > _KEPT_DEPTH else None
        if kept is None:
            return _Entry("", self._walk(names, flags, create=create))
        fd = self._step(kept, names, _KEPT_DEPTH, flags, create=create)
        return _Entry("", self._walk(names, flags, create=create, start=(fd, _KEPT_DEPTH + 1)))

    def _walk(self, names: list[str], flags: int, *, create: bool, start: tuple[int, int] | None = None) -> int:
        """Open a folder step by step from the root, or from a descriptor of the first names, which is closed."""
        fd, done = start or (self._open_root(flags if not names else _ENTER, create=create), 0)
        for number in range(done, len(names)):
            try:
                below = self._step(fd, names, number, flags, create=create)
            finally:
                os.close(fd)
            fd = below
        return fd

    def _step(self, fd: int, names: list[str], number: int, flags: int, *, create: bool) -> int:
        """Open a folder in an open folder. Raises NotPlain for a link."""
        name = names[number]
        try:
            return _enter(fd, name, flags if number == len(names) - 1 else _ENTER, create=create)
        except NotADirectoryError:
            if _is_link(os.stat(name, dir_fd=fd, follow_symlinks=False)):
                raise NotPlain("/".join(names[: number + 1]), "is a link") from None
            raise

    def _kept_folder(self, names: list[str], *, create: bool) -> int | None:
        """The descriptor of a folder that is kept open, as long as it is at this path. None if too many are.

        The path may lead to it through links by now; the descriptor was opened without following any.
        """
        path = "/".join(names)
        known = self._kept.get(path)
        if known is not None:
            fd, identity = known
            with suppress(OSError):
                status = os.stat(f"{self._root}/{path}", follow_symlinks=False)  # noqa: PTH116 - faster without a Path
                if (status.st_dev, status.st_ino) == identity:
                    return fd
            if self._kept.pop(path, None) is not None:
                self._stale.append(fd)
        if len(self._kept) + len(self._stale) >= _KEPT:
            return None
        fd = self._walk(names, _ENTER, create=create)
        status = os.fstat(fd)
        kept, _ = self._kept.setdefault(path, (fd, (status.st_dev, status.st_ino)))
        if kept != fd:  # another thread was faster
            os.close(fd)
        return kept

    def _open_root(self, flags: int, *, create: bool) -> int:
        try:
            return os.open(self._root, flags)
        except FileNotFoundError:
            if not create:
                raise
        self._root.mkdir(parents=True, exist_ok=True)
        return os.open(self._root, flags)

    def _checked_path(self, names: list[str], *, create: bool) -> str:
        place = self._root
        if create:
            place.mkdir(parents=True, exist_ok=True)
        for number, name in enumerate(names):
            place = place / name
            try:
                status = place.lstat()
            except FileNotFoundError:
                if not create:
                    raise
                place.mkdir(parents=True, exist_ok=True)
                continue
            if _is_link(status):
                raise NotPlain("/".join(names[: number + 1]), "is a link")
        return str(place)


def _enter(fd: int, name: str, flags: int, *, create: bool) -> int:
    """Open a folder in an open folder. Raises NotADirectoryError for a link."""
    try:
        return os.open(name, flags | _NO_FOLLOW, dir_fd=fd)
    except FileNotFoundError:
        if not create:
            raise
    except OSError as error:
        if error.errno not in _OPENING_ODD:
            raise
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), name) from None
    try:
        os.mkdir(name, dir_fd=fd)
    except FileExistsError:
        pass  # another process has just made it
    return os.open(name, flags | _NO_FOLLOW, dir_fd=fd)


def _require_regular(status: os.stat_result, path: str) -> None:
    if _is_link(status):
        raise NotPlain(path, "is a link")
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    if not stat.S_ISREG(status.st_mode):
        raise NotPlain(path, "is not a regular file")


def _is_link(status: os.stat_result) -> bool:
    """Whether an entry is a link; on Windows, any reparse point, except those of files kept in a cloud."""
    if stat.S_ISLNK(status.st_mode):
        return True
    attributes = getattr(status, "st_file_attributes", 0)
    return bool(attributes & _REPARSE_POINT) and getattr(status, "st_reparse_tag", 0) in _LINK_TAGS


# IO_REPARSE_TAG_SYMLINK, IO_REPARSE_TAG_MOUNT_POINT (junctions as well). Others belong to cloud and deduplicated files.
_LINK_TAGS = frozenset({0xA000000C, 0xA0000003})
