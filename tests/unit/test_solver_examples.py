"""The examples in `solvers/README.md` run unchanged."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

README = Path(__file__).parents[2] / "solvers/README.md"


def test_the_examples_of_the_solvers_run() -> None:
    """Each example asserts its own result."""
    examples = re.findall(r"^```python\n(.*?)^```$", README.read_text(), re.DOTALL | re.MULTILINE)
    functions = ("solve_pypi", "solve_conda", "solve_mixed")
    assert len(examples) == len(functions)
    names: dict[str, Any] = {}
    for example, function in zip(examples, functions, strict=True):
        assert f"solution = {function}(" in example
        assert "\nassert " in example
        exec(compile(example, str(README), "exec"), names)
