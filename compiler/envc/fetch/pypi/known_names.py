"""Names of projects that exist, for "did you mean": those the cache has met, and a shipped list of well-known ones."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.resources import files


def nearest(name: str, met: Iterable[str]) -> str | None:
    """The known project whose name is spelt most like `name` (both normalised); None when none comes near."""
    import difflib

    known = {*met, *_shipped()} - {name}
    # A swapped or doubled letter scores above 0.8; below that, suggestions mislead more often than they help.
    return next(iter(difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.8)), None)


def _shipped() -> list[str]:
    """The list beside this module: one normalised name a line."""
    return files("envc.fetch.pypi").joinpath("known_projects.txt").read_text(encoding="utf-8").split()
