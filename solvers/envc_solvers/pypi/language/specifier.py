"""Whether a version satisfies a specifier set (PEP 440, version specifiers).

packaging is the reference, and the tests compare with it. It is not used here for two reasons. A solve makes this check
tens of thousands of times, almost always for plain release numbers, for which comparing tuples is enough. And importing
its specifiers takes as long as the whole search of a small problem. Its versions are imported by the first version that
is more than a release number.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import lru_cache
from math import inf
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from packaging.version import Version

_OPERATORS = ("===", "~=", "==", "!=", "<=", ">=", "<", ">")  # each before those that it begins with
_LONGEST_NUMBER = 99  # digits; int() refuses more than 4,300

Release = tuple[int, ...]
Place = tuple[int, tuple[float, ...]]  # epoch, and release without trailing zeros: the first things to be compared


class Clause:
    """One comparison of a specifier set."""

    __slots__ = ("_parsed", "operator", "plain", "prefix", "text")

    def __init__(self, operator: str, text: str) -> None:
        self.operator = operator
        self.text = text  # without a trailing ".*"
        self.plain = release_of(text)
        self.prefix: tuple[int, Release] | None = None  # epoch and release segments that a version must start with
        self._parsed: Version | None = None

    @property
    def version(self) -> Version:
        if self._parsed is None:
            self._parsed = parsed(self.text)
        return self._parsed


@lru_cache(maxsize=1 << 18)
def allows(specifier: str, version: str) -> bool:
    """Whether a specifier set contains a valid version, also a pre-release. "" contains every version.

    A malformed specifier contains nothing. In a manifest, it has already been reported as an error.
    """
    if not specifier:
        return True
    clauses = compile_specifier(specifier)
    if clauses is None:
        return False
    plain = release_of(version)
    return all(_holds(clause, version, plain) for clause in clauses)


@lru_cache(maxsize=4096)
def python_fits(requires_python: str, python: str) -> bool:
    """Whether Requires-Python allows a Python. A malformed one allows every Python, as in pip (PEP 345, PEP 503)."""
    return compile_specifier(requires_python) is None or allows(requires_python, python)


@lru_cache(maxsize=1 << 16)
def compile_specifier(specifier: str) -> tuple[Clause, ...] | None:
    """The clauses of a specifier set; None if it is malformed."""
    clauses = []
    for part in specifier.split(","):
        if not part.strip():
            continue
        operator, text = _split(part.strip())
        if not operator or not text:
            return None
        wildcard = operator in ("==", "!=") and text.endswith(".*")
        clause = Clause(operator, text.removesuffix(".*") if wildcard else text)
        if operator != "===":
            if clause.plain is not None:
                epoch, release = 0, tuple(map(int, clause.text.split(".")))
            else:
                try:
                    epoch, release = clause.version.epoch, clause.version.release
                except ValueError:
                    return None
            if wildcard:
                clause.prefix = epoch, release
            elif operator == "~=":
                clause.prefix = epoch, release[:-1]
            if operator == "~=" and not (clause.prefix and clause.prefix[1]):
                return None
        clauses.append(clause)
    return tuple(clauses)


@lru_cache(maxsize=1 << 16)
def release_of(version: str) -> Release | None:
    """The release of a version that consists of nothing else, without trailing zeros; None for other versions."""
    numbers = version.split(".")
    if not version.isascii() or not all(map(str.isdecimal, numbers)):
        return None
    if len(version) > _LONGEST_NUMBER and max(map(len, numbers)) > _LONGEST_NUMBER:
        return None
    return _trimmed(tuple(map(int, numbers)))


@lru_cache(maxsize=1 << 16)
def place_of(version: str) -> Place:
    """The place of a valid version. A version with a smaller place is older (PEP 440)."""
    plain = release_of(version)
    return (0, plain) if plain is not None else _place(parsed(version))


@lru_cache(maxsize=1 << 16)
def span_of(specifier: str) -> tuple[Place, Place]:
    """The lowest and highest place that a version in a specifier set may have. Not all versions between are in it."""
    lowest, highest = _FIRST, _LAST
    for clause in compile_specifier(specifier) or ():
        operator = clause.operator
        if operator in ("===", "!="):
            continue
        at = place_of(clause.text)
        if operator not in ("<", "<="):
            lowest = max(lowest, at)
        if clause.prefix is not None:
            highest = min(highest, (clause.prefix[0], (*clause.prefix[1], inf)))
        elif operator not in (">", ">="):
            highest = min(highest, at)
    return lowest, highest


def common_span(specifiers: Collection[str]) -> tuple[Place, Place]:
    """As `span_of`, for versions that are in all of these specifier sets."""
    spans = [span_of(specifier) for specifier in specifiers] or [span_of("")]
    return max(span[0] for span in spans), min(span[1] for span in spans)


@lru_cache(maxsize=1 << 16)
def parsed(version: str) -> Version:
    """Parse a version that is known to be valid."""
    from packaging.version import Version

    return Version(version)


_FIRST: Place = (0, ())
_LAST: Place = (1 << 62, ())


def _split(clause: str) -> tuple[str, str]:
    """The operator and the version of a clause; "" for what is missing. A version is one word."""
    for operator in _OPERATORS:
        if clause.startswith(operator):
            words = clause[len(operator) :].split()
            return operator, words[0] if len(words) == 1 else ""
    return "", ""


def _place(version: Version) -> Place:
    return version.epoch, _trimmed(version.release)


def _trimmed(release: Release) -> Release:
    end = len(release)
    while end and release[end - 1] == 0:
        end -= 1
    return release[:end]


def _holds(clause: Clause, version: str, plain: Release | None) -> bool:
    operator = clause.operator
    if operator == "===":
        return version.lower() == clause.text.lower()
    if plain is None or clause.plain is None:
        return _holds_in_full(clause, parsed(version))
    if clause.prefix is not None:
        within = clause.prefix[0] == 0 and _starts(plain, clause.prefix[1])
        if operator == "~=":
            return within and plain >= clause.plain
        return within == (operator == "==")
    if operator == "==":
        return plain == clause.plain
    if operator == "!=":
        return plain != clause.plain
    if operator == ">=":
        return plain >= clause.plain
    if operator == "<=":
        return plain <= clause.plain
    return plain > clause.plain if operator == ">" else plain < clause.plain


def _starts(release: Release, prefix: Release) -> bool:
    """Whether a release begins with a prefix, as if endless zeros followed both."""
    padded = release + (0,) * (len(prefix) - len(release))
    return padded[: len(prefix)] == prefix


def _holds_in_full(clause: Clause, version: Version) -> bool:
    """The comparison with all features of PEP 440: epochs, pre-, post-, development and local versions."""
    operator, other = clause.operator, clause.version
    # Local versions count only in an exact comparison with a local version.
    public = version if version.local is None else parsed(version.public)
    if clause.prefix is not None:
        within = public.epoch == clause.prefix[0] and _starts(public.release, clause.prefix[1])
        if operator == "~=":
            return within and public >= other
        return within == (operator == "==")
    if operator in ("==", "!="):
        return ((version if other.local else public) == other) == (operator == "==")
    if operator == ">=":
        return public >= other
    if operator == "<=":
        return public <= other
    same_release = (version.epoch, _trimmed(version.release)) == (other.epoch, _trimmed(other.release))
    if operator == "<":
        # "<2" does not include "2.0rc1", and "<2.post1" does not include "2.post1.dev0".
        before = same_release and version.is_prerelease and version.post == other.post
        return version < other and not (before and not other.is_prerelease)
    # ">1" includes neither "1.post1" nor "1+local".
    after = same_release and version.pre == other.pre and version.post is not None
    return public > other and not (after and other.post is None and other.dev is None)
