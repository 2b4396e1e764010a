"""Turns: of all who want to do one thing, in whatever process, one does it at a time.

A turn is a lock on a file, which the system ends with the process that has it: flock(2), where it exists, for to import
`filelock` takes as long as making a thousand files. That library locks the same files in the same way, and does so
elsewhere.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from envc.errors import Unwritable


@contextmanager
def file_lock(file: Path, *, wait: bool = True) -> Iterator[bool]:
    """Have the turn that `file` stands for while the body runs; the file stays.

    Without `wait`, False when it is somebody else's just now. Raises OSError where the file cannot be made or locked.
    """
    try:
        from fcntl import LOCK_EX, LOCK_NB, flock
    except ImportError:
        with _by_library(file, wait=wait) as is_ours:
            yield is_ours
        return
    lock = os.open(file, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            flock(lock, LOCK_EX if wait else LOCK_EX | LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True
    finally:
        # Closed rather than unlocked: what a copy of this process does, it does within the same turn.
        os.close(lock)


@contextmanager
def holding(file: Path) -> Iterator[None]:
    """Wait for a turn in the cache, whose folders are made. Raises Unwritable."""
    with ExitStack() as stack:
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            stack.enter_context(file_lock(file))
        except OSError as error:
            raise Unwritable(file.parent, error, "choose another ENVC_CACHE_DIR") from None
        yield


@contextmanager
def _by_library(file: Path, *, wait: bool) -> Iterator[bool]:
    from filelock import FileLock, Timeout

    lock = FileLock(file)
    try:
        lock.acquire(timeout=-1 if wait else 0)
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()
