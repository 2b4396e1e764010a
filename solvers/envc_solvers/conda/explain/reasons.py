"""The facts behind a conflict, as values. Each kind of reason is a separate class."""

from __future__ import annotations

from typing import ClassVar, Literal

import msgspec

from envc_solvers.conda.search.table import HiddenBy
from envc_solvers.origin import Phrase

ReasonKind = Literal[
    "needs", "constrains", "no-package", "no-version", "no-build", "virtual", "hidden", "unreadable", "forbidden"
]


class Reason(msgspec.Struct, frozen=True):
    """One fact of the conflict."""

    kind: ClassVar[ReasonKind]

    package: str  # the package that it is about, with versions: "numpy 1.22.0 to 1.26.4"; "" for the specs themselves
    on: str  # the name that the package depends on


class Limiting(Reason, frozen=True):
    """Versions of a package accept only some versions of a name."""

    specs: tuple[str, ...]  # distinct specs, as records state them
    allowed: str  # versions that any of these specs allows, as ranges; "" for none


class Needs(Limiting, frozen=True):
    """The package depends on the name."""

    kind = "needs"


class Constrains(Limiting, frozen=True):
    """The package needs these versions if the name is installed at all (``constrains`` of a record)."""

    kind = "constrains"


class NoPackage(Reason, frozen=True):
    """No channel has the name."""

    kind = "no-package"

    channels: tuple[str, ...]
    target: str
    elsewhere: tuple[str, ...]  # other platforms for which there is one
    nearest: str | None  # a package that exists and has a similar name


class NoVersion(Reason, frozen=True):
    """No version of the name matches any of these specs."""

    kind = "no-version"

    specs: tuple[str, ...]
    versions: str  # those that exist, as a range


class NoCommonVersion(Reason, frozen=True):
    """No version of the name matches all of these specs of the problem."""

    kind = "no-version"

    specs: tuple[str, ...]


class NoBuild(Reason, frozen=True):
    """Versions match, but none of their builds does."""

    kind = "no-build"

    specs: tuple[str, ...]
    versions: str  # that match, as a range
    builds: tuple[str, ...]  # of these versions


class Virtual(Reason, frozen=True):
    """The target lacks a virtual package, or has another version or build of it."""

    kind = "virtual"

    target: str
    has: str  # "__glibc 2.12"; "" if it has none


class Hidden(Reason, frozen=True):
    """Records match, but must not be chosen."""

    kind = "hidden"

    records: tuple[tuple[str, HiddenBy], ...]  # their versions as a range, and the reason why they are hidden


class Unreadable(Reason, frozen=True):
    """A package states a dependency that cannot be read, or one that excludes the package itself."""

    kind = "unreadable"

    error: str  # "" if it excludes itself


class ForbiddenChoice(Reason, frozen=True):
    """The problem forbids this combination of records."""

    kind = "forbidden"

    packages: tuple[str, ...]  # each with its versions
    reason: Phrase  # completes a sentence about them
