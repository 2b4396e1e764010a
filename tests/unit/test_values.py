"""Values are frozen, so they can be compared, hashed and cached."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
# Structs that a decoder fills and the same module reads at once, the state of one download, and members of an archive,
# whose ends are set once all are known.
MUTABLE = {
    "_LenientPage",
    "_Page",
    "_ProjectTable",
    "_Repodata",
    "_Shard",
    "_ShardIndex",
    "_Table",
    "_Transfer",
    "ZipMember",
}


def structs() -> Iterator[tuple[str, bool]]:
    """Return the structs of both packages by name, and whether each is frozen."""
    for folder in (ROOT / "compiler" / "envc", ROOT / "solvers" / "envc_solvers"):
        for file in sorted(folder.rglob("*.py")):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if not isinstance(node, ast.ClassDef):
                    continue
                options = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
                if "frozen" in options or any("Struct" in ast.unparse(base) for base in node.bases):
                    yield node.name, options.get("frozen") == "True"


def test_every_struct_is_frozen_except_decoder_structs() -> None:
    found = list(structs())
    assert len(found) > 100
    assert {name for name, frozen in found if not frozen} == MUTABLE
