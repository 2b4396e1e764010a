"""Bytes in memory: their ownership, and how they are written."""

from __future__ import annotations

import os

Owned = bytes | bytearray  # has exactly one owner, so a bytearray may be changed in place


def write_all(file: int, data: Owned | memoryview) -> None:
    """Write all of `data` to a file descriptor. One `os.write` may write less (at most 2 GiB on Linux)."""
    count = os.write(file, data)
    if count < len(data):
        rest = memoryview(data)
        while count < len(rest):
            rest = rest[count:]
            count = os.write(file, rest)
