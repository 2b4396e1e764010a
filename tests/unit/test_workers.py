"""Threads that wait for the network: how their work ends after it was cancelled."""

from __future__ import annotations

import threading

import pytest

from envc.system.workers import Workers


def test_failures_after_the_stop_are_ignored() -> None:
    """pytest turns an uncaught exception in a thread into an error."""
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
def test_failures_before_the_stop_are_reported() -> None:
    reported: list[str] = []
    done = threading.Event()

    def work() -> None:
        raise RuntimeError("a mistake")

    def hook(arguments: threading.ExceptHookArgs) -> None:
        reported.append(str(arguments.exc_value))
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
    assert reported == ["a mistake"]


def test_work_that_has_not_started_is_dropped() -> None:
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
