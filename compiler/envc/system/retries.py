"""Requests that are sent again after a temporary failure: how often, and how long to wait before each try."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

import msgspec

from envc.system.pace import Pace
from envc.system.waits import failed_try

T = TypeVar("T")
Uniform = Callable[[float, float], float]

LONGEST_RETRY_AFTER = 60.0  # seconds; a policy without `seconds` reports a server that asks for a longer wait
_TOLD_AFTER = 5.0  # seconds of waiting; doubles with each message


class RetryPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """Exponential back-off with jitter, so that clients throttled together do not retry together.

    A policy is bounded by a number of tries, or by the time that one request may take.
    """

    tries: int = 6
    seconds: float | None = None  # that one request may take with all its tries; None: `tries` are the limit
    first: float = 0.25  # seconds at most before the second try; doubles with each further try
    longest: float = 8.0  # seconds
    least: float = 0.5  # the shortest wait as a share of the longest one; 0 is called full jitter

    def delay(self, failed: int, uniform: Uniform | None = None) -> float:
        """Seconds to wait after that many failed tries, counted from 1. `uniform` replaces `random.uniform`."""
        most = min(self.longest, self.first * 2.0 ** min(failed - 1, 60))
        if uniform is None:
            import random

            uniform = random.uniform
        return uniform(self.least * most, most)

    def wait(
        self,
        failed: int,
        elapsed: float,
        *,
        max_tries: int | None = None,
        asked: float = 0.0,
        uniform: Uniform | None = None,
    ) -> float | None:
        """Seconds to wait before the next try, or None if there is none.

        `failed` tries took `elapsed` seconds. `max_tries` bounds this kind of failure, and `asked` are the seconds that
        the server asks clients to wait. `uniform` as for `delay`.
        """
        if max_tries is not None and failed >= max_tries:
            return None
        if self.seconds is None:
            if failed >= self.tries or asked > LONGEST_RETRY_AFTER:
                return None
            return max(self.delay(failed, uniform), asked)
        wait = asked + self.delay(failed, uniform)  # each client adds its own delay to the wait that all are asked for
        return wait if elapsed + wait <= self.seconds else None


class TemporaryFailure(Exception):
    """One try of a request failed, and another try may succeed. Subclasses set what differs from these defaults."""

    reason: str  # "HTTP 503"
    max_tries: int | None = None  # tries after which such a failure is final; None: the policy decides
    asked: float = 0.0  # seconds that the server asks clients to wait
    is_throttled: bool = False  # the server rejects requests because there are too many
    is_unreachable: bool = False  # no connection could be made
    final_error: Exception | None = None  # to be raised if the failure persists


class GaveUp(Exception):
    """The last try failed."""

    def __init__(self, failure: TemporaryFailure, reason: str) -> None:
        super().__init__(reason)
        self.failure = failure
        self.reason = reason  # "HTTP 503, 6 times"


class Retries:
    """Repeats requests to one server. Thread-safe.

    A process keeps to a `pace` that the server can take, if there is one. `tell` reports long waits to the user. A host
    that cannot be reached is given up after `unreachable` tries, unless it answered before: then it is probably
    overloaded.
    """

    def __init__(
        self,
        policy: RetryPolicy,
        *,
        name: str = "",
        unreachable: int = 3,
        pace: Pace | None = None,
        tell: Callable[[str], object] | None = None,
    ) -> None:
        self.policy = policy
        self._name = name  # of the server, in messages
        self._unreachable = unreachable
        self._pace = pace
        self._tell = tell
        self._has_answered = False
        self._turnstile = threading.Lock()
        self._lock = threading.Lock()
        self._told = _TOLD_AFTER  # seconds that a request waits until the next message

    def run(self, attempt: Callable[[], T], pause: Callable[[float], object] = time.sleep) -> T:
        """The result of a request, which is repeated while it raises TemporaryFailure. Raises GaveUp, or the failure's
        `final_error`, in the end. `pause` waits for that many seconds; it may raise an exception to end the request.
        """
        pace = self._pace
        failed, begin = 0, 0.0
        while True:
            if pace is not None:
                self._keep(pace, pause)
            try:
                result = attempt()
            except TemporaryFailure as error:
                failure = error
            else:
                self._has_answered = True
                if pace is not None:
                    pace.accepted(time.monotonic())
                return result
            now = time.monotonic()
            begin = begin or now
            failed += 1
            self._has_answered |= not failure.is_unreachable
            if pace is not None and failure.is_throttled:
                pace.throttled(now)
            wait = self._wait(failure, failed, now - begin)
            if wait is None:
                if failure.final_error is not None:
                    raise failure.final_error from None
                raise GaveUp(failure, self._spent(failure, failed, now - begin)) from None
            failed_try(failure.reason)
            self._report(failure, now - begin + wait)
            pause(wait)

    def _keep(self, pace: Pace, pause: Callable[[float], object]) -> None:
        """Wait until the pace allows one more request.

        One thread waits at a time, and the others behind it, so that a change of the rate holds for all of them.
        """
        if pace.rate is None:
            pace.reserve(time.monotonic())
            return
        with self._turnstile:
            if seconds := pace.reserve(time.monotonic()):
                pause(seconds)

    def _wait(self, failure: TemporaryFailure, failed: int, elapsed: float) -> float | None:
        max_tries = failure.max_tries
        if failure.is_unreachable and not (self._has_answered and self.policy.seconds is not None):
            max_tries = self._unreachable
        return self.policy.wait(failed, elapsed, max_tries=max_tries, asked=failure.asked)

    def _spent(self, failure: TemporaryFailure, failed: int, elapsed: float) -> str:
        """The reason of a failure, with what was tried."""
        if failure.asked and failure.asked > (
            LONGEST_RETRY_AFTER if self.policy.seconds is None else self.policy.seconds - elapsed
        ):
            return f"{failure.reason}, and it asks to wait for {failure.asked:.0f} s"
        if elapsed >= _TOLD_AFTER:
            return f"{failure.reason}, {failed} times in {duration(elapsed)}"
        return failure.reason if failed == 1 else f"{failure.reason}, {failed} times"

    def _report(self, failure: TemporaryFailure, waited: float) -> None:
        """Tell the user about a request that will have waited for that many seconds with its next try."""
        if self._tell is None or self.policy.seconds is None:
            return
        with self._lock:
            if waited < self._told:
                return
            while self._told <= waited:
                self._told *= 2
        self._tell(
            f"{self._name} is busy ({failure.reason}); envc tries again for up to {duration(self.policy.seconds)} "
            "(ENVC_STORE_PATIENCE)"
        )


def duration(seconds: float) -> str:
    """``45 s`` or ``15 min``."""
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
