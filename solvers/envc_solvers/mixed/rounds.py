"""One run: solve conda, then PyPI; forbid the conda records that PyPI rejects, and solve again."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import msgspec

from envc_solvers.conda.explain.conflict import CondaConflict, CondaUnsolvable
from envc_solvers.conda.language.interpreters import refuse_other_interpreter
from envc_solvers.conda.problem import ForbiddenRecords
from envc_solvers.conda.search.tables import candidates
from envc_solvers.conda.solve import solve_conda
from envc_solvers.mixed.names import Names, python_version
from envc_solvers.origin import Phrase
from envc_solvers.pypi.language.specifier import allows
from envc_solvers.pypi.problem import Budget, Provided
from envc_solvers.pypi.search.journal import Blamed
from envc_solvers.pypi.solve import FailedSearch, attempt
from envc_solvers.solution import Pin, Solution

if TYPE_CHECKING:
    from envc_solvers.conda.language.index import Repodata
    from envc_solvers.mixed.problem import MixedProblem, OpenIndex
    from envc_solvers.target import Python


class Round(msgspec.Struct, frozen=True):
    """A solution of conda that the PyPI side cannot accept."""

    forbidden: ForbiddenRecords  # in all later rounds
    reason: Phrase  # in one line
    search: FailedSearch | None  # None: the problem reserves the project


class Answers(msgspec.Struct, frozen=True):
    """The sources of packages for a run, and the limits of each PyPI search."""

    repodata: Repodata
    names: Names
    open_index: OpenIndex
    budget: Budget


class Failure(Exception):
    """conda and PyPI have no common solution, or none was found. `explain.explained` turns it into an error."""

    def __init__(self, rounds: list[Round], conflict: CondaConflict | None) -> None:
        super().__init__(rounds, conflict)
        self.rounds = rounds  # in order; the conda solutions that PyPI rejected
        self.conflict = conflict  # of conda under the prohibitions; None if the limit of rounds was reached


def run(problem: MixedProblem, answers: Answers, max_rounds: int) -> Solution:
    """As `solve.solve_mixed`, but raises Failure where that raises MixedUnsolvable or MixedGaveUp.

    Raises OtherInterpreter if conda's Python is not the one that wheels would be chosen for.
    """
    rounds: list[Round] = []
    while True:
        forbidden = tuple(each.forbidden for each in rounds)
        try:
            conda = solve_conda(msgspec.structs.replace(problem.conda, forbidden=forbidden), answers.repodata)
        except CondaUnsolvable as error:
            if not error.conflict.forbidden:
                raise
            raise Failure(rounds, error.conflict) from error
        refuse_other_interpreter(conda.pins, problem.pypi.python)
        chosen = Chosen(conda, answers.names)
        failed = _reserved(problem, chosen, answers) or _attempt(problem, chosen, answers)
        if isinstance(failed, Solution):
            return _combined(chosen, failed)
        if len(rounds) == max_rounds:
            raise Failure([*rounds, failed], None)
        rounds.append(failed)


class Chosen:
    """A solution of conda, and the projects that it stands for."""

    def __init__(self, solution: Solution, names: Names) -> None:
        self.solution = solution
        self.projects: dict[str, tuple[str, ...]] = {}  # conda name: projects that it stands for
        self.suppliers: dict[str, Pin] = {}  # project: the package that supplies it
        by_uncertainty: list[tuple[int, str, Pin]] = []
        for pin in solution.pins:
            mapped = names.projects_of(pin.name, pin.specs)
            if mapped.projects and python_version(pin.version) is not None:
                self.projects[pin.name] = mapped.projects
                by_uncertainty.append((mapped.uncertainty, pin.name, pin))
        for _, name, pin in sorted(by_uncertainty, key=lambda each: each[:2]):
            for project in self.projects[name]:
                self.suppliers.setdefault(project, pin)

    @property
    def provided(self) -> dict[str, Provided]:
        return {
            project: Provided(python_version(pin.version) or "", f"{pin.name} {pin.version} from conda")
            for project, pin in self.suppliers.items()
        }

    def python(self, default: Python) -> Python:
        """The Python of this solution, with its patch release; `default` if the solution has no Python."""
        for pin in self.solution.pins:
            if pin.name == "python":
                numbers = [int(part) for part in pin.version.split(".")[:3] if part.isdecimal()]
                if len(numbers) >= 2:
                    patch = numbers[2] if len(numbers) > 2 else None
                    return msgspec.structs.replace(default, minor=(numbers[0], numbers[1]), patch=patch)
        return default


def _reserved(problem: MixedProblem, chosen: Chosen, answers: Answers) -> Round | None:
    """A project that conda supplies although it must not."""
    for project, why in sorted(problem.reserved.items(), key=lambda item: item[0]):
        pin = chosen.suppliers.get(project)
        if pin is not None:
            records = {pin.name: _failing(problem, answers, pin.name, project, ())}
            return Round(ForbiddenRecords(records, (f"cannot supply {project}: ", *why)), (f"{project}: ", *why), None)
    return None


def _attempt(problem: MixedProblem, chosen: Chosen, answers: Answers) -> Solution | Round:
    python = chosen.python(problem.pypi.python)
    pypi_problem = msgspec.structs.replace(problem.pypi, python=python, provided=chosen.provided)
    pypi, index, marker_answers = answers.open_index(pypi_problem)
    try:
        return attempt(pypi, index, marker_answers, answers.budget)
    except FailedSearch as failed:
        if not failed.blamed:
            raise failed.explained() from None
        return _round(problem, chosen, answers, failed)


def _round(problem: MixedProblem, chosen: Chosen, answers: Answers, failed: FailedSearch) -> Round:
    """The prohibition that follows from a failure, for all versions of conda's packages for which it holds."""
    by_project: dict[str, list[Blamed]] = {}
    for fact in sorted(failed.blamed):
        by_project.setdefault(fact.name, []).append(fact)
    records: dict[str, frozenset[tuple[str, str, str]]] = {}
    for project, facts in by_project.items():
        name = chosen.suppliers[project].name
        failing = _failing(problem, answers, name, project, facts)
        # One package may stand for several projects.
        records[name] = records[name] & failing if name in records else failing
    # If a version itself is blamed, the failure is due to the requirements of its extras.
    allowed = [
        f"{fact.name}{fact.outside or ' in another version'}"
        for fact in sorted(failed.blamed, key=lambda fact: (not fact.outside, fact))
    ]
    blamed = " with ".join(f"{pin.name} {pin.version}" for name in records for pin in [_pin(chosen, name)])
    reason = f"is excluded by the PyPI packages, which need {' or '.join(allowed)}"
    return Round(ForbiddenRecords(records, (reason,)), (f"{blamed} {reason}",), failed)


