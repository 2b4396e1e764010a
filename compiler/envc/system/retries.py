"""How often a failed request is tried again, and how long to wait before each try."""

from __future__ import annotations

import msgspec

LONGEST_RETRY_AFTER = 60.0  # seconds; a server that asks for a longer wait is reported instead


class RetryPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """Exponential back-off with jitter, so that clients throttled together do not retry together."""

    tries: int = 6
    first: float = 0.25  # seconds at most before the second try; doubles with each further try
    longest: float = 8.0  # seconds

    def delay(self, failed: int) -> float:
        """Seconds to wait after that many failed tries, counted from 1."""
        import random

        return min(self.longest, self.first * 2.0 ** (failed - 1)) * random.uniform(0.5, 1.0)
