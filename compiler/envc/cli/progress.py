"""Progress on standard error: bars and what is waited for on a terminal, single lines elsewhere.

A thread draws, so that a command that waits shows for what, and work only counts. The thread ends while the process
forks (`envc.system.forks`).
"""

from __future__ import annotations

import sys
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from envc.cli.output import discard, labelled, plain, tell
from envc.model.progress import SilentTask, Task

if TYPE_CHECKING:
    from envc.cli.bars import Bars
    from envc.cli.counted_task import CountedTask

_SHOW_AFTER = 0.2  # seconds; shorter work shows nothing, and rich is not imported for it
_EVERY = 0.1  # seconds between two pictures


class Terminal:
    """Progress for the command line. Used as a context manager, which draws, and removes what is drawn at the end."""

    def __init__(self, quiet: bool = False) -> None:
        self._lock = threading.RLock()  # of the terminal: one thread at a time prints or draws
        self._started = time.monotonic()
        self._quiet = quiet
        self._draws = not quiet and sys.stderr.isatty()
        self._tasks: list[CountedTask] = []
        self._bars: Bars | None = None
        self._drawing: threading.Thread | None = None
        self._ending = threading.Event()
        self._warned: set[str] = set()

    def __enter__(self) -> Terminal:
        if self._draws:
            from envc.system import forks, waits

            waits.show(True)
            forks.pausable.append(self)
            self.resume()
        return self

    def __exit__(self, *_: object) -> None:
        self.settle()

    def settle(self) -> None:
        """Remove what is drawn, and draw nothing more."""
        if self._draws:
            from envc.system import forks

            self._draws = False
            self.pause()
            if self in forks.pausable:
                forks.pausable.remove(self)
        with self._lock:
            if self._bars is not None:
                self._bars.stop()
                self._bars = None

    def resume(self) -> None:
        """Start the thread that draws."""
        if not self._draws:
            return
        self._ending.clear()
        self._drawing = threading.Thread(target=self._draw_repeatedly, name="envc-draw", daemon=True)
        try:
            self._drawing.start()
        except RuntimeError:  # there are no threads to be had
            self._drawing = None

    def pause(self) -> bool:
        """End the thread that draws. Returns whether it ran."""
        thread, self._drawing = self._drawing, None
        if thread is None:
            return False
        self._ending.set()
        thread.join()
        return True

    def task(self, label: str, total: int | None = None, unit: str = "") -> Task:
        if not self._draws:
            return SilentTask()
        from envc.cli.counted_task import CountedTask

        task = CountedTask(self._remove, plain(label), total, unit)
        self._tasks.append(task)
        return task

    def _remove(self, task: CountedTask) -> None:
        with suppress(ValueError):
            self._tasks.remove(task)

    def note(self, text: str) -> None:
        if not self._quiet:
            self._print(text)

    def warn(self, text: str, *, hint: str = "") -> None:
        with self._lock:
            if text in self._warned:
                return
            self._warned.add(text)
        self._print(text, "warning", "33")
        if hint:
            self._print(hint, "  hint")

    def _draw_repeatedly(self) -> None:
        pause = max(0.0, _SHOW_AFTER - (time.monotonic() - self._started))
        while not self._ending.wait(pause):
            pause = _EVERY
            try:
                self._draw()
            except OSError:  # the terminal is gone
                return

    def _draw(self) -> None:
        from envc.system.waits import active, total_moved

        tasks, waits = tuple(self._tasks), active()
        if self._bars is None:
            if not tasks and not waits:
                return
            from envc.cli.bars import Bars

            with self._lock:
                self._bars = Bars()
        with self._lock:
            if self._bars is not None and not self._ending.is_set():
                self._bars.draw(tasks, waits, total_moved())

    def _print(self, text: str, label: str = "", colour: str = "") -> None:
        with self._lock:
            if self._bars is None:
                tell(text, label, colour)
                return
            try:
                self._bars.print(labelled(text, label, colour))
            except OSError:
                discard(sys.stderr)
