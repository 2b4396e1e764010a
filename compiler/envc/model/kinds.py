"""Kinds that several modules distinguish. Each is a closed set of names."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Literal

ArtifactKind = Literal["pypi", "conda", "interpreter"]
DependencyKind = Literal["pypi", "conda"]  # what a manifest lists
InterpreterKind = Literal["conda", "standalone", "host"]
OwnInterpreterKind = Literal["conda", "standalone"]  # of an interpreter that is part of the environment
INTERPRETER_KINDS: tuple[InterpreterKind, ...] = ("conda", "standalone", "host")
BuildOrigin = Literal["sdist", "commit", "tree"]  # what a wheel was built from
SourceKind = Literal["pypi", "find-links", "conda"]
NoArch = Literal["", "python", "generic"]  # of a conda package; "" if it is for one platform
# How a lock names the source of a project whose address is given in the manifest's requirement.
DirectSource = Literal["url", "path", "git"]
DIRECT_SOURCES: frozenset[str] = frozenset({"url", "path", "git"})

# Values of the manifest's policy.
Prereleases = Literal["if-necessary", "never", "allow"]
Resolution = Literal["highest", "lowest", "lowest-direct"]
Alignment = Literal["newest", "strong", "off"]
RecordPolicy = Literal["lenient", "strict"]
ChannelPriority = Literal["strict", "flexible", "disabled"]
Fallback = Literal["refuse", "older"]  # if the newest release cannot be used: refuse, or take an older one
Cutoff = datetime | timedelta  # a moment, or a span that counts back from now
PackageCutoff = datetime | timedelta | Literal[False]  # False lifts the project's cut-off


def interpreter_kind(name: str) -> InterpreterKind:
    """The kind of interpreter with that name. Raises ValueError if there is none."""
    for kind in INTERPRETER_KINDS:
        if kind == name:
            return kind
    raise ValueError(f"{name[:20]!r} is not a kind of interpreter")


def may_mean_missing(status: int) -> bool:
    """Whether a manifest may say that an index answers with this HTTP status for what it does not have.

    Not 404, which always means that; nor the statuses of proxies and of servers that are busy.
    """
    return 400 <= status < 500 and status not in (404, 407, 408, 425, 429)
