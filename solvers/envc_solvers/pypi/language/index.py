"""The interface through which the solver reads indexes. Implementations fetch and cache; tests use one in memory."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

import msgspec

from envc_solvers.pypi.language.requirement import Metadata, Requirement

SDISTS = (".tar.gz", ".zip", ".tar.bz2")


class File(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One file of a project, as listed on an index page."""

    name: str  # "torch-2.5.1-cp311-cp311-manylinux1_x86_64.whl"
    sha256: str = ""  # lower-case hex; "" if the index does not state it
    size: int = 0  # bytes; 0 if the index does not state it
    uploaded: int | None = None  # seconds since the epoch, UTC, rounded up; None if the index does not state it
    requires_python: str = ""
    yanked: str | None = None  # None if not yanked; otherwise the reason, which may be ""
    metadata: str = ""  # sha256 of its core metadata, lower-case hex; "" if the index does not state it (PEP 714)


def is_sdist(file: str) -> bool:
    """Whether a file name is that of a source distribution."""
    return file.endswith(SDISTS)


def was_yanked(reason: str, *, plural: bool = False) -> str:
    """The wording for a yanked file: ``was yanked: leaks``, or ``was yanked`` without a reason."""
    return f"{'were' if plural else 'was'} yanked{f': {reason}' if reason else ''}"


class Release(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The files of one version that can be installed on one target.

    A view has hundreds of releases, and a solve looks at one or two of them. So the files stay packed until needed, as
    bytes: the end of a `msgspec.Raw` is found only by walking through all of it.
    """

    version: str  # as the best file's name spells it
    packed: bytes  # the files as MessagePack

    @classmethod
    def of(cls, version: str, files: Iterable[File]) -> Release:
        return cls(version, _ENCODER.encode(tuple(files)))

    @property
    def files(self) -> tuple[File, ...]:
        """The files, best tag first. They are unpacked on each access."""
        return _FILES.decode(self.packed)


_ENCODER = msgspec.msgpack.Encoder()
_FILES = msgspec.msgpack.Decoder(tuple[File, ...])
_RELEASES = msgspec.msgpack.Decoder(tuple[Release, ...])


class View(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The files of a project that one target can install: the compact index, cached for each project and target.

    It depends on nothing but the page and the wheel tags. The solver applies Requires-Python, yanking and
    `exclude-newer`, so one view serves every policy.
    """

    name: str  # normalised
    source: str  # name of the source that it comes from
    releases: tuple[Release, ...]  # newest first (PEP 440)
    # The releases without a file for this target: the newest, and all of them packed. See `others`.
    newest_other: str = ""
    packed_others: bytes = b""

    @property
    def others(self) -> tuple[Release, ...]:
        """Releases without a file for this target, newest first, each with one file: its sdist, else some wheel.

        Only those that are newer than the oldest final release of the view; and older final sdists, if the view has a
        pre-release that is older than all its final releases. They are unpacked on each access.
        """
        return _RELEASES.decode(self.packed_others) if self.packed_others else ()

    def with_others(self, others: Iterable[Release]) -> View:
        """The view with these releases as its `others`, newest first."""
        found = tuple(others)
        if not found:
            return View(self.name, self.source, self.releases)
        return View(self.name, self.source, self.releases, found[0].version, _ENCODER.encode(found))


class Index(Protocol):
    """The projects of some sources, for one target. Every method is called from one thread only."""

    def view(self, name: str) -> View:
        """The view of a project for this target. Raises ProjectNotFound if no source has it."""

    def files(self, name: str) -> tuple[File, ...]:
        """All files of a project, with sdists and the wheels of other targets. Used only to explain a failure."""

    def metadata(self, view: View, file: File) -> Metadata:
        """The core metadata of a file of that view. Raises MetadataUnusable if the file's own metadata is broken."""

    def expect(self, requirements: Iterable[Requirement]) -> None:
        """A hint that `view` will soon be called for these requirements. May start fetching; returns nothing."""

    def expect_metadata(self, view: View, files: Iterable[File]) -> None:
        """A hint that `metadata` will likely be called for these files, in this order. Returns nothing.

        Iterating over `files` takes time, so an index that ignores the hint should not iterate.
        """
