"""File locks, for work that only one process at a time may do.

The operating system releases a lock when its process ends. Where flock(2) exists it is called directly, because
importing `filelock` takes as long as creating a thousand files. Other systems use that library, which locks
files in the same way.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from envc.errors import Unwritable


@contextmanager
def file_lock(file: Path, *, wait: bool = True) -> Iterator[bool]:
    """Hold the lock on `file` while the body runs. The file is created, and stays unless the caller deletes it.

    A caller that waits for the lock of a deleted file locks the new file of that name instead. Otherwise it would run
    together with the holder of the new file's lock.

    Without `wait`, the value is False if another process holds the lock. Raises OSError if the file cannot be created
    or locked.
    """
    try:
        from fcntl import LOCK_EX, LOCK_NB, flock
    except ImportError:
        with _library_lock(file, wait=wait) as is_held:
            yield is_held
        return
    is_held = False
    while not is_held:
        lock = os.open(file, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            try:
                flock(lock, LOCK_EX if wait else LOCK_EX | LOCK_NB)
            except BlockingIOError:
                yield False
                return
            is_held = os.fstat(lock).st_nlink > 0
            if is_held:
                yield True
        finally:
            # Closed rather than unlocked: a fork of this process may still be working under the same lock.
            os.close(lock)


@contextmanager
def cache_lock(file: Path) -> Iterator[None]:
    """Wait for a lock on a file of the cache, whose folders are created. Raises Unwritable."""
    with ExitStack() as stack:
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            stack.enter_context(file_lock(file))
        except OSError as error:
            raise Unwritable(file.parent, error, "choose another ENVC_CACHE_DIR") from None
        yield


@contextmanager
def _library_lock(file: Path, *, wait: bool) -> Iterator[bool]:
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
