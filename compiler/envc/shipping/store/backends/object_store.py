"""What clients of object stores do alike, whichever library speaks for them: reading by ranges, creating blobs."""

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
from envc.shipping.store.backends.retry import Patience
from envc.shipping.store.blobs import Fill, Listed
from envc.shipping.store.keys import check_key
from envc.system.scratch import ScratchFile, writing_scratch

T = TypeVar("T")

IN_FLIGHT = 24  # requests; more gain nothing on stores that answer within 100 ms


class DistantBlobs(ABC):
    """The part of `Blobs` that is the same for every library; a client adds the requests themselves."""

    in_flight = IN_FLIGHT

    def __init__(self, name: str, patience: Patience, *, at_once: int) -> None:
        self._name = name
        self._patience = patience
        self._at_once = at_once  # bytes up to which a blob is sent in one request, which stores make conditional

    @abstractmethod
    def _talking(self, key: str) -> AbstractContextManager[None]:
        """Turn whatever the library raises into this store's errors, without texts that may spell credentials.

        MissingBlob, NoSuchRange, KeyTaken, StoreBusy for what is worth another try, and StoreError for the rest.
        """

    @abstractmethod
    def _fetch(self, key: str, start: int, stop: int) -> bytes:
        """Bytes `start` to `stop` of a blob, or to its end where that comes first: one request."""

    @abstractmethod
    def _create(self, key: str, data: bytes | Path) -> bool:
        """Create a blob, patiently; False when the key exists by then."""

    @abstractmethod
    def size(self, key: str) -> int: ...

    @abstractmethod
    def scan(self, prefix: str) -> Iterator[Listed]: ...

    @property
    def name(self) -> str:
        return self._name

    def read(self, key: str, limit: int) -> bytes:
        # One byte more than allowed is asked for, so that a huge blob is not fetched to be refused.
        try:
            data = self._ask(key, lambda: self._fetch(key, 0, limit + 1))
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
                raise StoreBusy(short.what, short.reason, worth=2, verdict=short)
            return data

        try:
            return self._ask(key, request)
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

    def _create_filled(self, key: str, fill: Fill) -> bool:
        """Create a blob of what is written first, since its size decides how it is sent."""
        with writing_scratch():
            scratch = tempfile.TemporaryDirectory(prefix="envc-")
        with scratch as folder:
            draft = Path(folder) / "blob"
            with io.BufferedWriter(ScratchFile(draft, "xb")) as stream:
                fill(cast("BinaryIO", stream))
            return self._create(key, draft.read_bytes() if draft.stat().st_size <= self._at_once else draft)

    def _ask(self, key: str, request: Callable[[], T]) -> T:
        check_key(key)

        def once() -> T:
            with self._talking(key):
                return request()

        return self._patience.ask(once)
