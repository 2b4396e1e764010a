"""refusal: a problem without an answer, as people are told of it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from envc.errors import Refusal, render_key_path
from envc.locking.plan.problems import PosedProblem
from envc_solvers.errors import SolverError

if TYPE_CHECKING:
    from envc_solvers.pypi.explain.conflict import PyPIConflict

_GROUP = r"groups\.([^.\[]+|\"[^\"]+\")\."


def refusal_of(posed: PosedProblem, error: SolverError, label: Callable[[str], str]) -> Refusal:
    """What a PyPI solver said no with. `label` turns the origin of a requirement into what is shown for it."""
    from envc_solvers.pypi.explain.conflict import PyPIGaveUp
    from envc_solvers.pypi.explain.conflict import PyPIUnsolvable as Conflicting

    steps, target, python = posed.steps, posed.step_targets[0].target.name, posed.step_targets[0].python.text
    title = title_of(posed)
    if isinstance(error, Conflicting):
        conflict = error.conflict
        apart = _groups_apart(conflict.roots)
        conflict = conflict.relabelled(label)
        # Its first line says for which target; the title does, and targets that fail alike are told together.
        lines = str(conflict).splitlines()[1:]
        at = len(lines) - bool(conflict.suggestion)
        lines[at:at] = _sources(posed, conflict, label)
        if apart:
            lines.insert(at, f"groups {' and '.join(apart)} exclude each other: name them in separate steps")
        return Refusal(title, "\n".join(lines), {"steps": steps, **conflict.data(), "groups": apart})
    if isinstance(error, PyPIGaveUp):
        error = error.relabelled(label)
        text = f"{error}\ntry: a lower bound for what is named first, or more of --time-limit and --max-candidates"
        return Refusal(title, text, {"steps": steps, **error.data()})
    return Refusal(title, str(error), {"steps": steps, "target": target, "python": python, "reason": str(error)})


def _sources(posed: PosedProblem, conflict: PyPIConflict, label: Callable[[str], str]) -> list[str]:
    """What the solver cannot know of a project: that the manifest says where it is, or that it might be built."""
    direct = {dependency.requirement.name: dependency.at for dependency in posed.direct}
    lines = []
    for subject in conflict.subjects:
        if subject.project in direct:
            place = label(render_key_path(direct[subject.project]))
            lines.append(f"{subject.project} is what {place} leads to, and nothing else")
        elif subject.reason == "only-sdists":
            lines.append(f'to build {subject.project} from source, write build = ["{subject.project}"] under [policy]')
    return lines


def _groups_apart(roots: tuple[tuple[str, str], ...]) -> list[str]:
    """The groups that exclude each other: those of a failing set to which every requirement of it belongs."""
    found = [re.match(_GROUP, origin) for _, origin in roots]
    names = sorted({match[1] for match in found if match is not None})
    return names if len(names) > 1 and None not in found else []


def title_of(posed: PosedProblem) -> str:
    """``steps prepare, train on linux-64 (Python 3.12)``."""
    steps, first = posed.steps, posed.step_targets[0]
    return f"step{'s' if len(steps) > 1 else ''} {', '.join(steps)} on {first.target.name} (Python {first.python.text})"
