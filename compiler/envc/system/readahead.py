"""Ranges that are asked for before they are needed, so that a store's answers are waited for together."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Self

from envc.system.buffers import Owned
from envc.system.workers import Workers

Request = Callable[[], Owned]

_TAKEN: Future[Owned] = Future()  # in place of an answer that memory need not hold any more


class ReadAhead:
    """The answers to a sequence of requests, of which about `window` are under way or waiting to be taken.

    Whoever takes one has all requests up to `window` further ones begun, so taking in about the order of adding
    keeps `window` connections busy, and memory holds that many answers and one more for each taker. With a window of 1
    each request is made by the thread that takes it.

    Who leaves it waits for nobody, and neither does a thread that was waiting for an answer: that gets CancelledError.
    After a failure or Ctrl-C nobody wants the answers, and stores may take minutes to give them.
    """

    def __init__(self, window: int) -> None:
        self._window = window
        self._waiting: deque[Request] = deque()  # in the order of the sequence, which are begun in it
        self._answers: list[Future[Owned]] = []
        self._open: set[Future[Owned]] = set()  # what has no answer yet
        self._wanted = 0  # how many of the sequence are to be begun by now
        self._lock = threading.Lock()
        self._workers = Workers(window, "envc-read") if window > 1 else None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._workers is not None:
            self._workers.stop()
            with self._lock:
                for answer in self._open:
                    answer.cancel()

    def add(self, request: Request) -> Request:
        """Put a request at the end of the sequence. What comes back is to be called once: it takes the answer, or
        raises what the request raises.
        """
        if self._workers is None:
            return request
        with self._lock:
            number = len(self._answers) + len(self._waiting)
            self._waiting.append(request)
            self._begin(self._workers)
        return partial(self._take, self._workers, number)

    def _take(self, workers: Workers, number: int) -> Owned:
        with self._lock:
            self._wanted = max(self._wanted, number + self._window)
            self._begin(workers)
            answer = self._answers[number]
            self._answers[number] = _TAKEN
        return answer.result()

    def _begin(self, workers: Workers) -> None:
        while self._waiting and len(self._answers) < self._wanted:
            answer: Future[Owned] = Future()
            self._answers.append(answer)
            self._open.add(answer)
            workers.submit(partial(self._answer, answer, self._waiting.popleft()))

    def _answer(self, answer: Future[Owned], request: Request) -> None:
        try:
            data = request()
        except BaseException as error:
            self._settle(answer, partial(answer.set_exception, error))
        else:
            self._settle(answer, partial(answer.set_result, data))

    def _settle(self, answer: Future[Owned], settle: Callable[[], None]) -> None:
        with self._lock:
            self._open.discard(answer)
            if not answer.cancelled():
                settle()
