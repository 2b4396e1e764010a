"""The PyPI projects that the packages of conda-forge supply: a snapshot of a published table.

It is read only for steps that mix both kinds. ``snapshot.txt`` has the names that differ; packages with the name of
their project need no line (see `envc_solvers.mixed.names`). ``additions.txt`` is maintained by hand and takes
precedence: the published table has one conda package for each project, but conda-forge splits some into several.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files

from envc_solvers.mixed.names import Names

FILES = ("snapshot.txt", "additions.txt")  # later ones take precedence


def load_names(overrides: Mapping[str, tuple[str, ...]]) -> Names:
    """The mapping. Entries of the manifest take precedence over all others."""
    table: dict[str, tuple[str, ...]] = {}
    for file in FILES:
        table |= parse_rows(files("envc.locking.resolve.names").joinpath(file).read_text(encoding="utf-8"))
    return Names(table, overrides)


def parse_rows(text: str) -> dict[str, tuple[str, ...]]:
    """Read lines of a conda name and the projects that it supplies, separated by spaces; ``#`` starts a comment."""
    rows = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            name, *projects = line.split()
            rows[name] = tuple(projects)
    return rows
