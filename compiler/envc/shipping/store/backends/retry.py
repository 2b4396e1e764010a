"""Patience with stores that throttle, reset and cut: a request is tried again, later each time and never in step."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from envc.errors import StoreError
from envc.shipping.format.errors import StoreBusy
from envc.system.retries import LONGEST_RETRY_AFTER, RetryPolicy

T = TypeVar("T")


class Patience(RetryPolicy, frozen=True, kw_only=True):
    """A retry policy for requests that raise StoreBusy."""

    def ask(self, request: Callable[[], T]) -> T:
        """The answer to a request that raises StoreBusy when it is to be tried again; in the end, StoreError."""
        tried = 0
        while True:
            tried += 1
            try:
                return request()
            except StoreBusy as trouble:
                if tried >= min(self.tries, trouble.worth) or trouble.wait > LONGEST_RETRY_AFTER:
                    raise _give_up(trouble, tried) from None
                time.sleep(max(self.delay(tried), trouble.wait))


def _give_up(trouble: StoreBusy, tried: int) -> StoreError:
    if trouble.verdict is not None:
        return trouble.verdict
    if trouble.wait > LONGEST_RETRY_AFTER:
        return StoreError(trouble.what, f"{trouble.reason}, and it asks to wait for {trouble.wait:.0f} s")
    return StoreError(trouble.what, f"{trouble.reason}{f', {tried} times' if tried > 1 else ''}", trouble.hint)
