"""Garbage collection: removes blobs that cannot be reached from a tag, a recent step pointer or a lease.

It makes two passes. The first marks what is reachable, and finds the rest. The second announces in a notice what it is
going to remove, marks again, and spares blobs that became reachable in the meantime. Bundles that need one of the
announced blobs wait until the collection has ended (`notices`). A blob younger than a day is never garbage, so a bundle
that is being published is safe; older blobs that it reuses are named in its lease. Pointers are removed before records,
and records before objects, so that an interrupted run leaves no dangling reference.

Ages are measured by the clock of the store (`store_clock`), and only blobs under keys of the format are removed
(`own_blobs`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import msgspec

from envc.model.digest import Sha256
from envc.model.limits import RECORD_BYTES
from envc.model.progress import Progress
from envc.model.record import StepPointer
from envc.shipping.format.documents import decode_json
from envc.shipping.format.errors import CorruptBlob, MissingBlob
from envc.shipping.format.frames import decompress
from envc.shipping.store.blobs import Blobs, Listed
from envc.shipping.store.keys import (
    CODE,
    DRAFTS,
    ENVIRONMENTS,
    LOCKS,
    NOTICES,
    OBJECTS,
    STEPS,
    code_key,
    environment_key,
    escape,
    lock_key,
    object_key,
)
from envc.shipping.store.own_blobs import OwnBlobs
from envc.shipping.store.records import get_pointer
from envc.shipping.store.tags import tags
from envc.shipping.store.upkeep.leases import read_leases
from envc.shipping.store.upkeep.notices import NOTICE_SECONDS, PublishedNotice

YOUNG = 24 * 3600  # seconds
_ORDER = (STEPS, ENVIRONMENTS, CODE, LOCKS, OBJECTS)  # of removal; expired leases and notices come last
_MAX_THREADS = 16

T = TypeVar("T")
R = TypeVar("R")


class Garbage(msgspec.Struct, frozen=True, kw_only=True):
    """The blobs that may be removed, and the number and size of those that stay."""

    blobs: tuple[Listed, ...]  # in the order of removal
    kept: int  # blobs
    kept_size: int  # bytes

    @property
    def size(self) -> int:
        """The bytes that removing them frees."""
        return sum(listed.size for listed in self.blobs)


class Collector:
    """Finds and removes garbage in one store. `now` gives seconds since 1970, by the clock of the store
    (`StoreClock`); it is not called for an empty store. A pointer is recent for `recent` seconds.
    """

    def __init__(self, blobs: Blobs, *, now: Callable[[], float], recent: float, progress: Progress) -> None:
        self._blobs = blobs
        self._own = OwnBlobs(blobs)
        self._now = now
        self._recent = recent
        self._progress = progress
        self._objects: dict[str, tuple[str, ...]] = {}  # record key: keys of its objects

    def find(self) -> Garbage:
        """All unreachable blobs. Warns of files that are not envc's, which stay.

        Raises CorruptBlob for a pointer, record, tag or lease that cannot be read: it might refer to anything in the
        store.
        """
        reachable, expired = self._mark()
        garbage: list[Listed] = []
        kept = kept_size = 0
        for place in _ORDER:
            for listed in self._own.scan(place):
                if listed.key in reachable or self._now() - listed.modified < self._min_age(place):
                    kept, kept_size = kept + 1, kept_size + listed.size
                else:
                    garbage.append(listed)
        self._own.warn(self._progress)
        return Garbage(blobs=(*garbage, *expired), kept=kept, kept_size=kept_size)

    def remove(self, garbage: Garbage) -> tuple[Listed, ...]:
        """Remove the blobs that are still garbage, and return them. Raises StoreError if that takes too long."""
        if not garbage.blobs:
            return ()
        with PublishedNotice(self._blobs, [listed.key for listed in garbage.blobs]) as notice:
            reachable, _ = self._mark()
            unreachable = [listed for listed in garbage.blobs if listed.key not in reachable]
            task = self._progress.task("garbage", len(unreachable))
            try:
                for place in (*_ORDER, ""):
                    group = [listed.key for listed in unreachable if _place(listed.key) == place]
                    for _ in self._all(notice.remove, group):
                        task.advance()
            finally:
                task.done()
        return tuple(unreachable)

    def _min_age(self, place: str) -> float:
        return max(self._recent, YOUNG) if place == STEPS else YOUNG

    def _mark(self) -> tuple[set[str], tuple[Listed, ...]]:
        """The keys that must stay, and the expired leases and notices, and the drafts of killed writers."""
        leased, expired = read_leases(self._blobs, self._own, self._now)
        for place, seconds in ((NOTICES, NOTICE_SECONDS), (DRAFTS, YOUNG)):
            expired += tuple(listed for listed in self._own.scan(place) if self._now() - listed.modified > seconds)
        tagged = {(escape(tag.project), tag.lock) for tag in tags(self._blobs, self._own)}
        pointers = []
        for listed in self._own.scan(STEPS):
            project, lock = _owner(listed.key)
            if (project, lock) in tagged or self._now() - listed.modified < self._min_age(STEPS):
                pointers.append((listed.key, lock))
        reachable = {key for key, _ in pointers} | leased
        records: dict[str, None] = {}
        for lock, pointer in self._all(self._read_pointer, pointers):
            if pointer is None:
                continue
            records[environment_key(pointer.environment)] = None
            reachable.add(lock_key(lock))
            if pointer.code is not None:
                reachable.add(code_key(pointer.code))
        records.update((key, None) for key in leased if _place(key) == ENVIRONMENTS)
        for key, objects in zip(records, self._all(self._objects_of, list(records)), strict=True):
            reachable.add(key)
            reachable.update(objects)
        return reachable, expired

    def _read_pointer(self, item: tuple[str, Sha256]) -> tuple[Sha256, StepPointer | None]:
        key, lock = item
        try:
            return lock, get_pointer(self._blobs, key)
        except MissingBlob:  # another collection has just removed it
            return lock, None

    def _objects_of(self, key: str) -> tuple[str, ...]:
        """The keys of a record's objects; none if the record is missing. A record never loses objects, so it is read
        only once.
        """
        if key not in self._objects:
            what = f"{self._blobs.name}: {key}"
            try:
                text = decompress(self._blobs.read(key, RECORD_BYTES), what, limit=RECORD_BYTES)
            except MissingBlob:
                self._progress.warn(f"{what} is missing, although a step refers to it")
                return ()
            try:
                found = decode_json(text, _Record, what)
                self._objects[key] = tuple(object_key(o.index.layout, o.index.artifact) for o in found.objects)
            except ValueError as error:
                raise CorruptBlob(what, str(error)) from None
        return self._objects[key]

    def _all(self, work: Callable[[T], R], items: Sequence[T]) -> Iterable[R]:
        threads = min(_MAX_THREADS, self._blobs.in_flight, len(items))
        if threads <= 1:
            return map(work, items)
        with ThreadPoolExecutor(threads, thread_name_prefix="envc-gc") as pool:
            return list(pool.map(work, items))


def _place(key: str) -> str:
    return next((place for place in _ORDER if key.startswith(f"{place}/")), "")


def _owner(key: str) -> tuple[str, Sha256]:
    """The escaped project and the lock in the key of a step pointer."""
    parts = key.removeprefix(f"{STEPS}/").split("/")
    return parts[0], Sha256(parts[1] if len(parts) > 1 else "")


# The part of a record that collecting needs. Frames and members, which are not decoded, are nearly all of its text.
class _Index(msgspec.Struct, frozen=True):
    artifact: Sha256
    layout: str


class _Object(msgspec.Struct, frozen=True):
    index: _Index


class _Record(msgspec.Struct, frozen=True):
    objects: tuple[_Object, ...]
