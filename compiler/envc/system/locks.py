"""File locks, for work that only one process at a time may do.

The operating system releases a lock when its process ends. Where flock(2) exists it is called directly, because
importing `filelock` takes as long as creating a thousand files. Other systems use that library, which locks
files in the same way.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from envc.errors import Unwritable
from envc.system.waits import waiting

NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP})  # of file systems without locks
_PAUSE = 0.05  # seconds between attempts to lock
_INHERITED = 100  # the least number of a descriptor that a program inherits


@contextmanager
def file_lock(file: Path, *, wait: bool = True, own: bool = False) -> Iterator[bool]:
    """Hold the lock on `file` while the body runs. The file is created, and stays unless the caller deletes it.

    A caller that waits for the lock of a deleted file locks the new file of that name instead. Otherwise it would run
    together with the holder of the new file's lock. On a file system without locks, a second file is the lock
    (`system.owner_files`). With `own`, a link, or a file of another user than this one and root, is refused.

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
        lock = os.open(file, os.O_RDWR | os.O_CREAT | (os.O_NOFOLLOW if own else 0), 0o600 if own else 0o666)
        try:
            if own and os.fstat(lock).st_uid not in (os.geteuid(), 0):
                raise PermissionError(errno.EPERM, f"{file} belongs to another user")
            try:
                flock(lock, LOCK_EX | LOCK_NB)
            except BlockingIOError:
                if not wait:
                    yield False
                    return
                with waiting("another process", file.name):
                    flock(lock, LOCK_EX)
            except OSError as error:
                if error.errno not in NO_LOCKS:
                    raise
                from envc.system.owner_files import owner_file

                with owner_file(file, wait=wait) as is_held:
                    yield is_held
                return
            is_held = os.fstat(lock).st_nlink > 0
            if is_held:
                yield True
        finally:
            # Closed rather than unlocked: a fork of this process may still be working under the same lock.
            os.close(lock)


@contextmanager
def shared_lock(file: Path) -> Iterator[str | None]:
    """Hold a lock that any number of processes share while the body runs, and that excludes `exclusive_lock`.

    The file is created in an existing folder. If it cannot be created or locked, the body runs without the lock: then
    only a process with more rights could remove anything. On a file system without locks, the value is the reason that
    the system gives; there, `exclusive_lock` fails. Windows has no such lock in Python, and does not need it, since no
    open file is removed there.
    """
    try:
        from fcntl import LOCK_SH, flock
    except ImportError:
        yield None
        return
    lock = reason = None
    try:
        lock = os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
        flock(lock, LOCK_SH)
    except OSError as error:
        reason = error.strerror if lock is not None and error.errno in NO_LOCKS else None
    try:
        yield reason
    finally:
        if lock is not None:
            os.close(lock)


@contextmanager
def exclusive_lock(file: Path, *, patience: float) -> Iterator[bool]:
    """Wait up to `patience` seconds until no process holds `shared_lock`, and hold it exclusively.

    The value is False if other processes held it all that time. Raises OSError if the file cannot be created, or on a
    file system without locks, where no process can know of the others.
    """
    import time

    try:
        from fcntl import LOCK_EX, LOCK_NB, flock
    except ImportError:
        yield True
        return
    end = time.monotonic() + patience
    lock = os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        while True:
            try:
                flock(lock, LOCK_EX | LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= end:
                    yield False
                    return
                time.sleep(_PAUSE)
        yield True
    finally:
        os.close(lock)


@contextmanager
def in_use(file: Path) -> Iterator[bool]:
    """Mark a file, and what it stands for, as in use while the body runs. If the body replaces this process (exec), the
    mark stays until the new program ends, and so do the programs that inherit its open files.

    Any number of processes may mark one file. The value is False if the file does not exist, or if a process that holds
    `no_user` is about to remove it. On Windows, which removes no file that is open, nothing is marked.
    """
    try:
        from fcntl import F_DUPFD, LOCK_NB, LOCK_SH, fcntl, flock
    except ImportError:
        yield file.exists()
        return
    try:
        opened = os.open(file, os.O_RDONLY)
    except OSError:
        yield False
        return
    # A high number, because shell scripts use the low ones as they please. The copy is inherited.
    try:
        lock = fcntl(opened, F_DUPFD, _INHERITED)
    except OSError:  # more than the process may open
        lock = os.dup(opened)
        os.set_inheritable(lock, True)
    os.close(opened)
    try:
        try:
            flock(lock, LOCK_SH | LOCK_NB)
        except BlockingIOError:
            yield False
            return
        except OSError:
            pass  # a file system without locks
        yield _is_at(lock, file)
    finally:
        os.close(lock)


@contextmanager
def no_user(file: Path) -> Iterator[bool]:
    """Keep `in_use` from marking a file while the body runs. The value is False if a process has marked it, or may have
    on a file system without locks.
    """
    try:
        from fcntl import LOCK_EX, LOCK_NB, flock
    except ImportError:
        yield True
        return
    try:
        lock = os.open(file, os.O_RDWR)  # NFS locks exclusively only what may be written
    except PermissionError:  # the file of another member of the group that shares the cache
        lock = os.open(file, os.O_RDONLY)
    except OSError:
        yield not os.path.lexists(file)
        return
    try:
        try:
            flock(lock, LOCK_EX | LOCK_NB)
        except BlockingIOError:
            yield False
            return
        except OSError:
            yield False
            return
        yield True
    finally:
        os.close(lock)


def _is_at(file: int, path: Path) -> bool:
    """Whether an open file is still the one at `path`."""
    try:
        return os.path.samestat(os.fstat(file), os.stat(path))  # noqa: PTH116
    except OSError:
        return False


@contextmanager
def cache_lock(file: Path) -> Iterator[None]:
    """Wait for a lock on a file of the cache, whose folders are created. Raises Unwritable."""
    with ExitStack() as stack:
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            stack.enter_context(file_lock(file))
        except OSError as error:
            raise Unwritable(file.parent, error, f"choose another ENVC_CACHE_DIR{_closed(file.parent)}") from None
        yield


def _closed(folder: Path) -> str:
    """What to do about a folder of another user in a shared cache; "" for any other folder."""
    try:
        status = folder.stat()
    except OSError:
        return ""
    if not hasattr(os, "geteuid") or status.st_uid == os.geteuid():
        return ""
    return (
        f", or let its owner open the folder: its mode is {status.st_mode & 0o7777:04o}, and all who share a cache "
        "(ENVC_CACHE_SHARED) need a umask such as 002"
    )


@contextmanager
def _library_lock(file: Path, *, wait: bool) -> Iterator[bool]:
    from filelock import FileLock, Timeout

    lock = FileLock(file)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        if not wait:
            yield False
            return
        with waiting("another process", file.name):
            lock.acquire(timeout=-1)
    try:
        yield True
    finally:
        lock.release()
