"""What a refusal holds: requirements without a common solution, and why, as values that render as text and data."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from envc_solvers.errors import SolverError

_MOST_DECIDED = 4  # decisions that a stopped search names


class Step(msgspec.Struct, frozen=True):
    """One link of a chain: a package at some versions, and the requirement of it that leads on."""

    package: str  # with its extra, if it is asked for: "fastapi[standard]"
    versions: str  # "2.5.0", "2.5.0 to 2.9.2 (14 versions)"
    requires: str  # "typing-extensions>=4.6.1"


class Want(msgspec.Struct, frozen=True):
    """A requirement on the project in question, and how it comes about."""

    requirement: str
    root: str  # the problem's own requirement at the beginning of the chain
    origin: str  # the label of that one
    chain: tuple[Step, ...] = ()  # from the root to this requirement; () when the root states it
    constraint: bool = False  # whether it only narrows what others ask for


class Subject(msgspec.Struct, frozen=True):
    """A project for which no version will do."""

    project: str
    wants: tuple[Want, ...]
    reason: str  # "conflict", "no-project", "no-version", "no-file", "only-sdists", "refused", "from-url", "provided"
    text: str  # the reason in words
    files: tuple[str, ...] = ()  # files that come nearest


class PyPIConflict(msgspec.Struct, frozen=True):
    """Why a problem has no solution."""

    target: str
    python: str
    roots: tuple[tuple[str, str], ...]  # requirement and origin, of the smallest failing set that was found
    minimal: bool  # whether leaving out any one of them was seen to help
    subjects: tuple[Subject, ...]
    suggestion: str = ""  # a change that was seen to make the problem solvable

    def relabelled(self, label: Callable[[str], str]) -> PyPIConflict:
        """The same conflict with other labels for where requirements stand; `label` maps the old ones."""
        replace = msgspec.structs.replace
        return replace(
            self,
            roots=tuple((requirement, label(origin)) for requirement, origin in self.roots),
            subjects=tuple(
                replace(s, wants=tuple(replace(want, origin=label(want.origin)) for want in s.wants))
                for s in self.subjects
            ),
        )

    def data(self) -> dict[str, object]:
        """As plain data, for JSON."""
        data: dict[str, object] = msgspec.to_builtins(self)
        data["roots"] = [{"requirement": requirement, "origin": origin} for requirement, origin in self.roots]
        return data

    def __str__(self) -> str:
        lines = [f"no set of versions meets the requirements for {self.target}, Python {self.python}"]
        lines += [f"  {requirement}{f'  ({origin})' if origin else ''}" for requirement, origin in self.roots]
        lines += self.told()
        if self.suggestion:
            lines.append(f"try: {self.suggestion}")
        return "\n".join(lines)

    def told(self) -> list[str]:
        """The subjects as lines. Where nobody but the problem itself asks, it was said above what it asks."""
        lines = []
        for subject in self.subjects:
            lines.append(f"{subject.project}: {subject.text}")
            asked_by_others = any(w.chain or (w.requirement, w.origin) not in self.roots for w in subject.wants)
            if asked_by_others or subject.reason == "provided":
                lines += [f"  {line}" for want in subject.wants for line in _render(want)]
            lines += [f"  nearest: {file}" for file in subject.files]
        return lines


def _render(want: Want) -> list[str]:
    if not want.chain:
        where = ", ".join(part for part in ("constraint" if want.constraint else "", want.origin) if part)
        return [f"{want.requirement}{f'  ({where})' if where else ''}"]
    steps = [f"{step.package} {step.versions}" for step in want.chain]
    return [f"{want.requirement}  required by {' ← '.join(reversed(steps))} ← {want.root}"]


class PyPIUnsolvable(SolverError):
    """No set of versions meets the requirements."""

    def __init__(self, conflict: PyPIConflict) -> None:
        super().__init__(conflict)
        self.conflict = conflict

    def __str__(self) -> str:
        return str(self.conflict)


class PyPIGaveUp(SolverError):
    """The search reached its limit before it had an answer."""

    def __init__(self, tried: int, late: bool, deciding: str, decided: tuple[str, ...], conflict: PyPIConflict) -> None:
        super().__init__(tried, late, deciding, decided, conflict)
        self.tried = tried  # candidates
        self.late = late  # whether it was for time, and not for the number of candidates
        self.deciding = deciding  # the identifier being decided at the end
        self.decided = decided  # "app 1.0", in the order of decisions
        self.conflict = conflict  # what stood in the way, most often first; not a proof

    def relabelled(self, label: Callable[[str], str]) -> PyPIGaveUp:
        """As `Conflict.relabelled`."""
        return PyPIGaveUp(self.tried, self.late, self.deciding, self.decided, self.conflict.relabelled(label))

    def data(self) -> dict[str, object]:
        """As plain data, for JSON."""
        stopped = {"tried": self.tried, "late": self.late, "deciding": self.deciding, "decided": list(self.decided)}
        return {**stopped, **self.conflict.data()}

    def __str__(self) -> str:
        last = ", ".join(self.decided[-_MOST_DECIDED:])
        before = f", after {'… ' if len(self.decided) > _MOST_DECIDED else ''}{last}" if last else ""
        return (
            f"the search for {self.conflict.target}, Python {self.conflict.python} was stopped after {self.tried} "
            f"candidates{', when its time was over,' if self.late else ''} while deciding "
            f"{self.deciding or 'the first project'}{before}; what stood in the way so far:\n"
            + "\n".join(str(self.conflict).splitlines()[1:])
        )
