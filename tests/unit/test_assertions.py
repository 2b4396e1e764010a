"""Every test asserts something, or has a docstring that says how it can fail."""

from __future__ import annotations

import ast
from pathlib import Path

TESTS = Path(__file__).parents[1]
_CHECKS = ("assert", "check", "expect")  # names of helpers that assert


def asserts(function: ast.FunctionDef) -> bool:
    """Whether a function contains an assertion, `pytest.raises` or a call of a helper with such a name."""
    for node in ast.walk(function):
        if isinstance(node, ast.Assert):
            return True
        if isinstance(node, ast.Call):
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            if name in ("raises", "fail") or name.lstrip("_").startswith(_CHECKS):
                return True
    return False


def test_a_test_without_assertions_says_how_it_can_fail() -> None:
    silent = []
    for file in sorted(TESTS.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.FunctionDef) or not node.name.startswith("test_"):
                continue
            if not asserts(node) and ast.get_docstring(node) is None:
                silent.append(f"{file.relative_to(TESTS)}: {node.name}")
    assert silent == []
