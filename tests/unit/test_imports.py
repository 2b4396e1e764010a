"""Which modules may import which, read from the source, including lazy imports.

import-linter checks the layers (`[tool.importlinter]` in pyproject.toml), but no circles inside a layer.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = {"envc": ROOT / "compiler" / "envc", "envc_solvers": ROOT / "solvers" / "envc_solvers"}


def modules() -> dict[str, Path]:
    """Every module of both packages by its dotted name."""
    found = {}
    for package, folder in PACKAGES.items():
        for file in sorted(folder.rglob("*.py")):
            parts = file.relative_to(folder).with_suffix("").parts
            found[".".join((package, *(part for part in parts if part != "__init__")))] = file
    return found


def imports(source: str, known: set[str]) -> Iterator[str]:
    """Return the known modules that a source imports: at the top, inside functions, or for type checkers only."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            for alias in node.names:
                below = f"{node.module}.{alias.name}"
                yield from {below if below in known else node.module} & known
        elif isinstance(node, ast.Import):
            yield from {alias.name for alias in node.names} & known


def circle(graph: dict[str, set[str]]) -> list[str]:
    """Return the modules of one import cycle, in order; [] if there is none."""
    finished: set[str] = set()

    def walk(module: str, path: list[str]) -> list[str]:
        if module in path:
            return path[path.index(module) :]
        if module not in finished:
            for imported in sorted(graph[module]):
                if found := walk(imported, [*path, module]):
                    return found
            finished.add(module)
        return []

    return next((found for module in graph if (found := walk(module, []))), [])


def graph() -> dict[str, set[str]]:
    known = modules()
    return {name: set(imports(file.read_text(encoding="utf-8"), set(known))) - {name} for name, file in known.items()}


def test_a_cycle_is_found() -> None:
    known = {"a", "b", "c", "d"}
    sources = {
        "a": "from b import name",
        "b": "def work():\n    import c",
        "c": "if TYPE_CHECKING:\n    from d import D",
        "d": "",
    }
    chain = {name: set(imports(source, known)) for name, source in sources.items()}
    assert circle(chain) == []
    assert circle({**chain, "d": set(imports("from a import name", known))}) == ["a", "b", "c", "d"]


def test_there_are_no_import_cycles() -> None:
    assert circle(graph()) == []


def test_shipping_does_not_import_locking() -> None:
    below = {name: found for name, found in graph().items() if name.startswith("envc.shipping.")}
    assert len(below) > 40
    assert [name for name, found in below.items() if any(each.startswith("envc.locking") for each in found)] == []


def test_the_top_level_has_only_packages_and_listed_modules() -> None:
    """A new module belongs in one of the packages, whose names say what they are for."""
    files = {file.name for file in PACKAGES["envc"].glob("*.py")} - {"__init__.py"}
    assert files == {"__main__.py", "context.py", "errors.py"}


def test_init_files_contain_only_a_docstring() -> None:
    """Every import of a module imports the packages around it as well: their `__init__.py` must cost nothing."""
    for name, file in modules().items():
        if file.name == "__init__.py" and name != "envc":  # which holds the version
            _docstring, *rest = ast.parse(file.read_text(encoding="utf-8")).body
            assert rest == [], f"{name} defines or imports something"
