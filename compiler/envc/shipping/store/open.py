"""Opens the store at a folder or URL."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from envc.context import user_path
from envc.errors import StoreError
from envc.shipping.store.blobs import Blobs


def open_store(
    place: str | Path,
    environ: Mapping[str, str] | None = None,
    *,
    init: bool = False,
    tell: Callable[[str], object] | None = None,
) -> Blobs:
    """The store at a folder, or at any URL that fsspec supports. Nothing is created or requested yet.

    `environ` contains the settings for servers; by default, the environment variables of this process. With `init`, a
    folder that holds other files becomes a store with the first write; without, such a write raises NotAStore. `tell`
    reports that a server is busy and that envc waits for it. Raises StoreError if no installed library supports such
    a URL, and UsageError for a malformed setting.
    """
    if isinstance(place, Path):
        from envc.shipping.store.backends.folder import FolderBlobs

        return FolderBlobs(place, init=init)
    if not is_url(place):
        return open_store(user_path(place, "the store"), init=init)
    scheme, _, rest = place.partition("://")
    place = f"{scheme.lower()}://{rest}"  # a scheme has no case (RFC 3986), and fsspec knows only lower case
    try:
        url = urlsplit(place)
    except ValueError as error:
        raise StoreError(place, f"is not a URL: {error}", "correct the URL of the store") from None
    if not url.netloc and url.scheme in _WITH_HOST:
        raise StoreError(place, "names no bucket, container or host", "begin the URL like s3://bucket/folder")
    if url.scheme in ("file", "local"):
        from urllib.request import url2pathname

        return open_store(Path(url2pathname(url.path)), init=init)
    from envc.shipping.store.backends.store_retries import read_patience

    environ = os.environ if environ is None else environ
    patience = read_patience(environ, tell)
    if url.scheme in ("http", "https"):
        from envc.fetch.net.settings import read_transport
        from envc.shipping.store.backends.web import WebBlobs

        return WebBlobs(place, transport=read_transport(environ), patience=patience)
    if url.scheme in ("s3", "s3a"):
        from envc.shipping.store.backends.s3 import open_bucket

        bucket = open_bucket(place, patience=patience)
        if bucket is not None:
            return bucket
    from envc.shipping.store.backends.fsspec import open_remote

    return open_remote(place, patience)


def is_url(place: str) -> bool:
    """Whether the text for a store is a URL, and not a path."""
    return _URL.match(place) is not None


_WITH_HOST = frozenset({"http", "https", "s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "oss", "r2"})
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")  # at least two letters, since "C://" is a drive
