"""A thread pool for work that waits on networks and disks, and that may be abandoned."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from itertools import count

from envc.errors import exhausted


class Workers:
    """Threads that run tasks by rank, lowest first, then in the order of submission. They start when tasks arrive.

    They are daemon threads: an interpreter that exits after Ctrl-C does not wait for answers that are not needed any
    more. A task must therefore leave nothing half-done behind at any moment. It handles its own expected errors, except
    for the want of a resource such as memory, which leaves the task undone.
    """

    def __init__(self, limit: int, name: str) -> None:
        self._limit = limit
        self._name = name
        self._queue: queue.PriorityQueue[tuple[int, int, Callable[[], None] | None]] = queue.PriorityQueue()
        self._order = count()
        self._threads: list[threading.Thread] = []
        self._idle = 0
        self._lock = threading.Lock()
        self._stopped = False

    def submit(self, work: Callable[[], None], rank: int = 0) -> None:
        """Run a task soon, unless `stop` is called first."""
        with self._lock:
            if self._stopped:
                return
            self._queue.put((rank, next(self._order), work))
            if self._queue.qsize() > self._idle and len(self._threads) < self._limit:
                thread = threading.Thread(target=self._run, name=f"{self._name}-{len(self._threads)}", daemon=True)
                try:
                    thread.start()  # may fail, or be interrupted; then there is nothing to join
                except RuntimeError:
                    if not self._threads:
                        raise
                    self._limit = len(self._threads)  # this machine allows no more threads
                else:
                    self._threads.append(thread)

    def stop(self) -> None:
        """Drop all tasks that have not started."""
        with self._lock:
            self._stopped = True
            for _ in self._threads:
                self._queue.put((-1, next(self._order), None))

    def join(self, seconds: float) -> None:
        """Wait for running tasks, for at most `seconds` in total."""
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
            except Exception as error:
                # After `stop`, the resources of a task may have been closed, and its result is not needed.
                if not self._stopped and exhausted(error) is None:
                    raise
