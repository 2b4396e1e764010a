"""Names: their valid forms, and the projects that a glob matches."""

from __future__ import annotations

import re
from collections.abc import Iterable

from envc.locking.manifest.report import Report
from envc.model.manifest import KeyPath
from envc_solvers.pypi.language.requirement import canonicalize_name

# Names become parts of paths and keys of the lock.
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")
_PROJECT = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")  # PEP 508
_GLOB = r"[A-Za-z0-9._*?-]+"


def check_name(report: Report, at: KeyPath, what: str, name: str) -> None:
    """Report an invalid name of a step, group, target, source or project."""
    if not name:
        report.add(at, f"the name of a {what} must not be empty")
    elif not _NAME.fullmatch(name) or name.endswith("."):
        report.add(
            at,
            f"{name[:120]!r} is not a valid name of a {what}",
            "use at most 100 letters, digits, '.', '_' and '-', with a letter, digit or '_' first and no '.' last",
        )


def check_names(report: Report, at: KeyPath, what: str, names: Iterable[str]) -> None:
    """The same for the keys of a table. No two may differ only in case, since they become file names."""
    folded: dict[str, str] = {}
    for name in names:
        check_name(report, (*at, name), what, name)
        twin = folded.setdefault(name.casefold(), name)
        if twin != name:
            report.add((*at, name), f"differs from {twin!r} only in case, which not every file system distinguishes")


def read_project_name(report: Report, at: KeyPath, name: str) -> str:
    """A PyPI project's name in its normalised form (PEP 503)."""
    if not _PROJECT.fullmatch(name):
        report.add(at, f"{name[:120]!r} is not a valid name of a PyPI project")
    return canonicalize_name(name)


def read_glob(report: Report, at: KeyPath, glob: str) -> str:
    """A glob over project names, normalised like them. Only ``*`` and ``?`` are special."""
    if not re.fullmatch(_GLOB, glob):
        report.add(at, f"{glob[:120]!r} cannot match a project name", "use letters, digits, '-', '*' and '?'")
    return re.sub(r"[-_.]+", "-", glob).lower()


def matches(glob: str, name: str) -> bool:
    """Whether a glob matches a normalised name."""
    return re.fullmatch(re.escape(glob).replace(r"\*", ".*").replace(r"\?", "."), name) is not None


def overlap(left: str, right: str) -> bool:
    """Whether some name matches both globs.

    Walks the product of the automata of both patterns: `reached` holds the possible positions in `right` after the part
    of `left` that has been read.
    """
    reached = _skip_stars(right, {0})
    for character in left:
        if character == "*":
            reached = set(range(min(reached), len(right) + 1)) if reached else reached
            continue
        following = set()
        for position in reached:
            if position < len(right):
                if right[position] == "*":
                    following.add(position)
                elif "?" in (character, right[position]) or character == right[position]:
                    following.add(position + 1)
        reached = _skip_stars(right, following)
    return len(right) in reached


def _skip_stars(pattern: str, reached: set[int]) -> set[int]:
    for position in sorted(reached):
        while position < len(pattern) and pattern[position] == "*":
            position += 1
            reached.add(position)
    return reached
