"""Reads the files of `tests/scenarios`."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TypeVar

import msgspec

Scenario = TypeVar("Scenario")


def load_scenario(path: Path, kind: type[Scenario]) -> Scenario:
    """Read a scenario of one kind. An unknown key is an error."""
    return msgspec.convert(tomllib.loads(path.read_text()), kind)
