"""The front door: a problem in, a solution or an explained refusal out."""

from __future__ import annotations

from typing import Literal

import msgspec

from envc_solvers.pypi.requirement import Requirement
from envc_solvers.target import Python, Target

Prereleases = Literal["if-necessary", "never", "allow"]
Strategy = Literal["highest", "lowest", "lowest-direct"]


class Root(msgspec.Struct, frozen=True):
    """A requirement that somebody wrote, with the label that an explanation shows for it."""

    requirement: Requirement
    origin: str = ""  # such as 'steps.train.pypi[0], line 12'


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """Which candidates may be chosen, and which are preferred."""

    prereleases: Prereleases = "if-necessary"
    prereleases_for: frozenset[str] = frozenset()  # names whose pre-releases are allowed as well
    strategy: Strategy = "highest"
    exclude_newer: int | None = None  # seconds since the epoch, UTC; a file uploaded at or after it does not exist
    exclude_newer_for: dict[str, int | None] = {}  # per name; None lifts the cut-off


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """What one run of the PyPI solver gets. Equal problems have equal solutions over the same index."""

    target: Target
    python: Python
    roots: tuple[Root, ...]
    constraints: tuple[Root, ...] = ()  # apply wherever the name occurs, add nothing
    overrides: tuple[Root, ...] = ()  # replace what packages (not roots) require of that name
    policy: Policy = Policy()
    preferences: dict[
        str, tuple[str, ...]
    ] = {}  # name: versions to prefer, best first (from the lock, or other targets)
    locked_files: frozenset[str] = frozenset()  # sha256 of files already locked: they stay usable when yanked
