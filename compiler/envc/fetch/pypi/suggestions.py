"""Names of projects that exist, for "did you mean": those the cache has met, and a shipped list of well-known ones."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.resources import files

from envc_solvers.nearest import STRICT, nearest_name


def nearest_project(name: str, cached: Iterable[str]) -> str | None:
    """The known project whose name is spelt most like `name` (both normalised); None when none comes near."""
    return nearest_name(name, {*cached, *_shipped()} - {name}, STRICT)


def _shipped() -> list[str]:
    """The list beside this module: one normalised name a line."""
    return files("envc.fetch.pypi").joinpath("known_projects.txt").read_text(encoding="utf-8").split()
