"""How a store says no: something is not there, something is not what it should be, something must not be there."""

from __future__ import annotations

from envc.errors import StoreError


class MissingBlob(StoreError):
    """The store holds nothing under that key."""

    def __init__(self, store: str, key: str, hint: str | None = None) -> None:
        super().__init__(store, f"holds no {key}", hint)
        self.store = store  # display name
        self.key = key


class CorruptBlob(StoreError):
    """Stored bytes that break the format or do not match their digest; nothing of them was used."""


class UnsafePath(ValueError):
    """A name from outside that must not become a place on disk."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.path[:200]!r} {self.reason}"
