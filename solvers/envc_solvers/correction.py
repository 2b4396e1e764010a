"""Several changes at once: requirements to leave out or to loosen if no single change makes a problem solvable.

Requirements are numbers here, in the order of the problem. Only the caller knows what they require.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal, TypeVar

import msgspec

_MOST_NAMED = 5  # requirements to leave out that are listed, even if fewer remain

# Takes some requirements. Returns () if they can be met together, else those at fault; None if undecided.
Trial = Callable[[tuple[int, ...]], tuple[int, ...] | None]
Choice = TypeVar("Choice")


class Correction(msgspec.Struct, frozen=True):
    """Requirements without which the others can be met (a correction set)."""

    left_out: tuple[int, ...]  # ascending
    minimal: bool  # whether the others were seen to fail together with any one of these


def correct(count: int, failing: tuple[int, ...], trial: Trial) -> Correction:
    """Choose the requirements to leave out. There are `count` of them, and those in `failing` cannot be met together.

    While the rest fails, the requirement that has been at fault most often is removed; of several, the last one. If a
    trial is undecided, all are removed. Then each removed requirement is added again, in order, if the rest can be met
    with it. The requirements that `trial` returns only guide the choice; the result is correct whatever they are.
    `trial` is called at most twice for each requirement, and never with none or all of them.
    """
    kept = tuple(range(count))
    faults: Counter[int] = Counter()
    found: tuple[int, ...] | None = failing
    while found:
        faults.update(found)
        omitted = max(set(found) & set(kept) or kept, key=lambda number: (faults[number], number))
        kept = tuple(number for number in kept if number != omitted)
        found = trial(kept) if kept else ()
    if found is None:
        kept = ()
    minimal = True
    for number in range(count):
        more = tuple(sorted({*kept, number}))
        if number in kept or len(more) == count:
            continue
        found = trial(more)
        if found is None:
            minimal = False
        elif not found:
            kept = more
    return Correction(tuple(number for number in range(count) if number not in kept), minimal)


def loosen(
    left_out: Iterable[int],
    choices: Callable[[int], Iterable[Choice]],
    solves: Callable[[dict[int, Choice]], bool],
) -> dict[int, Choice]:
    """Replacements for some of the requirements that would be left out.

    For each requirement, in order, takes the first of its `choices` for which `solves` is true together with the
    replacements taken so far.
    """
    replacements: dict[int, Choice] = {}
    for number in left_out:
        for choice in choices(number):
            if solves({**replacements, number: choice}):
                replacements[number] = choice
                break
    return replacements


def in_words(
    texts: Sequence[str], correction: Correction, instead: Mapping[int, str], kind: Literal["conda", "PyPI"]
) -> str:
    """The text of the suggestion for a correction.

    `texts` are all requirements as written, `instead` the replacements for some of those to be left out.
    """
    changed = {texts[number]: new for number, new in instead.items()}
    omitted = list(dict.fromkeys(texts[number] for number in correction.left_out if texts[number] not in changed))
    kept = list(dict.fromkeys(changed.get(text, text) for text in texts if text not in omitted))
    parts = [f"`{new}` instead of `{text}`" for text, new in changed.items()]
    if omitted:
        parts.append(_leave_out(omitted, kept, "specs" if kind == "conda" else "requirements"))
    words = ", and ".join([", ".join(parts[:-1]), parts[-1]]) if len(parts) > 1 else parts[0]
    if not kept:
        words += f"; no other {kind} package is required, so none remains"
    if not correction.minimal:
        words += "; fewer changes might be enough"
    return words


def _leave_out(omitted: list[str], kept: list[str], what: str) -> str:
    if len(omitted) <= max(_MOST_NAMED, len(kept)):
        return f"leave out {_listed(omitted)}"
    return f"leave out all but {_listed(kept)}" if kept else f"leave out all {len(omitted)} {what}"


def _listed(texts: Iterable[str]) -> str:
    *before, last = [f"`{text}`" for text in texts]
    return f"{', '.join(before)} and {last}" if before else last
