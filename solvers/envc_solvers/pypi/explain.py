"""Why there is no solution: a failed search turned into a `Conflict`.

A conflict names the smallest set of the problem's own requirements that was found to fail, and the projects on which
they disagree, with the chain of packages that leads to each requirement.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import msgspec
from packaging.version import Version
from resolvelib.resolvers import ResolutionImpossible

from envc_solvers.errors import ProjectNotFound, SolverError
from envc_solvers.pypi.candidate import Need, Rules, is_prerelease, names_exactly
from envc_solvers.pypi.conflict import Conflict, GaveUp, Step, Subject, Unsolvable, Want
from envc_solvers.pypi.heard import Heard, Unheard
from envc_solvers.pypi.index import Index, View
from envc_solvers.pypi.journal import Asker, Journal
from envc_solvers.pypi.markers import Markers
from envc_solvers.pypi.resolution import SearchLimit
from envc_solvers.pypi.run import search
from envc_solvers.pypi.solve import Problem, Root
from envc_solvers.pypi.specifier import allows, parsed
from envc_solvers.pypi.suggest import suggest
from envc_solvers.pypi.tags import explain_file, version_of, wheel_tags

__all__ = ["Conflict", "GaveUp", "Subject", "Unsolvable", "Want", "refuse", "refuse_urls"]

_MOST_TRIALS = 24  # searches spent on finding a smaller set of roots
_TRIES_EACH = 2_000  # candidates in each of them
_MOST_SUBJECTS = 5
_SYSTEMS = {"linux": "linux", "macos": "macosx", "windows": "win"}  # as platform tags spell them
_MOST_FILES = 3
_MOST_REASONS = 3


def refuse(
    error: ResolutionImpossible[Any, Any] | ProjectNotFound | SearchLimit,
    problem: Problem,
    index: Heard,
    markers: Markers,
    journal: Journal,
    out_of_time: Callable[[], bool] | None,
) -> SolverError:
    """The error to raise for a failed search; a smaller failing set of roots is looked for without asking for more."""
    if isinstance(error, SearchLimit):
        journal.put_most_frequent_first()
        conflict = _conflict(problem, index, markers, journal, minimal=False)
        return GaveUp(error.tried, error.late, journal.last, conflict)
    whole = problem
    if isinstance(error, ResolutionImpossible):
        journal.root_causes(error)
        problem, journal, minimal = _minimise(problem, index, markers, journal)
    else:
        journal.lost[error.name] = error
        kept = tuple(root for root in problem.roots if root.requirement.name == error.name)
        problem = msgspec.structs.replace(problem, roots=kept, constraints=())
        minimal = True
    conflict = _conflict(problem, index, markers, journal, minimal)
    nearest = {name: error.nearest for name, error in journal.lost.items() if error.nearest is not None}
    suggestion = suggest(whole, conflict, nearest, index, markers, out_of_time)
    return Unsolvable(msgspec.structs.replace(conflict, suggestion=suggestion))


def refuse_urls(problem: Problem, roots: list[Root]) -> Unsolvable:
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
    return Unsolvable(
        Conflict(
            target=problem.target.name,
            python=problem.python.text,
            roots=tuple((str(root.requirement), root.origin) for root in roots),
            minimal=True,
            subjects=tuple(subjects),
        )
    )


def _minimise(problem: Problem, index: Heard, markers: Markers, journal: Journal) -> tuple[Problem, Journal, bool]:
    """The smallest failing set of roots and constraints that a bounded number of trial searches finds.

    Returns the reduced problem, the journal of its failure, and whether every further reduction was seen to succeed.
    """
    index.closed = True
    replace = msgspec.structs.replace
    minimal, trials = True, 0
    told = journal.blamed

    def fails(trial: Problem) -> Journal | None:
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
            attempt.lost[error.name] = error
            return attempt
        except (Unheard, SearchLimit):
            minimal = False
        return None

    # What the failures lead back to is tried at once; the rest, root by root.
    reached = _roots_reached(journal, problem)
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


def _key(root: Root) -> tuple[str, str]:
    return root.requirement.name, root.requirement.specifier


def _roots_reached(journal: Journal, problem: Problem) -> set[tuple[str, str]]:
    """The roots from which the projects in conflict can be reached, by who asked for whom."""
    found: set[tuple[str, str]] = set()
    seen: set[str] = set()
    queue: list[Asker] = [asker for clash in journal.clashes.values() for asker in clash]
    queue += [asker for name in journal.broken for asker in journal.askers.get(name, ())]
    while queue:
        identifier, need = queue.pop()
        if not identifier:
            found.add((need.name, need.specifier))
        elif identifier not in seen:
            seen.add(identifier)
            queue += journal.askers.get(identifier, ())
    return found


def _conflict(problem: Problem, index: Index, markers: Markers, journal: Journal, minimal: bool) -> Conflict:
    holding = [root for root in problem.roots if markers.holds(root.requirement.marker)]
    limits = [root for root in problem.constraints if markers.holds(root.requirement.marker)]
    teller = _Teller(problem, index, journal, holding, limits)
    # In the order in which they were met: why the newest candidates failed comes first.
    names = dict.fromkeys([*journal.clashes, *journal.broken, *journal.lost])
    subjects = [subject for name in names for subject in teller.subjects(name)]
    return Conflict(
        target=problem.target.name,
        python=problem.python.text,
        roots=tuple((str(root.requirement), root.origin) for root in (*holding, *limits)),
        minimal=minimal,
        subjects=tuple(subjects[:_MOST_SUBJECTS]),
    )


class _Teller:
    """Turns a journal into subjects."""

    def __init__(self, problem: Problem, index: Index, journal: Journal, roots: list[Root], limits: list[Root]) -> None:
        self._problem = problem
        self._index = index
        self._journal = journal
        self._roots = roots
        self._limits = limits
        policy = problem.policy
        self._rules = Rules(policy, problem.python.full_version, problem.preferences, problem.locked_files)

    def subjects(self, name: str) -> list[Subject]:
        """What is wrong about one project; nothing when nobody is known to have asked for it.

        Versions of one package may ask for different things, each of them hopeless for its own reason; only what could
        be met alone is a conflict.
        """
        journal = self._journal
        askers = list(journal.clashes.get(name, ())) or journal.askers.get(name, [])
        if name in journal.lost and not askers:
            askers = [("", need) for need in self._root_needs(name)]
        wants = {want: asker[1].specifier for asker in askers if (want := self._want(asker)) is not None}
        limits = [limit for limit in self._limits if limit.requirement.name == name]
        limiting = {
            Want(str(limit.requirement), str(limit.requirement), limit.origin, constraint=True): None
            for limit in limits
        }
        if name in journal.lost:
            return [Subject(name, (*wants, *limiting), "no-project", str(journal.lost[name]))]
        if name in self._problem.provided:
            return self._provided(name, wants, limits, limiting)
        narrowed = {limit.requirement.specifier for limit in limits}
        alone: dict[tuple[str, str, tuple[str, ...]], list[Want]] = {}
        for want, specifier in wants.items():
            alone.setdefault(self._reason(name, {specifier}), []).append(want)
        found = [Subject(name, tuple(group), *reason) for reason, group in alone.items() if reason[0] != "conflict"]
        together = [want for reason, group in alone.items() if reason[0] == "conflict" for want in group]
        if together:
            reason = self._reason(name, {wants[want] for want in together} | narrowed)
            found.append(Subject(name, (*together, *limiting), *reason))
        return found

    def _provided(
        self, name: str, wants: dict[Want, str], limits: list[Root], limiting: dict[Want, None]
    ) -> list[Subject]:
        """What does not admit the version that is there; nothing when all do."""
        provided = self._problem.provided[name]
        outside = [want for want, specifier in wants.items() if not allows(specifier, provided.version)]
        if any(not allows(limit.requirement.specifier, provided.version) for limit in limits):
            outside = [*wants, *limiting]
        text = f"{provided.by} is not what {'these allow' if len(outside) > 1 else 'this allows'}"
        return [Subject(name, tuple(outside), "provided", text)] if outside else []

    def _root_needs(self, name: str) -> list[Need]:
        return [Need(name, "", root.requirement.specifier) for root in self._roots if root.requirement.name == name]

    def _want(self, asker: Asker) -> Want | None:
        """An asker with the chain that leads from a root to it."""
        steps: list[Step] = []
        identifier, need = asker
        requirement = str(need)
        seen: set[str] = set()
        while identifier:
            if identifier in seen:
                return None
            seen.add(identifier)
            versions = _span(self._journal.versions.get((identifier, need), {}))
            steps.append(Step(identifier, versions, str(need)))
            askers = self._journal.askers.get(identifier, [])
            if not askers:
                return None
            # A root's own requirement makes the shortest chain.
            identifier, need = min(askers, key=lambda one: one[0] != "")
        for root in self._roots:
            wanted = root.requirement
            if wanted.name == need.name and wanted.specifier == need.specifier:
                return Want(requirement, str(wanted), root.origin, tuple(reversed(steps)))
        return Want(requirement, str(need), "", tuple(reversed(steps)))

    def _reason(self, name: str, wanted: set[str]) -> tuple[str, str, tuple[str, ...]]:
        """Which kind of failure it is, in words, and the files that come nearest."""
        view = self._index.view(name)
        everything = " and ".join(sorted(one for one in wanted if one)) or "any version"
        fitting = [release for release in view.releases if all(allows(one, release.version) for one in wanted)]
        named = any(map(names_exactly, wanted))
        broken = self._journal.broken.get(name, {})
        reasons: dict[str, list[str]] = {}  # why versions cannot be used; "" for those that could be
        for release in fitting:
            why = broken.get(release.version)
            for file in release.files:
                why = why or self._rules.refuses(file, name, named)
            if why is None and self._rules.prereleases(name) == "never" and is_prerelease(release.version):
                why = "is a pre-release"
            reasons.setdefault(why or "", []).append(release.version)
        usable = reasons.pop("", None)
        refused = "; ".join(f"{_span(versions)} {why}" for why, versions in list(reasons.items())[:_MOST_REASONS])
        if usable and name in self._journal.clashes:
            return "conflict", "these requirements cannot all be met", ()
        if usable:
            return "refused", f"some versions that match {everything} cannot be used: {refused}", ()
        if refused:
            return "refused", f"no version that matches {everything} can be used: {refused}", ()
        return self._absent(name, wanted, everything, view)

    def _absent(self, name: str, wanted: set[str], everything: str, view: View) -> tuple[str, str, tuple[str, ...]]:
        """No release of the view matches: is there no such version at all, or only no file for this target?"""
        tags = wheel_tags(self._problem.target, self._problem.python)
        matching: list[tuple[Version, str, str]] = []  # version, file, reason
        versions: set[str] = set()
        for file in self._index.files(name):
            version = version_of(file.name, name)
            if version is None:
                continue
            versions.add(str(version))
            if all(allows(one, str(version)) for one in wanted):
                reason = explain_file(file.name, tags)
                if reason is not None:
                    matching.append((version, file.name, reason))
        matching.sort(reverse=True)
        wheels = [(file, reason) for _, file, reason in matching if file.endswith(".whl")]
        if wheels:
            system = _SYSTEMS[self._problem.target.facts.family]
            wheels.sort(key=lambda one: _distance(one[1], system))
            files = tuple(f"{file} {reason}" for file, reason in wheels[:_MOST_FILES])
            return "no-file", f"no file that matches {everything} is for this target", files
        if matching:
            files = tuple(file for _, file, _ in matching[:_MOST_FILES])
            return "only-sdists", f"what matches {everything} exists as source distributions only", files
        if len(wanted) > 1 and all(any(allows(one, version) for version in versions) for one in wanted):
            return "conflict", "these requirements cannot all be met", ()
        newest = f"; the newest is {view.releases[0].version}" if view.releases else ""
        return "no-version", f"there is no version that matches {everything}{newest}", ()


def _distance(reason: str, system: str) -> int:
    """How far a file is from being usable: a floor too low, then another Python, another CPU, another system."""
    twice = 4 if " and is for " in reason else 0
    if "target has" in reason:
        return twice
    if "Python" in reason or "PyPy" in reason:
        return twice + 1
    return twice + (2 if system in reason else 3)


def _span(versions: Iterable[str]) -> str:
    """Versions as one range, with how many there are: they were tried in order, so the ends tell enough."""
    listed = sorted(versions, key=parsed)
    if not listed:
        return ""
    if len(listed) == 1:
        return listed[0]
    return f"{listed[0]} to {listed[-1]} ({len(listed)} versions)"
