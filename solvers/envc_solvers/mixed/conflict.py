"""What a refusal of a mixed problem holds: the conda side, and what PyPI has against it."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from envc_solvers.conda.explain.conflict import CondaConflict
from envc_solvers.errors import SolverError
from envc_solvers.pypi.explain.conflict import PyPIConflict


class Objection(msgspec.Struct, frozen=True):
    """Why PyPI cannot live with a choice of conda's: for requirements of its own, or because of what was asked for."""

    text: str  # in a line
    conflict: PyPIConflict | None = None  # None: nothing was searched, the problem itself rules it out


class MixedConflict(msgspec.Struct, frozen=True):
    """Why the two kinds have no common solution."""

    conda: CondaConflict  # why nothing else is left for conda
    objections: tuple[Objection, ...]  # those that this rests on, in the order in which they came up
    suggestion: str = ""  # a change that was seen to make the whole problem solvable

    @property
    def target(self) -> str:
        return self.conda.target

    def relabelled(self, label: Callable[[str], str]) -> MixedConflict:
        """The same conflict with other labels for where requirements stand; `label` maps the old ones."""
        replace = msgspec.structs.replace
        return replace(
            self,
            conda=self.conda.relabelled(label),
            objections=tuple(
                replace(each, conflict=each.conflict.relabelled(label)) if each.conflict is not None else each
                for each in self.objections
            ),
        )

    def data(self) -> dict[str, object]:
        """As plain data, for JSON."""
        return {
            "target": self.target,
            "conda": self.conda.data(),
            "pypi": [each.conflict.data() for each in self.objections if each.conflict is not None],
            "suggestion": self.suggestion,
        }

    def __str__(self) -> str:
        lines = [f"the conda packages and the PyPI packages for {self.target} do not fit together"]
        lines += [f"  conda: {spec}{f'  ({origin})' if origin else ''}" for spec, origin in self.conda.roots]
        roots = dict.fromkeys(root for each in self.objections if each.conflict for root in each.conflict.roots)
        lines += [f"  PyPI: {requirement}{f'  ({origin})' if origin else ''}" for requirement, origin in roots]
        told = str(msgspec.structs.replace(self.conda, suggestion="")).splitlines()
        lines += told[told.index("because") :]
        subjects = dict.fromkeys(
            line
            for each in self.objections
            for line in (each.conflict.told() if each.conflict is not None else [each.text])
        )
        lines += ["and on the side of PyPI", *(f"  {line}" for line in subjects)]
        if self.suggestion:
            lines.append(f"try: {self.suggestion}")
        return "\n".join(lines)


class MixedUnsolvable(SolverError):
    """No set of conda packages leaves the PyPI packages a solution."""

    def __init__(self, conflict: MixedConflict) -> None:
        super().__init__(conflict)
        self.conflict = conflict

    def __str__(self) -> str:
        return str(self.conflict)


class MixedGaveUp(SolverError):
    """Solving conda again as often as that may be done led to a new objection every time."""

    def __init__(self, target: str, rounds: int, objections: tuple[Objection, ...]) -> None:
        super().__init__(target, rounds, objections)
        self.target = target
        self.rounds = rounds
        self.objections = objections

    def relabelled(self, label: Callable[[str], str]) -> MixedGaveUp:
        """The same with other labels for where requirements stand."""
        replace = msgspec.structs.replace
        objections = tuple(
            replace(each, conflict=each.conflict.relabelled(label)) if each.conflict is not None else each
            for each in self.objections
        )
        return MixedGaveUp(self.target, self.rounds, objections)

    def __str__(self) -> str:
        lines = [
            f"conda was solved {self.rounds} times again for {self.target}, and PyPI objected to every solution;"
            " it was not found out whether there is one. The objections were"
        ]
        lines += [f"  {each.text}" for each in self.objections]
        lines.append("try: say among the conda packages which versions PyPI can live with")
        return "\n".join(lines)
