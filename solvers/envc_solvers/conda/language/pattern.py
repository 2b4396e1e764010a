"""The patterns of match specs: globs, and regular expressions that cannot take exponential time."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

_LONGEST = 256  # characters
_MOST_REPEATS = 6  # repeats in one expression: matching takes at most about (length of the text) ** repeats steps
_REPEATED_GROUP = re.compile(r"\)[*+?{]")
_BACK_REFERENCE = re.compile(r"\\[1-9]|\(\?")

Predicate = Callable[[str], bool]


@lru_cache(maxsize=1 << 12)
def compile_pattern(text: str) -> Predicate:
    """A predicate on a whole text: equality, a glob with ``*``, or a regular expression from ``^`` to ``$``.

    Raises ValueError for a regular expression that is malformed, or that could take too long: a hostile channel may
    have written it.
    """
    if text.startswith("^") or text.endswith("$"):
        return _compile_regex(text)
    if "*" not in text:
        return text.__eq__
    head, *middle, tail = text.split("*")

    def matches(candidate: str) -> bool:
        if len(candidate) < len(head) + len(tail) or not candidate.startswith(head) or not candidate.endswith(tail):
            return False
        at, end = len(head), len(candidate) - len(tail)
        for piece in middle:
            at = candidate.find(piece, at, end)
            if at < 0:
                return False
            at += len(piece)
        return True

    return matches


def _compile_regex(text: str) -> Predicate:
    if not (text.startswith("^") and text.endswith("$")):
        raise ValueError("a regular expression starts with ^ and ends with $")
    # Repeated groups make matching exponential. Without them and without back references it is polynomial.
    if len(text) > _LONGEST or _REPEATED_GROUP.search(text) or _BACK_REFERENCE.search(text):
        raise ValueError("this regular expression is too complicated")
    if sum(map(text.count, "*+{?")) > _MOST_REPEATS:
        raise ValueError("this regular expression repeats too much")
    try:
        expression = re.compile(text)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"this regular expression is malformed ({error})") from None
    return lambda candidate: expression.match(candidate) is not None
