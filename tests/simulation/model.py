"""A discrete-event simulation of containers that hydrate one environment from one store at the same time.

The retry policy and the pace of a client are the product's own code (`envc.system.retries`, `envc.system.pace`). All
else is a model:

* **Store**: accepts `rate` requests per second, counted in a bucket of one second, and rejects the others with status
  503, which costs it nothing. All answers share `bandwidth`, first come, first served. Each connection is limited to
  `connection` bytes per second, and every answer starts after `latency` seconds.
* **Client**: sends `requests` in order, of which the first `alone` (pointer and record) are sent one after the other
  and the rest with `in_flight` at once. It handles what arrives one after the other, at `processing` bytes per second.
* **Rack cache**: each group of `rack` clients shares an HTTP cache. The first request for a range goes to the store,
  others wait for its answer, and all get it over the link of the cache.

Times are seconds, sizes bytes.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable
from random import Random

import msgspec

from envc.system.pace import Pace
from envc.system.retries import RetryPolicy


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Limits of a store, or of a cache in front of it."""

    rate: float = 5_500.0  # requests per second
    bandwidth: float = 12.5e9  # bytes per second of all connections together
    connection: float = 80e6  # bytes per second of one connection
    latency: float = 0.02  # seconds from a request to the first byte of its answer


class Client(msgspec.Struct, frozen=True, kw_only=True):
    """What every client does."""

    requests: tuple[int, ...]  # bytes of each answer
    alone: int = 2  # the first requests, each sent after the answer to the previous one
    in_flight: int = 24
    processing: float = 200e6  # bytes per second that one client can check, decompress and write
    policy: RetryPolicy
    paced: bool = True


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """The result of one simulation."""

    clients: int
    failed: int
    seconds: list[float]  # when each client that succeeded was done, sorted
    requests: int  # that the store accepted
    rejected: int
    bytes: int  # that the store sent
    limit: float  # seconds that a store that is never idle needs for the same requests

    def percentile(self, share: float) -> float:
        return (
            self.seconds[min(len(self.seconds) - 1, int(share * len(self.seconds)))] if self.seconds else float("nan")
        )


class _Link:
    """Bytes on their way through a shared link, first come, first served."""

    def __init__(self, bandwidth: float) -> None:
        self._bandwidth = bandwidth
        self._free = 0.0

    def arrive(self, now: float, size: int, connection: float) -> float:
        """When the last byte of an answer arrives, whose first byte is sent at `now`."""
        self._free = max(now, self._free) + size / self._bandwidth
        return max(self._free, now + size / connection)


class _Store:
    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.link = _Link(limits.bandwidth)
        self.accepted = self.rejected = self.sent = 0
        self._tokens = limits.rate
        self._at = 0.0

    def admit(self, now: float) -> bool:
        self._tokens = min(self.limits.rate, self._tokens + (now - self._at) * self.limits.rate)
        self._at = now
        if self._tokens < 1:
            self.rejected += 1
            return False
        self._tokens -= 1
        self.accepted += 1
        return True


class _Rack:
    """A cache that asks the store once for each range. `ready` is when it holds a range; waiters are called then."""

    def __init__(self, bandwidth: float) -> None:
        self.link = _Link(bandwidth)
        self.held: set[int] = set()
        self.waiting: dict[int, list[Callable[[float], None]]] = {}


