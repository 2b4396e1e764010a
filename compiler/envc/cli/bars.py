"""What a terminal shows while a command works: a line for each task, and a line that says what is waited for.

Imports rich, so it is imported only once a command has taken a while.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from envc.cli.counted_task import CountedTask
from envc.cli.output import plain
from envc.system.waits import Wait

_BAR = 24  # characters
_RATE_SECONDS = 3.0  # over which the rate is averaged
_QUIET_SECONDS = 0.1  # shorter waits are not shown


class Bars:
    """The lines at the end of the terminal."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        self._is_ascii = self._console.options.ascii_only
        self._moved: deque[tuple[float, int]] = deque()  # times and the bytes that had moved until then
        self._live = Live(console=self._console, auto_refresh=False, transient=True)
        self._live.start()

    def draw(self, tasks: Sequence[CountedTask], waits: Sequence[Wait], moved: int) -> None:
        """Draw these lines, and remove the ones drawn before. `moved` is the sum of all bytes so far."""
        now = time.monotonic()
        self._moved.append((now, moved))
        while self._moved[0][0] < now - _RATE_SECONDS:
            self._moved.popleft()
        began, before = self._moved[0]
        rate = (moved - before) / (now - began) if now - began > _RATE_SECONDS / 3 else 0.0
        lines = [task_line(task.label, task.count, task.total, task.unit) for task in tasks]
        if line := wait_line([wait for wait in waits if now - wait.began > _QUIET_SECONDS], now, moved, rate):
            lines.append(line)
        frames = "|/-\\" if self._is_ascii else "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
        frame = frames[int(now * 10) % len(frames)]
        if self._is_ascii:
            lines = [line.replace("━", "#").replace("─", ".") for line in lines]
        texts = [Text(f"{frame} {line}", no_wrap=True, overflow="ellipsis") for line in lines]
        self._live.update(Group(*texts), refresh=True)

    def print(self, line: str) -> None:
        """Print a line above the others."""
        self._console.print(Text.from_ansi(line))

    def stop(self) -> None:
        """Remove the lines."""
        with suppress(OSError):
            self._live.stop()


def task_line(label: str, count: int, total: int | None, unit: str) -> str:
    """``artifacts ━━━━────── 3.2 MB/8.0 MB``."""
    amount = _amount(count, unit) + (f"/{_amount(total, unit)}" if total else "")
    if not total:
        return f"{label} {amount}"
    filled = min(_BAR, _BAR * max(count, 0) // total)
    return f"{label} {'━' * filled}{'─' * (_BAR - filled)} {amount}"


def wait_line(waits: Sequence[Wait], now: float, moved: int, rate: float) -> str:
    """What is waited for, or "" for nothing: the oldest wait, with the number of others, bytes, rate and retries.

    ``waiting for index.example.com: numpy and 3 more, 12.3 MB at 1.5 MB/s, 8 s (try 3: HTTP 503)``
    """
    if not waits:
        return ""
    first = waits[0]
    parts = [f"waiting for {first.place}" + (f": {first.what}" if first.what else "")]
    if len(waits) > 1:
        parts[0] += f" and {len(waits) - 1} more"
    if first.size and first.moved < first.size:
        parts.append(f"{_amount(first.moved, 'B')} of {_amount(first.size, 'B')}")
    if moved:
        parts.append(f"{_amount(moved, 'B')} in all" + (f" at {_amount(round(rate), 'B')}/s" if rate else ""))
    parts.append(f"{now - first.began:.0f} s")
    retried = max(waits, key=lambda wait: wait.tries)
    tries = f" (try {retried.tries}: {retried.reason})" if retried.tries > 1 else ""
    return plain(", ".join(parts) + tries)


def _amount(count: int, unit: str) -> str:
    if unit != "B":
        return str(count)
    return f"{count / 1e6:.1f} MB" if count >= 100_000 else f"{count / 1e3:.1f} kB"
