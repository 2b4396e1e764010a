"""Turns problems without a solution into refusals: the solver's explanation with notes from the manifest."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec

from envc.errors import EnvcError, Refusal, SourceUnreachable, Unsolvable
from envc_solvers.errors import SolverError
from envc_solvers.origin import KeyPath, Phrase, ShowPlace, render_key_path

if TYPE_CHECKING:
    from envc.locking.plan.problems import SharedProblem
    from envc_solvers.pypi.explain.conflict import PyPIConflict


class Message(msgspec.Struct, frozen=True):
    """An explanation that is one text and names no place."""

    text: str
    details: dict[str, object]

    def lines(self, show: ShowPlace) -> list[str]:
        return self.text.splitlines()

    def data(self, show: ShowPlace) -> dict[str, object]:
        return self.details


def pypi_refusal(shared: SharedProblem, error: SolverError) -> Refusal:
    """The refusal for an error of the PyPI solver."""
    from envc_solvers.pypi.explain.conflict import PyPIGaveUp, PyPIUnsolvable

    title, steps = title_of(shared), tuple(shared.steps)
    if isinstance(error, PyPIUnsolvable):
        conflict = error.conflict
        return Refusal(
            title=title,
            why=conflict,
            steps=steps,
            groups=_conflicting_groups([origin for _, origin in conflict.roots]),
            notes=tuple(_notes(shared, conflict)),
            suggestion=conflict.suggestion,
        )
    if isinstance(error, PyPIGaveUp):
        suggestion = "set a lower bound for the project named first, or raise --time-limit or --max-candidates"
        return Refusal(title=title, why=error, steps=steps, suggestion=suggestion)
    first = shared.step_targets[0]
    details: dict[str, object] = {"target": first.target.name, "python": first.python.text, "reason": str(error)}
    return Refusal(title=title, why=Message(str(error), details), steps=steps)


def conda_error(title: str, target: str, error: SolverError) -> EnvcError:
    """Unsolvable for an error of the conda solver; SourceUnreachable for a record that cannot be used."""
    from envc_solvers.conda.explain.conflict import CondaUnsolvable
    from envc_solvers.conda.language.interpreters import OtherInterpreter
    from envc_solvers.conda.language.record import RecordUnusable

    if isinstance(error, RecordUnusable):
        place = f"the record of {error.subdir}/{error.file}"
        return SourceUnreachable(error.channel, place, error.reason, "report it to the maintainers of the channel")
    if isinstance(error, CondaUnsolvable):
        return Unsolvable((Refusal(title=title, why=error.conflict, suggestion=error.conflict.suggestion),))
    suggestion = error.suggestion if isinstance(error, OtherInterpreter) else ""
    why = Message(str(error), {"target": target, "reason": str(error)})
    return Unsolvable((Refusal(title=title, why=why, suggestion=suggestion),))


def mixed_error(shared: SharedProblem, target: str, error: SolverError) -> EnvcError:
    """Unsolvable for an error of the mixed solver, which may be about one kind alone."""
    from envc_solvers.mixed.conflict import MixedGaveUp, MixedUnsolvable
    from envc_solvers.pypi.explain.conflict import PyPIGaveUp, PyPIUnsolvable

    if isinstance(error, PyPIUnsolvable | PyPIGaveUp):
        return Unsolvable((pypi_refusal(shared, error),))
    if not isinstance(error, MixedUnsolvable | MixedGaveUp):
        return conda_error(title_of(shared), target, error)
    why = error.conflict if isinstance(error, MixedUnsolvable) else error
    return Unsolvable((Refusal(title=title_of(shared), why=why, steps=tuple(shared.steps), suggestion=why.suggestion),))


def _notes(shared: SharedProblem, conflict: PyPIConflict) -> Iterator[Phrase]:
    """Notes on facts that the solver does not know: direct references in the manifest, and possible builds."""
    direct = {dependency.requirement.name: dependency.at for dependency in shared.direct}
    for subject in conflict.subjects:
        if subject.project in direct:
            yield f"{subject.project} can only come from the reference at ", direct[subject.project]
        elif subject.reason == "only-sdists":
            yield (f'to build {subject.project} from source, write build = ["{subject.project}"] under [policy]',)


def _conflicting_groups(origins: list[KeyPath]) -> tuple[str, ...]:
    """The groups that exclude each other: those of a failing set in which every requirement comes from a group."""
    names = {render_key_path(origin[1:2]) for origin in origins if origin[:1] == ("groups",)}
    is_of_groups = all(origin[:1] == ("groups",) for origin in origins)
    return tuple(sorted(names)) if len(names) > 1 and is_of_groups else ()


def title_of(shared: SharedProblem) -> str:
    """``steps prepare, train on linux-64 (Python 3.12)``."""
    steps, first = shared.steps, shared.step_targets[0]
    return f"step{'s' if len(steps) > 1 else ''} {', '.join(steps)} on {first.target.name} (Python {first.python.text})"
