"""A store in a folder. It does not use fsspec, whose import takes longer than reading a pointer.

A blob is written to ``tmp/`` inside the store and flushed to disk (fsync). Then it gets its name: by a hard link, which
fails if the name exists, or by a rename if a blob may be replaced. So a name never refers to incomplete bytes, not even
after a power failure. Folders are not synced: a name lost in a power failure is a missing blob, which the next
bundle writes again.

`system.atomic_file` is not used here: a blob must not replace another, and disk errors must be distinguished from
errors of reading the content.
"""

from __future__ import annotations

import errno
import io
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from envc.errors import StoreError
from envc.shipping.format.errors import CorruptBlob, MissingBlob
from envc.shipping.store.blobs import Listed, WriteTo
from envc.shipping.store.keys import check_key

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_TEMPORARY = "tmp"
_ABANDONED = 24 * 3600  # seconds after which the writer of a temporary file is considered dead
_NO_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EXDEV})


class FolderBlobs:
    """Blobs as files below `root`."""

    in_flight = 1

    def __init__(self, root: Path) -> None:
        self._root = root.absolute()
        self._swept = False

    @property
    def name(self) -> str:
        return str(self._root)

    def read(self, key: str, limit: int) -> bytes:
        with self._reading(key), self._path(key).open("rb") as stream:
            data = stream.read(limit + 1)
        if len(data) > limit:
            raise CorruptBlob(f"{self.name}: {key}", f"is larger than {limit} bytes")
        return data

    def read_range(self, key: str, offset: int, length: int) -> bytearray:
        with self._reading(key), self._path(key).open("rb", buffering=0) as stream:
            # Memory is allocated only for bytes that exist, whatever an index claims.
            data = bytearray(length if os.fstat(stream.fileno()).st_size >= offset + length else 0)
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
            return self._path(key).stat().st_size

    def open(self, key: str) -> BinaryIO:
        with self._reading(key):
            return self._path(key).open("rb")

    def write_new(self, key: str, data: bytes | WriteTo) -> bool:
        path = self._path(key)
        if path.exists():
            return False
        with self._temporary(data) as temporary, self._writing():
            path.parent.mkdir(parents=True, exist_ok=True)
            return _name_new(temporary, path)

    def write(self, key: str, data: bytes) -> None:
        path = self._path(key)
        with self._temporary(data) as temporary, self._writing():
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary.replace(path)

    def exists(self, key: str) -> bool:
        return self._path(key).is_file()

    def delete(self, key: str) -> None:
        with self._writing():
            self._path(key).unlink(missing_ok=True)

    def list(self, prefix: str) -> Iterator[str]:
        return (listed.key for listed in self.scan(prefix))

    def scan(self, prefix: str) -> Iterator[Listed]:
        found = []
        for folder, _, files in os.walk(self._path(prefix)):
            base = Path(folder).relative_to(self._root).as_posix()
            for file in files:
                with suppress(FileNotFoundError):  # another process has just removed it
                    status = Path(folder, file).stat()
                    found.append(Listed(f"{base}/{file}", status.st_size, status.st_mtime))
        return iter(sorted(found))

    def _path(self, key: str) -> Path:
        return self._root / check_key(key)

    @contextmanager
    def _temporary(self, data: bytes | WriteTo) -> Iterator[Path]:
        """A temporary file with the data, on the disk of the store. It is removed afterwards unless it was renamed.

        Does not use `atomic_file`: the first writer of a blob wins, so its name may have to be taken by a hard link.
        """
        folder = self._root / _TEMPORARY
        with self._writing():
            folder.mkdir(parents=True, exist_ok=True)
            self._sweep(folder)
        path = folder / os.urandom(16).hex()
        try:
            with self._writing():
                file = _BlobFile(path, self.name)
            with io.BufferedWriter(file) as stream:
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
                path.unlink(missing_ok=True)

    def _sweep(self, folder: Path) -> None:
        """Remove the leftovers of killed writers, once per process."""
        if self._swept:
            return
        self._swept = True
        for path in folder.iterdir():
            with suppress(OSError):
                if time.time() - path.stat().st_mtime > _ABANDONED:
                    path.unlink()

    @contextmanager
    def _reading(self, key: str) -> Iterator[None]:
        try:
            yield
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            raise MissingBlob(self.name, key) from None
        except OSError as error:
            raise StoreError(self.name, f"cannot be read: {error.strerror or type(error).__name__}") from error

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise _write_error(error, self.name) from error


class _BlobFile(io.FileIO):
    """A new file of a store. Write errors are raised as StoreError, to tell them apart from errors of the content."""

    def __init__(self, path: Path, store: str) -> None:
        super().__init__(path, "xb")
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


def _name_new(temporary: Path, path: Path) -> bool:
    """Give a complete file its name. Returns False if the name is taken."""
    if os.name == "nt":
        try:
            temporary.rename(path)  # fails on Windows if the name is taken
        except FileExistsError:
            return False
        return True
    try:
        os.link(temporary, path)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        # There are no hard links here. Two concurrent writers may both succeed; the bytes of the last one stay, and are
        # verified when they are read, as always.
        if path.exists():
            return False
        temporary.replace(path)
    return True
