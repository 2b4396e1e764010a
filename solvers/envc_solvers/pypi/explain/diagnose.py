"""The subjects of a failed search, read from its journal: the projects without a usable version, and why."""

from __future__ import annotations

import re
from collections.abc import Collection

import msgspec
from packaging.version import Version

from envc_solvers.pypi.explain.subjects import (
    Cause,
    Conflicting,
    NoFile,
    NoProject,
    NoVersion,
    OnlySdists,
    ProvidedOutside,
    Refused,
    Step,
    Subject,
)
from envc_solvers.pypi.explain.wording import span
from envc_solvers.pypi.language.index import View, is_sdist
from envc_solvers.pypi.language.specifier import allows, parsed, python_fits
from envc_solvers.pypi.language.tags import FileMismatch, mismatch, version_of, wheel_tags
from envc_solvers.pypi.problem import PyPIProblem, PyPIRoot
from envc_solvers.pypi.search.candidate import Need
from envc_solvers.pypi.search.journal import Journal, Requirer
from envc_solvers.pypi.search.project import Rules, has_final_sdist, is_prerelease, names_exactly, places_within
from envc_solvers.pypi.search.rejection import NO_FILE, PRERELEASE, SDIST, Rejection
from envc_solvers.pypi.search.run import SearchContext
from envc_solvers.target import Python

_UPPER_BOUND = r"<[0-9]+(?:\.[0-9]+)*"
_MANY_BOUNDS = 3
_MOST_FILES = 3
_SYSTEMS = {"linux": "linux", "macos": "macosx", "windows": "win"}  # as platform tags spell them


