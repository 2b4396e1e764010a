"""Suggestions for misspelt project names, from the projects in the cache and a shipped list of well-known ones."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.resources import files

from envc_solvers.nearest import STRICT, nearest_name


def nearest_project(name: str, cached: Iterable[str]) -> str | None:
    """The known project whose name is most similar to `name`, both normalised; None if none is similar enough."""
    return nearest_name(name, {*cached, *_shipped()} - {name}, STRICT)


def _shipped() -> list[str]:
    """The list next to this module, with one normalised name per line."""
    return files("envc.fetch.pypi").joinpath("known_projects.txt").read_text(encoding="utf-8").split()
