"""Progress on standard error: bars on a terminal, single lines elsewhere."""

from __future__ import annotations

import sys
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from envc.cli.output import discard, labelled, plain, tell
from envc.model.progress import SilentTask, Task

if TYPE_CHECKING:
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

_SHOW_AFTER = 0.3  # seconds; shorter work shows no bar, and rich is not imported for it


class _BarTask:
    """A task that is shown as a bar once the command has run for 0.3 seconds."""

    def __init__(self, owner: Terminal, label: str, total: int | None, unit: str) -> None:
        self._owner = owner
        self._label = label
        self._unit = unit
        self._total = total
        self._count = 0
        self._id: TaskID | None = None
        self._finished = False

    def advance(self, amount: int = 1) -> None:
        with self._owner.lock:
            self._count += amount
            self._draw()

    def grow(self, amount: int) -> None:
        with self._owner.lock:
            self._total = (self._total or 0) + amount
            self._draw()

    def done(self) -> None:
        with self._owner.lock:
            self._finished = True
            bars = self._owner.bars() if self._id is not None else None
            if bars is not None and self._id is not None:
                bars.remove_task(self._id)
            self._id = None

    def _draw(self) -> None:
        if self._finished or time.monotonic() - self._owner.started < _SHOW_AFTER:
            return
        bars = self._owner.bars()
        if bars is None:
            return
        amount = self._human(self._count) + (f"/{self._human(self._total)}" if self._total else "")
        if self._id is None:
            self._id = bars.add_task(self._label, total=self._total, amount=amount)
        bars.update(self._id, completed=self._count, total=self._total, amount=amount)

    def _human(self, count: int) -> str:
        return f"{count / 1e6:.1f} MB" if self._unit == "B" else str(count)


class Terminal:
    """Progress for the command line. Used as a context manager, which removes the bars at the end."""

    def __init__(self, quiet: bool = False) -> None:
        self.lock = threading.RLock()
        self.started = time.monotonic()
        self._quiet = quiet
        self._draws = not quiet and sys.stderr.isatty()
        self._bars: Bars | None = None
        self._warned: set[str] = set()

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        with self.lock:
            if self._bars is not None:
                with suppress(OSError):
                    self._bars.stop()
                self._bars = None

    def task(self, label: str, total: int | None = None, unit: str = "") -> Task:
        return _BarTask(self, plain(label), total, unit) if self._draws else SilentTask()

    def note(self, text: str) -> None:
        if not self._quiet:
            self._print(text)

    def warn(self, text: str, *, hint: str = "") -> None:
        with self.lock:
            if text in self._warned:
                return
            self._warned.add(text)
        self._print(text, "warning", "33")
        if hint:
            self._print(hint, "  hint")

    def bars(self) -> Bars | None:
        """The bars, or None if they cannot be drawn. The first call creates and draws them."""
        if self._bars is None and self._draws:
            from rich.console import Console
            from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

            columns: list[Any] = [
                SpinnerColumn(),
                TextColumn("{task.description}", markup=False),
                BarColumn(bar_width=28),
                TextColumn("{task.fields[amount]}"),
            ]
            bars = Progress(*columns, console=Console(stderr=True), transient=True)
            try:
                bars.start()
            except (OSError, RuntimeError):  # the terminal is gone, or there are no threads to be had
                self._draws = False
            else:
                self._bars = bars
        return self._bars

    def _print(self, text: str, label: str = "", colour: str = "") -> None:
        with self.lock:
            if self._bars is None:
                tell(text, label, colour)
                return
            from rich.text import Text

            shown = Text.from_ansi(labelled(text, label, colour))
            try:
                self._bars.console.print(shown)
            except OSError:
                discard(sys.stderr)