class Diagnosis:
    """Turns the journal of a failed search into subjects."""

    def __init__(self, problem: PyPIProblem, context: SearchContext, journal: Journal) -> None:
        holds = context.markers.holds
        self._problem = problem
        self._index = context.index
        self._journal = journal
        self.roots = [root for root in problem.roots if holds(root.requirement.marker)]
        self.constraints = [root for root in problem.constraints if holds(root.requirement.marker)]
        policy = problem.policy
        self._rules = Rules(policy, problem.python.full_version, problem.preferences, problem.locked_files)
        self._pages: dict[str, dict[str, list[str]]] = {}

    def subjects(self, name: str) -> list[Subject]:
        """Why one project has no usable version; nothing if no requirement on it is known.

        Versions of one package may have different requirements, each of which fails for a reason of its own. Those that
        can be met alone are reported together as a conflict.
        """
        journal = self._journal
        requirers = list(journal.clashes.get(name, ())) or journal.requirers.get(name, [])
        if name in journal.not_found and not requirers:
            requirers = [("", need) for need in self._root_needs(name)]
        by_cause = {cause: requirer for requirer in requirers if (cause := self._cause(requirer)) is not None}
        specifiers = {cause: need.specifier for cause, (_, need) in by_cause.items()}
        constraints = [root for root in self.constraints if root.requirement.name == name]
        narrowing = tuple(
            dict.fromkeys(
                Cause(str(root.requirement), str(root.requirement), root.origin, constraint=True)
                for root in constraints
            )
        )
        if name in journal.not_found:
            error = journal.not_found[name]
            return [NoProject(name, (*specifiers, *narrowing), error.sources, error.nearest)]
        if name in self._problem.provided:
            return self._provided(name, specifiers, constraints, narrowing)
        limits = {root.requirement.specifier for root in constraints}
        single: dict[Subject, list[Cause]] = {}  # one for each reason, still without its causes
        for cause, specifier in specifiers.items():
            single.setdefault(self._subject(name, {specifier}), []).append(cause)
        found = []
        conflicting: list[Cause] = []
        for subject, causes in single.items():
            if isinstance(subject, Conflicting):
                conflicting += causes
            else:
                found.append(msgspec.structs.replace(subject, causes=tuple(causes)))
        if conflicting:
            subject = self._subject(name, {specifiers[cause] for cause in conflicting} | limits)
            collapsed = self._collapsed({cause: by_cause[cause] for cause in conflicting})
            found.append(msgspec.structs.replace(subject, causes=(*collapsed, *narrowing)))
        return found

    def newest_refused(self, root: PyPIRoot) -> Subject | None:
        """The releases that a root allows and the rules refuse, as far as they are newer than all that can be chosen.

        They are never tried, so a search that fails knows nothing about them. None if there are none.
        """
        name, specifier = root.requirement.name, root.requirement.specifier
        if name in self._journal.not_found or name in self._problem.provided:
            return None
        view = self._index.view(name)
        named = names_exactly(specifier)
        usable = {id(release) for release in view.releases}
        reasons: dict[Rejection, list[str]] = {}
        has_early = False
        for release in sorted((*view.releases, *view.others), key=lambda each: parsed(each.version), reverse=True):
            if not allows(specifier, release.version):
                continue
            if is_prerelease(release.version) and self._rules.prereleases(name) != "allow":
                has_early = True  # it may be tried after all final releases
                continue
            files = release.files
            why = next((why for file in files if (why := self._rules.refuses(file, name, named)) is not None), None)
            if id(release) in usable and any(self._rules.refuses(file, name, named) is None for file in files):
                break
            if why is None:
                why = SDIST if is_sdist(files[0].name) else NO_FILE
            if why.kind in ("too-new", "no-upload-time"):
                continue  # under a cut-off these do not exist
            if why.kind == "requires-python":
                why = Rejection(why.kind, _excluding(why.detail, self._problem.python.full_version))
            reasons.setdefault(why, []).append(release.version)
        else:
            if not has_early:
                return None  # no release can be chosen, and the search says so
        if not reasons:
            return None
        cause = Cause(str(root.requirement), str(root.requirement), root.origin)
        rejected = tuple((tuple(versions), why) for why, versions in _with_one_bound(reasons).items())
        return Refused(name, (cause,), _shown({specifier}), rejected, every=False)

    def _collapsed(self, by_cause: dict[Cause, Requirer]) -> list[Cause]:
        """The causes. If versions of one package state many lower bounds, only the lowest one is kept."""
        groups: dict[tuple[str, str], list[Cause]] = {}
        for cause, (identifier, need) in by_cause.items():
            is_bound = need.specifier.startswith(">=") and "," not in need.specifier
            # Other requirements are groups of their own.
            groups.setdefault((identifier, "" if is_bound and identifier else cause.requirement), []).append(cause)
        found = []
        for group in groups.values():
            if len(group) < _MANY_BOUNDS:
                found += group
                continue
            lowest = min(group, key=lambda cause: parsed(by_cause[cause][1].specifier[2:]))
            versions: dict[str, None] = {}
            for cause in group:
                versions |= self._journal.versions.get(by_cause[cause], {})
            last = msgspec.structs.replace(lowest.chain[-1], versions=span(versions))
            found.append(msgspec.structs.replace(lowest, chain=(*lowest.chain[:-1], last), open_ended=True))
        return found

    def _provided(
        self, name: str, specifiers: dict[Cause, str], constraints: list[PyPIRoot], narrowing: tuple[Cause, ...]
    ) -> list[Subject]:
        """The requirements that exclude the provided version, as a subject; nothing if all of them allow it."""
        provided = self._problem.provided[name]
        outside = tuple(cause for cause, specifier in specifiers.items() if not allows(specifier, provided.version))
        if any(not allows(root.requirement.specifier, provided.version) for root in constraints):
            outside = (*specifiers, *narrowing)
        return [ProvidedOutside(name, outside, provided.by)] if outside else []

    def _root_needs(self, name: str) -> list[Need]:
        return [Need(name, "", root.requirement.specifier) for root in self.roots if root.requirement.name == name]

    def _cause(self, requirer: Requirer) -> Cause | None:
        """A requirement with the chain from a root to it; None if there is no such chain."""
        steps: list[Step] = []
        identifier, need = requirer
        requirement = str(need)
        seen: set[str] = set()
        while identifier:
            if identifier in seen:
                return None
            seen.add(identifier)
            versions = span(self._journal.versions.get((identifier, need), {}))
            steps.append(Step(identifier, versions, str(need)))
            requirers = self._journal.requirers.get(identifier, [])
            if not requirers:
                return None
            # A requirement of a root makes the shortest chain.
            identifier, need = min(requirers, key=lambda one: one[0] != "")
        chain = tuple(reversed(steps))
        for root in self.roots:
            stated = root.requirement
            if stated.name == need.name and stated.specifier == need.specifier:
                return Cause(requirement, str(stated), root.origin, chain)
        return Cause(requirement, str(need), (), chain)

    def _subject(self, name: str, specifiers: set[str]) -> Subject:
        """Why no version is within these specifier sets, without the causes."""
        view = self._index.view(name)
        likely = (view.releases[place] for place in places_within(view, specifiers))
        matching = [release for release in likely if all(allows(one, release.version) for one in specifiers)]
        named = any(map(names_exactly, specifiers))
        rule = self._rules.prereleases(name)
        only_early = matching and all(is_prerelease(release.version) for release in matching)
        if only_early and rule == "last" and has_final_sdist(view, frozenset(specifiers), self._rules):
            return self._absent(name, specifiers, view)
        broken = self._journal.broken.get(name, {})
        reasons: dict[Rejection | None, list[str]] = {}  # why versions cannot be used; None for those that could be
        for release in matching:
            why = broken.get(release.version)
            for file in release.files:
                why = why or self._rules.refuses(file, name, named)
            if why is None and rule == "never" and is_prerelease(release.version):
                why = PRERELEASE
            reasons.setdefault(why, []).append(release.version)
        usable = reasons.pop(None, None)
        if usable and name in self._journal.clashes:
            return Conflicting(name, ())
        if usable or reasons:
            rejected = tuple((tuple(versions), why) for why, versions in reasons.items() if why is not None)
            return Refused(name, (), _shown(specifiers), rejected, every=not usable)
        return self._absent(name, specifiers, view)

    def _absent(self, name: str, specifiers: set[str], view: View) -> Subject:
        """Why no release of the view matches: there is no such version, or none with a file for this target."""
        problem, shown = self._problem, _shown(specifiers)
        matching: list[tuple[Version, FileMismatch]] = []
        listed = self._listed(name)
        for version, files_of in listed.items():
            if all(allows(one, version) for one in specifiers):
                # Late: if no version is allowed, no list of tags is needed, and importing what makes it takes 8 ms.
                tags = wheel_tags(problem.target, problem.python)
                for file in files_of:
                    why = mismatch(file, tags)
                    if why is not None:
                        matching.append((parsed(version), why))
        # Newest versions first; within a version, files for the most similar Pythons first.
        matching.sort(key=lambda one: one[1].file, reverse=True)
        matching.sort(key=lambda one: _gap(one[1], problem.python))
        matching.sort(key=lambda one: one[0], reverse=True)
        wheels = [each for _, each in matching if each.file.endswith(".whl")]
        if wheels:
            system = _SYSTEMS[problem.target.facts.family]
            wheels.sort(key=lambda one: _distance(one, system))
            sdist = next((each.file for _, each in matching if is_sdist(each.file)), "")
            return NoFile(name, (), shown, tuple(wheels[:_MOST_FILES]), sdist)
        if matching:
            return OnlySdists(name, (), shown, tuple(each.file for _, each in matching[:_MOST_FILES]))
        if len(specifiers) > 1 and all(any(allows(one, version) for version in listed) for one in specifiers):
            return Conflicting(name, ())
        return NoVersion(name, (), shown, view.releases[0].version if view.releases else "")

    def _listed(self, name: str) -> dict[str, list[str]]:
        """The files of a project by version, for any target. A page may list ten thousand files, and is read once."""
        if name not in self._pages:
            page = self._pages[name] = {}
            for file in self._index.files(name):
                version = version_of(file.name, name)
                if version is not None:
                    page.setdefault(str(version), []).append(file.name)
        return self._pages[name]


