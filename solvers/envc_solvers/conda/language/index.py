"""The interface through which the solver reads channels. Implementations fetch and cache; tests use one in memory."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from envc_solvers.conda.language.record import Record


class Repodata(Protocol):
    """The records of some channels, by name. Every method must be thread-safe."""

    def subdirs(self, channel: str) -> tuple[str, ...]:
        """The subdirs to search, the platform's own before noarch. A subdir that the channel lacks has no records."""

    def records(self, channel: str, subdir: str, name: str) -> tuple[Record, ...]:
        """The records of a name, in the order of the channel; () if it has none.

        For a package that exists as ``.conda`` and as ``.tar.bz2``, only the former is returned. Removed packages and
        unusable records are not returned. Raises RecordUnusable if nothing can be read.
        """

    def archives(self, channel: str, subdir: str, name: str) -> tuple[Record, ...]:
        """The ``.tar.bz2`` files of a name that also exist as ``.conda``. Asked for only under a cut-off, as the
        ``.conda`` file may be newer. Raises RecordUnusable.
        """

    def lists(self, channel: str, subdir: str, name: str) -> bool:
        """Whether the channel has the name, even if all of its records are unusable. Raises RecordUnusable."""

    def names(self, channel: str, subdir: str) -> frozenset[str]:
        """Every name with records. Used only to explain a failure."""

    def digest(self, channel: str, subdir: str) -> str:
        """Identifies the content of a subdir, for cache keys. Equal digests imply equal records."""

    def expect(self, names: Iterable[str]) -> None:
        """A hint that `records` will soon be called for these names. May start fetching; returns nothing."""
