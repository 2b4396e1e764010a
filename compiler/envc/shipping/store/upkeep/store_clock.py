"""The clock of a store. Ages of blobs are measured by it, since the clocks of machines differ."""

from __future__ import annotations

import time
from contextlib import suppress

from envc.errors import StoreError
from envc.shipping.store.blobs import Blobs
from envc.shipping.store.keys import DRAFTS, draft_key


class StoreClock:
    """The time of a store in seconds since 1970. It is asked for once, then advanced by the time that has passed."""

    def __init__(self, blobs: Blobs, *, otherwise: float | None = None) -> None:
        """`otherwise` is the time if the store cannot be written; with None, `now` raises StoreError then."""
        self._blobs = blobs
        self._otherwise = otherwise
        self._base: float | None = None  # time of the store minus that of the monotonic clock

    def now(self) -> float:
        """Makes three requests when it is called first."""
        if self._base is None:
            try:
                time_there = _store_time(self._blobs)
            except StoreError:
                if self._otherwise is None:
                    raise
                time_there = self._otherwise
            self._base = time_there - time.monotonic()
        return self._base + time.monotonic()


def _store_time(blobs: Blobs) -> float:
    """The time at which the store says that a blob was written that is written now."""
    key = draft_key()
    blobs.write(key, b"")
    try:
        for listed in blobs.scan(DRAFTS):
            if listed.key == key:
                return listed.modified
    finally:
        with suppress(StoreError):  # it is removed as a leftover later
            blobs.delete(key)
    raise StoreError(blobs.name, "does not list what has just been written", "ages in it cannot be measured")
