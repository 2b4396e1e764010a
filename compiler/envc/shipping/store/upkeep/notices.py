"""Notices, which name the blobs that a collection is going to remove, so that no bundle starts to rely on them.

A bundle names the blobs that it needs in a lease, and then looks for notices. A collection names the blobs that it is
going to remove in a notice, and then looks for leases. Whichever looks second sees the other, provided that a
listing shows everything written before it, as those of folders, S3, GCS and Azure do. So either the collection spares a
blob, or the bundle waits until the collection has ended, and makes missing blobs again.

A notice is renewed while its collection works. It is void five minutes after a collection ended without removing it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Iterable
from contextlib import suppress
from typing import Self

import msgspec

from envc.errors import StoreError
from envc.shipping.format.documents import canonical_json, decode_json
from envc.shipping.format.errors import MissingBlob
from envc.shipping.store.blobs import Blobs
from envc.shipping.store.keys import NOTICES, notice_key
from envc.shipping.store.own_blobs import OwnBlobs
from envc.shipping.store.upkeep.store_clock import StoreClock

NOTICE_FORMAT = 1
NOTICE_SECONDS = 300
MAX_NOTICE = 256 << 20  # bytes
_RENEWAL = 60  # seconds after which a notice is written again
_VALIDITY = 240  # seconds after which the writer of a notice no longer relies on it
_PAUSE = 0.5  # seconds between two listings


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """The content of ``v1/notices/<name>.json``. Its age is the age of the blob, by the clock of the store."""

    format: int = NOTICE_FORMAT
    keys: tuple[str, ...]  # sorted


class PublishedNotice:
    """A notice that exists while its block runs. Raises StoreError if the store cannot be written."""

    def __init__(self, blobs: Blobs, keys: Iterable[str]) -> None:
        self._blobs = blobs
        self._key = notice_key()
        self._text = canonical_json(Notice(keys=tuple(sorted(set(keys)))))
        self._lock = threading.Lock()
        self._written = time.monotonic()

    def __enter__(self) -> Self:
        self._blobs.write(self._key, self._text)
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(StoreError):  # it expires anyway
            self._blobs.delete(self._key)

    def remove(self, key: str) -> None:
        """Remove a blob that the notice names. Raises StoreError if the notice may have become void."""
        with self._lock:
            age = time.monotonic() - self._written
            if age > _VALIDITY:
                raise StoreError(self._blobs.name, "was collected too slowly to continue safely", "run `envc gc` again")
            if age > _RENEWAL:
                now = time.monotonic()
                self._blobs.write(self._key, self._text)
                self._written = now
        self._blobs.delete(key)


def wait_for_collections(blobs: Blobs, keys: Collection[str]) -> None:
    """Wait until no collection is going to remove any of these. Makes one request if there is no such collection."""
    end = time.monotonic() + NOTICE_SECONDS
    needed = frozenset(keys)
    clock = StoreClock(blobs)
    while time.monotonic() < end and _is_announced(blobs, needed, clock):
        time.sleep(_PAUSE)


def _is_announced(blobs: Blobs, keys: frozenset[str], clock: StoreClock) -> bool:
    for listed in OwnBlobs(blobs).scan(NOTICES):
        if clock.now() - listed.modified > NOTICE_SECONDS:
            continue
        with suppress(MissingBlob):  # its collection has just ended
            notice = decode_json(blobs.read(listed.key, MAX_NOTICE), Notice, f"{blobs.name}: {listed.key}")
            if not keys.isdisjoint(notice.keys):
                return True
    return False
