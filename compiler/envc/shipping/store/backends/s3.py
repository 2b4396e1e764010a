"""An S3 bucket through obstore, if that is installed: it starts in 0.03 s instead of 0.5 s, and needs no event loop.

obstore reads its settings only from environment variables. So it is used only if these contain everything: keys or the
token files of clusters, and the region or an endpoint. For profiles, shared configuration files and single sign-on,
s3fs is used, which supports all of them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from envc.errors import StoreError
from envc.shipping.format.errors import KeyTaken, MissingBlob, NoSuchPlace, StoreBusy
from envc.shipping.store.backends.object_store import ObjectStoreBlobs
from envc.shipping.store.backends.refusals import refusal_in
from envc.shipping.store.backends.store_retries import Patience
from envc.shipping.store.blobs import Listed, WriteTo, display_name
from envc.system.waits import is_shown, moved

if TYPE_CHECKING:
    from obstore.store import S3Store

T = TypeVar("T")

_AT_ONCE = 64 << 20  # bytes up to which a blob is sent in one request, which can be conditional
_CHUNK = 256 << 10  # bytes after which progress is shown
_PART = 16 << 20  # bytes of a part of a larger blob
_LOGINS = ("AWS_ACCESS_KEY_ID", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI")
_PLACES = ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3")


def open_bucket(
    url: str,
    environ: Mapping[str, str] = os.environ,
    patience: Patience = Patience(),  # noqa: B008 - a frozen value
) -> BucketBlobs | None:
    """The store in a bucket. None if obstore is not installed, or lacks settings."""
    if environ.get("AWS_PROFILE") or not all(any(map(environ.get, names)) for names in (_LOGINS, _PLACES)):
        return None
    try:
        from obstore.store import S3Store
    except Exception:  # it is not installed, or does not work; s3fs takes its place
        return None
    if "@" in url:  # keys in the URL are a feature of s3fs
        return None
    endpoint = environ.get("AWS_ENDPOINT_URL_S3") or environ.get("AWS_ENDPOINT_URL")
    place: dict[str, Any] = {"endpoint": endpoint} if endpoint else {}
    name = display_name(url)

    def opened(retry_config: Any) -> S3Store:
        options: Any = {"allow_http": (endpoint or "").startswith("http://")}
        return S3Store.from_url(url, **place, client_options=options, retry_config=retry_config)

    backoff = {"init_backoff": timedelta(milliseconds=100), "max_backoff": timedelta(seconds=5), "base": 2}
    try:
        # envc itself retries reads, at a pace that the store can take. Only obstore can send a single part again.
        reader = opened({"max_retries": 0})
        writer = opened({"max_retries": 8, "backoff": backoff, "retry_timeout": timedelta(seconds=60)})
    except Exception as error:  # its text may contain the URL with its credentials
        raise StoreError(name, f"cannot be opened as a store ({type(error).__name__})") from None
    return BucketBlobs(reader, writer, name, patience)


class BucketBlobs(ObjectStoreBlobs):
    """Blobs in a bucket, below the prefix in the URL."""

    def __init__(self, reader: S3Store, writer: S3Store, name: str, patience: Patience) -> None:
        super().__init__(name, patience.retries(name), at_once=_AT_ONCE)
        self._reader = reader  # sends each request once
        self._writer = writer  # repeats the requests that an upload or a listing consists of

    def size(self, key: str) -> int:
        import obstore

        return self._request(key, lambda: int(obstore.head(self._reader, key)["size"]))

    def write_new(self, key: str, data: bytes | WriteTo) -> bool:
        if not callable(data):
            return self._create(key, data)
        return not self.exists(key) and self._create_from(key, data)

    def write(self, key: str, data: bytes) -> None:
        self._put(key, data)

    def delete(self, key: str) -> None:
        import obstore

        with suppress(MissingBlob):
            self._request(key, lambda: obstore.delete(self._writer, key))

    def scan(self, prefix: str) -> Iterator[Listed]:
        import obstore

        def request() -> list[Listed]:
            return [
                Listed(meta["path"], meta["size"], meta["last_modified"].timestamp())
                for chunk in obstore.list(self._writer, prefix)
                for meta in chunk
            ]

        return iter(sorted(self._request(prefix, request)))

    def _fetch(self, key: str, start: int, stop: int) -> bytes:
        import obstore

        if not is_shown() or stop - start < _CHUNK:
            return bytes(obstore.get_range(self._reader, key, start=start, end=stop))
        parts = []
        for part in obstore.get(self._writer, key, options={"range": (start, stop)}).stream(_CHUNK):
            parts.append(bytes(part))
            moved(len(parts[-1]))
        return b"".join(parts)

    def _create(self, key: str, data: bytes | Path) -> bool:
        if isinstance(data, Path):
            # obstore completes multipart uploads unconditionally: of two concurrent writers, the bytes of the last one
            # stay.
            if self.exists(key):
                return False
            self._put(key, data, use_multipart=True, chunk_size=_PART, max_concurrency=4)
            return True
        try:
            self._put(key, data, mode="create")
        except KeyTaken:
            return False
        return True

    def _put(self, key: str, data: bytes | Path, **options: Any) -> None:
        import obstore

        try:
            size = data.stat().st_size if isinstance(data, Path) else len(data)
            self._request(key, lambda: obstore.put(self._writer, key, data, **options), size)
        except MissingBlob:
            raise NoSuchPlace(self._name) from None

    @contextmanager
    def _translating_errors(self, key: str) -> Iterator[None]:
        """Turn exceptions of obstore into errors of this store, without their texts, which contain the URL."""
        from obstore import exceptions

        try:
            yield
        except (exceptions.BaseError, OSError) as error:
            refused = refusal_in(self._name, key, str(error))
            if refused is not None:
                raise refused from None
            if isinstance(error, FileNotFoundError | exceptions.NotFoundError):
                raise MissingBlob(self._name, key) from None
            if isinstance(error, exceptions.AlreadyExistsError | exceptions.PreconditionError):
                raise KeyTaken(self._name, f"holds {key} already") from None
            if isinstance(error, exceptions.PermissionDeniedError | exceptions.UnauthenticatedError):
                hint = "check the credentials that this machine has for the store"
                raise StoreError(self._name, f"does not allow access to {key}", hint) from None
            failed = f"failed at {key}: no connection, or a broken one"
            raise StoreBusy(self._name, failed, is_unreachable="kind: Connect" in str(error)) from None
