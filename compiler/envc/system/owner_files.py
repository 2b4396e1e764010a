"""Locks for file systems without locks, such as some mounts of NFS and Lustre: a file that only one process can create.

The file names its owner: the machine with its process namespace, the process, and when that started. A process that
ended without removing it is noticed on the same machine, and its file is then removed. On other machines nothing can be
known about it, so they wait, and finally name the file.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from envc.model.digest import sha256
from envc.system.waits import waiting

_SHORT, _LONG = 0.02, 1.0  # seconds between two looks
_PATIENCE = 900.0  # seconds to wait for a process of another machine
_SIZE = 1000  # bytes of such a file that are read


@contextmanager
def owner_file(file: Path, *, wait: bool) -> Iterator[bool]:
    """Own ``<file>.owner`` while the body runs. Without `wait`, the value is False if another process owns it.

    Raises OSError if it cannot be created, and TimeoutError if a process of another machine owns it for too long.
    """
    place = Path(f"{file}.owner")
    if not _create(place):
        if not wait:
            yield False
            return
        with waiting("another process", file.name):
            _wait(place)
    try:
        yield True
    finally:
        with suppress(OSError):
            place.unlink()


def _wait(place: Path) -> None:
    end, pause = time.monotonic() + _PATIENCE, _SHORT
    while not _create(place):
        if time.monotonic() > end and not (owner := _read(place)).startswith(f"{_machine()} "):
            where = owner.partition("/")[0][:80] or "an unknown machine"
            reason = f"{place} belongs to a process on {where}; remove it if no envc runs there"
            raise TimeoutError(errno.ETIMEDOUT, reason)
        time.sleep(pause)
        pause = min(_LONG, pause * 1.5)


def _create(place: Path) -> bool:
    """Create the file, after removing that of a process that has ended. Returns False if another process owns it."""
    if _is_abandoned(_read(place)):
        _remove_abandoned(place)
    try:
        fd = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    except FileExistsError:
        return False
    try:
        os.write(fd, f"{_machine()} {os.getpid()} {_started(os.getpid())}".encode())
    finally:
        os.close(fd)
    return True


def _remove_abandoned(place: Path) -> None:
    """Remove the file if it is still that of a process that has ended. Only processes of one machine do this, so they
    exclude each other by a name that the machine itself gives away once; where it cannot, the file stays.
    """
    import socket

    if not hasattr(socket, "AF_UNIX"):
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as mutex, suppress(OSError):
        mutex.bind(f"\0envc-{sha256(os.fsencode(place))}")  # an abstract name, which ends with this process (Linux)
        if _is_abandoned(_read(place)):
            place.unlink()


def _read(place: Path) -> str:
    """The text of the file; "" if there is none, or if its owner has not written it yet."""
    try:
        with place.open("rb") as stream:
            return stream.read(_SIZE).decode("utf-8", errors="replace")
    except OSError:
        return ""


def _is_abandoned(owner: str) -> bool:
    machine, _, process = owner.partition(" ")
    number, _, started = process.partition(" ")
    if machine != _machine() or not number.isdecimal() or len(number) > 9 or not started:
        return False
    return _started(int(number)) != started


def _machine() -> str:
    """This machine and its process namespace: numbers of processes mean something only there."""
    try:
        namespace = os.readlink("/proc/self/ns/pid")  # noqa: PTH115
    except OSError:
        namespace = ""
    return "".join(f"{os.uname().nodename}/{namespace}".split())


def _started(process: int) -> str:
    """When a process started, in a form that no later process of the same number has; "" if it has ended."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return ""
    except OSError:
        pass  # of another user
    try:
        text = Path(f"/proc/{process}/stat").read_text(errors="replace")
        fields = text.rpartition(")")[2].split()  # from the third on (proc(5))
        return "" if fields[0] in ("Z", "X") else fields[19]  # a zombie has ended; starttime
    except FileNotFoundError:
        return "" if Path("/proc/self").exists() else "unknown"
    except (OSError, IndexError):
        return "unknown"
