"""Why a PyPI problem has no solution: requirements without a common solution as values, and their text and data."""

from __future__ import annotations

import msgspec

from envc_solvers.errors import SolverError
from envc_solvers.origin import KeyPath, ShowPlace, render_key_path
from envc_solvers.pypi.explain.subjects import ProvidedOutside, Subject
from envc_solvers.pypi.explain.wording import cause_text, nearest_files, requirement_text, subject_text

_MOST_DECIDED = 4  # decisions that a stopped search names


class PyPIConflict(msgspec.Struct, frozen=True):
    """Why a problem has no solution."""

    target: str
    python: str
    roots: tuple[tuple[str, KeyPath], ...]  # requirement and origin, of the smallest failing set that was found
    minimal: bool  # whether leaving out any one of them was seen to help
    subjects: tuple[Subject, ...]
    suggestion: str = ""  # a change that was seen to make the problem solvable

    @property
    def headline(self) -> str:
        return f"no set of versions meets the requirements for {self.target}, Python {self.python}"

    def root_lines(self, show: ShowPlace = render_key_path) -> list[str]:
        """The requirements, each with its place."""
        return [f"{requirement}{f'  ({show(origin)})' if origin else ''}" for requirement, origin in self.roots]

    def subject_lines(self, show: ShowPlace = render_key_path) -> list[str]:
        """The subjects. Requirements that only the problem itself states are not repeated: the roots show them."""
        lines = []
        for subject in self.subjects:
            lines.append(f"{subject.project}: {subject_text(subject)}")
            is_shown = all(not each.chain and (each.requirement, each.origin) in self.roots for each in subject.causes)
            if not is_shown or isinstance(subject, ProvidedOutside):
                lines += [f"  {cause_text(cause, show)}" for cause in subject.causes]
            lines += [f"  nearest: {file}" for file in nearest_files(subject)]
        return lines

    def lines(self, show: ShowPlace = render_key_path) -> list[str]:
        """The roots and the subjects."""
        return [*(f"  {line}" for line in self.root_lines(show)), *self.subject_lines(show)]

    def data(self, show: ShowPlace = render_key_path) -> dict[str, object]:
        """As plain data, for JSON."""
        return {
            "target": self.target,
            "python": self.python,
            "roots": [{"requirement": requirement, "origin": show(origin)} for requirement, origin in self.roots],
            "minimal": self.minimal,
            "subjects": [_subject_data(subject, show) for subject in self.subjects],
            "suggestion": self.suggestion,
        }

    def __str__(self) -> str:
        suggestion = [f"try: {self.suggestion}"] if self.suggestion else []
        return "\n".join([self.headline, *self.lines(), *suggestion])


def _subject_data(subject: Subject, show: ShowPlace) -> dict[str, object]:
    return {
        "project": subject.project,
        "wants": [
            {
                "requirement": requirement_text(cause),
                "root": cause.root,
                "origin": show(cause.origin),
                "chain": msgspec.to_builtins(cause.chain),
                "constraint": cause.constraint,
            }
            for cause in subject.causes
        ],
        "reason": subject.reason,
        "text": subject_text(subject),
        "files": list(nearest_files(subject)),
    }


class PyPIUnsolvable(SolverError):
    """No set of versions meets the requirements."""

    def __init__(self, conflict: PyPIConflict) -> None:
        super().__init__(conflict)
        self.conflict = conflict

    def __str__(self) -> str:
        return str(self.conflict)


class PyPIGaveUp(SolverError):
    """The search reached its limit before it had an answer."""

    suggestion = ""

    def __init__(
        self, tried: int, timed_out: bool, deciding: str, decided: tuple[str, ...], conflict: PyPIConflict
    ) -> None:
        super().__init__(tried, timed_out, deciding, decided, conflict)
        self.tried = tried  # candidates
        self.timed_out = timed_out  # whether the time ran out; otherwise the limit of candidates was reached
        self.deciding = deciding  # the identifier being decided at the end
        self.decided = decided  # "app 1.0", in the order of decisions
        self.conflict = conflict  # the obstacles, most frequent first; not a proof

    @property
    def headline(self) -> str:
        last = ", ".join(self.decided[-_MOST_DECIDED:])
        before = f", after {'… ' if len(self.decided) > _MOST_DECIDED else ''}{last}" if last else ""
        return (
            f"the search for {self.conflict.target}, Python {self.conflict.python} was stopped after {self.tried} "
            f"candidates{', when its time ran out,' if self.timed_out else ''} while deciding "
            f"{self.deciding or 'the first project'}{before}; what stood in the way so far:"
        )

    def lines(self, show: ShowPlace = render_key_path) -> list[str]:
        """The state of the search, and the obstacles."""
        return [self.headline, *self.conflict.lines(show)]

    def data(self, show: ShowPlace = render_key_path) -> dict[str, object]:
        """As plain data, for JSON."""
        stopped = {
            "tried": self.tried,
            "late": self.timed_out,
            "deciding": self.deciding,
            "decided": list(self.decided),
        }
        return {**stopped, **self.conflict.data(show)}

    def __str__(self) -> str:
        return "\n".join(self.lines())
