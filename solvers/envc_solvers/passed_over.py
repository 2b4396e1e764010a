"""Newer releases that were not chosen, as values with their wording."""

from __future__ import annotations

from typing import Literal

import msgspec

PassedOverKind = Literal[
    "sdist",
    "url",
    "no-file",
    "requires-python",
    "yanked",
    "cut-off",
    "prerelease",
    "metadata",
    "conflict",
    "unmet",
    "constraint",
    "locked",
    "alignment",
]


class PassedOver(msgspec.Struct, frozen=True, order=True):
    """The newest release of a project that was not chosen, and why."""

    name: str  # normalised
    version: str  # the chosen one
    newer: str  # the newest release that the requirements allow
    kind: PassedOverKind
    # By kind. sdist: the projects that it needs and that exist as sources only, "a, b", or "" if it does itself. url:
    # the project that it requires from a URL. requires-python and constraint: the specifier. yanked: why. no-file,
    # metadata and conflict: the end of a sentence about the release. unmet: a project that it needs, and why no version
    # of that can be used.
    detail: str = ""
    direct: bool = True  # whether the problem itself requires the project; False if a package brings it along
    is_kept: bool = False  # whether the version was preferred because the lock has it
    url: str = ""  # of kind url: the reference, which may hold credentials

    @property
    def must_build(self) -> tuple[str, ...]:
        """The projects that would have to be built for this release."""
        if self.kind != "sdist":
            return ()
        return tuple(self.detail.split(", ")) if self.detail else (self.name,)

    @property
    def reason(self) -> str:
        """Why it was not chosen. Completes a sentence that begins with the release."""
        return reason_text(self.kind, self.detail)


def reason_text(kind: str, detail: str) -> str:
    """Why a release was not chosen. Completes a sentence that begins with the release."""
    match kind:
        case "sdist":
            needed = detail.split(", ") if detail else []
            listed = " and ".join([", ".join(needed[:-1]), needed[-1]]) if len(needed) > 1 else detail
            verb = "exist" if len(needed) > 1 else "exists"
            only = "as source only"
            return f"needs {listed}, which {verb} {only}" if needed else f"exists {only}"
        case "url":
            return f"requires {detail} from a URL"
        case "requires-python":
            return f"requires Python {detail}"
        case "yanked":
            return f"was yanked{f': {detail}' if detail else ''}"
        case "cut-off":
            return "was uploaded after the cut-off"
        case "prerelease":
            return "is a pre-release"
        case "metadata":
            return f"has metadata that cannot be used: {detail}"
        case "conflict":
            return f"conflicts with {detail}"
        case "unmet":
            return f"cannot be used: {detail}"
        case "constraint":
            return f"is outside of the constraint {detail}"
        case "locked":
            return "is newer, and the lock keeps its version"
        case "alignment":
            return "does not work on all targets, which keep one version"
        case _:
            return detail or "was not chosen"
