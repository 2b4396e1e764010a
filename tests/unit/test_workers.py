"""Threads that wait on networks: what becomes of their work when nobody wants it any more."""

from __future__ import annotations

import threading

import pytest

from envc.system.workers import Workers


def test_work_that_fails_after_the_stop_is_nobody_s_concern() -> None:
    """pytest makes an error of an exception that a thread lets through."""
    begun, go = threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        go.wait(60)
        raise RuntimeError("the cache was closed")

    workers = Workers(2, "test")
    workers.submit(work)
    assert begun.wait(60)
    workers.stop()
    go.set()
    workers.join(10)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_work_that_fails_before_is_told() -> None:
    told: list[str] = []
    done = threading.Event()

    def work() -> None:
        raise RuntimeError("a mistake")

    def hook(arguments: threading.ExceptHookArgs) -> None:
        told.append(str(arguments.exc_value))
        done.set()

    before, threading.excepthook = threading.excepthook, hook
    try:
        workers = Workers(1, "test")
        workers.submit(work)
        assert done.wait(60)
        workers.stop()
        workers.join(10)
    finally:
        threading.excepthook = before
    assert told == ["a mistake"]


def test_what_has_not_begun_is_dropped() -> None:
    begun, go = threading.Event(), threading.Event()
    ran: list[int] = []

    def first() -> None:
        begun.set()
        go.wait(60)

    workers = Workers(1, "test")
    workers.submit(first)
    assert begun.wait(60)
    workers.submit(lambda: ran.append(1))
    workers.stop()
    workers.submit(lambda: ran.append(2))
    go.set()
    workers.join(10)
    assert ran == []
