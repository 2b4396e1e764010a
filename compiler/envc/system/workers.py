"""A few threads for work that waits on networks and disks, which nobody has to wait for."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from itertools import count


class Workers:
    """Threads that take work by rank, lowest first, then in the order it came. They start as work arrives.

    They are daemons: an interpreter that exits after Ctrl-C does not wait for answers that nobody wants any more. Work
    must therefore leave nothing half-done behind at any moment. Work handles its own expected errors.
    """

    def __init__(self, most: int, name: str) -> None:
        self._most = most
        self._name = name
        self._queue: queue.PriorityQueue[tuple[int, int, Callable[[], None] | None]] = queue.PriorityQueue()
        self._order = count()
        self._threads: list[threading.Thread] = []
        self._idle = 0
        self._lock = threading.Lock()
        self._stopped = False

    def submit(self, work: Callable[[], None], rank: int = 0) -> None:
        """Do this some time soon, unless `stop` comes first."""
        with self._lock:
            if self._stopped:
                return
            self._queue.put((rank, next(self._order), work))
            if self._queue.qsize() > self._idle and len(self._threads) < self._most:
                thread = threading.Thread(target=self._run, name=f"{self._name}-{len(self._threads)}", daemon=True)
                thread.start()  # which may fail, or be interrupted: then there is nothing to wait for
                self._threads.append(thread)

    def stop(self) -> None:
        """Drop what has not begun."""
        with self._lock:
            self._stopped = True
            for _ in self._threads:
                self._queue.put((-1, next(self._order), None))

    def join(self, seconds: float) -> None:
        """Wait for what is under way, but no longer than that in all."""
        deadline = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _run(self) -> None:
        while True:
            with self._lock:
                self._idle += 1
            _, _, work = self._queue.get()
            with self._lock:
                self._idle -= 1
            if work is None or self._stopped:
                return
            try:
                work()
            except Exception:
                # After `stop`, what work relies on is closed under it, and nobody waits for what it found.
                if not self._stopped:
                    raise
