"""Why there is no solution: a failed search turned into a `PyPIConflict`.

A conflict names the smallest set of the problem's own requirements that was found to fail, and the projects on which
they disagree, with the chain of packages behind each requirement.
"""

from __future__ import annotations

from typing import Any

import msgspec
from resolvelib.resolvers import ResolutionImpossible

from envc_solvers.errors import ProjectNotFound
from envc_solvers.pypi.explain.conflict import PyPIConflict, PyPIGaveUp, PyPIUnsolvable
from envc_solvers.pypi.explain.diagnose import Diagnosis
from envc_solvers.pypi.explain.subjects import Cause, Conflicting, FromUrl
from envc_solvers.pypi.explain.suggest import suggest
from envc_solvers.pypi.problem import Budget, PyPIProblem, PyPIRoot
from envc_solvers.pypi.search.journal import Journal
from envc_solvers.pypi.search.replay import NotRecorded
from envc_solvers.pypi.search.run import SearchContext, search
from envc_solvers.pypi.search.search import SearchLimit

_MOST_TRIALS = 24  # searches spent on finding a smaller set of roots
_TRIES_EACH = 2_000  # candidates in each of them
_MOST_SUBJECTS = 5


def refuse(
    error: ResolutionImpossible[Any, Any] | ProjectNotFound | SearchLimit,
    problem: PyPIProblem,
    context: SearchContext,
    journal: Journal,
    *,
    suggesting: bool = True,
) -> PyPIUnsolvable | PyPIGaveUp:
    """The error for a failed search. Trial searches over the recorded answers look for fewer roots that fail.

    Without `suggesting`, no change is looked for that would help.
    """
    if isinstance(error, SearchLimit):
        journal.put_most_frequent_first()
        conflict = _conflict(problem, context, journal, minimal=False)
        return PyPIGaveUp(error.tried, error.timed_out, journal.last, error.decided, conflict)
    whole = problem
    if isinstance(error, ResolutionImpossible):
        journal.root_causes(error)
        problem, journal, minimal = _minimise(problem, context, journal)
    else:
        journal.not_found[error.name] = error
        # Any requirement on it fails alone.
        kept = tuple(root for root in problem.roots if root.requirement.name == error.name)[:1]
        problem = msgspec.structs.replace(problem, roots=kept, constraints=())
        minimal = True
    conflict = _conflict(problem, context, journal, minimal)
    if not suggesting:
        return PyPIUnsolvable(conflict)
    nearest = {
        name: not_found.nearest for name, not_found in journal.not_found.items() if not_found.nearest is not None
    }
    suggestion = suggest(whole, context, conflict, nearest)
    return PyPIUnsolvable(msgspec.structs.replace(conflict, suggestion=suggestion))


def refuse_urls(problem: PyPIProblem, roots: list[PyPIRoot]) -> PyPIUnsolvable:
    """The error for requirements that name a URL. An index cannot supply them, so nothing is searched."""
    subjects = (
        FromUrl(root.requirement.name, (Cause(str(root.requirement), str(root.requirement), root.origin),))
        for root in roots
    )
    return PyPIUnsolvable(
        PyPIConflict(
            target=problem.target.name,
            python=problem.python.text,
            roots=tuple((str(root.requirement), root.origin) for root in roots),
            minimal=True,
            subjects=tuple(subjects),
        )
    )


def _minimise(problem: PyPIProblem, context: SearchContext, journal: Journal) -> tuple[PyPIProblem, Journal, bool]:
    """The smallest failing set of roots and constraints that a bounded number of trial searches finds.

    Returns the reduced problem, the journal of its failure, and whether every further reduction was seen to succeed.
    """
    replace = msgspec.structs.replace
    context.index.closed = True
    of_trials = replace(context, budget=Budget(max_tries=_TRIES_EACH))
    minimal, trials = True, 0
    blamed = journal.blamed

    def fails(trial: PyPIProblem) -> Journal | None:
        nonlocal minimal, trials
        if trials >= _MOST_TRIALS:
            minimal = False
            return None
        trials += 1
        attempt = Journal()
        try:
            search(trial, of_trials, attempt)
        except ResolutionImpossible as error:
            attempt.root_causes(error)
            # A failure that depends on other provided versions is a different conflict.
            return attempt if attempt.blamed <= blamed else None
        except ProjectNotFound as error:
            attempt.not_found[error.name] = error
            return attempt
        except (NotRecorded, SearchLimit):
            minimal = False
        return None

    # First leave out all roots that play no part in the failures, then root by root.
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
    context.index.closed = False
    return problem, journal, minimal


def _key(root: PyPIRoot) -> tuple[str, str]:
    return root.requirement.name, root.requirement.specifier


def _conflict(problem: PyPIProblem, context: SearchContext, journal: Journal, minimal: bool) -> PyPIConflict:
    diagnosis = Diagnosis(problem, context, journal)
    # In the order in which they failed, so that the newest candidates come first.
    names = dict.fromkeys([*journal.clashes, *journal.broken, *journal.not_found])
    subjects = [subject for name in names for subject in diagnosis.subjects(name)]
    said = {subject.project for subject in subjects if not isinstance(subject, Conflicting)}
    newest = (diagnosis.newest_refused(root) for root in diagnosis.roots if root.requirement.name not in said)
    subjects = [*(subject for subject in newest if subject is not None), *subjects]
    projects = {subject.project for subject in subjects}
    # An override is part of the conflict if it is on one of these projects.
    overrides = [
        root
        for root in problem.overrides
        if root.requirement.name in projects and context.markers.holds(root.requirement.marker)
    ]
    stated = (*diagnosis.roots, *diagnosis.constraints, *overrides)
    return PyPIConflict(
        target=problem.target.name,
        python=problem.python.text,
        roots=tuple((str(root.requirement), root.origin) for root in stated),
        minimal=minimal,
        subjects=tuple(subjects[:_MOST_SUBJECTS]),
    )