class Simulation:
    """Runs clients against a store until all of them are done or have failed."""

    def __init__(
        self, client: Client, limits: Limits, *, clients: int, spread: float = 0.0, rack: int = 0, seed: int = 1
    ) -> None:
        self._client = client
        self._store = _Store(limits)
        self._events: list[tuple[float, int, Callable[[float], None]]] = []
        self._number = 0
        self._random = Random(seed)
        self._rack_size = rack
        self._racks = [_Rack(3.1e9) for _ in range(-(-clients // rack))] if rack else []
        self._machines = [_Machine(self, number) for number in range(clients)]
        for machine in self._machines:
            self.at(self._random.uniform(0, spread), machine.start)

    def at(self, time: float, call: Callable[[float], None]) -> None:
        self._number += 1
        heapq.heappush(self._events, (time, self._number, call))

    def run(self) -> Outcome:
        while self._events:
            time, _, call = heapq.heappop(self._events)
            call(time)
        done = sorted(machine.done for machine in self._machines if machine.done is not None)
        limits, sizes = self._store.limits, self._client.requests
        askers = len(self._racks) or len(self._machines)
        return Outcome(
            clients=len(self._machines),
            failed=len(self._machines) - len(done),
            seconds=done,
            requests=self._store.accepted,
            rejected=self._store.rejected,
            bytes=self._store.sent,
            limit=max(askers * len(sizes) / limits.rate, askers * sum(sizes) / limits.bandwidth),
        )


class _Machine:
    """One client."""

    def __init__(self, owner: Simulation, number: int) -> None:
        self.owner = owner
        self.what = owner._client
        self.pace = Pace()
        self.waiting: deque[tuple[int, int, float]] = deque()  # for the pace
        self.rack = owner._racks[number // owner._rack_size] if owner._rack_size else None
        self.next = 0
        self.open = 0
        self.left = len(self.what.requests)
        self.busy = 0.0  # until when it handles what has arrived
        self.done: float | None = None
        self.failed = False

    def start(self, now: float) -> None:
        self.more(now)

    def more(self, now: float) -> None:
        """Send as many requests as may be in flight."""
        allowed = 1 if self.next < self.what.alone else self.what.in_flight
        while not self.failed and self.next < len(self.what.requests) and self.open < allowed:
            if self.next < self.what.alone and self.open:
                return
            number, self.next = self.next, self.next + 1
            self.open += 1
            self.send(now, number, 0, now)
            allowed = 1 if self.next < self.what.alone else self.what.in_flight
            if self.next == self.what.alone and number < self.what.alone:
                return

    def send(self, now: float, number: int, tries: int, since: float) -> None:
        if not self.what.paced or (self.pace.rate is None and not self.waiting):
            if self.what.paced:
                self.pace.reserve(now)
            self.ask(now, number, tries, since)
            return
        self.waiting.append((number, tries, since))
        if len(self.waiting) == 1:
            self.owner.at(now + self.pace.reserve(now), self.sent)

    def sent(self, now: float) -> None:
        """Send the first of the requests that wait for the pace. The next one then takes its place in the sequence."""
        first = self.waiting.popleft()
        if self.waiting:
            self.owner.at(now + self.pace.reserve(now), self.sent)
        self.ask(now, *first)

    def ask(self, now: float, number: int, tries: int, since: float) -> None:
        if self.failed:
            return
        rack = self.rack
        if rack is None:
            self.ask_store(now, number, tries, since)
        elif number in rack.held:
            self.from_rack(now, number)
        elif number in rack.waiting:
            rack.waiting[number].append(lambda at: self.from_rack(at, number))
        else:
            rack.waiting[number] = []
            self.ask_store(now, number, tries, since)

    def ask_store(self, now: float, number: int, tries: int, since: float) -> None:
        owner, store = self.owner, self.owner._store
        first = now + store.limits.latency
        if not store.admit(now):
            owner.at(first, lambda at: self.rejected(at, number, tries + 1, since))
            return
        size = self.what.requests[number]
        store.sent += size
        owner.at(store.link.arrive(first, size, store.limits.connection), lambda at: self.arrived(at, number))

    def from_rack(self, now: float, number: int) -> None:
        assert self.rack is not None
        arrival = self.rack.link.arrive(now + 0.001, self.what.requests[number], 1e9)
        self.owner.at(arrival, lambda at: self.handle(at, number))

    def rejected(self, now: float, number: int, tries: int, since: float) -> None:
        if self.what.paced:
            self.pace.throttled(now)
        wait = self.wait(tries, now - since)
        if wait is None:
            self.failed = True
            if self.rack is not None:
                self.rack.waiting.pop(number, None)
            return
        self.owner.at(now + wait, lambda at: self.again(at, number, tries, since))

    def again(self, now: float, number: int, tries: int, since: float) -> None:
        if self.rack is None:
            self.send(now, number, tries, since)
        else:
            self.ask_store(now, number, tries, since)

    def wait(self, tries: int, elapsed: float) -> float | None:
        return self.what.policy.wait(tries, elapsed, uniform=self.owner._random.uniform)

    def arrived(self, now: float, number: int) -> None:
        if self.rack is not None:
            self.rack.held.add(number)
            for waiting in self.rack.waiting.pop(number, ()):
                waiting(now)
        self.handle(now, number)

    def handle(self, now: float, number: int) -> None:
        if self.what.paced:
            self.pace.accepted(now)
        self.open -= 1
        self.left -= 1
        self.busy = max(now, self.busy) + self.what.requests[number] / self.what.processing
        if not self.left:
            self.done = self.busy
        self.more(now)
