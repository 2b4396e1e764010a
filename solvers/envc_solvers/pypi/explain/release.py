"""Why one release was not chosen, found by searches for that release."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, MutableMapping

import msgspec
from resolvelib.resolvers import ResolutionImpossible

from envc_solvers.errors import ProjectNotFound
from envc_solvers.passed_over import PassedOverKind
from envc_solvers.pypi.explain.conflict import PyPIConflict, PyPIUnsolvable
from envc_solvers.pypi.explain.explain import refuse
from envc_solvers.pypi.explain.subjects import Conflicting, NoFile, OnlySdists, Refused
from envc_solvers.pypi.explain.wording import subject_text
from envc_solvers.pypi.language.index import Index
from envc_solvers.pypi.language.markers import Answer, Markers, marker_environment
from envc_solvers.pypi.language.requirement import Requirement
from envc_solvers.pypi.problem import Budget, PyPIProblem, PyPIRoot
from envc_solvers.pypi.search.journal import Journal
from envc_solvers.pypi.search.replay import RecordedIndex
from envc_solvers.pypi.search.run import SearchContext, in_order, search
from envc_solvers.pypi.search.search import SearchLimit

_MOST_BUILDS = 6  # rounds in which more projects to build are found
_TRIES = 2_000  # candidates in each search
_NEVER = 'python_version < "0"'  # an override with this marker removes a requirement


class _Undecided(Exception):
    """A search that ended at a limit."""


class Trials:
    """Searches for variants of one problem."""

    def __init__(
        self, problem: PyPIProblem, index: Index, answers: MutableMapping[str, Answer], budget: Budget
    ) -> None:
        self.problem = msgspec.structs.replace(in_order(problem), preferences={})
        markers = Markers(marker_environment(problem.target, problem.python), answers)
        limited = msgspec.structs.replace(budget, max_tries=min(budget.max_tries, _TRIES))
        self._context = SearchContext(RecordedIndex(index), markers, limited)

    def conflict(self, roots: tuple[PyPIRoot, ...], without: Iterable[str] = ()) -> PyPIConflict | None:
        """Why these roots have no solution, as if no package required the projects `without`; None if they have one.

        Raises _Undecided, and what the index raises.
        """
        removed = tuple(PyPIRoot(Requirement(name, marker=_NEVER)) for name in without)
        problem = msgspec.structs.replace(self.problem, roots=roots, overrides=(*self.problem.overrides, *removed))
        journal = Journal()
        try:
            search(problem, self._context, journal)
        except (ResolutionImpossible, ProjectNotFound) as error:
            refused = refuse(error, problem, self._context, journal, suggesting=False)
            assert isinstance(refused, PyPIUnsolvable)
            return refused.conflict
        except SearchLimit:
            raise _Undecided from None
        return None


def why_not_chosen(exactly: Requirement, sources: list[str], trials: Trials) -> tuple[PassedOverKind, str] | None:
    """Why a release was not chosen, as the kind and detail of a `PassedOver`; None if that could not be found out.

    `exactly` requires the release. `sources` are projects that are known to exist as sources only and that it needs.
    First it is searched for alone, then together with the other roots.
    """
    root = PyPIRoot(exactly)
    builds = list(sources)
    try:
        for _ in range(_MOST_BUILDS):
            conflict = trials.conflict((root,), builds)
            if conflict is None:
                break
            more = [name for name in _sources(conflict) if name not in builds]
            if not more:
                return _other_reason(conflict)
            builds += more
        if not builds:
            others = tuple(one for one in trials.problem.roots if one.requirement.name != exactly.name)
            conflict = trials.conflict((*others, root))
            if conflict is None:
                return "conflict", "newer versions of other packages"
            builds += _sources(conflict)
            if not builds:
                return _other_reason(conflict)
    except _Undecided:
        if not builds:
            return None
    return "sdist", ", ".join(sorted(builds))


def _sources(conflict: PyPIConflict) -> Iterator[str]:
    """The projects of a conflict that could be used if they were built from source."""
    for subject in conflict.subjects:
        if isinstance(subject, NoFile):
            if subject.sdist and not any(file.above_floor for file in subject.nearest):
                yield subject.project
        elif isinstance(subject, OnlySdists):
            yield subject.project


def _other_reason(conflict: PyPIConflict) -> tuple[PassedOverKind, str]:
    if url := _url(conflict):
        return "url", url
    for subject in conflict.subjects:
        if isinstance(subject, NoFile) and (above := [file for file in subject.nearest if file.above_floor]):
            return "no-file", f"needs {subject.project}, which {above[0].reason}"
    for subject in conflict.subjects:
        if not isinstance(subject, Conflicting):
            return "unmet", f"{subject.project}: {subject_text(subject)}"
    names = dict.fromkeys(subject.project for subject in conflict.subjects)
    return "conflict", f"other requirements on {' and '.join(names)}"


def _url(conflict: PyPIConflict) -> str:
    """The project that packages of a conflict require from a URL; "" if there is none."""
    for subject in conflict.subjects:
        if isinstance(subject, Refused) and subject.every:
            for _, why in subject.rejected:
                if why.kind == "url":
                    return why.detail
    return ""
