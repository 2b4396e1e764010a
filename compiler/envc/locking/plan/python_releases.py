"""The patch release that a minor version of Python stands for: its newest one as of the cut-off.

The releases are data of envc (``python_releases.txt``) and not a property of this machine, so that every machine locks
alike. A minor version that the table does not have stands for its first release, ``X.Y.0``; its lock then says that the
packages hold from there on, as far as markers and Requires-Python tell.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import msgspec

from envc_solvers.target import Python

_TABLE = Path(__file__).with_name("python_releases.txt")  # importlib.resources would take 4 ms to import


def with_newest_release(python: Python, exclude_newer: int | None) -> Python:
    """The Python with the patch release to solve for, unless the manifest names one, or states a floor.

    `exclude_newer` is in seconds since the epoch: releases of that moment or later do not exist. PyPy releases count
    only if they have the ABI of the first ones of their minor version, because wheels are for one ABI.
    """
    if python.patch is not None or python.release:
        return python
    name = f"{'pypy' if python.implementation == 'pypy' else ''}{python.minor[0]}.{python.minor[1]}"
    for patch, day in reversed(_releases().get(name, ())):
        found = msgspec.structs.replace(python, release=patch)
        if found.pypy_abi != python.pypy_abi or (exclude_newer is not None and _moment(day) >= exclude_newer):
            continue
        if python.serves_on(patch):
            return found
    return python


@cache
def _releases() -> dict[str, list[tuple[int, str]]]:
    """By minor version, as a manifest writes it: patch releases and their days, oldest first."""
    found: dict[str, list[tuple[int, str]]] = {}
    text = _TABLE.read_text("utf-8")
    for line in text.splitlines():
        if line and line[0] != "#":
            version, _, day = line.partition(" ")
            minor, _, patch = version.rpartition(".")
            found.setdefault(minor, []).append((int(patch), day))
    return found


def _moment(day: str) -> float:
    """The start of a day (UTC), in seconds since the epoch."""
    return datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp()
