"""The limits in the documentation are those of the code, with the same reasons."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from envc.model import limits

ROOT = Path(__file__).parents[2]
LIMIT = re.compile(r"^([A-Z][A-Z_]+) = [^#\n]+  # (.+)$", re.MULTILINE)
ROW = re.compile(r"^\| `([A-Z_]+)` \| ([^|]+) \| ([^|]+) \|$", re.MULTILINE)


def _shown(name: str, value: int) -> str:
    """``64 MiB``, ``60 s`` or ``200,000``, by the unit at the end of the name."""
    if name.endswith("_SECONDS"):
        return f"{value:,} s"
    if not name.endswith("_BYTES"):
        return f"{value:,}"
    for power, unit in ((40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")):
        if value % (1 << power) == 0:
            return f"{value >> power:,} {unit}"
    return f"{value:,} bytes"


STATED = {name: (_shown(name, getattr(limits, name)), reason) for name, reason in LIMIT.findall(
    (ROOT / "compiler/envc/model/limits.py").read_text(encoding="utf-8")
)}  # fmt: skip


def test_every_limit_has_a_unit_and_a_reason() -> None:
    assert STATED.keys() == {name for name in vars(limits) if name.isupper() and not name.startswith("_")}


def test_the_documentation_lists_every_limit_with_its_value_and_reason() -> None:
    text = (ROOT / "compiler/SECURITY.md").read_text(encoding="utf-8")
    documented = {name: (value, reason) for name, value, reason in ROW.findall(text.partition("\n## Limits")[2])}
    assert documented == STATED


@pytest.mark.parametrize("name", sorted(STATED))
def test_every_limit_is_used(name: str) -> None:
    sources = [file for file in (ROOT / "compiler/envc").rglob("*.py") if file.name != "limits.py"]
    assert any(re.search(rf"\b{name}\b", file.read_text(encoding="utf-8")) for file in sources)
