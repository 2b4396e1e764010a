"""The part that all clients of object stores have in common: reading by ranges, and creating blobs."""

from __future__ import annotations

import io
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO, TypeVar, cast

from envc.shipping.format.errors import CorruptBlob, MissingBlob, NoSuchRange, StoreBusy
from envc.shipping.store.backends.ranges import open_ranges
from envc.shipping.store.backends.store_retries import run
from envc.shipping.store.blobs import Listed, WriteTo
from envc.shipping.store.keys import check_key, shown_key
from envc.system.retries import Retries
from envc.system.scratch import ScratchFile, writing_scratch
from envc.system.waits import waiting

T = TypeVar("T")

IN_FLIGHT = 24  # concurrent requests; more gain nothing on stores that answer within 100 ms


class ObjectStoreBlobs(ABC):
    """The part of `Blobs` that is the same for every library. A subclass adds the requests."""

    in_flight = IN_FLIGHT

    def __init__(self, name: str, retries: Retries, *, at_once: int) -> None:
        self._name = name
        self._retries = retries
        self._at_once = at_once  # bytes up to which a blob is sent in one request, which can be conditional

    @abstractmethod
    def _translating_errors(self, key: str) -> AbstractContextManager[None]:
        """Turn exceptions of the library into errors of this store, without their texts, which may contain credentials.

        They become MissingBlob, NoSuchRange, KeyTaken, StoreBusy if another try may succeed, and StoreError otherwise.
        """

    @abstractmethod
    def _fetch(self, key: str, start: int, stop: int) -> bytes:
        """Bytes `start` to `stop` of a blob, or to its end if that comes first. Makes one request."""

    @abstractmethod
    def _create(self, key: str, data: bytes | Path) -> bool:
        """Create a blob, with retries. Returns False if the key exists."""

    @abstractmethod
    def size(self, key: str) -> int: ...

    @abstractmethod
    def scan(self, prefix: str) -> Iterator[Listed]: ...

    @property
    def name(self) -> str:
        return self._name

    def read(self, key: str, limit: int) -> bytes:
        # One byte more than allowed is requested, so that a huge blob is not downloaded only to be rejected.
        try:
            data = self._request(key, lambda: self._fetch(key, 0, limit + 1))
        except NoSuchRange:
            return b""
        if len(data) > limit:
            raise CorruptBlob(f"{self._name}: {key}", f"is larger than {limit} bytes")
        return data

    def read_range(self, key: str, offset: int, length: int) -> bytes:
        short = CorruptBlob(f"{self._name}: {key}", f"ends before byte {offset + length}")

        def request() -> bytes:
            data = self._fetch(key, offset, offset + length) if length else b""
            if len(data) != length:
                raise StoreBusy(short.what, short.reason, max_tries=2, final_error=short)
            return data

        try:
            return self._request(key, request)
        except NoSuchRange:
            raise short from None

    def open(self, key: str) -> BinaryIO:
        return open_ranges(self, key, self.size(key))

    def exists(self, key: str) -> bool:
        try:
            return self.size(key) >= 0
        except MissingBlob:
            return False

    def list(self, prefix: str) -> Iterator[str]:
        return (listed.key for listed in self.scan(prefix))

    def _create_from(self, key: str, write: WriteTo) -> bool:
        """Create a blob from a temporary file with its content, since the size decides how it is sent."""
        with writing_scratch():
            scratch = tempfile.TemporaryDirectory(prefix="envc-")
        with scratch as folder:
            file = Path(folder) / "blob"
            with io.BufferedWriter(ScratchFile(file, "xb")) as stream:
                write(cast("BinaryIO", stream))
            return self._create(key, file.read_bytes() if file.stat().st_size <= self._at_once else file)

    def _request(self, key: str, request: Callable[[], T], size: int = 0) -> T:
        """The result of a request, with retries. `size` is the number of bytes that it sends, if that takes time."""
        check_key(key)

        def once() -> T:
            with self._translating_errors(key):
                return request()

        with waiting(self._name, shown_key(key), size):
            return run(self._retries, once)
