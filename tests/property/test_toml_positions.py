"""The position found for a key path is that of the key or item in the text, whatever the layout of the TOML."""

from __future__ import annotations

from typing import Any

import tomli
from hypothesis import given
from hypothesis import strategies as st

from envc.locking.manifest.load import position_of
from envc.locking.manifest.positions import Positions
from envc.model.manifest import KeyPath
from tests.support.strategies import toml_texts


@given(toml_texts())
def test_every_position_is_found(example: tuple[str, dict[str, Any], dict[KeyPath, tuple[int, int]]]) -> None:
    text, value, places = example
    assert tomli.loads(text) == value
    positions = Positions(text)
    assert {path: positions.of(path) for path in places} == places
    assert positions.duplicate is None


@given(toml_texts())
def test_the_value_is_at_its_position(
    example: tuple[str, dict[str, Any], dict[KeyPath, tuple[int, int]]],
) -> None:
    text, value, places = example
    positions = Positions(text)
    for path in places:
        source = positions.source(path)
        if source is not None:
            found: Any = value
            for part in path:
                found = found[part]
            assert tomli.loads(f"value = {source}") == {"value": found}


@given(st.text())
def test_any_text_is_handled(text: str) -> None:
    assert position_of(text, ("no", "such", "key", 0, "\x00")) is None
