"""A store at a URL, through fsspec.

Object stores publish a blob whole or not at all, and most create one only if its key is free (`mode="create"`): S3, GCS
and Azure by a conditional request. File-like backends get a temporary blob that is moved to its name. A backend that
cannot refuse to replace lets the last of two writers at once win, which is safe because bytes are verified when read.

An upload that breaks off is sent again: by the part where the backend knows multipart uploads, else as a whole. What an
earlier run published is there and is not sent again, so the unit in which a bundle resumes is the object.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from envc.errors import StoreError
from envc.shipping.format.errors import KeyTaken, MissingBlob, NoSuchPlace, NoSuchRange, StoreBusy
from envc.shipping.store.backends.object_store import IN_FLIGHT, DistantBlobs
from envc.shipping.store.backends.retry import Patience
from envc.shipping.store.blobs import Fill, Listed, display_name
from envc.shipping.store.keys import check_key

T = TypeVar("T")

PATIENCE = Patience(tries=4)  # on top of what backends do for single requests
_TEMPORARY = "tmp"
_WHOLE = frozenset({"memory", "s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl", "oss", "oci", "r2"})
_AT_ONCE = 32 << 20  # bytes up to which a blob is sent in one request, which more backends can make conditional
_PARTS = {"chunksize": 16 << 20, "max_concurrency": 4}  # bytes of a part of a larger one, and parts at once
_KINDS = "name a folder, or a URL such as s3://, gs://, abfs:// or, for reading, https://"
_LOGIN = "check the credentials that this machine has for the store"
_EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs", "abfs": "azure", "abfss": "azure", "az": "azure"}
_TIMES = ("LastModified", "last_modified", "updated", "mtime", "modified", "created")  # as backends call it
_S3 = {
    "use_listings_cache": False,
    # Request by request, with jitter, below our own patience: so a part that fails is sent again alone.
    "config_kwargs": {"retries": {"mode": "standard", "max_attempts": 5}, "max_pool_connections": 2 * IN_FLIGHT},
}
# What a bug in a backend or a wrong call looks like; trying again would only hide it.
_HOPELESS = (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)
_HOPELESS_NUMBERS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.ENAMETOOLONG, errno.ELOOP})
# Backends have tried these often enough by then; by name, since their classes are in libraries that may not be there.
_UNREACHABLE = frozenset({"EndpointConnectionError", "ConnectTimeoutError", "ClientConnectorError"})
# botocore's: it found nothing to log in with, or half of it.
_NO_LOGIN = frozenset({"NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError", "ProfileNotFound"})
_NOT_OFFERED = frozenset({errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP})


def open_remote(url: str) -> RemoteBlobs:
    """The store at a URL. Raises StoreError when fsspec, or the library that it needs for this URL, cannot open it."""
    import fsspec

    name = display_name(url)
    scheme = url.partition("://")[0]
    if scheme not in fsspec.available_protocols():
        raise StoreError(name, "is of no kind that envc or fsspec knows", _KINDS)
    try:
        # Listings are not kept: `exists` must see what other machines have just written.
        options = _S3 if scheme in ("s3", "s3a") else {"use_listings_cache": False}
        file_system, root = fsspec.core.url_to_fs(url, **options)
    except ImportError as error:
        extra = _EXTRAS.get(scheme)
        hint = f"install envc[{extra}]" if extra else None
        raise StoreError(name, f"needs a library that is not installed ({error.name or scheme})", hint) from None
    except Exception as error:  # whatever a backend raises may spell the URL, with its credentials
        raise StoreError(name, f"cannot be opened as a store ({type(error).__name__})") from None
    if scheme in ("s3", "s3a"):
        file_system.retries = 2  # of what botocore has tried already; for hosts that refuse, 5 times 5 is half a minute
        return RemoteBlobs(file_system, root, name, whole=True, parts=_PARTS)
    return RemoteBlobs(file_system, root, name, whole=scheme in _WHOLE)


class RemoteBlobs(DistantBlobs):
    """Blobs in an fsspec file system, below `root`."""

    def __init__(
        self,
        file_system: Any,
        root: str,
        name: str,
        *,
        whole: bool,
        parts: dict[str, int] | None = None,
        patience: Patience = PATIENCE,
    ) -> None:
        super().__init__(name, patience, at_once=_AT_ONCE)
        self._fs = file_system
        self._root = root.rstrip("/")
        self._whole = whole  # an unfinished write is never seen
        self._parts = parts or {}  # how the backend cuts large uploads

    def size(self, key: str) -> int:
        return self._ask(key, lambda: int(self._fs.size(self._path(key))))

    def write_new(self, key: str, data: bytes | Fill) -> bool:
        # Where the backend itself refuses to replace, it need not be asked before small blobs are sent.
        if (callable(data) or not self._whole) and self.exists(key):
            return False
        return self._create_filled(key, data) if callable(data) else self._create(key, data)

    def write(self, key: str, data: bytes) -> None:
        self._ask(key, lambda: self._send(self._path(key), data, "overwrite"))

    def exists(self, key: str) -> bool:
        return self._ask(key, lambda: bool(self._fs.exists(self._path(key))))

    def delete(self, key: str) -> None:
        with suppress(MissingBlob):
            self._ask(key, lambda: self._fs.rm_file(self._path(key)))

    def scan(self, prefix: str) -> Iterator[Listed]:
        start = len(self._root) + 1
        found: dict[str, dict[str, Any]] = {}
        with suppress(MissingBlob):
            found = self._ask(prefix, lambda: self._fs.find(self._path(prefix), detail=True))
        return iter(
            sorted(Listed(path[start:], int(info.get("size") or 0), _modified(info)) for path, info in found.items())
        )

    def _create(self, key: str, data: bytes | Path) -> bool:
        try:
            self._ask(key, lambda: self._send(self._path(key), data, "create"))
        except KeyTaken:
            return False
        except _NotOffered:
            if self.exists(key):
                return False
            self._ask(key, lambda: self._send(self._path(key), data, "overwrite"))
        return True

    def _send(self, path: str, data: bytes | Path, mode: str) -> None:
        try:
            with self._target(path) as target:
                if isinstance(data, Path):
                    self._fs.put_file(str(data), target, mode=mode, **self._parts)
                elif mode == "create":
                    self._fs.pipe_file(target, data, mode=mode)
                else:
                    self._fs.pipe_file(target, data)
        except FileNotFoundError:
            raise NoSuchPlace(self._name) from None

    @contextmanager
    def _target(self, path: str) -> Iterator[str]:
        """Where to write what shall stand at `path`."""
        if self._whole:
            yield path
            return
        temporary = f"{self._root}/{_TEMPORARY}/{os.urandom(16).hex()}"
        self._fs.makedirs(f"{self._root}/{_TEMPORARY}", exist_ok=True)
        self._fs.makedirs(path.rpartition("/")[0], exist_ok=True)
        try:
            yield temporary
            self._fs.mv(temporary, path)
        except BaseException:
            with suppress(Exception):
                self._fs.rm_file(temporary)
            raise

    def _fetch(self, key: str, start: int, stop: int) -> bytes:
        return bytes(self._fs.cat_file(self._path(key), start=start, end=stop))

    def _path(self, key: str) -> str:
        return f"{self._root}/{check_key(key)}"

    @contextmanager
    def _talking(self, key: str) -> Iterator[None]:
        """Whatever the backend raises becomes this store's error, without its text, which may spell credentials."""
        try:
            yield
        except FileNotFoundError:
            raise MissingBlob(self._name, key) from None
        except FileExistsError:
            raise KeyTaken(self._name, f"holds {key} already") from None
        except PermissionError:
            raise StoreError(self._name, f"does not allow access to {key}", _LOGIN) from None
        except StoreError:
            raise
        except NotImplementedError:
            raise _NotOffered(self._name, f"cannot do this with {key}") from None
        except Exception as error:
            if type(error).__name__ in _NO_LOGIN:
                raise StoreError(self._name, "asks for a login, and this machine has none for it", _LOGIN) from None
            number = error.errno if isinstance(error, OSError) else None
            if number in _NOT_OFFERED:
                raise _NotOffered(self._name, f"cannot do this with {key}") from None
            if number == errno.EINVAL:  # S3's answer to a range that begins at the end, or behind it
                raise NoSuchRange(self._name, f"has no such range in {key}") from None
            reason = os.strerror(number) if number else type(error).__name__
            failed = f"failed at {key}: {reason}"
            if isinstance(error, _HOPELESS) or number in _HOPELESS_NUMBERS:
                raise StoreError(self._name, failed) from None
            unreachable = isinstance(error, ConnectionRefusedError) or type(error).__name__ in _UNREACHABLE
            raise StoreBusy(self._name, failed, worth=1 if unreachable else self._patience.tries) from None


class _NotOffered(StoreError):
    """The backend cannot do what was asked."""


def _modified(info: dict[str, Any]) -> float:
    """When a blob was written: just now, if the backend does not say; then `gc` leaves it alone."""
    import time

    for key in _TIMES:
        value = info.get(key)
        if isinstance(value, str):
            with suppress(ValueError):
                value = datetime.fromisoformat(value)
        if isinstance(value, datetime):
            return value.timestamp()
        if isinstance(value, int | float):
            return float(value)
    return time.time()
