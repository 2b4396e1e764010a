"""The PyPI projects that conda packages stand for."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import NamedTuple

from envc_solvers.conda.search.table import spec_name

_SEPARATORS = re.compile(r"[-_.]+")
_PYTHON = frozenset(("python", "python_abi"))


class MappedProjects(NamedTuple):
    """The projects that a conda package stands for. Sorts by certainty, most certain first."""

    uncertainty: int  # 0: stated by the problem; 1: stated by the table; 2: it has that name and needs Python
    projects: tuple[str, ...]  # normalised, sorted; () for none


class Names:
    """A mapping from conda names to PyPI projects.

    The overrides of the problem come first, then the table. A name in neither stands for the project of the same name
    if the package needs Python. Published tables lack a third of the Python packages of conda-forge, most of which have
    the same name on PyPI, while a C library may share its name with an unrelated project. pixi takes the same name for
    every package of conda-forge, whether it needs Python or not.
    """

    def __init__(
        self, table: Mapping[str, tuple[str, ...]], overrides: Mapping[str, tuple[str, ...]] | None = None
    ) -> None:
        self._table = table
        self._overrides = overrides or {}

    def projects_of(self, name: str, depends: Iterable[str]) -> MappedProjects:
        """The projects of a conda package with these dependencies, as its record spells them."""
        projects = self._overrides.get(name)
        if projects is not None:
            return MappedProjects(0, projects)
        if name in self._table:
            return MappedProjects(1, self._table[name])
        if any(spec_name(text) in _PYTHON for text in depends):
            return MappedProjects(2, (_SEPARATORS.sub("-", name).lower(),))
        return MappedProjects(2, ())


@lru_cache(maxsize=4096)
def python_version(conda_version: str) -> str | None:
    """A conda version as PEP 440 spells it; None if PEP 440 does not allow it, so that it meets no requirement."""
    from packaging.version import Version

    try:
        return str(Version(conda_version))
    except ValueError:
        return None
