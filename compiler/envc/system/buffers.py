"""Bytes in memory, and how they are handed on."""

from __future__ import annotations

Owned = bytes | bytearray  # held by one owner only, so a bytearray may be changed in place
