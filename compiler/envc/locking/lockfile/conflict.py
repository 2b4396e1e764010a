"""conflict: splits a lock with merge conflict markers into two locks."""

from __future__ import annotations

from pathlib import Path

from envc.errors import LockFileError


class LockConflict(LockFileError):
    """A lock with conflict markers. Both sides are whole texts, whose graphs `merge` combines."""

    def __init__(self, path: Path, ours: str, theirs: str) -> None:
        super().__init__(path, "contains merge conflict markers", "run `envc lock`, which merges both sides")
        self.ours = ours
        self.theirs = theirs


def split_conflict(text: str) -> tuple[str, str] | None:
    """Both sides of a text with conflict markers; None if it has none, or if they are unbalanced.

    The common ancestor that git can show between ``|||||||`` and ``=======`` belongs to neither side.
    """
    ours: list[str] = []
    theirs: list[str] = []
    sides: tuple[list[str], ...] = (ours, theirs)
    state, conflicts = "both", 0
    for line in text.splitlines(keepends=True):
        marker = line[:7] if line[7:8] in ("", " ", "\n", "\r") else ""
        match state, marker:
            case "both", "<<<<<<<":
                state, sides = "ours", (ours,)
                conflicts += 1
            case "ours", "|||||||":
                state, sides = "base", ()
            case "ours" | "base", "=======":
                state, sides = "theirs", (theirs,)
            case "theirs", ">>>>>>>":
                state, sides = "both", (ours, theirs)
            case _, "<<<<<<<" | ">>>>>>>":
                return None
            case _:
                for side in sides:
                    side.append(line)
    return ("".join(ours), "".join(theirs)) if conflicts and state == "both" else None
