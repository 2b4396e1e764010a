"""A store at a URL, through fsspec.

Object stores publish a blob as a whole or not at all. Most can create a blob only if its key is free
(`mode="create"`): S3, GCS and Azure do so by a conditional request. On file-like backends, a temporary blob is written
and moved to its name. On a backend that cannot refuse to replace a blob, the last of two concurrent writers wins, which
is safe because bytes are verified when they are read.

An upload that breaks off is sent again: only the failed part if the backend supports multipart uploads, otherwise the
whole blob. Blobs that an earlier run published are not sent again, so an interrupted bundle resumes with the next
object.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from math import isfinite
from pathlib import Path
from typing import Any, Literal, TypeVar

from envc.errors import StoreError
from envc.shipping.format.errors import KeyTaken, MissingBlob, NoSuchPlace, NoSuchRange, StoreBusy
from envc.shipping.store.backends.object_store import IN_FLIGHT, ObjectStoreBlobs
from envc.shipping.store.backends.refusals import refusal
from envc.shipping.store.backends.store_retries import Patience
from envc.shipping.store.blobs import Listed, WriteTo, display_name
from envc.shipping.store.keys import check_key, draft_key
from envc_solvers.malformed import malformed

T = TypeVar("T")

_TRIES = 4  # after a failure that may be permanent, in addition to the retries of the backend
_WHOLE = frozenset({"memory", "s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl", "oss", "oci", "r2"})
_AT_ONCE = 32 << 20  # bytes up to which a blob is sent in one request, which more backends can make conditional
_PARTS = {"chunksize": 16 << 20, "max_concurrency": 4}  # bytes of a part of a larger blob, and concurrent parts
_KINDS = "name a folder, or a URL such as s3://, gs://, abfs:// or, for reading, https://"
_LOGIN = "check the credentials that this machine has for the store"
_EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs", "abfs": "azure", "abfss": "azure", "az": "azure"}
_TIMES = ("LastModified", "last_modified", "updated", "mtime", "modified", "created")  # the names that backends use
_S3 = {
    "use_listings_cache": False,
    # Single requests are retried with jitter, below our own retries, so that a failed part is sent again alone.
    "config_kwargs": {"retries": {"mode": "standard", "max_attempts": 5}, "max_pool_connections": 2 * IN_FLIGHT},
}
# Exceptions of bugs in a backend and of wrong calls. Another try would only hide them.
_PERMANENT = (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)
_PERMANENT_NUMBERS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.ENAMETOOLONG, errno.ELOOP})
# Backends have already retried these. By name, since their classes are in libraries that may not be installed.
_UNREACHABLE = frozenset({"EndpointConnectionError", "ConnectTimeoutError", "ClientConnectorError"})
# Exceptions of botocore and others: they found no credentials, only a part of them, or none that are valid.
_NO_LOGIN = frozenset(
    {
        "NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError", "ProfileNotFound",
        "TokenRetrievalError", "SSOTokenLoadError", "UnauthorizedSSOTokenError",
        "DefaultCredentialsError", "RefreshError",  # of google-auth
        "ClientAuthenticationError", "CredentialUnavailableError",  # of azure
    }
)  # fmt: skip
# Raised when a server is overloaded or a connection breaks, beside Python's own classes. By name, as above.
_BROKEN = frozenset(
    {
        "ClientOSError",
        "ClientPayloadError",
        "ConnectionClosedError",
        "IncompleteReadError",
        "ReadTimeoutError",
        "ResponseStreamingError",
        "ServerDisconnectedError",
        "ServerTimeoutError",
    }
)
_BUSY_NUMBERS = frozenset({errno.EBUSY, errno.EAGAIN, errno.ETIMEDOUT, errno.ECONNRESET, errno.EPIPE})
_NOT_OFFERED = frozenset({errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP})


def open_remote(url: str, patience: Patience = Patience()) -> RemoteBlobs:  # noqa: B008 - a frozen value
    """The store at a URL. Raises StoreError if fsspec, or the library that it needs for this URL, cannot open it."""
    import fsspec

    name = display_name(url)
    scheme = url.partition("://")[0]
    if scheme not in fsspec.available_protocols():
        raise StoreError(name, "is of a kind that neither envc nor fsspec supports", _KINDS)
    try:
        fsspec.get_filesystem_class(scheme)
    except Exception as error:  # also of a library that is installed, and does not work
        extra = _EXTRAS.get(scheme)
        cause = error.__cause__ or error.__context__ or error  # fsspec wraps it in an ImportError of its own
        reason = f"needs a library that cannot be imported: {type(cause).__name__}: {cause}"
        way = f"`pip install --upgrade 'envc[{extra}]'`" if extra else f"the library of fsspec for {scheme}://"
        raise StoreError(name, reason, f"install {way} where envc is installed") from None
    try:
        # Listings are not cached: `exists` must see what other machines have just written.
        options = _S3 if scheme in ("s3", "s3a") else {"use_listings_cache": False}
        file_system, root = fsspec.core.url_to_fs(url, **options)
    except Exception as error:  # the text of any exception may contain the URL with its credentials
        raise StoreError(name, f"cannot be opened as a store ({type(error).__name__})") from None
    if scheme in ("s3", "s3a"):
        # times those of botocore; 5 times 5 takes half a minute if the host refuses connections
        file_system.retries = 2
        return RemoteBlobs(file_system, root, name, whole=True, parts=_PARTS, patience=patience)
    return RemoteBlobs(file_system, root, name, whole=scheme in _WHOLE, patience=patience)


class RemoteBlobs(ObjectStoreBlobs):
    """Blobs in an fsspec file system, below `root`."""

    def __init__(
        self,
        file_system: Any,
        root: str,
        name: str,
        *,
        whole: bool,
        parts: dict[str, int] | None = None,
        patience: Patience = Patience(),  # noqa: B008 - a frozen value
    ) -> None:
        super().__init__(name, patience.retries(name, unreachable=1), at_once=_AT_ONCE)
        self._fs = file_system
        self._root = root.rstrip("/")
        self._whole = whole  # whether an unfinished write is never visible
        self._parts = parts or {}  # how the backend splits large uploads

    def size(self, key: str) -> int:
        return self._request(key, lambda: int(self._fs.size(self._path(key))))

    def write_new(self, key: str, data: bytes | WriteTo) -> bool:
        # If the backend itself refuses to replace a blob, small blobs are sent without a check.
        if (callable(data) or not self._whole) and self.exists(key):
            return False
        return self._create_from(key, data) if callable(data) else self._create(key, data)

    def write(self, key: str, data: bytes) -> None:
        self._request(key, lambda: self._send(self._path(key), data, "overwrite"))

    def exists(self, key: str) -> bool:
        return self._request(key, lambda: bool(self._fs.exists(self._path(key))))

    def delete(self, key: str) -> None:
        with suppress(MissingBlob):
            self._request(key, lambda: self._fs.rm_file(self._path(key)))

    def scan(self, prefix: str) -> Iterator[Listed]:
        start = len(self._root) + 1
        found: dict[str, dict[str, Any]] = {}
        with suppress(MissingBlob):
            found = self._request(prefix, lambda: self._fs.find(self._path(prefix), detail=True))
        return iter(
            sorted(Listed(path[start:], int(info.get("size") or 0), _modified(info)) for path, info in found.items())
        )

    def _create(self, key: str, data: bytes | Path) -> bool:
        try:
            self._request(key, lambda: self._send(self._path(key), data, "create"))
        except KeyTaken:
            return False
        except _NotOffered:
            if self.exists(key):
                return False
            self._request(key, lambda: self._send(self._path(key), data, "overwrite"))
        return True

    def _send(self, path: str, data: bytes | Path, mode: Literal["create", "overwrite"]) -> None:
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
        """The path to which a blob for `path` is written."""
        if self._whole:
            yield path
            return
        temporary = f"{self._root}/{draft_key()}"
        self._fs.makedirs(temporary.rpartition("/")[0], exist_ok=True)
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
    def _translating_errors(self, key: str) -> Iterator[None]:
        """Turn exceptions of the backend into errors of this store, without their texts, which may contain
        credentials.
        """
        try:
            yield
        except StoreError:
            raise
        except NotImplementedError:
            raise _NotOffered(self._name, f"cannot do this with {key}") from None
        except Exception as error:
            number = error.errno if isinstance(error, OSError) else None
            if isinstance(error, FileExistsError):
                raise KeyTaken(self._name, f"holds {key} already") from None
            if number in _NOT_OFFERED:
                raise _NotOffered(self._name, f"cannot do this with {key}") from None
            refused = refusal(self._name, key, error)
            if refused is not None:
                raise refused from None
            if isinstance(error, FileNotFoundError):
                raise MissingBlob(self._name, key) from None
            if isinstance(error, PermissionError):
                raise StoreError(self._name, f"does not allow access to {key}", _LOGIN) from None
            if type(error).__name__ in _NO_LOGIN:
                raise StoreError(
                    self._name, "requires a login, and this machine has no credentials for it", _LOGIN
                ) from None
            if isinstance(error, RecursionError) and self._name.startswith("s3"):
                # s3fs looks for the region of a bucket again and again if the redirect does not name it.
                reason = f"redirects the request for {key}: the bucket is in another region"
                raise StoreError(self._name, reason, "set AWS_REGION to the region of the bucket") from None
            if number == errno.EINVAL:  # of backends that state no code, for a range that begins at the end or after it
                raise NoSuchRange(self._name, f"has no such range in {key}") from None
            reason = os.strerror(number) if number else type(error).__name__
            failed = f"failed at {key}: {reason}"
            if isinstance(error, _PERMANENT) or number in _PERMANENT_NUMBERS:
                raise StoreError(self._name, failed) from None
            unreachable = isinstance(error, ConnectionRefusedError) or type(error).__name__ in _UNREACHABLE
            is_busy = number in _BUSY_NUMBERS or isinstance(error, ConnectionError | TimeoutError)
            is_known = is_busy or type(error).__name__ in _BROKEN
            raise StoreBusy(
                self._name,
                failed,
                max_tries=None if is_known else _TRIES,
                is_throttled=number == errno.EBUSY,
                is_unreachable=unreachable,
            ) from None


class _NotOffered(StoreError):
    """The backend does not support the operation."""


def _modified(info: dict[str, Any]) -> float:
    """When a blob was written. If the backend does not say, it counts as new, so that `gc` keeps it."""
    import time

    for key in _TIMES:
        value = info.get(key)
        if isinstance(value, str):
            with suppress(ValueError):
                value = datetime.fromisoformat(value)
        with suppress(*malformed()):
            if isinstance(value, datetime):
                return value.timestamp()
            if isinstance(value, int | float) and isfinite(value):
                return float(value)
    return time.time()
