"""Work made of many short system calls, shared among forks of this process.

Threads speed up such work only a little: each call ends before another thread can take the GIL, and the caller then
waits to get it back. A fork has an interpreter of its own. fork(2) is safe only while the process has no other
thread, since a lock held by another thread would stay locked in the fork for ever. It is used only on Linux, because
the frameworks of macOS do not survive it.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NoReturn, Protocol

Work = Callable[[int], bool]  # takes the number of a task; returns whether the task succeeded


class Pausable(Protocol):
    """A thread that can end and start again, so that the process may fork in between."""

    def pause(self) -> bool:
        """Wait for the end of the thread. Returns whether it ran."""

    def resume(self) -> None: ...


pausable: list[Pausable] = []  # the threads that run now

_WIDTH = 4  # bytes of a number in a pipe
_CHECKS, _CHECK_PAUSE = 100, 0.0005  # seconds
_CAPACITY = 4096 // _WIDTH  # numbers that fit into every pipe at once; a write of more could deadlock


def run_in_forks(
    work: Work, count: int, *, forks: int, done: Callable[[int], None] = lambda number: None
) -> list[bool]:
    """The results of `work` for each number below `count`, computed by this process and up to `forks` forks of it.

    A process that is idle takes the next number. `done` is called in this process with each number that has finished.
    A task that fails in a fork is repeated in this process, and no process starts another task before then. `work`
    must therefore leave nothing behind when it fails; an exception that it raises in this process propagates to the
    caller. The forks have ended when this returns or raises. Raises OSError if a fork was killed, because its leftovers
    are unknown.
    """
    results: dict[int, bool] = {}
    if forks > 0 and can_fork(count):
        results = _run(work, count, forks, done)
    for number in range(count):
        if number not in results:
            results[number] = work(number)
            done(number)
    return [results[number] for number in range(count)]


def can_fork(count: int) -> bool:
    """Whether `count` tasks can be shared among forks: not if the process has a second thread, of Python or not, that
    cannot be paused.
    """
    try:
        return sys.platform == "linux" and 1 < count <= _CAPACITY and _threads() == 1 + len(pausable)
    except OSError:
        return False


def _threads() -> int:
    return len(list(Path("/proc/self/task").iterdir()))


@contextmanager
def _single_threaded() -> Iterator[bool]:
    """Pause all threads that can be paused. The value is whether no other thread is left."""
    paused = [thread for thread in pausable[:] if thread.pause()]
    try:
        for _ in range(_CHECKS if paused else 0):
            if _threads() == 1:
                break
            time.sleep(_CHECK_PAUSE)  # the system removes a thread a moment after Python has joined it
        yield not paused or _threads() == 1
    finally:
        for thread in paused:
            thread.resume()


def _run(work: Work, count: int, forks: int, done: Callable[[int], None]) -> dict[int, bool]:
    """The results of this process, and those of the forks that succeeded."""
    tasks_in, tasks_out = os.pipe()
    done_in, done_out = os.pipe()
    children: list[int] = []
    ends = [tasks_in, tasks_out, done_in, done_out]
    results: dict[int, bool] = {}

    def note(number: int, result: bool) -> None:
        results[number] = result
        done(number)

    try:
        os.write(tasks_out, b"".join(number.to_bytes(_WIDTH, "little") for number in range(count)))
        _close(ends, tasks_out)
        with suppress(OSError), _single_threaded() as may_fork:  # OSError if no further process may be created
            for _ in range(forks if may_fork else 0):
                child = os.fork()
                if not child:
                    os.close(done_in)  # only the parent has this end, so forks notice when the parent has ended
                    _run_child(work, tasks_in, done_out)
                children.append(child)
        _close(ends, done_out)
        os.set_blocking(done_in, False)
        for number in _numbers(tasks_in):
            note(number, work(number))
            for other in _numbers(done_in):
                note(other, True)
        os.set_blocking(done_in, True)
        for other in _numbers(done_in):
            note(other, True)
        while children:
            if _wait(children.pop()) < 0:
                raise OSError(errno.EINTR, "a worker process was killed")
        return results
    finally:
        for child in children:
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
            _wait(child)
        for end in ends:
            os.close(end)


def _wait(child: int) -> int:
    """Wait for a process. Returns its exit code, or the negative number of the signal that ended it."""
    try:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    except ChildProcessError:
        return 0  # where SIGCHLD is ignored, the code is lost


def _run_child(work: Work, tasks_in: int, done_out: int) -> NoReturn:
    try:
        for number in _numbers(tasks_in):
            if work(number):
                os.write(done_out, number.to_bytes(_WIDTH, "little"))
    except BaseException:
        # The parent repeats the task and reports the error. Taking all remaining numbers makes this its next task.
        # `_exit`, because no exit handler of the parent may run twice.
        for _ in _numbers(tasks_in):
            pass
        os._exit(1)
    os._exit(0)


def _numbers(pipe: int) -> Iterator[int]:
    """Numbers from a pipe, each for one of its readers, until no process can write to it any more. A non-blocking pipe
    also ends the iteration when it is empty.
    """
    with suppress(BlockingIOError):
        while number := os.read(pipe, _WIDTH):
            yield int.from_bytes(number, "little")


def _close(ends: list[int], end: int) -> None:
    ends.remove(end)
    os.close(end)
