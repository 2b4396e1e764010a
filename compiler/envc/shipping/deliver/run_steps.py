"""run_steps: runs the commands of several steps, each after the steps that it needs.

Steps that do not need each other run at the same time. Their lines are printed behind their names. The processes of a
step are one session, so that all of them end with envc.
"""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import IO, Any

import msgspec

from envc.errors import EnvcError
from envc.shipping.deliver.run import FORWARDED, Launch, mark_used, process_arguments

_GRACE = 5.0  # seconds between asking processes to end and ending them
_LAST_LINES = 1.0  # seconds in which the last lines of an ended step are read, if others still hold its pipes
_POLL = 0.2  # seconds; a signal that arrives just before a wait without a limit does not end it


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """A step to run."""

    step: str
    needs: tuple[str, ...]  # steps that have to succeed first
    launch: Launch | None  # None: the step has no command, and only passes on what it needs


class Finished(msgspec.Struct, frozen=True):
    """A step that has ended."""

    step: str
    code: int  # the exit code, or 128 plus the number of the signal that ended it
    error: EnvcError | None = None  # why it could not be started


class Result(msgspec.Struct, frozen=True):
    """What became of all steps."""

    failed: tuple[Finished, ...]  # in the order in which they ended
    skipped: tuple[str, ...]  # steps with a command that did not run, because another one failed

    @property
    def code(self) -> int:
        """The exit code of the first step that failed, or 0."""
        return self.failed[0].code if self.failed else 0


