"""Requirements and metadata as the PyPI solver reads them: parsed once, compact enough to be cached as they are."""

from __future__ import annotations

from functools import lru_cache

import msgspec
from packaging.requirements import InvalidRequirement
from packaging.requirements import Requirement as _Parsed
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

__all__ = ["InvalidRequirement", "Metadata", "Requirement", "canonicalize_name", "parse", "specifiers"]


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


@lru_cache(maxsize=65536)
def parse(text: str) -> Requirement:
    """Read one PEP 508 requirement. Raises InvalidRequirement, whose text shows the place."""
    parsed = _Parsed(text)
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
    return SpecifierSet(text)
