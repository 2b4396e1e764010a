"""Ranges that are asked for before they are needed, so that a store's answers are waited for together."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Self

Request = Callable[[], bytes]

_TAKEN: Future[bytes] = Future()  # in place of an answer that memory need not hold any more


class Ahead:
    """The answers to a sequence of requests, of which about `window` are under way or waiting to be taken.

    Whoever takes one has all requests up to `window` further ones begun, so taking in about the order of adding
    keeps `window` connections busy, and memory holds that many answers and one more for each taker. With a window of 1
    each request is made by the thread that takes it.
    """

    def __init__(self, window: int) -> None:
        self._window = window
        self._waiting: deque[Request] = deque()  # in the order of the sequence, which are begun in it
        self._answers: list[Future[bytes]] = []
        self._wanted = 0  # how many of the sequence are to be begun by now
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(window, thread_name_prefix="envc-read") if window > 1 else None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            # Not waited for: after a failure nobody wants the answers, and stores may take long to give them.
            self._pool.shutdown(wait=False, cancel_futures=True)

    def add(self, request: Request) -> Request:
        """Put a request at the end of the sequence. What comes back is to be called once: it takes the answer, or
        raises what the request raises.
        """
        if self._pool is None:
            return request
        with self._lock:
            number = len(self._answers) + len(self._waiting)
            self._waiting.append(request)
            self._begin(self._pool)
        return partial(self._take, self._pool, number)

    def _take(self, pool: ThreadPoolExecutor, number: int) -> bytes:
        with self._lock:
            self._wanted = max(self._wanted, number + self._window)
            self._begin(pool)
            answer = self._answers[number]
            self._answers[number] = _TAKEN
        return answer.result()

    def _begin(self, pool: ThreadPoolExecutor) -> None:
        while self._waiting and len(self._answers) < self._wanted:
            self._answers.append(pool.submit(self._waiting.popleft()))
