"""The input of the PyPI solver."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import msgspec

from envc_solvers.origin import KeyPath
from envc_solvers.pypi.language.requirement import Requirement
from envc_solvers.target import Python, Target

MAX_SUGGESTION_TRIES = 2_000  # candidates; a set without a conflict needs a few hundred
MAX_TRIES = 200_000  # candidates; the hardest benchmark sets need a few thousand

Prereleases = Literal["if-necessary", "never", "allow"]
Strategy = Literal["highest", "lowest", "lowest-direct"]
Fallback = Literal["refuse", "older"]  # for a newest release that cannot be used: refuse, or take an older one


class PyPIRoot(msgspec.Struct, frozen=True):
    """A requirement of the problem itself, and where it is written."""

    requirement: Requirement
    origin: KeyPath = ()


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """Which candidates may be chosen, and which are preferred."""

    prereleases: Prereleases = "if-necessary"
    prereleases_for: frozenset[str] = frozenset()  # names whose pre-releases are allowed as well
    finals_only: frozenset[str] = frozenset()  # names whose pre-releases were found to be unnecessary
    sdist: Fallback = "refuse"  # where newer releases are, or need, source distributions that may not be built
    direct_dependencies: Fallback = "refuse"  # where newer releases require something from a URL
    strategy: Strategy = "highest"
    exclude_newer: int | None = None  # seconds since the epoch, UTC; files uploaded at or after it are ignored
    exclude_newer_for: dict[str, int | None] = {}  # per name; None lifts the cut-off
    # Names whose cut-off counts back from now, "" for all that are not in `exclude_newer_for`. It moves with time, so
    # it does not apply to files that are already locked.
    spans: frozenset[str] = frozenset()


class Provided(msgspec.Struct, frozen=True):
    """A project that is in the environment already: the solver does not choose it and does not pin it."""

    version: str  # PEP 440
    by: str  # the package that provides it, as explanations show it: "numpy 1.26.4 from conda"


class PyPIProblem(msgspec.Struct, frozen=True, kw_only=True):
    """The input of one run of the PyPI solver. Equal problems have equal solutions over the same index."""

    target: Target
    python: Python
    roots: tuple[PyPIRoot, ...]
    constraints: tuple[PyPIRoot, ...] = ()  # apply wherever the name occurs, add nothing
    overrides: tuple[PyPIRoot, ...] = ()  # replace the requirements of packages (not of roots) on that name
    policy: Policy = Policy()
    preferences: dict[str, tuple[str, ...]] = {}  # by name: versions of the lock or of other targets, best first
    locked_files: frozenset[str] = frozenset()  # sha256 of files already locked: they stay usable when yanked
    provided: dict[str, Provided] = {}  # by normalised name


class Budget(msgspec.Struct, frozen=True, kw_only=True):
    """When a search is stopped."""

    max_tries: int = MAX_TRIES  # candidates
    out_of_time: Callable[[], bool] | None = None  # called before each candidate; True stops the search
