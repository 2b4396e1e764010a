"""The mistakes of a manifest, collected while it is read, so that all are reported at once."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from envc.errors import Mistake
from envc.fetch.net.urls import redact
from envc.model.manifest import KeyPath

_LIST_AT_MOST = 8  # names that a suggestion lists if none is similar


class Report:
    """The mistakes found so far. Key paths are relative to the manifest's root table."""

    def __init__(self) -> None:
        self.mistakes: list[Mistake] = []

    def add(self, at: KeyPath, reason: str, suggestion: str | None = None) -> None:
        """Add a mistake. Credentials in its text are redacted here, for all callers."""
        self.mistakes.append(Mistake(at, redact(reason), redact(suggestion) if suggestion else None))

    def unknown(self, at: KeyPath, what: str, name: str, known: Iterable[str]) -> None:
        """Add a name that does not exist."""
        self.add(at, f"there is no {what} {name!r}", suggest_name(name, known))


def suggest_name(name: str, known: Iterable[str]) -> str | None:
    """A suggestion: the most similar name, or all names if there are few."""
    from envc_solvers.nearest import nearest_name  # late: only mistakes need it

    names = sorted(known)
    by_folded = {candidate.casefold(): candidate for candidate in names}
    close = nearest_name(name.casefold(), by_folded)
    if close is not None:
        return f"did you mean {by_folded[close]!r}?"
    if 0 < len(names) <= _LIST_AT_MOST:
        return f"known: {', '.join(names)}"
    return None


def check_unique(report: Report, at: KeyPath, names: Collection[str]) -> None:
    """Report the second of two equal names in a list."""
    if len(set(names)) == len(names):
        return
    seen: set[str] = set()
    for index, name in enumerate(names):
        if name in seen:
            report.add((*at, index), f"{name!r} is listed twice")
        seen.add(name)


def table_of(document: object, key: str) -> dict[str, Any]:
    """A table of a document of any shape; empty if it has none of that name."""
    value = document.get(key) if isinstance(document, dict) else None
    return value if isinstance(value, dict) else {}
