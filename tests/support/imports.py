"""Checks that names in lists of forbidden modules exist."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable


def assert_importable(names: Iterable[str]) -> None:
    """Assert that every name is a module. A check that a module is not imported would always pass after a rename.

    Imports the parent packages of a dotted name, but not the module itself.
    """
    assert [name for name in sorted(names) if importlib.util.find_spec(name) is None] == []
