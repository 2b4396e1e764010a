"""The store as bytes under keys: the one interface behind which folders and buckets look the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import BinaryIO, Protocol
from urllib.parse import urlsplit

import msgspec

from envc.system.buffers import Owned

Fill = Callable[[BinaryIO], object]  # writes a blob's bytes; what it answers is not looked at


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


def display_name(url: str) -> str:
    """A URL without user, password, query and fragment."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
