"""The subjects of a failed search, as values: each project without a usable version, and the reason."""

from __future__ import annotations

from typing import ClassVar, Literal

import msgspec

from envc_solvers.origin import KeyPath
from envc_solvers.pypi.language.tags import FileMismatch
from envc_solvers.pypi.search.rejection import Rejection

SubjectKind = Literal[
    "conflict", "no-project", "no-version", "no-file", "only-sdists", "refused", "from-url", "provided"
]


class Step(msgspec.Struct, frozen=True):
    """One link of a chain: a package at some versions, and its requirement that continues the chain."""

    package: str  # with its extra, if that is requested: "fastapi[standard]"
    versions: str  # "2.5.0", "2.5.0 to 2.9.2 (14 versions)"
    requires: str  # "typing-extensions>=4.6.1"


class Cause(msgspec.Struct, frozen=True):
    """A requirement on the project in question, and the chain of packages behind it."""

    requirement: str
    root: str  # the problem's own requirement at the beginning of the chain
    origin: KeyPath  # where that one is written
    chain: tuple[Step, ...] = ()  # from the root to this requirement; () if the root states it
    constraint: bool = False  # whether it only narrows the versions that others require
    open_ended: bool = False  # whether it also represents requirements of other versions with higher lower bounds


class Subject(msgspec.Struct, frozen=True):
    """A project without any version that can be chosen. Each subclass is one kind of reason."""

    reason: ClassVar[SubjectKind]

    project: str
    causes: tuple[Cause, ...]


class Conflicting(Subject, frozen=True):
    """Each requirement can be met alone, but not all of them together."""

    reason = "conflict"


class NoProject(Subject, frozen=True):
    """No source knows the project."""

    reason = "no-project"

    sources: tuple[str, ...]  # names of the sources that were searched
    nearest: str | None  # a project that exists and has a similar name


class NoVersion(Subject, frozen=True):
    """The project has no version that matches."""

    reason = "no-version"

    specifiers: tuple[str, ...]  # sorted
    newest: str  # version of the project that this target can use; "" if there is none


class NoFile(Subject, frozen=True):
    """Versions match, but none has a wheel for this target and Python."""

    reason = "no-file"

    specifiers: tuple[str, ...]
    nearest: tuple[FileMismatch, ...]  # the wheels that come nearest, nearest first
    sdist: str = ""  # the file name of the newest source distribution that matches; "" if there is none


class OnlySdists(Subject, frozen=True):
    """Versions match, but exist as source distributions only."""

    reason = "only-sdists"

    specifiers: tuple[str, ...]
    sdists: tuple[str, ...]  # file names, newest version first


class Refused(Subject, frozen=True):
    """Versions match, but the policy, the Python or their metadata rule them out."""

    reason = "refused"

    specifiers: tuple[str, ...]
    rejected: tuple[tuple[tuple[str, ...], Rejection], ...]  # versions, and why they cannot be chosen
    every: bool  # whether these are all the versions that match


class FromUrl(Subject, frozen=True):
    """The problem states a direct reference, which no index can satisfy."""

    reason = "from-url"


class ProvidedOutside(Subject, frozen=True):
    """The project is in the environment already, in a version that the requirements exclude."""

    reason = "provided"

    by: str  # "numpy 1.26.4 from conda"
