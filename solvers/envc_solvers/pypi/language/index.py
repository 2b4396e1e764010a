"""What the solver asks of the outside. Implementations fetch and cache; the in-memory twin serves tests."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

import msgspec

from envc_solvers.pypi.language.requirement import Metadata, Requirement


class File(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One file of a project, as an index page lists it."""

    name: str  # "torch-2.5.1-cp311-cp311-manylinux1_x86_64.whl"
    sha256: str = ""  # lower-case hex; "" when the index does not say
    size: int = 0  # bytes; 0 when the index does not say
    uploaded: int | None = None  # seconds since the epoch, UTC, rounded up; None when the index does not say
    requires_python: str = ""
    yanked: str | None = None  # None: not yanked; else the reason, which may be ""


def was_yanked(reason: str) -> str:
    """What is told of a yanked file: ``was yanked: leaks``, or ``was yanked`` without a reason."""
    return f"was yanked: {reason}" if reason else "was yanked"


class Release(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The files of one version that one wheel target can install.

    A view has hundreds of releases of which a solve looks at one or two, so files stay packed until then.
    """

    version: str  # as the best file's name spells it
    packed: msgspec.Raw  # its files as MessagePack

    @classmethod
    def of(cls, version: str, files: Iterable[File]) -> Release:
        return cls(version, msgspec.Raw(_ENCODER.encode(tuple(files))))

    @property
    def files(self) -> tuple[File, ...]:
        """The files, best tag first; unpacked each time."""
        return _FILES.decode(self.packed)


_ENCODER = msgspec.msgpack.Encoder()
_FILES = msgspec.msgpack.Decoder(tuple[File, ...])


class View(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A project as one wheel target sees it: the compact index that is cached per project and target.

    It depends on the page and the wheel tags alone. Requires-Python, yanking and `exclude-newer` are judged by the
    solver, so that one view serves every policy.
    """

    name: str  # normalised
    source: str  # name of the source that supplies it
    releases: tuple[Release, ...]  # newest first (PEP 440)


class Index(Protocol):
    """Answers questions about projects for one wheel target. Every method may be called from one thread only."""

    def view(self, name: str) -> View:
        """The project as this target sees it. Raises ProjectNotFound when no source knows it."""

    def files(self, name: str) -> tuple[File, ...]:
        """All files of a project, sdists and other targets' wheels included; asked only to explain a failure."""

    def metadata(self, view: View, file: File) -> Metadata:
        """The core metadata of a file of that view. Raises MetadataUnusable when the file's own metadata is broken."""

    def expect(self, requirements: Iterable[Requirement]) -> None:
        """A hint, without an answer: these requirements will soon be asked about. May start fetching."""

    def expect_metadata(self, view: View, files: Iterable[File]) -> None:
        """A hint, without an answer: the metadata of these files will likely be asked for, in this order.

        `files` costs something to go through, so an index that has no use for the hint leaves it alone.
        """
