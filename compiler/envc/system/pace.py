"""The rate at which this process sends requests to a server that throttles its clients.

Retries alone do not help a server that a thousand machines ask at once: each of them keeps dozens of requests in
flight, and nearly all of these are rejected. So a process that is throttled sends less. Its rate is cut with each
second in which the server rejected a request, and grows while the server accepts them (additive increase,
multiplicative decrease: Chiu and Jain 1989). That leads all processes to equal shares.
"""

from __future__ import annotations

import threading

CUT = 0.7  # what is left of the rate after a second with rejected requests
GROWTH = 2.0  # requests per second that the rate gains in each second
FACTOR = 1.1  # by which it grows in addition, so that the capacity of clients that are done is used soon
LEAST = 2.0  # requests per second
_PERIOD = 1.0  # seconds


class Pace:
    """The rate of one process at one server, in requests per second. It is unlimited until a request is throttled.

    `now` is the time in seconds by any clock that only moves forward. Thread-safe.
    """

    def __init__(self) -> None:
        self.rate: float | None = None
        self._lock = threading.Lock()
        self._next = 0.0  # when the next request may be sent
        self._cut = 0.0  # when the rate was cut last
        self._grown = 0.0  # up to when the rate has grown
        self._since = 0.0  # begin of the period in which requests are counted
        self._sent = 0

    def reserve(self, now: float) -> float:
        """Seconds to wait before a request is sent. Every call takes one place in the sequence of requests."""
        with self._lock:
            self._count(now)
            if self.rate is None:
                return 0.0
            at = max(now, self._next)
            self._next = at + 1 / self.rate
            return at - now

    def accepted(self, now: float) -> None:
        """The server answered a request."""
        if self.rate is None:  # without the lock: the most frequent case by far
            return
        with self._lock:
            if self.rate is not None and now > self._grown:
                seconds, self._grown = now - self._grown, now
                self.rate = self.rate * FACTOR ** min(seconds, 10.0) + GROWTH * seconds

    def throttled(self, now: float) -> None:
        """The server rejected a request because there are too many."""
        with self._lock:
            if self.rate is not None and now - self._cut < _PERIOD:
                return
            sent = self._sent / max(now - self._since, _PERIOD)
            self.rate = max(LEAST, CUT * min(sent, self.rate) if self.rate is not None else CUT * sent)
            self._cut = self._grown = now
            self._next = max(self._next, now)

    def _count(self, now: float) -> None:
        if now - self._since > 2 * _PERIOD:
            self._since, self._sent = now - _PERIOD, self._sent // 2 if now - self._since < 4 * _PERIOD else 0
        self._sent += 1
