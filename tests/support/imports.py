"""Which modules a program must not import."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable


def assert_importable(names: Iterable[str]) -> None:
    """Every name is that of a module. A check that some module is not imported would pass for ever once it is renamed.

    A dotted name imports the packages above it, but not the module itself.
    """
    assert [name for name in sorted(names) if importlib.util.find_spec(name) is None] == []
