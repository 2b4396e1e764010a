"""Requests that are sent before their answers are needed, so that several are in flight at once."""

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

_TAKEN: Future[Owned] = Future()  # replaces an answer that was taken, so that its memory is freed


class ReadAhead:
    """The answers to a sequence of requests. About `window` of them are running or waiting to be taken at any time.

    Taking an answer starts all requests up to `window` further ones. Taking them in roughly the order in which they
    were added keeps `window` connections busy, and memory holds that many answers and one more for each thread that
    takes them. With a window of 1, each request is made by the thread that takes its answer.

    Leaving the context waits for no request: after a failure or Ctrl-C the answers are not needed, and a store may take
    minutes to send them. A thread that still waits for an answer gets CancelledError.
    """

    def __init__(self, window: int) -> None:
        self._window = window
        self._waiting: deque[Request] = deque()  # not started yet, in the order of the sequence
        self._answers: list[Future[Owned]] = []
        self._open: set[Future[Owned]] = set()  # without an answer yet
        self._goal = 0  # how many requests of the sequence should have been started by now
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
        """Add a request to the end of the sequence. Returns a function to call once, which returns the answer, or
        raises what the request raises.
        """
        if self._workers is None:
            return request
        with self._lock:
            number = len(self._answers) + len(self._waiting)
            self._waiting.append(request)
            self._start(self._workers)
        return partial(self._take, self._workers, number)

    def _take(self, workers: Workers, number: int) -> Owned:
        with self._lock:
            self._goal = max(self._goal, number + self._window)
            self._start(workers)
            answer = self._answers[number]
            self._answers[number] = _TAKEN
        return answer.result()

    def _start(self, workers: Workers) -> None:
        while self._waiting and len(self._answers) < self._goal:
            answer: Future[Owned] = Future()
            self._answers.append(answer)
            self._open.add(answer)
            workers.submit(partial(self._answer, answer, self._waiting.popleft()))

    def _answer(self, answer: Future[Owned], request: Request) -> None:
        try:
            data = request()
        except BaseException as error:
            self._complete(answer, partial(answer.set_exception, error))
        else:
            self._complete(answer, partial(answer.set_result, data))

    def _complete(self, answer: Future[Owned], set_result: Callable[[], None]) -> None:
        with self._lock:
            self._open.discard(answer)
            if not answer.cancelled():
                set_result()