def _excluding(requires_python: str, python: str) -> str:
    """The clauses of a Requires-Python that exclude a Python, or all of it if only several together do."""
    clauses = [clause.strip() for clause in requires_python.split(",")]
    return ",".join(clause for clause in clauses if not python_fits(clause, python)) or requires_python


def _with_one_bound(reasons: dict[Rejection, list[str]]) -> dict[Rejection, list[str]]:
    """The reasons, with the highest of several upper bounds on Python for all versions that have one."""
    bounds = [why for why in reasons if why.kind == "requires-python" and re.fullmatch(_UPPER_BOUND, why.detail)]
    if len(bounds) < 2:
        return reasons
    highest = max(bounds, key=lambda why: parsed(why.detail[1:]))
    merged: dict[Rejection, list[str]] = {}
    for why, versions in reasons.items():
        merged.setdefault(highest if why in bounds else why, []).extend(versions)
    return merged


def _shown(specifiers: Collection[str]) -> tuple[str, ...]:
    return tuple(sorted(filter(None, specifiers)))


def _distance(file: FileMismatch, system: str) -> int:
    """A sort key by what a file needs: a higher floor first, then another Python, another CPU, another system."""
    twice = 4 if file.other_python and (file.above_floor or file.platforms) else 0
    if file.platforms:
        return twice + (2 if any(system in platform for platform in file.platforms) else 3)
    return twice + (1 if file.other_python and not file.above_floor else 0)


def _gap(file: FileMismatch, python: Python) -> tuple[bool, int]:
    """The distance between the Python of a file and another one: whether the kind of ABI differs, and the minors."""
    if file.built_for is None:
        return False, 0
    free_threaded, minor = file.built_for
    return free_threaded != python.free_threaded, abs(minor - python.minor[1])
