"""What the threads of this process wait for: servers, stores, other processes. A terminal shows it.

The bytes of an answer arrive deep in libraries, in the thread that asked for them. Waits are therefore kept by thread,
which also keeps their cost to a microsecond, small beside that of any request.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import get_ident

from envc.model.progress import Task


class Wait:
    """One thing that one thread waits for. Only that thread changes it."""

    __slots__ = ("began", "moved", "place", "reason", "size", "tries", "what")

    def __init__(self, place: str, what: str, size: int) -> None:
        self.place = place  # a host, a store, another program
        self.what = what  # a project, a file
        self.size = size  # bytes that will move, 0 if unknown
        self.began = time.monotonic()
        self.moved = 0  # bytes received or sent so far
        self.tries = 1
        self.reason = ""  # why the last try failed


class Purpose:
    """What a thread does its waiting for, and the bytes that were reported to a task while they moved."""

    __slots__ = ("moved", "task", "what")

    def __init__(self, what: str, task: Task | None) -> None:
        self.what = what  # shown in place of what is waited for, which may be no more than a digest
        self.task = task
        self.moved = 0


class _Watch:
    """The waits of all threads, and the sum of the bytes of those that have ended."""

    def __init__(self) -> None:
        self.waits: dict[int, Wait] = {}  # by thread
        self.purposes: dict[int, Purpose] = {}  # by thread
        self.ended = 0  # bytes
        self.lock = threading.Lock()
        self.is_shown = False


_watch = _Watch()


@contextmanager
def waiting(place: str, what: str, size: int = 0) -> Iterator[Wait]:
    """Declare what this thread waits for while the body runs. An inner wait hides an outer one."""
    thread, waits = get_ident(), _watch.waits
    outer = waits.get(thread)
    purpose = _watch.purposes.get(thread)
    wait = waits[thread] = Wait(place, purpose.what if purpose is not None else what, size)
    try:
        yield wait
    finally:
        if outer is not None:
            outer.moved += wait.moved
            waits[thread] = outer
        else:
            del waits[thread]
            with _watch.lock:
                _watch.ended += wait.moved


@contextmanager
def waits_for(what: str, task: Task | None = None) -> Iterator[Purpose]:
    """Name what the waits of the body are for, and advance a task by the bytes that they move.

    Bytes of tries that fail are counted as well, so the caller corrects the task by `Purpose.moved`.
    """
    thread, purposes = get_ident(), _watch.purposes
    outer = purposes.get(thread)
    purpose = purposes[thread] = Purpose(what, task)
    try:
        yield purpose
    finally:
        if outer is not None:
            purposes[thread] = outer
        else:
            del purposes[thread]


def moved(size: int) -> None:
    """Bytes have been received or sent by this thread."""
    thread = get_ident()
    wait = _watch.waits.get(thread)
    if wait is not None:
        wait.moved += size
    purpose = _watch.purposes.get(thread)
    if purpose is not None and purpose.task is not None:
        purpose.moved += size
        purpose.task.advance(size)


def failed_try(reason: str) -> None:
    """What this thread waits for has failed, and is tried again."""
    wait = _watch.waits.get(get_ident())
    if wait is not None:
        wait.tries += 1
        wait.reason = reason


def active() -> list[Wait]:
    """What is waited for now, the oldest first."""
    waits = list(_watch.waits.values())  # in one step, since other threads change the dictionary
    waits.sort(key=lambda wait: wait.began)
    return waits


def total_moved() -> int:
    """The bytes that all waits have moved so far."""
    return _watch.ended + sum(wait.moved for wait in list(_watch.waits.values()))


def show(is_shown: bool) -> None:
    """Say whether the waits are shown. Where counting bytes costs time, they are counted only then."""
    _watch.is_shown = is_shown


def is_shown() -> bool:
    return _watch.is_shown
