"""A journal in words: what is wrong about each project that a failed search is about."""

from __future__ import annotations

import re
from collections.abc import Iterable

import msgspec
from packaging.version import Version

from envc_solvers.pypi.explain.conflict import Step, Subject, Want
from envc_solvers.pypi.language.index import Index, View
from envc_solvers.pypi.language.specifier import allows, parsed
from envc_solvers.pypi.language.tags import explain_file, version_of, wheel_tags
from envc_solvers.pypi.problem import PyPIProblem, PyPIRoot
from envc_solvers.pypi.search.candidate import Need, Rules, is_prerelease, names_exactly, places_within
from envc_solvers.pypi.search.journal import Journal, Requirer
from envc_solvers.target import Python

_MOST_REASONS = 3
_FOR_PYTHON = re.compile(r"(free-threaded )?(?:CPython|PyPy|Python) \d+\.(\d+)")
_MANY_BOUNDS = 3
_MOST_FILES = 3
_SYSTEMS = {"linux": "linux", "macos": "macosx", "windows": "win"}  # as platform tags spell them
_PLATFORMS = tuple(f"is for {one}" for one in ("manylinux", "musl", "glibc", "linux", "win", "macosx"))
_PLURAL = {"was": "were", "has": "have", "is": "are", "requires": "require"}


