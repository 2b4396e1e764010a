"""Why a conda problem has no solution: specs without a common solution as values, and their text and data."""

from __future__ import annotations

import msgspec

from envc_solvers.conda.explain.reasons import Reason
from envc_solvers.conda.explain.wording import reason_text
from envc_solvers.errors import SolverError
from envc_solvers.origin import KeyPath, ShowPlace, render_key_path

_MOST_LINES = 24  # of reasons; with the specs, notes and the suggestion a message stays below 40 lines


class CondaConflict(msgspec.Struct, frozen=True):
    """Why a problem has no solution."""

    target: str
    roots: tuple[tuple[str, KeyPath], ...]  # spec and origin, of the smallest failing set that was found
    minimal: bool  # whether leaving out any one of them was seen to help
    reasons: tuple[Reason, ...]  # in the order of the dependencies, from the specs on
    suggestion: str = ""  # a change that was seen to make the problem solvable
    forbidden: tuple[int, ...] = ()  # numbers of the problem's `forbidden` that the conflict depends on; ascending

    @property
    def headline(self) -> str:
        return f"no set of packages meets the specs for {self.target}"

    def root_lines(self, show: ShowPlace = render_key_path) -> list[str]:
        """The specs, each with its place."""
        return [f"{spec}{f'  ({show(origin)})' if origin else ''}" for spec, origin in self.roots]

    def reason_lines(self, show: ShowPlace = render_key_path) -> list[str]:
        """The reasons; of very many, the first and the last ones."""
        lines = [reason_text(reason, show) for reason in self.reasons]
        if len(lines) <= _MOST_LINES:
            return lines
        half = _MOST_LINES // 2
        return [*lines[:half], f"… {len(lines) - 2 * half} more", *lines[-half:]]

    def lines(self, show: ShowPlace = render_key_path) -> list[str]:
        """The specs and the reasons."""
        roots = (f"  {line}" for line in self.root_lines(show))
        return [*roots, "because", *(f"  {line}" for line in self.reason_lines(show))]

    def data(self, show: ShowPlace = render_key_path) -> dict[str, object]:
        """As plain data, for JSON."""
        return {
            "target": self.target,
            "roots": [{"spec": spec, "origin": show(origin)} for spec, origin in self.roots],
            "minimal": self.minimal,
            "reasons": [
                {"kind": reason.kind, "package": reason.package, "on": reason.on, "text": reason_text(reason, show)}
                for reason in self.reasons
            ],
            "suggestion": self.suggestion,
            "forbidden": list(self.forbidden),
        }

    def __str__(self) -> str:
        suggestion = [f"try: {self.suggestion}"] if self.suggestion else []
        return "\n".join([self.headline, *self.lines(), *suggestion])


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
