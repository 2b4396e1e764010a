"""A store in a folder. It does not use fsspec, whose import takes longer than reading a pointer.

A blob is written to ``v1/drafts`` inside the store and flushed to disk (fsync). Then it gets its name: by a hard link,
which fails if the name exists, or by a rename if a blob may be replaced. So a name never refers to incomplete bytes,
not even after a power failure. Folders are not synced: a name lost in a power failure is a missing blob, which the next
bundle writes again.

Others may write to the folder. So no link in it is followed, and only regular files are read (`system.beneath`). A
folder that is not empty must be recognised as a store before anything in it changes (`system.owned_folders`).

`system.atomic_file` is not used here: a blob must not replace another, and disk errors must be distinguished from
errors of reading the content.
"""

from __future__ import annotations

import errno
import io
import os
import shlex
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from envc.errors import StoreError
from envc.shipping.format.errors import CorruptBlob, MissingBlob
from envc.shipping.store.blobs import Listed, WriteTo
from envc.shipping.store.keys import DRAFTS, check_key, draft_key, is_own
from envc.system.beneath import Beneath, NotPlain

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_OLD_DRAFTS = "tmp"  # where earlier versions kept their drafts, in the root of the store
_ABANDONED = 24 * 3600  # seconds after which the writer of a draft is considered dead
_NO_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EXDEV})


class NotAStore(StoreError):
    """A folder that is not empty, and that no version of envc made as a store."""

    def __init__(self, store: str) -> None:
        command = f"envc bundle --store {shlex.quote(store)} --init-store"
        hint = f"name an empty or a new folder, or run `{command}` to keep a store among the other files"
        super().__init__(store, "is not empty, and is no store of envc; nothing was written or removed", hint)


