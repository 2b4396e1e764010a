"""What the solver asks of channels. Implementations fetch and cache; an in-memory twin serves tests."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from envc_solvers.conda.language.record import Record


class Repodata(Protocol):
    """The records of some channels, by name. Every method may be called from any thread."""

    def subdirs(self, channel: str) -> tuple[str, ...]:
        """The subdirs to look into, the platform's own before noarch; one that the channel lacks is empty."""

    def records(self, channel: str, subdir: str, name: str) -> tuple[Record, ...]:
        """The records of a name, in the order of the channel; () when it has none.

        Of a package that stands there as ``.conda`` and as ``.tar.bz2`` only the former is given, and nothing that
        was removed. Raises RecordUnusable.
        """

    def names(self, channel: str, subdir: str) -> frozenset[str]:
        """Every name with records; asked only to explain a failure."""

    def digest(self, channel: str, subdir: str) -> str:
        """Names the content of a subdir: while it is the same, so are all answers. For keys of caches."""

    def expect(self, names: Iterable[str]) -> None:
        """A hint, without an answer: these names will soon be asked about. May start fetching."""
