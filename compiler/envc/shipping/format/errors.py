"""How a store says no: something is not there, something is not what it should be, something must not be there."""

from __future__ import annotations

from envc.errors import StoreError


class MissingBlob(StoreError):
    """The store holds nothing under that key."""

    def __init__(self, store: str, key: str, hint: str | None = None) -> None:
        super().__init__(store, f"holds no {key}", hint)
        self.store = store  # display name
        self.key = key


class NotBundled(MissingBlob):
    """The store does not know a step of that lock on that target."""

    def __init__(self, store: str, key: str, step: str, target: str) -> None:
        hint = f"run `envc bundle --step {step} --platform {target}` where the index can be reached"
        super().__init__(store, key, hint)
        self.reason = f"does not hold {step} on {target} as it is locked"


class CorruptBlob(StoreError):
    """Stored bytes that break the format or do not match their digest; nothing of them was used."""


class StoreBusy(StoreError):
    """A request that failed in a way in which its next try may not: throttled, cut off, timed out, answered in part."""

    def __init__(
        self, what: str, reason: str, *, worth: int = 1 << 30, wait: float = 0.0, verdict: StoreError | None = None
    ) -> None:
        super().__init__(what, reason, "the same command goes on where it stopped")
        self.worth = worth  # how many tries such trouble is worth
        self.wait = wait  # seconds that the store asks to leave it alone
        self.verdict = verdict  # what it means when it does not go away


class KeyTaken(StoreError):
    """Somebody else created the blob first; `write_new` answers False."""


class NoSuchPlace(StoreError):
    """What should hold the store does not exist."""

    def __init__(self, store: str) -> None:
        super().__init__(store, "does not exist", "create the bucket, or correct its name in the store's URL")


class NoSuchRange(StoreError):
    """The blob ends before the range begins."""


class UnsafePath(ValueError):
    """A name from outside that must not become a place on disk."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.path[:200]!r} {self.reason}"
