"""Errors of stores: a blob is missing, is corrupt, or has an unsafe name."""

from __future__ import annotations

from envc.errors import StoreError
from envc.system.retries import TemporaryFailure


class MissingBlob(StoreError):
    """The store has no blob under that key."""

    def __init__(self, store: str, key: str, hint: str | None = None) -> None:
        super().__init__(store, f"holds no {key}", hint)
        self.store = store  # display name
        self.key = key


class NotBundled(MissingBlob):
    """The store has no pointer for a step of that lock on that target."""

    def __init__(self, store: str, key: str, step: str, target: str) -> None:
        hint = f"run `envc bundle --step {step} --platform {target}` on a machine that can reach the index"
        super().__init__(store, key, f"name the right store with --store or ENVC_STORE, or {hint}")
        self.reason = f"does not hold {step} on {target} as it is locked"

    def add(self, text: str) -> None:
        """Add to the message, such as what the store holds instead."""
        self.reason += f"; {text}" if text else ""


class CorruptBlob(StoreError):
    """Stored bytes that violate the format or do not match their digest. None of them were used."""


class StoreBusy(StoreError, TemporaryFailure):
    """A request failed in a way that may be temporary: it was throttled, cut off, timed out or answered in part."""

    def __init__(
        self,
        what: str,
        reason: str,
        *,
        max_tries: int | None = None,
        asked: float = 0.0,
        is_throttled: bool = False,
        is_unreachable: bool = False,
        final_error: StoreError | None = None,
    ) -> None:
        super().__init__(what, reason, "run the same command again: it resumes where it stopped")
        self.max_tries = max_tries
        self.asked = asked
        self.is_throttled = is_throttled
        self.is_unreachable = is_unreachable
        self.final_error = final_error


class KeyTaken(StoreError):
    """Another writer created the blob first. `write_new` then returns False."""


class NoSuchPlace(StoreError):
    """The bucket or container of the store does not exist."""

    def __init__(self, store: str) -> None:
        super().__init__(store, "does not exist", "create the bucket, or correct its name in the store's URL")


class NoSuchRange(StoreError):
    """The range begins after the end of the blob."""


class UnsafePath(ValueError):
    """A name from an untrusted source that must not be used as a path on disk."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.path[:200]!r} {self.reason}"
