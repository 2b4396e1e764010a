"""Notices: what a collection is about to remove, so that no bundle begins to rely on it meanwhile.

A bundle names what it relies on in a lease and then looks for notices; a collection names what it means to remove in a
notice and then looks for leases. Whoever looks second sees the other, if a listing shows what was written before it, as
those of folders, S3, GCS and Azure do. So either the collection spares a blob, or the bundle waits until the
collection is over, and makes again what is missing then.

A notice is renewed while its collection works, and void five minutes after that ended without removing it.
"""

from __future__ import annotations

import os
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

NOTICE_FORMAT = 1
NOTICE_SECONDS = 300
MAX_NOTICE = 256 << 20  # bytes
_RENEWED = 60  # seconds after which a notice is written again
_TRUSTED = 240  # seconds after which its writer no longer counts on it
_PAUSE = 0.5  # seconds between two looks


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """What ``v1/notices/<name>.json`` says. Its age is that of the blob, by the store's own clock."""

    format: int = NOTICE_FORMAT
    keys: tuple[str, ...]  # sorted


class Announced:
    """A notice that stands while its block runs. Raises StoreError when the store cannot be written."""

    def __init__(self, blobs: Blobs, keys: Iterable[str]) -> None:
        self._blobs = blobs
        self._key = notice_key(os.urandom(16).hex())
        self._text = canonical_json(Notice(keys=tuple(sorted(set(keys)))))
        self._lock = threading.Lock()
        self._written = time.monotonic()

    def __enter__(self) -> Self:
        self._blobs.write(self._key, self._text)
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(StoreError):  # it expires by itself
            self._blobs.delete(self._key)

    def remove(self, key: str) -> None:
        """Remove a blob that the notice names. Raises StoreError when nobody can be sure of the notice any more."""
        with self._lock:
            age = time.monotonic() - self._written
            if age > _TRUSTED:
                raise StoreError(self._blobs.name, "was collected too slowly to go on safely", "run `envc gc` again")
            if age > _RENEWED:
                now = time.monotonic()
                self._blobs.write(self._key, self._text)
                self._written = now
        self._blobs.delete(key)


def wait_for_collections(blobs: Blobs, keys: Collection[str]) -> None:
    """Return when no collection is about to remove any of these: one request, and more only where one is."""
    end = time.monotonic() + NOTICE_SECONDS
    mine = frozenset(keys)
    while time.monotonic() < end and _is_announced(blobs, mine):
        time.sleep(_PAUSE)


def _is_announced(blobs: Blobs, keys: frozenset[str]) -> bool:
    for listed in blobs.scan(NOTICES):
        if time.time() - listed.modified > NOTICE_SECONDS:
            continue
        with suppress(MissingBlob):  # its collection has just ended
            notice = decode_json(blobs.read(listed.key, MAX_NOTICE), Notice, f"{blobs.name}: {listed.key}")
            if not keys.isdisjoint(notice.keys):
                return True
    return False
