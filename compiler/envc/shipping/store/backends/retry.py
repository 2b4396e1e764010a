"""Patience with stores that throttle, reset and cut: a request is tried again, later each time and never in step."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import msgspec

from envc.errors import StoreError
from envc.shipping.format.errors import StoreBusy

T = TypeVar("T")

_LONGEST_WAIT = 60.0  # seconds; a store that asks for more is reported instead


class Patience(msgspec.Struct, frozen=True, kw_only=True):
    """How often a request is tried, and how long is waited between."""

    tries: int = 6
    first: float = 0.1  # seconds at most before the second try; doubles with each
    longest: float = 5.0  # seconds

    def ask(self, request: Callable[[], T]) -> T:
        """The answer to a request that raises StoreBusy when it is to be tried again; in the end, StoreError."""
        tried = 0
        while True:
            tried += 1
            try:
                return request()
            except StoreBusy as trouble:
                if tried >= min(self.tries, trouble.worth) or trouble.wait > _LONGEST_WAIT:
                    raise _give_up(trouble, tried) from None
                self._pause(tried, trouble.wait)

    def _pause(self, tried: int, wait: float) -> None:
        # Jitter: many machines that were throttled at once must not come back at once.
        import random

        seconds = min(self.longest, self.first * 2.0 ** (tried - 1)) * random.uniform(0.25, 1.0)
        time.sleep(max(seconds, wait))


def _give_up(trouble: StoreBusy, tried: int) -> StoreError:
    if trouble.verdict is not None:
        return trouble.verdict
    if trouble.wait > _LONGEST_WAIT:
        return StoreError(trouble.what, f"{trouble.reason}, and it asks to wait for {trouble.wait:.0f} s")
    return StoreError(trouble.what, f"{trouble.reason}{f', {tried} times' if tried > 1 else ''}", trouble.hint)
