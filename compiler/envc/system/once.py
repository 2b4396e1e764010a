"""Work that is done once, however many threads need its result."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class _Slot(Generic[V]):
    __slots__ = ("done", "error", "value")

    def __init__(self) -> None:
        self.done = False
        self.value: V | None = None
        self.error: Exception | None = None


class Once(Generic[K, V]):
    """Results by key. The first thread that requests a key computes its result; threads that request it meanwhile wait
    for the same result or error.

    No thread waits for work that has not begun, so a thread that needs a result now never queues behind speculative
    work.
    """

    def __init__(self) -> None:
        self._slots: dict[K, _Slot[V]] = {}
        # One for all keys: creating an event for each costs more than most cached results do.
        self._progress = threading.Condition()

    def __contains__(self, key: K) -> bool:
        """Whether the work is done or running."""
        return key in self._slots

    def get(self, key: K, make: Callable[[], V]) -> V:
        """The result for `key`, computed by `make` if needed. An error is kept as well, and raised to every caller."""
        slot = self._slots.get(key)
        if slot is None or not slot.done:
            slot = self._finished(key, make)
        if slot.error is not None:
            raise slot.error
        return slot.value  # type: ignore[return-value]

    def _finished(self, key: K, make: Callable[[], V]) -> _Slot[V]:
        with self._progress:
            slot = self._slots.get(key)
            if slot is None:
                slot = self._slots[key] = _Slot()
                is_first = True
            else:
                is_first = False
                while not slot.done:
                    self._progress.wait()
        if is_first:
            self._make(slot, make)
        return slot

    def forget(self, key: K) -> None:
        """Drop a result, so that the next request computes it again."""
        with self._progress:
            self._slots.pop(key, None)

    def _make(self, slot: _Slot[V], make: Callable[[], V]) -> None:
        try:
            slot.value = make()
        except Exception as error:
            slot.error = error
        except BaseException:
            # Interrupted: the run is over, so waiting threads are interrupted as well.
            slot.error = InterruptedError()
            raise
        finally:
            with self._progress:
                slot.done = True
                self._progress.notify_all()
