"""The patterns of match specs: globs, and regular expressions that cannot take exponential time."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

from envc_solvers.malformed import malformed, reason_of

_LONGEST = 256  # characters
_MOST_REPEATS = 6  # repeats in one expression: matching takes at most about (length of the text) ** repeats steps
_REPEATED_GROUP = re.compile(r"\)[*+?{]")
_BACK_REFERENCE = re.compile(r"\\[1-9]|\(\?")
_SET_OPERATION = re.compile(r"\[\^?\]?[^]]*?(?:\[|--|&&|~~|\|\|)")  # `re` warns that it may read these as sets of sets

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
    if _SET_OPERATION.search(text):
        raise ValueError("this regular expression has a set with [, --, &&, ~~ or || in it")
    if sum(map(text.count, "*+{?")) > _MOST_REPEATS:
        raise ValueError("this regular expression repeats too much")
    try:
        expression = re.compile(text)
    except malformed(re.error) as error:
        raise ValueError(f"this regular expression is malformed ({reason_of(error)})") from None
    return lambda candidate: expression.match(candidate) is not None
