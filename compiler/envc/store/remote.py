"""A store at a URL, through fsspec.

Object stores publish a blob whole or not at all, and most create one only if its key is free (`mode="create"`): S3, GCS
and Azure by a conditional request. File-like backends get a temporary blob that is moved to its name. A backend that
cannot refuse to replace lets the last of two writers at once win, which is safe because bytes are verified when read.
"""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, cast

from envc.errors import StoreError
from envc.store.blobs import Fill, display_name
from envc.store.errors import CorruptBlob, MissingBlob
from envc.store.keys import check_key

_TEMPORARY = "tmp"
_WHOLE = frozenset({"memory", "s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl", "oss", "oci", "r2"})
_AT_ONCE = 32 << 20  # bytes up to which a blob is sent in one request, which more backends can make conditional
_EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs", "abfs": "azure", "abfss": "azure", "az": "azure"}


def open_remote(url: str) -> RemoteBlobs:
    """The store at a URL. Raises StoreError when fsspec, or the library that it needs for this URL, cannot open it."""
    import fsspec

    name = display_name(url)
    scheme = url.partition("://")[0]
    try:
        # Listings are not kept: `exists` must see what other machines have just written.
        file_system, root = fsspec.core.url_to_fs(url, use_listings_cache=False)
    except ImportError as error:
        extra = _EXTRAS.get(scheme)
        hint = f"install envc[{extra}]" if extra else None
        raise StoreError(name, f"needs a library that is not installed ({error.name or scheme})", hint) from None
    except Exception as error:  # whatever a backend raises may spell the URL, with its credentials
        raise StoreError(name, f"cannot be opened as a store ({type(error).__name__})") from None
    return RemoteBlobs(file_system, root, name, whole=scheme in _WHOLE)


class RemoteBlobs:
    """Blobs in an fsspec file system, below `root`."""

    def __init__(self, file_system: Any, root: str, name: str, *, whole: bool) -> None:
        self._fs = file_system
        self._root = root.rstrip("/")
        self._name = name
        self._whole = whole  # an unfinished write is never seen

    @property
    def name(self) -> str:
        return self._name

    def read(self, key: str, limit: int) -> bytes:
        # One byte more than allowed is asked for, so that a huge blob is not fetched to be refused.
        with self._talking(key) as path:
            data = bytes(self._fs.cat_file(path, start=0, end=limit + 1))
        if len(data) > limit:
            raise CorruptBlob(f"{self._name}: {key}", f"is larger than {limit} bytes")
        return data

    def read_range(self, key: str, offset: int, length: int) -> bytes:
        with self._talking(key) as path:
            data = bytes(self._fs.cat_file(path, start=offset, end=offset + length))
        if len(data) != length:
            raise CorruptBlob(f"{self._name}: {key}", f"ends before byte {offset + length}")
        return data

    def size(self, key: str) -> int:
        with self._talking(key) as path:
            return int(self._fs.size(path))

    def open(self, key: str) -> BinaryIO:
        with self._talking(key) as path:
            return cast(BinaryIO, self._fs.open(path, "rb"))

    def write_new(self, key: str, data: bytes | Fill) -> bool:
        if self.exists(key):
            return False
        if not callable(data):
            return self._create(key, data)
        with tempfile.TemporaryDirectory(prefix="envc-") as folder:
            draft = Path(folder) / "blob"
            with draft.open("wb") as stream:
                data(stream)
            if draft.stat().st_size <= _AT_ONCE:
                return self._create(key, draft.read_bytes())
            return self._create(key, draft)

    def write(self, key: str, data: bytes) -> None:
        with self._talking(key) as path, self._target(path) as target:
            self._fs.pipe_file(target, data)

    def exists(self, key: str) -> bool:
        with self._talking(key) as path:
            return bool(self._fs.exists(path))

    def delete(self, key: str) -> None:
        with suppress(MissingBlob), self._talking(key) as path:
            self._fs.rm_file(path)

    def list(self, prefix: str) -> Iterator[str]:
        start = len(self._root) + 1
        found: list[str] = []
        with suppress(MissingBlob), self._talking(prefix) as path:
            found = self._fs.find(path)
        return iter(sorted(each[start:] for each in found))

    def _create(self, key: str, data: bytes | Path) -> bool:
        try:
            with self._talking(key) as path, self._target(path) as target:
                if isinstance(data, Path):
                    self._fs.put_file(str(data), target, mode="create")
                else:
                    self._fs.pipe_file(target, data, mode="create")
        except _Taken:
            return False
        return True

    @contextmanager
    def _target(self, path: str) -> Iterator[str]:
        """Where to write what shall stand at `path`."""
        if self._whole:
            yield path
            return
        temporary = f"{self._root}/{_TEMPORARY}/{secrets.token_hex(16)}"
        self._fs.makedirs(f"{self._root}/{_TEMPORARY}", exist_ok=True)
        self._fs.makedirs(path.rpartition("/")[0], exist_ok=True)
        try:
            yield temporary
            self._fs.mv(temporary, path)
        except BaseException:
            with suppress(Exception):
                self._fs.rm_file(temporary)
            raise

    @contextmanager
    def _talking(self, key: str) -> Iterator[str]:
        """The backend's path of a key. Whatever the backend raises becomes this store's error, without its text, which
        may spell credentials.
        """
        path = f"{self._root}/{check_key(key)}"
        try:
            yield path
        except FileNotFoundError:
            raise MissingBlob(self._name, key) from None
        except FileExistsError:
            raise _Taken(self._name, f"holds {key} already") from None
        except PermissionError:
            hint = "check the credentials that this machine has for the store"
            raise StoreError(self._name, f"does not allow access to {key}", hint) from None
        except StoreError:
            raise
        except Exception as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
            raise StoreError(self._name, f"failed at {key}: {reason}") from None


class _Taken(StoreError):
    """Somebody else created the blob first."""
