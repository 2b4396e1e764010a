"""The front door: a problem in, a solution or an explained refusal out."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from typing import TYPE_CHECKING, Literal

import msgspec

from envc_solvers.pypi.requirement import Requirement
from envc_solvers.target import Python, Target

if TYPE_CHECKING:
    from envc_solvers.pypi.index import Index
    from envc_solvers.pypi.markers import Answer
    from envc_solvers.solution import Solution

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
    # Names whose cut-off counts back from now, "" for all that are not in `exclude_newer_for`: it moves by itself, so
    # that it says nothing of files that are locked already.
    spans: frozenset[str] = frozenset()


class Provided(msgspec.Struct, frozen=True):
    """A project that stands in the environment already: nothing of it is chosen, and it is no pin of the solution."""

    version: str  # PEP 440
    by: str  # who brings it, as explanations show it: "numpy 1.26.4 of conda"


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
    provided: dict[str, Provided] = {}  # by normalised name


MAX_TRIES = 200_000  # candidates; the hardest benchmark sets need some thousands


def solve(
    problem: Problem,
    index: Index,
    answers: MutableMapping[str, Answer],
    *,
    max_tries: int = MAX_TRIES,
    out_of_time: Callable[[], bool] | None = None,
) -> Solution:
    """Choose one version of every project that the roots reach, for one target and Python.

    `answers` are what is known of markers in this environment (see `markers.environment_key`); it grows. `out_of_time`
    is asked before each candidate and stops the search when it says so. The order of roots, constraints and overrides
    makes no difference. Raises Unsolvable with an explained conflict, GaveUp at a limit, and whatever the index raises
    about sources that do not answer.
    """
    from envc_solvers.pypi.run import run

    return run(problem, index, answers, max_tries, out_of_time)
