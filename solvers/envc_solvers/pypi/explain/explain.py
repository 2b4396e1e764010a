"""Why there is no solution: a failed search turned into a `Conflict`.

A conflict names the smallest set of the problem's own requirements that was found to fail, and the projects on which
they disagree, with the chain of packages that leads to each requirement.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from resolvelib.resolvers import ResolutionImpossible

from envc_solvers.errors import ProjectNotFound, SolverError
from envc_solvers.pypi.explain.conflict import PyPIConflict, PyPIGaveUp, PyPIUnsolvable, Subject, Want
from envc_solvers.pypi.explain.suggest import suggest
from envc_solvers.pypi.explain.wording import Wording
from envc_solvers.pypi.language.index import Index
from envc_solvers.pypi.language.markers import Markers
from envc_solvers.pypi.problem import PyPIProblem, PyPIRoot
from envc_solvers.pypi.search.journal import Journal
from envc_solvers.pypi.search.replay import NotRecorded, RecordedIndex
from envc_solvers.pypi.search.run import search
from envc_solvers.pypi.search.search import SearchLimit

_MOST_TRIALS = 24  # searches spent on finding a smaller set of roots
_TRIES_EACH = 2_000  # candidates in each of them
_MOST_SUBJECTS = 5


def refuse(
    error: ResolutionImpossible[Any, Any] | ProjectNotFound | SearchLimit,
    problem: PyPIProblem,
    index: RecordedIndex,
    markers: Markers,
    journal: Journal,
    out_of_time: Callable[[], bool] | None,
) -> SolverError:
    """The error to raise for a failed search; a smaller failing set of roots is looked for without asking for more."""
    if isinstance(error, SearchLimit):
        journal.put_most_frequent_first()
        conflict = _conflict(problem, index, markers, journal, minimal=False)
        return PyPIGaveUp(error.tried, error.timed_out, journal.last, error.decided, conflict)
    whole = problem
    if isinstance(error, ResolutionImpossible):
        journal.root_causes(error)
        problem, journal, minimal = _minimise(problem, index, markers, journal)
    else:
        journal.not_found[error.name] = error
        # Anyone who asks for it fails alone.
        kept = tuple(root for root in problem.roots if root.requirement.name == error.name)[:1]
        problem = msgspec.structs.replace(problem, roots=kept, constraints=())
        minimal = True
    conflict = _conflict(problem, index, markers, journal, minimal)
    nearest = {name: error.nearest for name, error in journal.not_found.items() if error.nearest is not None}
    suggestion = suggest(whole, conflict, nearest, index, markers, out_of_time)
    return PyPIUnsolvable(msgspec.structs.replace(conflict, suggestion=suggestion))


def refuse_urls(problem: PyPIProblem, roots: list[PyPIRoot]) -> PyPIUnsolvable:
    """The error for requirements that name a URL: an index has no say about them, and nothing else is searched."""
    subjects = [
        Subject(
            root.requirement.name,
            (Want(str(root.requirement), str(root.requirement), root.origin),),
            "from-url",
            "a direct reference cannot be chosen from an index",
        )
        for root in roots
    ]
    return PyPIUnsolvable(
        PyPIConflict(
            target=problem.target.name,
            python=problem.python.text,
            roots=tuple((str(root.requirement), root.origin) for root in roots),
            minimal=True,
            subjects=tuple(subjects),
        )
    )


def _minimise(
    problem: PyPIProblem, index: RecordedIndex, markers: Markers, journal: Journal
) -> tuple[PyPIProblem, Journal, bool]:
    """The smallest failing set of roots and constraints that a bounded number of trial searches finds.

    Returns the reduced problem, the journal of its failure, and whether every further reduction was seen to succeed.
    """
    index.closed = True
    replace = msgspec.structs.replace
    minimal, trials = True, 0
    told = journal.blamed

    def fails(trial: PyPIProblem) -> Journal | None:
        nonlocal minimal, trials
        if trials >= _MOST_TRIALS:
            minimal = False
            return None
        trials += 1
        attempt = Journal()
        try:
            search(trial, index, markers, attempt, _TRIES_EACH, None)
        except ResolutionImpossible as error:
            attempt.root_causes(error)
            # A failure that rests on other provided versions would be another story.
            return attempt if attempt.blamed <= told else None
        except ProjectNotFound as error:
            attempt.not_found[error.name] = error
            return attempt
        except (NotRecorded, SearchLimit):
            minimal = False
        return None

    # What the failures lead back to is tried at once; the rest, root by root.
    reached = journal.roots_reached()
    first = replace(problem, roots=tuple(root for root in problem.roots if _key(root) in reached))
    if len(first.roots) < len(problem.roots) and (found := fails(first)) is not None:
        problem, journal = first, found
    minimal = True
    for field in ("roots", "constraints"):
        for root in getattr(problem, field):
            kept = tuple(other for other in getattr(problem, field) if other is not root)
            trial = replace(problem, **{field: kept})
            if (found := fails(trial)) is not None:
                problem, journal = trial, found
    index.closed = False
    return problem, journal, minimal


def _key(root: PyPIRoot) -> tuple[str, str]:
    return root.requirement.name, root.requirement.specifier


def _conflict(problem: PyPIProblem, index: Index, markers: Markers, journal: Journal, minimal: bool) -> PyPIConflict:
    holding = [root for root in problem.roots if markers.holds(root.requirement.marker)]
    limits = [root for root in problem.constraints if markers.holds(root.requirement.marker)]
    teller = Wording(problem, index, journal, holding, limits)
    # In the order in which they were met: why the newest candidates failed comes first.
    names = dict.fromkeys([*journal.clashes, *journal.broken, *journal.not_found])
    subjects = [subject for name in names for subject in teller.subjects(name)]
    told = {subject.project for subject in subjects}
    # An override is part of the story wherever it says what is wanted of a project that cannot be had.
    replacing = [
        root for root in problem.overrides if root.requirement.name in told and markers.holds(root.requirement.marker)
    ]
    return PyPIConflict(
        target=problem.target.name,
        python=problem.python.text,
        roots=tuple((str(root.requirement), root.origin) for root in (*holding, *limits, *replacing)),
        minimal=minimal,
        subjects=tuple(subjects[:_MOST_SUBJECTS]),
    )
