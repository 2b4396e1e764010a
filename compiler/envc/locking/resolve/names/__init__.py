"""Which PyPI projects the packages of conda-forge stand for: a published table as of a day, made small.

Read only for steps that mix both kinds. ``snapshot.txt`` holds the names that differ, as the table has them; who is
called alike needs no line (see `envc_solvers.mixed.names`). ``additions.txt`` is kept by hand and goes before it: the
published table has one conda package for each project, and conda-forge splits some projects into several.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from typing import Literal

from envc_solvers.mixed.names import Names

FILES = ("snapshot.txt", "additions.txt")  # a later one goes before an earlier one


def load_names(overrides: Mapping[str, str | Literal[False]]) -> Names:
    """The mapping with a manifest's own words before all others."""
    table: dict[str, tuple[str, ...]] = {}
    for file in FILES:
        table |= parse_rows(files("envc.locking.resolve.names").joinpath(file).read_text(encoding="utf-8"))
    return Names(table, overrides)


def parse_rows(text: str) -> dict[str, tuple[str, ...]]:
    """Lines of a conda name and the projects it stands for, separated by spaces; ``#`` begins a comment."""
    rows = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            name, *projects = line.split()
            rows[name] = tuple(projects)
    return rows
