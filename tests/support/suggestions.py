"""Applies the solvers' suggestions: computes the requirements that remain when a suggestion is followed."""

from __future__ import annotations

import re
from collections.abc import Sequence

_QUOTED = re.compile(r"`([^`]+)`")
_INSTEAD = re.compile(r"`([^`]+)` instead of `([^`]+)`")
_REMARKS = re.compile(r"; (?:that gives|no other|fewer changes) ")


def followed(texts: Sequence[str], suggestion: str) -> list[str] | None:
    """Return the requirements after following a suggestion; None if it does not concern requirements."""
    words = _REMARKS.split(suggestion)[0]
    instead = _INSTEAD.findall(words)
    _, leave_out, gone = words.partition("leave out ")
    if not (instead or leave_out) or gone.startswith(("the constraint ", "the override ")):
        return None
    left = list(texts)
    for new, old in instead:
        left = [new if text == old else text for text in left]
    if gone.startswith("all but "):
        return _QUOTED.findall(gone)
    if gone.startswith("all "):
        assert gone.split()[1] == str(len(set(texts)))
        return []
    return [text for text in left if text not in _QUOTED.findall(gone)]


def is_said_to_be_minimal(suggestion: str) -> bool:
    return "fewer changes" not in suggestion
