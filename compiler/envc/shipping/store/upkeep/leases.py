"""Leases, which name the blobs that a running bundle needs, so that `gc` keeps them until a pointer refers to them.

Objects that a bundle writes are young, and therefore safe. Objects that it finds may be garbage from long ago. It names
them in a lease before it looks for them, and removes the lease once its pointers are published. The lease of a killed
run expires after a day. `notices` is the counterpart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress

import msgspec

from envc.errors import StoreError
from envc.shipping.format.documents import canonical_json, decode_json
from envc.shipping.format.errors import MissingBlob
from envc.shipping.store.blobs import Blobs, Listed
from envc.shipping.store.keys import LEASES, lease_key
from envc.shipping.store.own_blobs import OwnBlobs
from envc.shipping.store.upkeep.notices import wait_for_collections

LEASE_FORMAT = 1
LEASE_SECONDS = 24 * 3600
MAX_LEASE = 64 << 20  # bytes


class Lease(msgspec.Struct, frozen=True, kw_only=True):
    """The content of ``v1/leases/<name>.json``. Its age is the age of the blob, by the clock of the store."""

    format: int = LEASE_FORMAT
    keys: tuple[str, ...]  # sorted


@contextmanager
def leased(blobs: Blobs, keys: Iterable[str]) -> Iterator[None]:
    """Protect these keys from being collected while the body runs. Makes three requests, and waits for collections
    that have announced one of the keys.

    Raises StoreError if the store cannot be written.
    """
    key = lease_key()
    named = tuple(sorted(set(keys)))
    blobs.write_new(key, canonical_json(Lease(keys=named)))
    try:
        wait_for_collections(blobs, named)
        yield
    finally:
        with suppress(StoreError):  # it expires anyway
            blobs.delete(key)


def read_leases(blobs: Blobs, own: OwnBlobs, now: Callable[[], float]) -> tuple[frozenset[str], tuple[Listed, ...]]:
    """The keys that valid leases name, and the leases that have expired. `now` gives the time of the store."""
    keys: set[str] = set()
    expired = []
    for listed in own.scan(LEASES):
        if now() - listed.modified > LEASE_SECONDS:
            expired.append(listed)
            continue
        with suppress(MissingBlob):  # its bundle has just ended
            keys.update(decode_json(blobs.read(listed.key, MAX_LEASE), Lease, f"{blobs.name}: {listed.key}").keys)
    return frozenset(keys), tuple(expired)
