"""Digests: the only names that envc trusts. Always sha256, always lower-case hex."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import NewType

Sha256 = NewType("Sha256", str)  # 64 lower-case hex digits

_HEX = re.compile(r"[0-9a-f]{64}")


def parse_sha256(text: str) -> Sha256:
    """Read a digest that came from outside. Raises ValueError unless it is 64 lower-case hex digits."""
    if not _HEX.fullmatch(text):
        raise ValueError(f"{text[:80]!r} is not a sha256 digest")
    return Sha256(text)


def sha256(data: bytes | bytearray | memoryview) -> Sha256:
    return Sha256(hashlib.sha256(data).hexdigest())


def sha256_file(path: Path) -> Sha256:
    with path.open("rb") as stream:
        return Sha256(hashlib.file_digest(stream, "sha256").hexdigest())
