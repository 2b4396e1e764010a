"""The input of the conda solver."""

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
    setting: str = ""  # the setting that it stands for, as written: ``python = "3.12"``. It cannot be left out

    @property
    def words(self) -> str:
        """What the user wrote, for suggestions."""
        return self.setting or self.text


class ForbiddenRecords(msgspec.Struct, frozen=True):
    """Records that must not be chosen together: of several names, not one record of each; of one name, none of them.

    In SAT terms, for names a and b: (not a1 or not b1) and (not a1 or not b2) and so on.
    """

    records: dict[str, frozenset[tuple[str, str, str]]]  # name: (channel, subdir, file)
    reason: Phrase  # completes a sentence about the packages: "is excluded by the PyPI packages, which need numpy>=2"


class CondaProblem(msgspec.Struct, frozen=True, kw_only=True):
    """The input of one run of the conda solver. Equal problems have equal solutions over the same repodata."""

    target: str  # name, for explanations
    specs: tuple[CondaRoot, ...]  # the names are decided in this order
    channels: tuple[str, ...]  # names, by priority; the repodata decides which subdirs count
    priority: ChannelPriority = "strict"
    virtual: tuple[Record, ...] = ()  # virtual packages of the target, such as `__glibc`
    constraints: tuple[CondaRoot, ...] = ()  # apply wherever the name occurs, add nothing
    overrides: tuple[CondaRoot, ...] = ()  # replace the specs of packages (not `specs`) on that name
    exclude_newer: int | None = None  # seconds since the epoch, UTC; files made at or after it are ignored
    exclude_newer_for: dict[str, int | None] = {}  # per name; None lifts the cut-off
    exclude_newer_except: frozenset[str] = frozenset()  # channels for which only `exclude_newer_for` holds
    preferences: dict[str, tuple[str, ...]] = {}  # name: file names or versions to prefer, best first
    forbidden: tuple[ForbiddenRecords, ...] = ()

    def cut_off(self, name: str, channel: str) -> int | None:
        """When files of a name must have been made, in seconds since the epoch; None: at any time."""
        general = None if channel in self.exclude_newer_except else self.exclude_newer
        return self.exclude_newer_for.get(name, general)
