"""Retries of requests to stores that throttle, reset or cut off connections."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

import msgspec

from envc.errors import StoreError, UsageError
from envc.shipping.format.errors import StoreBusy
from envc.system.pace import Pace
from envc.system.retries import GaveUp, Retries, RetryPolicy

T = TypeVar("T")

VARIABLE = "ENVC_STORE_PATIENCE"
# A thousand containers that start together ask for more than a store can serve in the first minutes. Each of them waits
# until its requests are served. `python -m tests.simulation` shows what these numbers lead to.
PATIENCE = RetryPolicy(seconds=900.0, first=0.25, longest=8.0, least=0.0)
_MAX_SECONDS = 7 * 86_400


class Patience(msgspec.Struct, frozen=True, kw_only=True):
    """How long to retry requests to a store, and where to report it."""

    policy: RetryPolicy = PATIENCE
    tell: Callable[[str], object] | None = None

    def retries(self, name: str, *, unreachable: int = 3) -> Retries:
        """The retries of requests to the store of that name. `unreachable` as for `Retries`."""
        pace = Pace() if self.policy.seconds is not None else None  # a few tries would be spent before it has an effect
        return Retries(self.policy, name=name, unreachable=unreachable, pace=pace, tell=self.tell)


def read_patience(environ: Mapping[str, str], tell: Callable[[str], object] | None = None) -> Patience:
    """The patience that ``ENVC_STORE_PATIENCE`` sets, in seconds. Raises UsageError if it is not a number."""
    text = environ.get(VARIABLE, "").strip()
    if not text:
        return Patience(tell=tell)
    if not (text.isascii() and text.isdigit() and len(text) <= 6 and int(text) <= _MAX_SECONDS):
        raise UsageError(f"{VARIABLE} is {text[:40]!r}, which is not a number of seconds", "write 900 for 15 minutes")
    return Patience(policy=msgspec.structs.replace(PATIENCE, seconds=float(text)), tell=tell)


def run(retries: Retries, request: Callable[[], T]) -> T:
    """The result of a request that raises StoreBusy while the store is busy. Raises StoreError in the end."""
    try:
        return retries.run(request)
    except GaveUp as error:
        failure = error.failure
        assert isinstance(failure, StoreBusy)
        raise StoreError(failure.what, error.reason, failure.hint) from None
