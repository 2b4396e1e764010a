"""A progress task that is shown only once there is work, since most runs find everything in the cache."""

from __future__ import annotations

import threading
from collections.abc import Callable

from envc.model.progress import Progress, Task


class LazyTask:
    """A task that starts with its first unit of work. Thread-safe."""

    def __init__(self, progress: Progress, label: str, begin: Callable[[], None] | None = None) -> None:
        """`begin` is called before the first unit of work."""
        self._progress = progress
        self._label = label
        self._begin = begin
        self._task: Task | None = None
        self._lock = threading.Lock()

    def grow(self, amount: int) -> None:
        if self._task is None:
            if self._begin is not None:
                self._begin()
            with self._lock:
                self._task = self._task or self._progress.task(self._label, 0)
        self._task.grow(amount)

    def advance(self, amount: int = 1) -> None:
        if self._task is not None:
            self._task.advance(amount)

    def done(self) -> None:
        if self._task is not None:
            self._task.done()