class Wording:
    """Turns a journal into subjects."""

    def __init__(
        self, problem: PyPIProblem, index: Index, journal: Journal, roots: list[PyPIRoot], limits: list[PyPIRoot]
    ) -> None:
        self._problem = problem
        self._index = index
        self._journal = journal
        self._roots = roots
        self._limits = limits
        policy = problem.policy
        self._rules = Rules(policy, problem.python.full_version, problem.preferences, problem.locked_files)
        self._pages: dict[str, dict[str, list[str]]] = {}

    def subjects(self, name: str) -> list[Subject]:
        """What is wrong about one project; nothing when nobody is known to have asked for it.

        Versions of one package may ask for different things, each of them hopeless for its own reason; only what could
        be met alone is a conflict.
        """
        journal = self._journal
        requirers = list(journal.clashes.get(name, ())) or journal.requirers.get(name, [])
        if name in journal.not_found and not requirers:
            requirers = [("", need) for need in self._root_needs(name)]
        asked = {want: requirer for requirer in requirers if (want := self._want(requirer)) is not None}
        wants = {want: need.specifier for want, (_, need) in asked.items()}
        limits = [limit for limit in self._limits if limit.requirement.name == name]
        limiting = {
            Want(str(limit.requirement), str(limit.requirement), limit.origin, constraint=True): None
            for limit in limits
        }
        if name in journal.not_found:
            return [Subject(name, (*wants, *limiting), "no-project", str(journal.not_found[name]))]
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
            told = self._collapsed({want: asked[want] for want in together})
            found.append(Subject(name, (*told, *limiting), *reason))
        return found

    def _collapsed(self, asked: dict[Want, Requirer]) -> list[Want]:
        """Lower bounds that versions of one package state, where they are many, as the lowest of them."""
        groups: dict[tuple[str, str], list[Want]] = {}
        for want, (identifier, need) in asked.items():
            bound = need.specifier.startswith(">=") and "," not in need.specifier
            # Others stand alone, in their place.
            groups.setdefault((identifier, "" if bound and identifier else want.requirement), []).append(want)
        found = []
        for group in groups.values():
            if len(group) < _MANY_BOUNDS:
                found += group
                continue
            lowest = min(group, key=lambda want: parsed(asked[want][1].specifier[2:]))
            versions: dict[str, None] = {}
            for want in group:
                versions |= self._journal.versions.get(asked[want], {})
            last = msgspec.structs.replace(lowest.chain[-1], versions=_span(versions))
            chain = (*lowest.chain[:-1], last)
            requirement = f"{lowest.requirement} or more"
            found.append(msgspec.structs.replace(lowest, requirement=requirement, chain=chain))
        return found

    def _provided(
        self, name: str, wants: dict[Want, str], limits: list[PyPIRoot], limiting: dict[Want, None]
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

    def _want(self, requirer: Requirer) -> Want | None:
        """An asker with the chain that leads from a root to it."""
        steps: list[Step] = []
        identifier, need = requirer
        requirement = str(need)
        seen: set[str] = set()
        while identifier:
            if identifier in seen:
                return None
            seen.add(identifier)
            versions = _span(self._journal.versions.get((identifier, need), {}))
            steps.append(Step(identifier, versions, str(need)))
            requirers = self._journal.requirers.get(identifier, [])
            if not requirers:
                return None
            # A root's own requirement makes the shortest chain.
            identifier, need = min(requirers, key=lambda one: one[0] != "")
        for root in self._roots:
            wanted = root.requirement
            if wanted.name == need.name and wanted.specifier == need.specifier:
                return Want(requirement, str(wanted), root.origin, tuple(reversed(steps)))
        return Want(requirement, str(need), "", tuple(reversed(steps)))

    def _reason(self, name: str, wanted: set[str]) -> tuple[str, str, tuple[str, ...]]:
        """Which kind of failure it is, in words, and the files that come nearest."""
        view = self._index.view(name)
        matches = " that matches " + " and ".join(sorted(one for one in wanted if one)) if any(wanted) else ""
        likely = (view.releases[place] for place in places_within(view, wanted))
        fitting = [release for release in likely if all(allows(one, release.version) for one in wanted)]
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
        refused = "; ".join(_told(versions, why) for why, versions in list(reasons.items())[:_MOST_REASONS])
        if usable and name in self._journal.clashes:
            return "conflict", "these requirements cannot all be met", ()
        if usable:
            return "refused", f"some versions{matches.replace('matches', 'match')} cannot be used: {refused}", ()
        if refused:
            return "refused", f"no version{matches} can be used: {refused}", ()
        return self._absent(name, wanted, matches, view)

    def _absent(self, name: str, wanted: set[str], matches: str, view: View) -> tuple[str, str, tuple[str, ...]]:
        """No release of the view matches: is there no such version at all, or only no file for this target?"""
        tags = wheel_tags(self._problem.target, self._problem.python)
        matching: list[tuple[Version, str, str]] = []  # version, file, reason
        listed = self._listed(name)
        for version, files_of in listed.items():
            if all(allows(one, version) for one in wanted):
                for file in files_of:
                    reason = explain_file(file, tags)
                    if reason is not None:
                        matching.append((parsed(version), file, reason))
        # Newest versions first, and of each the files for the Pythons that come nearest.
        matching.sort(key=lambda one: one[1], reverse=True)
        matching.sort(key=lambda one: _gap(one[2], self._problem.python))
        matching.sort(key=lambda one: one[0], reverse=True)
        wheels = [(file, reason) for _, file, reason in matching if file.endswith(".whl")]
        if wheels:
            system = _SYSTEMS[self._problem.target.facts.family]
            wheels.sort(key=lambda one: _distance(one[1], system))
            files = tuple(f"{file} {reason}" for file, reason in wheels[:_MOST_FILES])
            return "no-file", f"no file{matches} is for this target", files
        if matching:
            files = tuple(file for _, file, _ in matching[:_MOST_FILES])
            return (
                "only-sdists",
                f"what{matches.removeprefix(' that') or ' there is'} exists as source distributions only",
                files,
            )
        if len(wanted) > 1 and all(any(allows(one, version) for version in listed) for one in wanted):
            return "conflict", "these requirements cannot all be met", ()
        newest = f"; the newest is {view.releases[0].version}" if view.releases else ""
        return "no-version", f"there is no version{matches}{newest}", ()

    def _listed(self, name: str) -> dict[str, list[str]]:
        """The files of a project by version, for whatever targets. A page may list ten thousand, and is read once."""
        if name not in self._pages:
            page = self._pages[name] = {}
            for file in self._index.files(name):
                version = version_of(file.name, name)
                if version is not None:
                    page.setdefault(str(version), []).append(file.name)
        return self._pages[name]


def _distance(reason: str, system: str) -> int:
    """How far a file is from being usable: a floor too low, then another Python, another CPU, another system."""
    floor = "target has" in reason
    python = any(word in reason for word in ("Python", "PyPy", "ABI"))
    elsewhere = not floor and reason.startswith(_PLATFORMS)
    twice = 4 if python and (floor or elsewhere) else 0
    if elsewhere:
        return twice + (2 if system in reason else 3)
    return twice + (1 if python and not floor else 0)


def _gap(reason: str, python: Python) -> tuple[bool, int]:
    """How far the Python that a file is for is from another: first whether it has the same kind of ABI."""
    found = _FOR_PYTHON.search(reason)
    if found is None:
        return False, 0
    return bool(found[1]) != python.free_threaded, abs(int(found[2]) - python.minor[1])


def _told(versions: list[str], why: str) -> str:
    """``1.0 was yanked``, ``1.0 to 1.2 (3 versions) were yanked``."""
    verb, _, rest = why.partition(" ")
    return f"{_span(versions)} {_PLURAL.get(verb, verb) if len(versions) > 1 else verb} {rest}"


def _span(versions: Iterable[str]) -> str:
    """Versions as one range, with how many there are: they were tried in order, so the ends tell enough."""
    listed = sorted(versions, key=parsed)
    if not listed:
        return ""
    if len(listed) == 1:
        return listed[0]
    return f"{listed[0]} to {listed[-1]} ({len(listed)} versions)"
