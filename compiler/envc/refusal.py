"""refusal: a problem without an answer, as people are told of it."""

from __future__ import annotations

import re
from collections.abc import Callable

from envc.errors import Refusal
from envc.pose import PosedProblem
from envc_solvers.errors import SolverError

_GROUP = re.compile(r"groups\.([^.\[]+|\"[^\"]+\")\.")


def refusal_of(posed: PosedProblem, error: SolverError, label: Callable[[str], str]) -> Refusal:
    """What a PyPI solver said no with. `label` turns the origin of a requirement into what is shown for it."""
    from envc_solvers.pypi.conflict import Conflict, GaveUp
    from envc_solvers.pypi.conflict import Unsolvable as Conflicting

    steps, target, python = posed.steps, posed.cells[0].target.name, posed.cells[0].python.text
    title = title_of(posed)
    if isinstance(error, Conflicting):
        conflict: Conflict = error.conflict
        apart = _groups_apart(conflict.roots)
        conflict = conflict.relabelled(label)
        # Its first line says for which target; the title does, and targets that fail alike are told together.
        lines = str(conflict).splitlines()[1:]
        if apart:
            at = len(lines) - bool(conflict.suggestion)
            lines.insert(at, f"groups {' and '.join(apart)} exclude each other: name them in separate steps")
        return Refusal(title, "\n".join(lines), {"steps": steps, **conflict.data(), "groups": apart})
    if isinstance(error, GaveUp):
        error = GaveUp(error.tried, error.late, error.deciding, error.conflict.relabelled(label))
        text = f"{error}\ntry: a lower bound for what is named first, or more of --time-limit and --max-candidates"
        return Refusal(title, text, {"steps": steps, "tried": error.tried, "late": error.late, **error.conflict.data()})
    return Refusal(title, str(error), {"steps": steps, "target": target, "python": python, "reason": str(error)})


def _groups_apart(roots: tuple[tuple[str, str], ...]) -> list[str]:
    """The groups that exclude each other: those of a failing set to which every requirement of it belongs."""
    found = [_GROUP.match(origin) for _, origin in roots]
    names = sorted({match[1] for match in found if match is not None})
    return names if len(names) > 1 and None not in found else []


def title_of(posed: PosedProblem) -> str:
    """``steps prepare, train on linux-64 (Python 3.12)``."""
    steps, cell = posed.steps, posed.cells[0]
    return f"step{'s' if len(steps) > 1 else ''} {', '.join(steps)} on {cell.target.name} (Python {cell.python.text})"
