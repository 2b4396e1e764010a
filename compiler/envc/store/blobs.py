"""The store as bytes under keys: the one interface behind which folders and buckets look the same."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, Protocol
from urllib.parse import urlsplit

import msgspec

Owned = bytes | bytearray  # nobody else has these bytes, so they may be changed if they can be
Fill = Callable[[BinaryIO], object]  # writes a blob's bytes; what it answers is not looked at

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")  # two letters at least: "C://" is a drive


class Listed(msgspec.Struct, frozen=True, order=True):
    """A blob as housekeeping sees it."""

    key: str
    size: int  # bytes
    modified: float  # seconds since 1970, by the store's clock


class Ranges(Protocol):
    """What hydrate needs of a store: pieces of objects, as `Blobs` gives them. A single-file bundle offers as much."""

    @property
    def name(self) -> str: ...

    @property
    def in_flight(self) -> int: ...

    def read_range(self, key: str, offset: int, length: int) -> Owned: ...


class Blobs(Protocol):
    """Bytes under keys, for any number of threads and processes at once.

    Every method raises StoreError, which shows the store's `name`, and MissingBlob where it reads what is not there. A
    blob is there entirely or not at all. Keys obey `keys.check_key`; another key is a ValueError.
    """

    @property
    def name(self) -> str:
        """For people: a folder, or a URL without credentials and query."""

    @property
    def in_flight(self) -> int:
        """How many requests at once make sense; 1 where reading does not wait for a network."""

    def read(self, key: str, limit: int) -> bytes:
        """A whole small blob. Raises CorruptBlob when it is larger than `limit` bytes."""

    def read_range(self, key: str, offset: int, length: int) -> Owned:
        """Exactly `length` bytes. Raises CorruptBlob when the blob ends before."""

    def size(self, key: str) -> int:
        """Bytes of a blob. Not on the path of hydrate, whose record knows all sizes."""

    def open(self, key: str) -> BinaryIO:
        """A stream over a blob, to be closed by the caller. Reading it may raise StoreError and OSError."""

    def write_new(self, key: str, data: bytes | Fill) -> bool:
        """Create a blob; the first writer wins. False, and nothing changed, when the key exists by then.

        What `data` raises passes through, and nothing is created.
        """

    def write(self, key: str, data: bytes) -> None:
        """Create or replace a blob at once: readers see the old bytes or the new ones."""

    def exists(self, key: str) -> bool: ...

    def delete(self, key: str) -> None:
        """Remove a blob; one that is not there is no error."""

    def list(self, prefix: str) -> Iterator[str]:
        """Keys that start with ``prefix/``, sorted. For housekeeping only: costs one request per thousand blobs."""

    def scan(self, prefix: str) -> Iterator[Listed]:
        """What `list` names, with size and time, at the same price."""


def open_store(place: str | Path) -> Blobs:
    """The store at a folder or at any URL that fsspec knows; nothing is created or asked yet.

    Raises StoreError when nothing is installed that can speak with such a URL.
    """
    if isinstance(place, Path):
        from envc.store.folder import FolderBlobs

        return FolderBlobs(place)
    if not _URL.match(place):
        return open_store(Path(place).expanduser())
    url = urlsplit(place)
    if url.scheme in ("file", "local"):
        from urllib.request import url2pathname

        return open_store(Path(url2pathname(url.path)))
    if url.scheme in ("http", "https"):
        from envc.store.web import WebBlobs

        return WebBlobs(place)
    if url.scheme in ("s3", "s3a"):
        from envc.store.bucket import open_bucket

        bucket = open_bucket(place)
        if bucket is not None:
            return bucket
    from envc.store.remote import open_remote

    return open_remote(place)


def display_name(url: str) -> str:
    """A URL without user, password, query and fragment."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
