"""What a refusal holds: specs without a common solution, and why, as values that render as text and data."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import msgspec

from envc_solvers.errors import SolverError

_MOST_LINES = 24  # of reasons; with the specs, notes and the suggestion a message stays below 40 lines

Kind = Literal[
    "needs", "constrains", "no-package", "no-version", "no-build", "virtual", "hidden", "unreadable", "forbidden"
]


class Reason(msgspec.Struct, frozen=True):
    """One fact of the conflict."""

    kind: Kind
    package: str  # who asks, with versions: "numpy 1.22.0 to 1.26.4"; "" for the specs themselves
    on: str  # the name in question
    text: str  # in words


class CondaConflict(msgspec.Struct, frozen=True):
    """Why a problem has no solution."""

    target: str
    roots: tuple[tuple[str, str], ...]  # spec and origin, of the smallest failing set that was found
    minimal: bool  # whether leaving out any one of them was seen to help
    reasons: tuple[Reason, ...]  # who asks first, what cannot be met last
    suggestion: str = ""  # a change that was seen to make the problem solvable
    forbidden: tuple[int, ...] = ()  # of what the problem forbids, that which the conflict rests on; ascending

    def relabelled(self, label: Callable[[str], str]) -> CondaConflict:
        """The same conflict with other labels for where specs stand; `label` maps the old ones."""
        return msgspec.structs.replace(self, roots=tuple((spec, label(origin)) for spec, origin in self.roots))

    def data(self) -> dict[str, object]:
        """As plain data, for JSON."""
        data: dict[str, object] = msgspec.to_builtins(self)
        data["roots"] = [{"spec": spec, "origin": origin} for spec, origin in self.roots]
        return data

    def __str__(self) -> str:
        lines = [f"no set of packages meets the specs for {self.target}"]
        lines += [f"  {spec}{f'  ({origin})' if origin else ''}" for spec, origin in self.roots]
        lines.append("because")
        shown = self.reasons
        if len(shown) > _MOST_LINES:
            shown = (*shown[: _MOST_LINES // 2], *shown[-_MOST_LINES // 2 :])
        for number, reason in enumerate(shown):
            if len(shown) < len(self.reasons) and number == _MOST_LINES // 2:
                lines.append(f"  … {len(self.reasons) - len(shown)} more")
            lines.append(f"  {reason.text}")
        if self.suggestion:
            lines.append(f"try: {self.suggestion}")
        return "\n".join(lines)


class CondaUnsolvable(SolverError):
    """No set of records meets the specs."""

    def __init__(self, conflict: CondaConflict) -> None:
        super().__init__(conflict)
        self.conflict = conflict

    def __str__(self) -> str:
        return str(self.conflict)


class CondaGaveUp(SolverError):
    """The search reached its limit before it had an answer."""

    def __init__(self, target: str, conflicts: int) -> None:
        super().__init__(target, conflicts)
        self.target = target
        self.conflicts = conflicts

    def __str__(self) -> str:
        return f"the search for {self.target} was stopped after {self.conflicts} conflicts without an answer"