def _pin(chosen: Chosen, name: str) -> Pin:
    return next(pin for pin in chosen.solution.pins if pin.name == name)


def _failing(
    problem: MixedProblem, answers: Answers, name: str, project: str, facts: Iterable[Blamed]
) -> frozenset[tuple[str, str, str]]:
    """The records of a name that stand for a project at a version for which all facts hold."""
    facts = tuple(facts)
    found = set()
    for channel in problem.conda.channels:
        for record in candidates(problem.conda, answers.repodata, channel, name):
            version = python_version(record.version)
            if version is None or project not in answers.names.projects_of(name, record.depends).projects:
                continue
            if all(_holds(fact, version) for fact in facts):
                found.add((channel, record.subdir, record.file))
    return frozenset(found)


def _holds(fact: Blamed, version: str) -> bool:
    return not allows(fact.outside, version) if fact.outside else fact.version == version


def _combined(chosen: Chosen, pypi: Solution) -> Solution:
    """Both solutions combined. A PyPI package that needs a project from conda depends on the conda package."""
    conda = [msgspec.structs.replace(pin, provides=chosen.projects.get(pin.name, ())) for pin in chosen.solution.pins]
    others = [
        msgspec.structs.replace(
            pin,
            depends=tuple(
                sorted({chosen.suppliers[name].name if name in chosen.suppliers else name for name in pin.depends})
            ),
        )
        for pin in pypi.pins
    ]
    return Solution(
        pins=(*conda, *others),
        roots=tuple(sorted({*chosen.solution.roots, *pypi.roots})),
        warnings=(*chosen.solution.warnings, *pypi.warnings),
    )
