"""Retries of requests to stores that throttle, reset or cut off connections: later each time, and with jitter."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from envc.errors import StoreError
from envc.shipping.format.errors import StoreBusy
from envc.system.retries import LONGEST_RETRY_AFTER, RetryPolicy
from envc.system.waits import failed_try

T = TypeVar("T")


class StoreRetries(RetryPolicy, frozen=True, kw_only=True):
    """A retry policy for requests that raise StoreBusy."""

    def run(self, request: Callable[[], T]) -> T:
        """The result of a request, which is repeated while it raises StoreBusy. Raises StoreError in the end."""
        tries = 0
        while True:
            tries += 1
            try:
                return request()
            except StoreBusy as failure:
                if tries >= min(self.tries, failure.max_tries) or failure.wait > LONGEST_RETRY_AFTER:
                    raise _final_error(failure, tries) from None
                failed_try(failure.reason)
                time.sleep(max(self.delay(tries), failure.wait))


def _final_error(failure: StoreBusy, tries: int) -> StoreError:
    if failure.final_error is not None:
        return failure.final_error
    if failure.wait > LONGEST_RETRY_AFTER:
        return StoreError(failure.what, f"{failure.reason}, and it asks to wait for {failure.wait:.0f} s")
    return StoreError(failure.what, f"{failure.reason}{f', {tries} times' if tries > 1 else ''}", failure.hint)
