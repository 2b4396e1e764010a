"""A store in a folder, without fsspec: importing that takes longer than reading a pointer.

Writing: the bytes go to ``tmp/`` inside the store, are flushed to the disk (fsync), and then get their name: by a hard
link, which fails when the name exists, or by a rename where a blob may be replaced. A name therefore never stands for
half of its bytes, not even after a power cut. Folders are not synced: a name lost that way is a blob that is missing,
which the next bundle makes good.
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
from envc.shipping.store.blobs import Fill, Listed
from envc.shipping.store.keys import check_key

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_TEMPORARY = "tmp"
_ABANDONED = 24 * 3600  # seconds after which a temporary file belongs to a writer that was killed
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
            # What is not there needs no room in memory, whatever an index claims.
            data = bytearray(length if os.fstat(stream.fileno()).st_size >= offset + length else 0)
            rest = memoryview(data)
            stream.seek(offset)
            # One read answers with 2 GiB at most on Linux, and may answer with less on network file systems.
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

    def write_new(self, key: str, data: bytes | Fill) -> bool:
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
                with suppress(FileNotFoundError):  # somebody removed it meanwhile
                    status = Path(folder, file).stat()
                    found.append(Listed(f"{base}/{file}", status.st_size, status.st_mtime))
        return iter(sorted(found))

    def _path(self, key: str) -> Path:
        return self._root / check_key(key)

    @contextmanager
    def _temporary(self, data: bytes | Fill) -> Iterator[Path]:
        """A file on the store's own disk that holds the data; it is gone afterwards, unless it was renamed."""
        folder = self._root / _TEMPORARY
        with self._writing():
            folder.mkdir(parents=True, exist_ok=True)
            self._sweep(folder)
        path = folder / os.urandom(16).hex()
        try:
            with self._writing():
                draft = _Draft(path, self.name)
            with io.BufferedWriter(draft) as stream:
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
        """Once per process: remove what killed writers left."""
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
            raise _refusal(error, self.name) from error


class _Draft(io.FileIO):
    """A new file of a store. Its failing writes are the store's errors, unlike what reading a content may raise."""

    def __init__(self, path: Path, store: str) -> None:
        super().__init__(path, "xb")
        self._store = store

    def write(self, data: ReadableBuffer) -> int:
        try:
            return super().write(data)
        except OSError as error:
            raise _refusal(error, self._store) from error


def _refusal(error: OSError, store: str) -> StoreError:
    """What a failed write means, and the way out."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StoreError(store, "its disk is full", "make room, then run the same command again")
    hint = "choose a folder that you may write to, with `store` in the manifest, --store or ENVC_STORE"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return StoreError(store, "cannot be written to", hint)
    return StoreError(store, f"cannot be written: {error.strerror or type(error).__name__}", hint)


def _name_new(temporary: Path, path: Path) -> bool:
    """Give a finished file its name, unless the name is taken: then False."""
    if os.name == "nt":
        try:
            temporary.rename(path)  # fails there when the name is taken
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
        # No hard links here. Two writers at once may both succeed: the last one's bytes stay, verified as any are.
        if path.exists():
            return False
        temporary.replace(path)
    return True
