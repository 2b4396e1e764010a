"""Requirements and core metadata: parsed once, and compact enough to be cached as they are.

packaging's parser is imported only by the functions that need it. A warm solve reads parsed requirements from the
cache, and an ordinary manifest has plain requirements. Neither imports the parser, which saves a fifth of the time of a
lock that is up to date.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable
from functools import lru_cache
from typing import TYPE_CHECKING

import msgspec

from envc_solvers.malformed import parsed

if TYPE_CHECKING:
    from packaging.markers import InvalidMarker
    from packaging.requirements import InvalidRequirement
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

__all__ = [
    "InvalidMarker",
    "InvalidRequirement",
    "InvalidSpecifier",
    "Metadata",
    "Requirement",
    "canonical_marker",
    "canonical_specifier",
    "canonicalize_name",
    "parse",
    "sorted_requirements",
    "specifiers",
]

_LONG = 600  # characters; int() accepts every number of fewer digits
_SEPARATORS = re.compile(r"[-_.]+")
_IDENTIFIER = r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?"
_HEAD = re.compile(rf"({_IDENTIFIER})[ \t]*(?:\[([^\[\]]+)\])?[ \t]*(.*)")
_EXTRA = rf"[ \t]*({_IDENTIFIER})[ \t]*"
_CLAUSE = re.compile(r"[ \t]*(?:([=!]=|[<>]=?)[ \t]*([0-9]+(?:\.[0-9]+)*)|(~=)[ \t]*([0-9]+(?:\.[0-9]+)+))[ \t]*")
_COMPARISON = (
    r"[ \t]*(os_name|platform_machine|platform_system|sys_platform|python_version|python_full_version)"
    r"""[ \t]*([=!]=|[<>]=?)[ \t]*(?:"([A-Za-z0-9._-]*)"|'([A-Za-z0-9._-]*)')[ \t]*"""
)


def __getattr__(name: str) -> object:
    """Import packaging's exceptions on first use, because they come with its parsers."""
    if name == "InvalidRequirement":
        from packaging.requirements import InvalidRequirement

        return InvalidRequirement
    if name == "InvalidSpecifier":
        from packaging.specifiers import InvalidSpecifier

        return InvalidSpecifier
    if name == "InvalidMarker":
        from packaging.markers import InvalidMarker

        return InvalidMarker
    raise AttributeError(name)


