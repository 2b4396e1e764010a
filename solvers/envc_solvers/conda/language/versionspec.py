"""Version specs: sets of versions (conda documentation, "Package match specifications").

Every comparison is an interval of version keys, and ``,`` and ``|`` of intervals give intervals. So a spec is a sorted
list of disjoint intervals, and bisection finds the versions that it allows in a sorted list. Only globs within a
version (``1.*.1``) and regular expressions are matched against texts.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from functools import lru_cache

import msgspec

from envc_solvers.conda.language.pattern import compile_pattern
from envc_solvers.conda.language.version import TOP, Version, prefix_bounds, version_key

Span = tuple[bytes, bytes]  # an interval of keys; the second one is excluded
Spans = tuple[Span, ...]  # ascending, disjoint

EVERY: Spans = ((b"", TOP),)

_TOKENS = re.compile(r"\s*(\^[^$]*\$|[()|,]|[^()|,^]+|\^.*)")
_COMPARISON = re.compile(r"(==|!=|<=|>=|~=|=|<|>)(?![=<>!~])(\S+)").fullmatch
_LONGEST = 4096  # characters
_DEEPEST = 32  # parentheses
_MOST_SPANS = 1024


class InvalidVersionSpec(ValueError):
    """A text that is not a version spec."""

    def __init__(self, text: str, reason: str) -> None:
        super().__init__(text, reason)
        self.text = text
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.text[:80]!r} is not a version spec: {self.reason}"


class Glob(msgspec.Struct, frozen=True):
    """A glob or regular expression over the text of the version."""

    pattern: str


class Every(msgspec.Struct, frozen=True):
    """All of these terms hold (``,``)."""

    terms: tuple[Term, ...]


class Some(msgspec.Struct, frozen=True):
    """At least one of these terms holds (``|``)."""

    terms: tuple[Term, ...]


class Within(msgspec.Struct, frozen=True):
    """The key of the version is in one of the intervals."""

    spans: Spans


Term = Within | Glob | Every | Some


class VersionSpec(msgspec.Struct, frozen=True):
    """A set of versions."""

    text: str  # without white space
    term: Term

    @property
    def spans(self) -> Spans | None:
        """The intervals of version keys that it allows; None if it matches texts, so that only `contains` can tell."""
        return self.term.spans if isinstance(self.term, Within) else None

    @property
    def is_any(self) -> bool:
        return self.spans == EVERY

    def contains(self, version: Version) -> bool:
        return _holds(self.term, version)


@lru_cache(maxsize=1 << 16)
def parse_version_spec(text: str) -> VersionSpec:
    """Parse a version spec. Raises InvalidVersionSpec."""
    if len(text) > _LONGEST:
        raise InvalidVersionSpec(text, f"it has more than {_LONGEST} characters")
    try:
        term = _Parser(text).parse() if _is_compound(text) else _comparison(text.strip())
    except ValueError as error:
        raise InvalidVersionSpec(text, str(error)) from None
    return VersionSpec("".join(text.split()), term)


def _is_compound(text: str) -> bool:
    return any(mark in text for mark in "|,()^$")


def _holds(term: Term, version: Version) -> bool:
    match term:
        case Within(spans):
            at = bisect_right(spans, (version.key, TOP)) - 1
            return at >= 0 and version.key < spans[at][1]
        case Glob(pattern):
            return compile_pattern(pattern)(version.text)
        case Every(terms):
            return all(_holds(each, version) for each in terms)
        case Some(terms):
            return any(_holds(each, version) for each in terms)


class _Parser:
    """Recursive descent over ``|``, then ``,``, then parentheses and comparisons."""

    def __init__(self, text: str) -> None:
        self._tokens: list[str] = []
        at = 0
        text = text.strip()
        while at < len(text):
            match = _TOKENS.match(text, at)
            if match is None:
                raise ValueError("something is missing at its end")
            self._tokens.append(match[1].strip())
            at = match.end()
        self._at = 0

    def parse(self) -> Term:
        term = self._some(0)
        if self._at < len(self._tokens):
            raise ValueError(f"{self._tokens[self._at]!r} is not expected after the rest")
        return term

    def _some(self, depth: int) -> Term:
        terms = [self._every(depth)]
        while self._take("|"):
            terms.append(self._every(depth))
        return _unite(terms)

    def _every(self, depth: int) -> Term:
        terms = [self._primary(depth)]
        while self._take(","):
            terms.append(self._primary(depth))
        return _intersect(terms)

    def _primary(self, depth: int) -> Term:
        if self._take("("):
            if depth >= _DEEPEST:
                raise ValueError(f"it has more than {_DEEPEST} levels of parentheses")
            term = self._some(depth + 1)
            if not self._take(")"):
                raise ValueError("a parenthesis is not closed")
            return term
        if self._at == len(self._tokens) or self._tokens[self._at] in ("|", ",", ")"):
            raise ValueError("a comparison is missing")
        self._at += 1
        return _comparison(self._tokens[self._at - 1])

    def _take(self, token: str) -> bool:
        if self._at < len(self._tokens) and self._tokens[self._at] == token:
            self._at += 1
            return True
        return False


def _comparison(text: str) -> Term:
    """Parse one comparison, without ``,`` and ``|``."""
    if text[:1] == "^" or text[-1:] == "$":
        compile_pattern(text)
        return Glob(text)
    if text[:1] in ("=", "<", ">", "!", "~") and text:
        match = _COMPARISON("".join(text.split()))
        if match is None:
            raise ValueError("a comparison is one operator and a version")
        return Within(_compare(match[1], match[2]))
    if text == "*":
        return Within(EVERY)
    if "*" in text.rstrip("*"):
        compile_pattern(text)
        return Glob(text)
    if text.endswith("*"):
        return Within((_starting(text.rstrip("*").rstrip(".")),))
    return Within(_compare("==", text))


def _compare(operator: str, text: str) -> Spans:
    if text == "*" and operator in ("=", "==", ">="):
        return EVERY
    is_prefix = text.endswith(".*") or (operator in ("=", "!=") and text.endswith("*"))
    version = text.rstrip("*").rstrip(".") if is_prefix else text
    match operator:
        case "=":
            return (_starting(version),)
        case "!=" if is_prefix:
            return _complement(*_starting(version))
        case "~=":
            if is_prefix:
                raise ValueError("~= cannot be combined with .*")
            # The compatible release of PEP 440: at least this version, and equal in all parts but the last.
            stem = version.rpartition(".")[0]
            if not stem:
                raise ValueError("~= needs a version with at least two parts")
            return _cut(((version_key(version), TOP),), (_starting(stem),))
    key = version_key(version)
    after = key + b"\x00"  # no key is a prefix of another, so no key lies between
    match operator:
        case "==":
            return ((key, after),)
        case "!=":
            return _complement(key, after)
        case ">=":
            return ((key, TOP),)
        case ">":
            return ((after, TOP),)
        case "<=":
            return ((b"", after),)
        case _:
            return ((b"", key),)


def _starting(prefix: str) -> Span:
    low, high = prefix_bounds(prefix)
    return low, high


def _complement(low: bytes, high: bytes) -> Spans:
    return (b"", low), (high, TOP)


def _intersect(terms: list[Term]) -> Term:
    spans: Spans = EVERY
    others: list[Term] = []
    for term in terms:
        if isinstance(term, Within):
            spans = _cut(spans, term.spans)
        else:
            others.append(term)
    if not others:
        return Within(spans)
    return Every((Within(spans), *others)) if spans != EVERY else others[0] if len(others) == 1 else Every((*others,))


def _unite(terms: list[Term]) -> Term:
    merged: list[Span] = []
    for low, high in sorted(span for term in terms if isinstance(term, Within) for span in term.spans):
        if merged and low <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(high, merged[-1][1])
        else:
            merged.append((low, high))
    others = [term for term in terms if not isinstance(term, Within)]
    if not others:
        return Within(tuple(merged))
    return Some((Within(tuple(merged)), *others)) if merged else others[0] if len(others) == 1 else Some((*others,))


def _cut(left: Spans, right: Spans) -> Spans:
    """The intersection of two lists of intervals."""
    common = []
    for low, high in left:
        for start, stop in right:
            first, last = max(low, start), min(high, stop)
            if first < last:
                common.append((first, last))
    if len(common) > _MOST_SPANS:
        raise ValueError("it has too many alternatives")
    return tuple(common)
