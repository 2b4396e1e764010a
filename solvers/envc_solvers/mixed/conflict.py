"""Why a mixed problem has no solution: the conda side and the PyPI objections as values, and their text and data."""

from __future__ import annotations

import msgspec

from envc_solvers.conda.explain.conflict import CondaConflict
from envc_solvers.errors import SolverError
from envc_solvers.origin import Phrase, ShowPlace, render, render_key_path
from envc_solvers.pypi.explain.conflict import PyPIConflict


class Objection(msgspec.Struct, frozen=True):
    """Why the PyPI side cannot accept a choice of conda's."""

    reason: Phrase  # in one line
    conflict: PyPIConflict | None = None  # None: nothing was searched, since the problem itself rules the choice out


class MixedConflict(msgspec.Struct, frozen=True):
    """Why the two kinds have no common solution."""

    conda: CondaConflict  # why conda has no other choice
    objections: tuple[Objection, ...]  # those that the conflict depends on, in the order in which they arose
    suggestion: str = ""  # a change that was seen to make the whole problem solvable

    @property
    def target(self) -> str:
        return self.conda.target

    @property
    def headline(self) -> str:
        return f"the conda packages and the PyPI packages for {self.target} are incompatible"

    def lines(self, show: ShowPlace = render_key_path) -> list[str]:
        """The requirements of both kinds, why conda has no other choice, and why PyPI packages do not allow it."""
        pypi = [each.conflict for each in self.objections if each.conflict is not None]
        roots = dict.fromkeys(line for conflict in pypi for line in conflict.root_lines(show))
        objections: dict[str, None] = {}
        for each in self.objections:
            own = [render(each.reason, show)] if each.conflict is None else each.conflict.subject_lines(show)
            objections |= dict.fromkeys(own)
        return [
            *(f"  conda: {line}" for line in self.conda.root_lines(show)),
            *(f"  PyPI: {line}" for line in roots),
            "because",
            *(f"  {line}" for line in self.conda.reason_lines(show)),
            "and on the PyPI side",
            *(f"  {line}" for line in objections),
        ]

    def data(self, show: ShowPlace = render_key_path) -> dict[str, object]:
        """As plain data, for JSON."""
        return {
            "target": self.target,
            "conda": self.conda.data(show),
            "pypi": [each.conflict.data(show) for each in self.objections if each.conflict is not None],
            "suggestion": self.suggestion,
        }

    def __str__(self) -> str:
        suggestion = [f"try: {self.suggestion}"] if self.suggestion else []
        return "\n".join([self.headline, *self.lines(), *suggestion])


class MixedUnsolvable(SolverError):
    """No set of conda packages leaves the PyPI packages a solution."""

    def __init__(self, conflict: MixedConflict) -> None:
        super().__init__(conflict)
        self.conflict = conflict

    def __str__(self) -> str:
        return str(self.conflict)


class MixedGaveUp(SolverError):
    """conda was solved again as often as allowed, and the PyPI side objected to every solution."""

    suggestion = "add specs to the conda packages for the versions that the PyPI packages need"

    def __init__(self, target: str, rounds: int, objections: tuple[Objection, ...]) -> None:
        super().__init__(target, rounds, objections)
        self.target = target
        self.rounds = rounds
        self.objections = objections

    def lines(self, show: ShowPlace = render_key_path) -> list[str]:
        """How often conda was solved, and the objections."""
        return [
            f"no solution was found for {self.target}, although there may be one: "
            f"conda was solved {self.rounds + 1} times, and the PyPI packages excluded every solution:",
            *(f"  {render(each.reason, show)}" for each in self.objections),
        ]

    def data(self, show: ShowPlace = render_key_path) -> dict[str, object]:
        """As plain data, for JSON."""
        return {"target": self.target, "reason": "\n".join([*self.lines(show), f"try: {self.suggestion}"])}

    def __str__(self) -> str:
        return "\n".join([*self.lines(), f"try: {self.suggestion}"])
