"""The known name that is spelt most like another, for "did you mean"."""

from __future__ import annotations

from collections.abc import Iterable

# A swapped or doubled letter scores above 0.8. Among thousands of names, suggestions below that mislead more often
# than they help.
STRICT = 0.8
LENIENT = 0.6


def nearest_name(name: str, known: Iterable[str], least: float = LENIENT) -> str | None:
    """The known name most similar to `name`; None if the similarity of all of them (0 to 1) is below `least`."""
    import difflib  # imported late, since only errors need it

    names = sorted(known)
    near = next(iter(difflib.get_close_matches(name, names, n=1, cutoff=least)), None)
    if near is None and least <= LENIENT and len(name) > 2:
        # Swapped letters make short words less similar than strangers: `pipy` and `pypi` score 0.5.
        return next((known for known in names if sorted(known) == sorted(name)), None)
    return near