class FolderBlobs:
    """Blobs as files below `root`."""

    in_flight = 1

    def __init__(self, root: Path, *, init: bool = False) -> None:
        """With `init`, the folder is made a store although other files are in it."""
        self._root = root.absolute()
        self._below = Beneath(self._root)
        self._init = init
        self._is_claimed = False
        self._swept = False

    @property
    def name(self) -> str:
        return str(self._root)

    def read(self, key: str, limit: int) -> bytes:
        with self._reading(key), self._opened(key) as stream:
            data = stream.read(limit + 1)
        if len(data) > limit:
            raise CorruptBlob(f"{self.name}: {key}", f"is larger than {limit} bytes")
        return data

    def read_range(self, key: str, offset: int, length: int) -> bytearray:
        with self._reading(key):
            fd, size = self._below.open(check_key(key))
            with io.FileIO(fd) as stream:
                # Memory is allocated only for bytes that exist, whatever an index claims.
                data = bytearray(length if size >= offset + length else 0)
                rest = memoryview(data)
                stream.seek(offset)
                # One read returns at most 2 GiB on Linux, and may return less on network file systems.
                while rest and (count := stream.readinto(rest)):
                    rest = rest[count:]
        if rest or len(data) != length:
            raise CorruptBlob(f"{self.name}: {key}", f"ends before byte {offset + length}")
        return data

    def size(self, key: str) -> int:
        with self._reading(key):
            return self._below.status(check_key(key)).st_size

    def open(self, key: str) -> BinaryIO:
        with self._reading(key):
            return io.BufferedReader(self._opened(key))

    def write_new(self, key: str, data: bytes | WriteTo) -> bool:
        if self.exists(key):
            return False
        with self._draft(data) as draft, self._writing():
            return self._name_new(draft, key)

    def write(self, key: str, data: bytes) -> None:
        check_key(key)
        with self._draft(data) as draft, self._writing():
            self._below.replace(draft, key)

    def exists(self, key: str) -> bool:
        try:
            return self.size(key) >= 0
        except MissingBlob:
            return False

    def delete(self, key: str) -> None:
        if self.exists(key):
            with self._writing():
                self._claim()
                with suppress(FileNotFoundError):
                    self._below.remove(key)

    def list(self, prefix: str) -> Iterator[str]:
        return (listed.key for listed in self.scan(prefix))

    def scan(self, prefix: str) -> Iterator[Listed]:
        check_key(prefix)
        try:
            with self._reading(prefix):
                found = [Listed(path, status.st_size, status.st_mtime) for path, status in self._below.files(prefix)]
        except MissingBlob:
            found = []
        return iter(sorted(found))

    def _opened(self, key: str) -> io.FileIO:
        return io.FileIO(self._below.open(check_key(key))[0])

    @contextmanager
    def _draft(self, data: bytes | WriteTo) -> Iterator[str]:
        """The path of a temporary file with the data, on the disk of the store. It is removed afterwards unless it was
        renamed.

        Does not use `atomic_file`: the first writer of a blob wins, so its name may have to be taken by a hard link.
        """
        path = draft_key()
        try:
            with self._writing():
                self._claim()
                file = _BlobFile(self._below.create(path), self.name)
            with io.BufferedWriter(file) as stream:
                with self._writing():
                    self._sweep(os.fstat(file.fileno()).st_mtime)
                if callable(data):
                    data(stream)
                else:
                    stream.write(data)
                stream.flush()
                with self._writing():
                    os.fsync(stream.fileno())
            yield path
        finally:
            with suppress(OSError):
                self._below.remove(path)

    def _claim(self) -> None:
        """Make sure that the folder is a store, before anything in it changes. Raises NotAStore and OSError."""
        if self._is_claimed:
            return
        from envc.shipping.store.layout import has_store_layout  # not needed for reading
        from envc.system.owned_folders import ForeignFolder, claim, marker_name

        try:
            state = claim(self._root, "store", has_store_layout, force=self._init)
        except ForeignFolder:
            raise NotAStore(self.name) from None
        self._is_claimed = True
        if state == "unmarked":
            with suppress(OSError):
                self._remove_old_drafts(self._below.status(marker_name("store")).st_mtime)

    def _sweep(self, now: float) -> None:
        """Remove the leftovers of killed writers, once per process. `now` is by the clock of the disk."""
        if self._swept:
            return
        self._swept = True
        for path, status in self._below.files(DRAFTS):
            if is_own(path) and now - status.st_mtime > _ABANDONED:
                with suppress(OSError):
                    self._below.remove(path)

    def _remove_old_drafts(self, now: float) -> None:
        """Remove the leftovers of an earlier version, which kept its drafts in another folder.

        That folder has a name that other programs use as well. So this happens only once, when a store of an earlier
        version gets its marker, and only if nothing but drafts is in the folder. Raises OSError.
        """
        found = list(self._below.files(_OLD_DRAFTS))
        if all(is_own(f"{DRAFTS}/{path.removeprefix(f'{_OLD_DRAFTS}/')}") for path, _ in found):
            for path, status in found:
                if now - status.st_mtime > _ABANDONED:
                    self._below.remove(path)
            self._below.remove_folder(_OLD_DRAFTS)  # fails if a draft is in it

    def _name_new(self, draft: str, key: str) -> bool:
        """Give a complete file its name. Returns False if the name is taken."""
        try:
            if os.name == "nt":
                self._below.rename(draft, key)  # fails on Windows if the name is taken
            else:
                self._below.link(draft, key)
        except FileExistsError:
            return False
        except OSError as error:
            if os.name == "nt" or error.errno not in _NO_LINKS:
                raise
            # There are no hard links here. Two concurrent writers may both succeed; the bytes of the last one stay, and
            # are verified when they are read, as always.
            if self.exists(key):
                return False
            self._below.replace(draft, key)
        return True

    @contextmanager
    def _reading(self, key: str) -> Iterator[None]:
        try:
            yield
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            raise MissingBlob(self.name, key) from None
        except NotPlain as error:
            raise _odd_file(error, self.name) from None
        except OSError as error:
            raise StoreError(self.name, f"cannot be read: {error.strerror or type(error).__name__}") from error

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except NotPlain as error:
            raise _odd_file(error, self.name) from None
        except OSError as error:
            raise _write_error(error, self.name) from error


class _BlobFile(io.FileIO):
    """A new file of a store, which owns its descriptor. Write errors are raised as StoreError, to tell them apart from
    errors of the content.
    """

    def __init__(self, fd: int, store: str) -> None:
        super().__init__(fd, "wb")
        self._store = store

    def write(self, data: ReadableBuffer) -> int:
        try:
            return super().write(data)
        except OSError as error:
            raise _write_error(error, self._store) from error


def _write_error(error: OSError, store: str) -> StoreError:
    """The error for a failed write, with a hint."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StoreError(store, "its disk is full", "free some space, then run the same command again")
    hint = "choose a folder that you may write to, with `store` in the manifest, --store or ENVC_STORE"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return StoreError(store, "cannot be written to", hint)
    return StoreError(store, f"cannot be written: {error.strerror or type(error).__name__}", hint)


def _odd_file(error: NotPlain, store: str) -> StoreError:
    """The error for a link, FIFO or device in a store."""
    hint = "put the folder or file itself there, or remove it; envc follows no links inside a store"
    return StoreError(store, f"{error.path} {error.reason}", hint)
