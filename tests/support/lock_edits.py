"""Edits of the text of a lock, as people, attackers and merges make them: of characters, values, lines and blocks, and
splices of two texts.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence

from hypothesis import strategies as st

_LETTERS = "abcxyz019.-_<>=!~,;:[]{}\"'@ +*/#\n"
_VALUE = re.compile(r'"[^"\n]*"|\'[^\'\n]*\'|\b\d+\b')
_FIELD = re.compile(r', [a-z0-9-]+ = (?:"[^"\n]*"|\[[^\]\n]*\]|\d+)')
_ITEM = re.compile(r"(?:\"[^\"\n]*\"|'[^'\n]*')(?:, )?")
_WORD = re.compile(r"[A-Za-z0-9]+")

Hunk = tuple[int, int, Sequence[str]]  # the first and the end line of the base that it replaces, and with what


@st.composite
def edited(draw: st.DrawFn, text: str, other: str) -> str:
    """A single edit of `text`. What is put in may come from `other`, another lock."""
    kind = draw(st.sampled_from([_character, _value, _word, _field, _item, _line, _block]))
    return draw(kind(text, other))


@st.composite
def _character(draw: st.DrawFn, text: str, _other: str) -> str:
    at = draw(st.integers(0, len(text) - 1))
    new = draw(st.sampled_from(["", text[at] * 2, *_LETTERS]))
    return text[:at] + new + text[at + 1 :]


def _exchanged(draw: st.DrawFn, pattern: re.Pattern[str], text: str, other: str) -> str:
    found = list(pattern.finditer(text))
    old = draw(st.sampled_from(found))
    # Mostly something of the same text, so that the result has the right form.
    new = draw(st.sampled_from(["", *(each[0] for each in found), *pattern.findall(other)]))
    return text[: old.start()] + new + text[old.end() :]


@st.composite
def _value(draw: st.DrawFn, text: str, other: str) -> str:
    return _exchanged(draw, _VALUE, text, other)


@st.composite
def _word(draw: st.DrawFn, text: str, other: str) -> str:
    return _exchanged(draw, _WORD, text, other)


@st.composite
def _field(draw: st.DrawFn, text: str, other: str) -> str:
    return _exchanged(draw, _FIELD, text, other)


@st.composite
def _item(draw: st.DrawFn, text: str, other: str) -> str:
    return _exchanged(draw, _ITEM, text, other)


@st.composite
def _line(draw: st.DrawFn, text: str, other: str) -> str:
    return "".join(_moved(draw, text.splitlines(True), other.splitlines(True)))


@st.composite
def _block(draw: st.DrawFn, text: str, other: str) -> str:
    return "\n\n".join(_moved(draw, text.split("\n\n"), other.split("\n\n")))


def _moved(draw: st.DrawFn, parts: list[str], others: list[str]) -> list[str]:
    """The parts, one of them dropped, doubled, moved, exchanged with another one or replaced."""
    at, to = draw(st.integers(0, len(parts) - 1)), draw(st.integers(0, len(parts) - 1))
    match draw(st.sampled_from(["drop", "double", "move", "exchange", "replace", "replace by other", "add other"])):
        case "drop":
            parts.pop(at)
        case "double":
            parts.insert(to, parts[at])
        case "move":
            parts.insert(to, parts.pop(at))
        case "exchange":
            parts[at], parts[to] = parts[to], parts[at]
        case "replace":
            parts[at] = parts[to]
        case "replace by other":
            parts[at] = draw(st.sampled_from(others))
        case _:
            parts.insert(at, draw(st.sampled_from(others)))
    return parts


@st.composite
def spliced(draw: st.DrawFn, base: str, ours: str, theirs: str) -> str:
    """A merge of two texts: what only one side changes is taken or not, and in a conflict either side is.

    Git takes every change of one side alone. A person who resolves conflicts may leave any of them out.
    """
    if draw(st.booleans()):
        lines = ours.splitlines(True)
        chosen = [hunk for hunk in hunks(ours, theirs) if draw(st.booleans())]
    else:
        lines = base.splitlines(True)
        chosen = []
        for hunk in sorted([*hunks(base, ours), *hunks(base, theirs)], key=lambda each: each[:2]):
            if (not chosen or hunk[0] > chosen[-1][1]) and draw(st.integers(0, 7)):
                chosen.append(hunk)
    for start, end, text in reversed(chosen):
        lines[start:end] = text
    return "".join(lines)


def hunks(before: str, after: str) -> list[Hunk]:
    """What turns the lines of one text into those of another."""
    one, two = before.splitlines(True), after.splitlines(True)
    matcher = difflib.SequenceMatcher(None, one, two, autojunk=False)
    return [(i1, i2, two[j1:j2]) for tag, i1, i2, j1, j2 in matcher.get_opcodes() if tag != "equal"]
