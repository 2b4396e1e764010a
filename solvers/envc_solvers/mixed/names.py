"""Which PyPI projects a conda package stands for."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Literal, NamedTuple

from envc_solvers.conda.search.table import spec_name

_SEPARATORS = re.compile(r"[-_.]+")
_PYTHON = frozenset(("python", "python_abi"))


class Stands(NamedTuple):
    """What a conda package stands for. Sorts by how sure that is, surest first."""

    doubt: int  # 0: the problem says so; 1: the table says so; 2: it is called so and needs Python
    projects: tuple[str, ...]  # normalised, sorted; () for none


class Names:
    """A mapping from conda names to PyPI projects.

    What the problem says of a name goes first, then the table. A name that neither knows stands for the project of the
    same name if the package needs Python: published tables lack a third of the Python packages of conda-forge, most
    of which are called alike, while a C library may share its name with a project that has nothing to do with it. pixi
    takes the same name for every package of conda-forge, whether it needs Python or not.
    """

    def __init__(
        self, table: Mapping[str, tuple[str, ...]], overrides: Mapping[str, str | Literal[False]] | None = None
    ) -> None:
        self._table = table
        self._overrides = overrides or {}

    def stands_for(self, name: str, depends: Iterable[str]) -> Stands:
        """The projects of a conda package with these dependencies, as its record spells them."""
        said = self._overrides.get(name)
        if said is not None:
            return Stands(0, (said,) if said else ())
        if name in self._table:
            return Stands(1, self._table[name])
        if any(spec_name(text) in _PYTHON for text in depends):
            return Stands(2, (_SEPARATORS.sub("-", name).lower(),))
        return Stands(2, ())


@lru_cache(maxsize=4096)
def python_version(conda_version: str) -> str | None:
    """A conda version as PEP 440 spells it; None when it has no meaning there, so that it meets no requirement."""
    from packaging.version import InvalidVersion, Version

    try:
        return str(Version(conda_version))
    except InvalidVersion:
        return None