class Ended(Exception):
    """A signal asked envc to end."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.code = 128 + number


def run_steps(
    jobs: Sequence[Job],
    environ: Mapping[str, str],
    *,
    at_once: int,
    keep_going: bool,
    report: Callable[[Finished], None],
) -> Result:
    """Run the jobs, at most `at_once` at the same time, in the given order where `needs` allows.

    After a failure, no other step starts, and those that run may end; with `keep_going`, steps that do not need the
    failed one still start. `report` is called for each failure. Raises EnvironmentRemoved before anything has started.
    If it is interrupted, every process of every step is ended before the exception leaves; so with SIGTERM and SIGHUP,
    which raise Ended.
    """
    with ExitStack() as marks:
        mark_used((file for job in jobs if job.launch is not None for file in job.launch.uses), marks)
        signals = _Signals()
        running = _Running(max(len(job.step) for job in jobs), signals)
        with signals.raised():
            try:
                return _schedule(jobs, running, environ, at_once, keep_going, report)
            finally:
                running.end()


def _schedule(
    jobs: Sequence[Job],
    running: _Running,
    environ: Mapping[str, str],
    at_once: int,
    keep_going: bool,
    report: Callable[[Finished], None],
) -> Result:
    waiting = {job.step: job for job in jobs}
    done: set[str] = set()
    failed: list[Finished] = []

    def finish(finished: Finished) -> None:
        if finished.code == 0:
            done.add(finished.step)
        else:
            failed.append(finished)
            report(finished)

    def start_ready() -> None:
        while len(running) < at_once and (keep_going or not failed):
            job = next((job for job in waiting.values() if done.issuperset(job.needs)), None)
            if job is None:
                return
            del waiting[job.step]
            if job.launch is None:
                done.add(job.step)
                continue
            try:
                running.start(job.step, job.launch, environ)
            except EnvcError as error:
                finish(Finished(job.step, error.exit_code, error))

    start_ready()
    while running:
        finish(running.wait())
        start_ready()
    return Result(tuple(failed), tuple(job.step for job in waiting.values() if job.launch is not None))


class _Running:
    """The processes that run. Their lines are printed as they arrive."""

    def __init__(self, width: int, signals: _Signals) -> None:
        self._width = width
        self._signals = signals
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._ended: queue.SimpleQueue[Finished | OSError] = queue.SimpleQueue()
        self._printing = threading.Lock()
        self._ending = False

    def __len__(self) -> int:
        return len(self._children)

    def start(self, step: str, launch: Launch, environ: Mapping[str, str]) -> None:
        """Raises CommandNotFound, and EnvcError if the program cannot be started."""
        arguments, variables = process_arguments(launch, environ)
        with self._signals.held():
            try:
                child = subprocess.Popen(
                    arguments,
                    cwd=launch.cwd,
                    env=variables,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    start_new_session=os.name == "posix",
                )
            except OSError as error:
                raise EnvcError(f"{launch.command[0]} cannot be started: {error.strerror}") from None
            self._children[step] = child
            threading.Thread(target=self._follow, args=(step, child), daemon=True).start()

    def wait(self) -> Finished:
        """The next step that ends. Raises OSError if standard output cannot be written."""
        while True:
            with suppress(queue.Empty):
                ended = self._ended.get(timeout=_POLL)
                if isinstance(ended, OSError):
                    raise ended
                del self._children[ended.step]
                return ended

    def end(self) -> None:
        """End every process that still runs: ask twice, then kill. Each takes some seconds, or until another Ctrl-C."""
        self._ending = True
        for number, seconds in ((signal.SIGINT, _GRACE), (signal.SIGTERM, _GRACE / 5), (_KILL, 60.0)):
            if not self._children:
                return
            for child in self._children.values():
                if child.returncode is None:
                    _send(child, number)
            end = time.monotonic() + seconds
            with suppress(KeyboardInterrupt, Ended, queue.Empty):
                while self._children:
                    ended = self._ended.get(timeout=max(0.0, end - time.monotonic()))
                    if isinstance(ended, Finished):
                        self._children.pop(ended.step, None)

    def _follow(self, step: str, child: subprocess.Popen[bytes]) -> None:
        """Print the lines of a step until it ends."""
        assert child.stdout is not None and child.stderr is not None
        pipes = [(child.stdout, sys.stdout), (child.stderr, sys.stderr)]
        readers = [threading.Thread(target=self._print, args=(step, *pipe), daemon=True) for pipe in pipes]
        for reader in readers:
            reader.start()
        if hasattr(os, "waitid"):  # not on every POSIX system; keeps the number of the session from being used again
            os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
            if self._ending:
                _send(child, _KILL)  # what the first process of the session has left
        code = child.wait()
        end = time.monotonic() + _LAST_LINES
        for reader in readers:
            reader.join(max(0.0, end - time.monotonic()))
        self._ended.put(Finished(step, 128 - code if code < 0 else code))

    def _print(self, step: str, pipe: IO[bytes], stream: Any) -> None:
        prefix = f"{step.ljust(self._width)} | ".encode()
        with pipe:
            for line in pipe:
                try:
                    with self._printing:
                        stream.buffer.write(prefix + line + (b"" if line.endswith(b"\n") else b"\n"))
                        stream.buffer.flush()
                except (OSError, ValueError) as error:
                    if stream is sys.stdout and not self._ending:
                        self._ended.put(error if isinstance(error, OSError) else OSError(str(error)))
                    return


_KILL = signal.SIGKILL if hasattr(signal, "SIGKILL") else signal.SIGTERM


def _send(child: subprocess.Popen[bytes], number: int) -> None:
    """Send a signal to all processes of a step. Windows can only end the first of them."""
    with suppress(ProcessLookupError, PermissionError):
        if os.name == "posix":
            os.killpg(child.pid, number)
        else:
            child.terminate()


class _Signals:
    """The signals that end a process, as exceptions in the main thread: KeyboardInterrupt, or Ended.

    While a process is being started, they are only recorded, and raised afterwards. Otherwise, a process could have
    been started and not be known, and nothing would end it.
    """

    def __init__(self) -> None:
        self._is_held = False
        self._pending: int | None = None

    @contextmanager
    def raised(self) -> Iterator[None]:
        """Raise them in the body. Ignored ones stay ignored, as nohup wants."""
        numbers = [signal.SIGINT, signal.SIGTERM, *(number for number in FORWARDED if number.name == "SIGHUP")]
        before = {number: signal.getsignal(number) for number in numbers}
        try:
            for number, handler in before.items():
                if handler is not signal.SIG_IGN:
                    signal.signal(number, self._handle)
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Record them in the body, and raise the first one at its end."""
        self._is_held = True
        try:
            yield
        finally:
            self._is_held = False
            if self._pending is not None:
                number, self._pending = self._pending, None
                self._handle(number, None)

    def _handle(self, number: int, _frame: object) -> None:
        if self._is_held:
            self._pending = self._pending or number
        elif number == signal.SIGINT:
            raise KeyboardInterrupt
        else:
            raise Ended(number)
