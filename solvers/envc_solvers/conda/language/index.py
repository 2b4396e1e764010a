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

        For a package that exists as ``.conda`` and as ``.tar.bz2``, only the former is returned. Removed packages are
        not returned. Raises RecordUnusable.
        """

    def names(self, channel: str, subdir: str) -> frozenset[str]:
        """Every name with records. Used only to explain a failure."""

    def digest(self, channel: str, subdir: str) -> str:
        """Identifies the content of a subdir, for cache keys. Equal digests imply equal records."""

    def expect(self, names: Iterable[str]) -> None:
        """A hint that `records` will soon be called for these names. May start fetching; returns nothing."""
