"""Requirements and metadata as the PyPI solver reads them: parsed once, compact enough to be cached as they are.

packaging's parser is imported by the functions that need it. A warm solve reads parsed requirements from the cache and
never loads it; that is a sixth of the start-up time of a small lock.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from packaging.requirements import InvalidRequirement
    from packaging.specifiers import SpecifierSet

__all__ = ["InvalidRequirement", "Metadata", "Requirement", "canonicalize_name", "parse", "specifiers"]

_SEPARATORS = re.compile(r"[-_.]+")


def __getattr__(name: str) -> object:
    if name == "InvalidRequirement":
        from packaging.requirements import InvalidRequirement

        return InvalidRequirement
    raise AttributeError(name)


class Requirement(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One PEP 508 requirement in canonical form. Equal requirements are equal values."""

    name: str  # normalised (PEP 503)
    specifier: str = ""  # canonical PEP 440 specifier set, sorted; "" allows every version
    extras: tuple[str, ...] = ()  # normalised, sorted
    marker: str = ""  # canonical PEP 508 marker; "" always holds
    url: str = ""  # of a direct reference

    def __str__(self) -> str:
        extras = f"[{','.join(self.extras)}]" if self.extras else ""
        url = f" @ {self.url}" if self.url else ""
        marker = f"{' ' if self.url else ''}; {self.marker}" if self.marker else ""
        return f"{self.name}{extras}{self.specifier}{url}{marker}"


class Metadata(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What a solver and a lock need of an artifact's core metadata. A fact of the artifact's digest."""

    name: str  # normalised
    version: str  # as the metadata spells it
    requires: tuple[Requirement, ...] = ()  # Requires-Dist, in the file's order, extras' ones included
    requires_python: str = ""
    extras: tuple[str, ...] = ()  # Provides-Extra, normalised, sorted
    license: str = ""  # License-Expression, or a short License, or the licence classifiers joined by ", "


def canonicalize_name(name: str) -> str:
    """The normalised form of a project or extra name (PEP 503, PEP 685)."""
    return _SEPARATORS.sub("-", name).lower()


@lru_cache(maxsize=65536)
def parse(text: str) -> Requirement:
    """Read one PEP 508 requirement. Raises InvalidRequirement, whose text shows the place."""
    from packaging.requirements import Requirement as Parsed

    parsed = Parsed(text)
    return Requirement(
        name=canonicalize_name(parsed.name),
        specifier=str(parsed.specifier),
        extras=tuple(sorted({canonicalize_name(extra) for extra in parsed.extras})),
        marker=str(parsed.marker) if parsed.marker else "",
        url=parsed.url or "",
    )


@lru_cache(maxsize=65536)
def specifiers(text: str) -> SpecifierSet:
    """The specifier set of a requirement or of a Requires-Python. Raises packaging's InvalidSpecifier."""
    from packaging.specifiers import SpecifierSet

    return SpecifierSet(text)
