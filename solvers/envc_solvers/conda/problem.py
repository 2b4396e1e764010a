"""What one run of the conda solver gets."""

from __future__ import annotations

from typing import Literal

import msgspec

from envc_solvers.conda.language.matchspec import MatchSpec
from envc_solvers.conda.language.record import Record
from envc_solvers.origin import KeyPath, Phrase

ChannelPriority = Literal["strict", "flexible", "disabled"]


class CondaRoot(msgspec.Struct, frozen=True):
    """A spec of the problem itself, and where it is written."""

    spec: MatchSpec
    text: str  # as written
    origin: KeyPath = ()


class ForbiddenRecords(msgspec.Struct, frozen=True):
    """Records of several names of which at least one name must not be chosen; of one name, none of them may.

    In SAT terms, for names a and b: (not a1 or not b1) and (not a1 or not b2) and so on.
    """

    records: dict[str, frozenset[tuple[str, str, str]]]  # name: (channel, subdir, file)
    reason: Phrase  # completes a sentence about the packages: "is not what PyPI packages allow: numpy>=2"


class CondaProblem(msgspec.Struct, frozen=True, kw_only=True):
    """What one run of the conda solver gets. Equal problems have equal solutions over the same repodata."""

    target: str  # name that an explanation shows
    specs: tuple[CondaRoot, ...]  # in this order the names are decided
    channels: tuple[str, ...]  # names, by priority; which subdirs count is the repodata's to say
    priority: ChannelPriority = "strict"
    virtual: tuple[Record, ...] = ()  # what the machine has, as records: `__glibc` and the like
    constraints: tuple[CondaRoot, ...] = ()  # apply wherever the name occurs, add nothing
    overrides: tuple[CondaRoot, ...] = ()  # replace what packages (not `specs`) say of that name
    exclude_newer: int | None = None  # seconds since the epoch, UTC; a file made after it does not exist
    exclude_newer_for: dict[str, int | None] = {}  # per name; None lifts the cut-off
    preferences: dict[str, tuple[str, ...]] = {}  # name: file names or versions to prefer, best first
    forbidden: tuple[ForbiddenRecords, ...] = ()
