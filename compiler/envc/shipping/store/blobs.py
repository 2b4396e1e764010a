"""The interface of a store, bytes under keys, which hides the differences between folders and buckets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import BinaryIO, Protocol
from urllib.parse import urlsplit

import msgspec

from envc.system.buffers import Owned

WriteTo = Callable[[BinaryIO], object]  # writes the bytes of a blob to a stream; its result is ignored


class Listed(msgspec.Struct, frozen=True, order=True):
    """A blob with its size and time, as a listing states them."""

    key: str
    size: int  # bytes
    modified: float  # seconds since 1970, by the clock of the store


class Ranges(Protocol):
    """The part of `Blobs` that hydrate needs: ranges of objects. A single-file bundle offers it as well."""

    @property
    def name(self) -> str: ...

    @property
    def in_flight(self) -> int: ...

    def read_range(self, key: str, offset: int, length: int) -> Owned: ...


class Blobs(Protocol):
    """Bytes under keys, for any number of threads and processes at once.

    Every method may raise StoreError, which shows the `name` of the store. Reading a blob that does not exist raises
    MissingBlob. A blob exists as a whole or not at all. A key that `keys.check_key` rejects raises ValueError.
    """

    @property
    def name(self) -> str:
        """For messages: a folder, or a URL without credentials and query."""

    @property
    def in_flight(self) -> int:
        """How many concurrent requests are useful; 1 if reading does not wait for a network."""

    def read(self, key: str, limit: int) -> bytes:
        """A whole small blob. Raises CorruptBlob if it is larger than `limit` bytes."""

    def read_range(self, key: str, offset: int, length: int) -> Owned:
        """Exactly `length` bytes. Raises CorruptBlob if the blob ends earlier."""

    def size(self, key: str) -> int:
        """The size of a blob in bytes. Hydrate does not need it, since records contain all sizes."""

    def open(self, key: str) -> BinaryIO:
        """A stream over a blob, which the caller must close. Reading it may raise StoreError and OSError."""

    def write_new(self, key: str, data: bytes | WriteTo) -> bool:
        """Create a blob. The first writer wins: if the key exists, returns False and changes nothing.

        If `data` raises, the exception is passed on, and nothing is created.
        """

    def write(self, key: str, data: bytes) -> None:
        """Create or replace a blob atomically: readers see either the old or the new bytes."""

    def exists(self, key: str) -> bool: ...

    def delete(self, key: str) -> None:
        """Remove a blob. It is no error if the blob does not exist."""

    def list(self, prefix: str) -> Iterator[str]:
        """Keys that start with ``prefix/``, sorted. Only for maintenance, since it costs one request per thousand
        blobs.
        """

    def scan(self, prefix: str) -> Iterator[Listed]:
        """The blobs that `list` names, with size and time, at the same cost."""


def display_name(url: str) -> str:
    """A URL without user, password, query and fragment."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
