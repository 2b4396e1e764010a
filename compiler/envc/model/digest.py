"""Digests. envc verifies every download by its sha256, always in lower-case hex."""

from __future__ import annotations

import re
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NewType

try:
    from _blake2 import blake2b  # the same as hashlib's; importing hashlib loads OpenSSL, which takes 2.5 ms
except ImportError:
    from hashlib import blake2b

if TYPE_CHECKING:
    import hashlib
    from collections.abc import Callable

Sha256 = NewType("Sha256", str)  # 64 lower-case hex digits

_HEX = re.compile(r"[0-9a-f]{64}")
# Up to this size, Python's own implementation is faster than OpenSSL's and the 2.5 ms to load it.
_SMALL = 256 << 10  # bytes; about 0.8 ms


def parse_sha256(text: str) -> Sha256:
    """Read a digest from an untrusted text. Raises ValueError unless it is 64 lower-case hex digits."""
    if not _HEX.fullmatch(text):
        raise ValueError(f"{text[:80]!r} is not a sha256 digest")
    return Sha256(text)


def sha256(data: bytes | bytearray | memoryview) -> Sha256:
    if len(data) <= _SMALL and "hashlib" not in sys.modules:
        return small_sha256(data)
    return Sha256(running_sha256(data).hexdigest())


def small_sha256(data: bytes | bytearray | memoryview) -> Sha256:
    """The digest, computed without OpenSSL where this Python can."""
    return Sha256(_small()(data).hexdigest())


@cache
def _small() -> Callable[[bytes | bytearray | memoryview], hashlib._Hash]:
    """Python's own implementation. Found once, because a failed import is not cached and takes 0.1 ms."""
    try:
        from _sha2 import sha256 as digest  # type: ignore[import-not-found,unused-ignore]  # Python 3.12
    except ImportError:
        try:
            from _sha256 import sha256 as digest  # type: ignore[import-not-found,unused-ignore]  # Python 3.11
        except ImportError:  # such as Pythons that have only certified implementations
            from hashlib import sha256 as digest
    return digest  # type: ignore[no-any-return,unused-ignore]


def running_sha256(data: bytes | bytearray | memoryview = b"") -> hashlib._Hash:
    """A digest that can be updated with further data."""
    import hashlib  # late: it loads OpenSSL, and a warm run may have nothing to digest

    return hashlib.sha256(data)


def joint_digest(*parts: bytes) -> Sha256:
    """64 hex digits that represent several texts, in order, in keys of the cache. Never compared with other digests."""
    whole = blake2b(digest_size=32)
    for part in parts:
        whole.update(b"%d:" % len(part))
        whole.update(part)
    return Sha256(whole.hexdigest())


def short_digest(text: str) -> str:
    """16 hex digits that represent a text in cache keys. Never compared with digests of another kind."""
    return blake2b(text.encode(), digest_size=8).hexdigest()


def sha256_file(path: Path) -> Sha256:
    import hashlib

    with path.open("rb") as stream:
        return Sha256(hashlib.file_digest(stream, "sha256").hexdigest())


class Digesting:
    """Computes the digest of a stream while it is read, from its current position."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._digest = running_sha256()

    def read(self, size: int = -1) -> bytes:
        """Like the stream's own `read`."""
        data = self._stream.read(size)
        self._digest.update(data)
        return data

    def sha256(self) -> Sha256:
        """The digest of the data read so far."""
        return Sha256(self._digest.hexdigest())
