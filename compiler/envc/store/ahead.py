"""Ranges that are asked for before they are needed, so that a store's answers are waited for together."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Self


class Ahead:
    """The answers to a sequence of requests, of which about `window` are under way or waiting to be taken.

    Whoever takes number n has all requests up to ``n + window`` begun, so taking in about the order of the sequence
    keeps `window` connections busy, and memory holds that many answers and one more for each taker. With a window of 1
    each request is made by the thread that takes it.
    """

    def __init__(self, requests: Sequence[Callable[[], bytes]], window: int) -> None:
        self._requests = requests
        self._window = window
        self._begun: dict[int, Future[bytes]] = {}
        self._next = 0
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(window, thread_name_prefix="envc-read") if window > 1 else None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            # Not waited for: after a failure nobody wants the answers, and stores may take long to give them.
            self._pool.shutdown(wait=False, cancel_futures=True)

    def take(self, number: int) -> bytes:
        """The answer to that request, once; what the request raises."""
        if self._pool is None:
            return self._requests[number]()
        with self._lock:
            stop = min(number + self._window, len(self._requests))
            while self._next < stop:
                self._begun[self._next] = self._pool.submit(self._requests[self._next])
                self._next += 1
            answer = self._begun.pop(number)
        return answer.result()
