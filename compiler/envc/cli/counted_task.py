"""A task whose progress is counted, for a terminal to draw."""

from __future__ import annotations

import threading
from collections.abc import Callable


class CountedTask:
    """A task that is shown as a bar. Thread-safe."""

    def __init__(self, remove: Callable[[CountedTask], None], label: str, total: int | None, unit: str) -> None:
        self.label = label
        self.unit = unit
        self.total = total
        self.count = 0
        self._remove = remove  # called when the task is done
        self._lock = threading.Lock()

    def advance(self, amount: int = 1) -> None:
        with self._lock:
            self.count += amount

    def grow(self, amount: int) -> None:
        with self._lock:
            self.total = (self.total or 0) + amount

    def done(self) -> None:
        self._remove(self)
