"""Progress on standard error: bars on a terminal, single lines elsewhere."""

from __future__ import annotations

import sys
import threading
import time
from typing import TYPE_CHECKING, Any

from envc.cli.output import colours, plain
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
            if self._id is not None:
                self._owner.bars().remove_task(self._id)
                self._id = None

    def _draw(self) -> None:
        if self._finished or time.monotonic() - self._owner.started < _SHOW_AFTER:
            return
        bars = self._owner.bars()
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
                self._bars.stop()
                self._bars = None

    def task(self, label: str, total: int | None = None, unit: str = "") -> Task:
        return _BarTask(self, label, total, unit) if self._draws else SilentTask()

    def note(self, text: str) -> None:
        if not self._quiet:
            self._print(plain(text))

    def warn(self, text: str) -> None:
        with self.lock:
            if text in self._warned:
                return
            self._warned.add(text)
        label = "\x1b[33mwarning\x1b[0m" if colours(sys.stderr) else "warning"
        self._print(f"{label}: {plain(text)}")

    def bars(self) -> Bars:
        """The bars. The first call creates and draws them."""
        if self._bars is None:
            from rich.console import Console
            from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

            columns: list[Any] = [
                SpinnerColumn(),
                TextColumn("{task.description}", markup=False),
                BarColumn(bar_width=28),
                TextColumn("{task.fields[amount]}"),
            ]
            self._bars = Progress(*columns, console=Console(stderr=True), transient=True)
            self._bars.start()
        return self._bars

    def _print(self, text: str) -> None:
        with self.lock:
            if self._bars is not None:
                from rich.text import Text

                self._bars.console.print(Text.from_ansi(text))
            else:
                print(text, file=sys.stderr)