class Requirement(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One PEP 508 requirement in canonical form. Equal requirements are equal values."""

    name: str  # normalised (PEP 503)
    specifier: str = ""  # canonical PEP 440 specifier set, sorted; "" allows every version
    extras: tuple[str, ...] = ()  # normalised, sorted
    marker: str = ""  # canonical PEP 508 marker; "" always holds
    url: str = ""  # of a direct reference

    def __str__(self) -> str:
        if not self.extras and not self.url:  # as most are, and a lock renders thousands
            return f"{self.name}{self.specifier}; {self.marker}" if self.marker else self.name + self.specifier
        extras = f"[{','.join(self.extras)}]" if self.extras else ""
        url = f" @ {self.url}" if self.url else ""
        marker = f"{' ' if self.url else ''}; {self.marker}" if self.marker else ""
        return f"{self.name}{extras}{self.specifier}{url}{marker}"


def sorted_requirements(requirements: Iterable[Requirement]) -> tuple[Requirement, ...]:
    """Requirements without duplicates, sorted by their text."""
    # Equal text means equal requirements. Hashing a requirement takes longer than rendering it.
    by_text = {str(requirement): requirement for requirement in requirements}
    return tuple([by_text[text] for text in sorted(by_text)])


class Metadata(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The part of an artifact's core metadata that solvers and locks need. It depends only on the artifact's digest."""

    name: str  # normalised
    version: str  # as the metadata spells it
    requires: tuple[Requirement, ...] = ()  # Requires-Dist, in the order of the file, including those of extras
    requires_python: str = ""
    extras: tuple[str, ...] = ()  # Provides-Extra, normalised, sorted
    license: str = ""  # License-Expression, or a short License, or the licence classifiers joined by ", "


def canonicalize_name(name: str) -> str:
    """The normalised form of a project or extra name (PEP 503, PEP 685)."""
    return _SEPARATORS.sub("-", name).lower()


# packaging parses with `ast`. CPython 3.11 counts its recursion depth for all threads together, so two threads that
# parse at the same time may raise SystemError (CPython issue 106905).
PARSER_LOCK = threading.Lock()


@lru_cache(maxsize=65536)
def parse(text: str) -> Requirement:
    """Parse one PEP 508 requirement. Raises InvalidRequirement, whose text shows the position."""
    plain = _parse_plain(text)
    if plain is not None:
        return plain
    from packaging.requirements import InvalidRequirement
    from packaging.requirements import Requirement as Parsed

    def read(text: str) -> Requirement:
        found = Parsed(text)
        return Requirement(
            name=canonicalize_name(found.name),
            specifier=str(found.specifier),
            extras=tuple(sorted({canonicalize_name(extra) for extra in found.extras})),
            marker=str(found.marker) if found.marker else "",
            url=found.url or "",
        )

    with PARSER_LOCK:
        return parsed(read, text, InvalidRequirement)


def _parse_plain(text: str) -> Requirement | None:
    """Parse a plain requirement with the same result as packaging; None for any other text. Nearly all are plain.

    A plain requirement may have extras, clauses with plain release numbers and different operators, and a marker that
    compares one variable with one string.
    """
    head, semicolon, condition = text.partition(";")
    found = _HEAD.fullmatch(head)
    if found is None:
        return None
    name, listed, suffix = found.groups()
    extras = [re.fullmatch(_EXTRA, extra) for extra in listed.split(",")] if listed else []
    specifier = _plain_specifier(suffix)
    marker = _plain_marker(condition) if semicolon else ""
    if None in extras or specifier is None or marker is None:
        return None
    return Requirement(
        name=canonicalize_name(name),
        specifier=specifier,
        extras=tuple(sorted({canonicalize_name(extra[1]) for extra in extras if extra})),
        marker=marker,
    )


def _plain_specifier(text: str) -> str | None:
    clauses = [_CLAUSE.fullmatch(clause) for clause in text.split(",")] if text else []
    versions = {clause[1] or clause[3]: clause[2] or clause[4] for clause in clauses if clause}
    if len(versions) < len(clauses):
        return None  # packaging drops one of two equivalent clauses
    return ",".join(sorted(operator + version for operator, version in versions.items()))


def _plain_marker(text: str) -> str | None:
    found = re.fullmatch(_COMPARISON, text)
    return f'{found[1]} {found[2]} "{found[3] or found[4] or ""}"' if found else None


def canonical_specifier(text: str) -> str:
    """The canonical form of a specifier set, as in `Requirement`. Raises packaging's InvalidSpecifier."""
    plain = _plain_specifier(text)
    return str(specifiers(text)) if plain is None else plain


def canonical_marker(text: str) -> str:
    """The canonical form of a marker, as in `Requirement`. Raises packaging's InvalidMarker."""
    plain = _plain_marker(text)
    if plain is not None:
        return plain
    from packaging.markers import InvalidMarker, Marker

    with PARSER_LOCK:
        return parsed(lambda text: str(Marker(text)), text, InvalidMarker)


@lru_cache(maxsize=65536)
def specifiers(text: str) -> SpecifierSet:
    """The specifier set of a requirement or of a Requires-Python. Raises packaging's InvalidSpecifier."""
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    def read(text: str) -> SpecifierSet:
        found = SpecifierSet(text)
        if len(text) > _LONG:
            str(found)  # packaging parses numbers late
        return found

    return parsed(read, text, InvalidSpecifier)
