"""Several changes at once: what to leave out or to loosen where no single change makes a failed problem solvable.

Requirements are numbers here, in the order in which the problem states them; what they ask for is the caller's to know.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal, TypeVar

import msgspec

_MOST_NAMED = 5  # requirements that are named one by one where it takes fewer words to name the others

# For some requirements: () if they can be met together, else those that cannot; None where that was not found out.
Trial = Callable[[tuple[int, ...]], tuple[int, ...] | None]
Choice = TypeVar("Choice")


class Correction(msgspec.Struct, frozen=True):
    """Requirements without which the others can be met (in the words of the field, a correction set)."""

    left_out: tuple[int, ...]  # ascending
    minimal: bool  # whether the others were seen to fail together with any one of these


def correct(count: int, failing: tuple[int, ...], trial: Trial) -> Correction:
    """What to leave out of `count` requirements, of which `failing` cannot be met together.

    As long as the rest fails, that one of the requirements at fault goes which was at fault most often so far, and the
    last of these; where nobody can tell whether the rest fails, all go. Then each comes back, first ones first, that
    the rest can be met with. What `trial` names guides the choice and is not relied on. It is called at most twice for
    each requirement, and never for none or for all of them.
    """
    kept = tuple(range(count))
    faults: Counter[int] = Counter()
    found: tuple[int, ...] | None = failing
    while found:
        faults.update(found)
        gone = max(set(found) & set(kept) or kept, key=lambda number: (faults[number], number))
        kept = tuple(number for number in kept if number != gone)
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
    """What to ask for instead of requirements that were to be left out, where there is something.

    For one after the other the first of its `choices` is taken that `solves` beside those taken before it.
    """
    taken: dict[int, Choice] = {}
    for number in left_out:
        for choice in choices(number):
            if solves({**taken, number: choice}):
                taken[number] = choice
                break
    return taken


def in_words(
    texts: Sequence[str], correction: Correction, instead: Mapping[int, str], kind: Literal["conda", "PyPI"]
) -> str:
    """A correction as a suggestion says it.

    `texts` are all requirements as written, `instead` those that are asked for in the place of some that were to be
    left out.
    """
    changed = {texts[number]: new for number, new in instead.items()}
    gone = list(dict.fromkeys(texts[number] for number in correction.left_out if texts[number] not in changed))
    kept = list(dict.fromkeys(changed.get(text, text) for text in texts if text not in gone))
    parts = [f"`{new}` instead of `{text}`" for text, new in changed.items()]
    if gone:
        parts.append(_leave_out(gone, kept, "specs" if kind == "conda" else "requirements"))
    said = ", and ".join([", ".join(parts[:-1]), parts[-1]]) if len(parts) > 1 else parts[0]
    if not kept:
        said += f"; nothing else is asked of {kind}, so no {kind} package remains"
    if not correction.minimal:
        said += "; whether fewer changes would do was not found out"
    return said


def _leave_out(gone: list[str], kept: list[str], what: str) -> str:
    if len(gone) <= max(_MOST_NAMED, len(kept)):
        return f"leave out {_listed(gone)}"
    return f"leave out all but {_listed(kept)}" if kept else f"leave out all {len(gone)} {what}"


def _listed(texts: Iterable[str]) -> str:
    *before, last = [f"`{text}`" for text in texts]
    return f"{', '.join(before)} and {last}" if before else last
