"""Paths in a manifest: relative to it, with POSIX separators, and the same on every system."""

from __future__ import annotations

import re

from envc.locking.manifest.report import Report
from envc.model.manifest import KeyPath


def path_mistake(path: str) -> tuple[str, str | None] | None:
    """The mistake in a path and a suggestion; None if it is valid. It may leave the manifest's folder with ``..``."""
    if not path or any(ord(character) < 32 for character in path):
        return f"{path[:120]!r} is not a path", None
    if "\\" in path:
        return f"{path[:120]!r} is not the same path on every system", f'write "{path.replace(chr(92), "/")}"'
    if path.startswith(("/", "~")) or re.match(r"[A-Za-z]:", path):
        return f"{path[:120]!r} is valid on one machine only", "write it relative to the manifest"
    return None


def check_inside(report: Report, at: KeyPath, what: str, path: str) -> None:
    """Report a path that is invalid, or that leaves the folder that it is relative to."""
    mistake = path_mistake(path)
    if mistake is None and ".." in path.split("/"):
        mistake = f"{path[:120]!r} leaves the folder that `{what}` is relative to", "remove '..'"
    if mistake is not None:
        report.add(at, *mistake)
