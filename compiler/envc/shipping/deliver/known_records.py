"""Remembers in the cache which record a step's pointer led to, so that a step that is ready starts without its store.

The key names the store, the lock and the step, and the entry holds the digest of a record. It only selects one of the
environments that this cache holds already: each of them was compared with the lock when it was made. After a day the
store is asked again, because it may have been repaired; if it does not answer, the entry is still used.
"""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path

import msgspec

from envc.model.digest import Sha256, joint_digest, parse_sha256

FOLDER = "pointers"  # of the cache
_FRESH_SECONDS = 86_400


class KnownRecord(msgspec.Struct, frozen=True):
    """The record that a pointer led to."""

    digest: Sha256
    is_fresh: bool  # whether the store was asked within the last day


def recall(cache: Path, store: str, key: str) -> KnownRecord | None:
    """What the pointer under `key` in that store led to, or None if it was not asked for on this machine."""
    file = _file(cache, store, key)
    try:
        with file.open("rb") as stream:
            age = time.time() - file.stat().st_mtime
            digest = parse_sha256(stream.read(100).decode("ascii"))
    except (OSError, ValueError):
        return None
    return KnownRecord(digest, 0 <= age < _FRESH_SECONDS)


def remember(cache: Path, store: str, key: str, record: Sha256) -> None:
    """Remember what a pointer led to. A cache that is full or gone is no error."""
    from envc.system.atomic_file import write_file

    file = _file(cache, store, key)
    with suppress(OSError):
        file.parent.mkdir(exist_ok=True)
        write_file(file, record.encode())


def _file(cache: Path, store: str, key: str) -> Path:
    return cache / FOLDER / joint_digest(store.encode("utf-8", "surrogateescape"), key.encode())
