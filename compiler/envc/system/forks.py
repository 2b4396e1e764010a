"""Work of many short calls of the system, shared with copies of this process.

Threads speed it up little: each call is over before another thread would have been handed the interpreter, and then
waits to get it back. A copy has an interpreter of its own. It is made by fork(2), which is sound only while there is no
other thread, for whatever that one holds would be held in the copy for ever; and only on Linux, as the frameworks of
macOS do not survive it.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

Work = Callable[[int], bool]  # takes a number; answers whether it came to its end

_WIDTH = 4  # bytes of a number in a pipe
_ROOM = 4096 // _WIDTH  # numbers that every pipe takes at once; more could wait for a reader that waits for us


def share_out(work: Work, count: int, *, copies: int, done: Callable[[int], None] = lambda number: None) -> list[bool]:
    """What `work` answers for each number below `count`, done by this process and up to `copies` copies of it.

    Whoever is free takes the next number; `done` is called here with each that is through. What fails in a copy is done
    again, here, and until then nobody begins anything else: so `work` leaves nothing behind where it fails, and what it
    raises is raised here. Copies are gone when this returns or raises. Raises OSError when one was killed, for nobody
    knows what it left.
    """
    answers: dict[int, bool] = {}
    if copies > 0 and can_share(count):
        answers = _with_copies(work, count, copies, done)
    for number in range(count):
        if number not in answers:
            answers[number] = work(number)
            done(number)
    return [answers[number] for number in range(count)]


def can_share(count: int) -> bool:
    """Whether copies can be made for so many numbers: not while there is a second thread, of Python or not."""
    try:
        return sys.platform == "linux" and 1 < count <= _ROOM and len(list(Path("/proc/self/task").iterdir())) == 1
    except OSError:
        return False


def _with_copies(work: Work, count: int, copies: int, done: Callable[[int], None]) -> dict[int, bool]:
    """The answers that were found here, and for each number that a copy has brought to its end."""
    waiting, fill = os.pipe()
    report, told = os.pipe()
    children: list[int] = []
    ends = [waiting, fill, report, told]
    answers: dict[int, bool] = {}

    def note(number: int, answer: bool) -> None:
        answers[number] = answer
        done(number)

    try:
        os.write(fill, b"".join(number.to_bytes(_WIDTH, "little") for number in range(count)))
        _close(ends, fill)
        with suppress(OSError):  # where no further process may be made
            for _ in range(copies):
                child = os.fork()
                if not child:
                    os.close(report)  # whose end nobody else has, so that copies know when this process is gone
                    _be_a_copy(work, waiting, told)
                children.append(child)
        _close(ends, told)
        os.set_blocking(report, False)
        for number in _numbers(waiting):
            note(number, work(number))
            for other in _numbers(report):
                note(other, True)
        os.set_blocking(report, True)
        for other in _numbers(report):
            note(other, True)
        while children:
            if _end_of(children.pop()) < 0:
                raise OSError(errno.EINTR, "one of the processes at work was killed")
        return answers
    finally:
        for child in children:
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
            _end_of(child)
        for end in ends:
            os.close(end)


def _end_of(child: int) -> int:
    """Wait for a process; answers with its exit code, or the negative number of the signal that ended it."""
    try:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    except ChildProcessError:
        return 0  # where SIGCHLD is ignored nobody is told


def _be_a_copy(work: Work, waiting: int, told: int) -> NoReturn:
    try:
        for number in _numbers(waiting):
            if work(number):
                os.write(told, number.to_bytes(_WIDTH, "little"))
    except BaseException:
        # It is done again where somebody can be told, and soon: no number is left for others to take before. Nothing of
        # this process may run twice on its way out.
        for _ in _numbers(waiting):
            pass
        os._exit(1)
    os._exit(0)


def _numbers(pipe: int) -> Iterator[int]:
    """Numbers out of a pipe, each for one of its readers: until nobody can write, or there is none and nobody waits."""
    with suppress(BlockingIOError):
        while number := os.read(pipe, _WIDTH):
            yield int.from_bytes(number, "little")


def _close(ends: list[int], end: int) -> None:
    ends.remove(end)
    os.close(end)
