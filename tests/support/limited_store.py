"""A web store with the limits of a real one: requests per second, bytes per second, and latency."""

from __future__ import annotations

import threading
import time
from pathlib import Path

from tests.simulation.model import Limits
from tests.support.blob_servers import Fault, FolderServer


class LimitedStore(FolderServer):
    """Serves a folder under limits. A request beyond `limits.rate` is answered with status 503 at once.

    The bucket of requests holds those of one second. All answers share the bandwidth, first come, first served, as in
    `tests.simulation.model`.
    """

    def __init__(self, folder: Path, limits: Limits) -> None:
        super().__init__(folder)
        self.limits = limits
        self.accepted = self.rejected = self.sent = 0
        self.sizes: list[int] = []  # of the answers, in the order in which they were sent
        self._tokens = limits.rate
        self._at = self._free = time.monotonic()
        self._guard = threading.Lock()

    def next_fault(self) -> Fault | None:
        with self._guard:
            now = time.monotonic()
            self._tokens = min(self.limits.rate, self._tokens + (now - self._at) * self.limits.rate)
            self._at = now
            if self._tokens < 1:
                self.rejected += 1
                return "busy"
            self._tokens -= 1
            self.accepted += 1
            return None

    def answer(self, method: str, path: str, headers: dict[str, str], body: bytes) -> tuple[int, dict[str, str], bytes]:
        status, extra, data = super().answer(method, path, headers, body)
        with self._guard:
            now = time.monotonic()
            self._free = max(now, self._free) + len(data) / self.limits.bandwidth
            ready = max(self._free, now + len(data) / self.limits.connection) + self.limits.latency
            self.sent += len(data)
            self.sizes.append(len(data))
        time.sleep(max(0.0, ready - now))
        return status, extra, data
