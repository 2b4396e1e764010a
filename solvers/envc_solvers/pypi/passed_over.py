"""Passed over: the newer releases that a solution does not have, with the reasons.

A search that succeeds does not say what it tried before. So each project whose newest allowed release is not in the
solution is looked at afterwards: first at what the page, the policy and the other pins say, then at what the release
requires, and last at the result of a search for that release alone. Most pins need nothing but one comparison.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from itertools import islice
from typing import TYPE_CHECKING

import msgspec

from envc_solvers.errors import MetadataUnusable, ProjectNotFound, Unanswered
from envc_solvers.passed_over import PassedOver, PassedOverKind
from envc_solvers.pypi.language.index import File, Index, Release, View, is_sdist
from envc_solvers.pypi.language.markers import Answer, Markers, marker_environment
from envc_solvers.pypi.language.requirement import Requirement
from envc_solvers.pypi.language.specifier import allows, parsed, python_fits
from envc_solvers.pypi.language.tags import mismatch, version_of, wheel_tags
from envc_solvers.pypi.problem import Budget, PyPIProblem
from envc_solvers.pypi.search.project import (
    Project,
    Rules,
    is_prerelease,
    names_exactly,
    places_within,
)
from envc_solvers.pypi.search.rejection import RejectionKind

if TYPE_CHECKING:
    from envc_solvers.pypi.explain.release import Trials
    from envc_solvers.solution import Pin, Solution

_MOST_RELEASES = 8  # newer releases of one project that are looked at closely
_MOST_LISTED = 64  # newer releases of one project that are considered at all
_KINDS: dict[RejectionKind, PassedOverKind] = {
    "too-new": "cut-off",
    "no-upload-time": "cut-off",
    "requires-python": "requires-python",
    "yanked": "yanked",
    "metadata": "metadata",
    "url": "url",
}


def passed_over(
    problem: PyPIProblem,
    solution: Solution,
    index: Index,
    answers: MutableMapping[str, Answer],
    budget: Budget,
    unaligned: Mapping[str, str],
) -> tuple[PassedOver, ...]:
    """What a solution does not have of the newest releases, sorted.

    For each project that the problem requires itself: the newest release that its requirements allow, if an older one
    was chosen; and of the kind ``sdist`` or ``url``, if a release between the two was passed over for that reason. For
    projects that others bring along, only those kinds. Nothing for a strategy other than "highest".

    `unaligned` has versions that were chosen before the targets were aligned, by name.
    """
    if problem.policy.strategy != "highest":
        return ()
    finder = _Finder(problem, solution, index, answers, budget)
    return tuple(
        sorted(found for pin in solution.pins if (found := finder.find(pin, unaligned.get(pin.name))) is not None)
    )


class _Finder:
    def __init__(
        self,
        problem: PyPIProblem,
        solution: Solution,
        index: Index,
        answers: MutableMapping[str, Answer],
        budget: Budget,
    ) -> None:
        self._problem = problem
        self._index = index
        self._answers = answers
        self._budget = budget
        self._markers = markers = Markers(marker_environment(problem.target, problem.python), answers)
        self._rules = Rules(problem.policy, problem.python.full_version, {}, frozenset())
        self._pins = {pin.name: pin for pin in solution.pins if pin.kind == "pypi"}
        self._roots: dict[str, list[Requirement]] = {}
        for root in problem.roots:
            if markers.holds(root.requirement.marker):
                self._roots.setdefault(root.requirement.name, []).append(root.requirement)
        self._limits: dict[str, list[str]] = {}
        self._asked_for = set()  # projects with a version that the command line names
        for root in problem.constraints:
            if root.origin[:1] != ("constraints",):
                self._asked_for.add(root.requirement.name)
            elif markers.holds(root.requirement.marker):
                self._limits.setdefault(root.requirement.name, []).append(root.requirement.specifier)
        self._overridden = {root.requirement.name for root in problem.overrides}
        self._requirers: dict[str, list[tuple[Pin, str]]] = {}

    def find(self, pin: Pin, unaligned: str | None = None) -> PassedOver | None:
        """What was passed over for one pin; None if nothing worth saying."""
        if pin.kind != "pypi" or pin.name in self._problem.provided or pin.name in self._asked_for:
            return None
        view = self._index.view(pin.name)
        first = view.releases[0].version if view.releases else ""
        if first == pin.version and not self._has_newer_others(pin, view):
            return None  # the usual case
        is_direct = pin.name in self._roots
        is_kept = pin.version in self._problem.preferences.get(pin.name, ())
        if is_kept and not is_direct:
            return None
        if is_direct and unaligned is not None and parsed(unaligned) > parsed(pin.version):
            return self._over(pin, unaligned, "alignment")
        stated = frozenset(filter(None, (root.specifier for root in self._roots.get(pin.name, ()))))
        told = None
        if is_direct:
            for release, usable in islice(self._newer(pin, view, stated), 1):
                told = self._why_not(pin, view, release, usable)
        narrowed = stated | set(self._limits.get(pin.name, ())) | {one for _, one in self._requirers_of(pin.name)}
        looked_at = 0
        for release, usable in self._newer(pin, view, frozenset(filter(None, narrowed))):
            found = self._why_not(pin, view, release, usable)
            if is_kept:
                if found is None:
                    return self._over(pin, release.version, "locked")
                told = told or found
                continue
            if found is None:
                looked_at += 1
                if looked_at > _MOST_RELEASES:
                    break
                found = self._investigated(pin, view, release, thoroughly=is_direct and looked_at == 1)
            if found is not None and found.kind in ("sdist", "url"):
                return found
            if told is None or (told.kind == "cut-off" and found is not None):
                told = found
        return told if is_direct else None

    def _has_newer_others(self, pin: Pin, view: View) -> bool:
        if not view.newest_other:
            return False
        return is_prerelease(pin.version) or parsed(view.newest_other) > parsed(pin.version)

    def _newer(self, pin: Pin, view: View, specifiers: frozenset[str]) -> Iterator[tuple[Release, bool]]:
        """The releases that are newer than a pin and within these specifier sets, newest first; and whether each has a
        file for this target.

        Pre-releases only where the policy or a requirement names them. For a pin that is a pre-release, also the final
        releases without a file, which are newer in the sense of PEP 440's rule.
        """
        chosen = parsed(pin.version)
        early = self._rules.prereleases(pin.name) == "allow" or any(map(_names_prerelease, specifiers))

        def fits(release: Release) -> bool:
            version = release.version
            return all(allows(one, version) for one in specifiers) and (early or not is_prerelease(version))

        usable = (view.releases[place] for place in places_within(view, specifiers))
        found = _until(usable, pin.version)
        if not self._has_newer_others(pin, view):
            yield from ((release, True) for release in found if fits(release))
            return
        listed = [(release, True) for release in islice(filter(fits, found), _MOST_LISTED)]
        others = (one for one in view.others if parsed(one.version) > chosen or is_prerelease(pin.version))
        listed += [(release, False) for release in others if fits(release)]
        yield from sorted(listed, key=lambda each: parsed(each[0].version), reverse=True)

    def _why_not(self, pin: Pin, view: View, release: Release, usable: bool) -> PassedOver | None:
        """The reason against a release that its page, the policy and the other pins give; None if there is none."""
        name, version = pin.name, release.version
        if is_prerelease(version) and self._rules.prereleases(name) != "allow":
            return self._over(pin, version, "prerelease")
        named = any(names_exactly(root.specifier) for root in self._roots.get(name, ()))
        refused = [self._rules.refuses(file, name, named) for file in release.files]
        if (why := refused[0]) is not None and None not in refused:
            return self._over(pin, version, _KINDS[why.kind], why.detail)
        for specifier in self._limits.get(name, ()):
            if not allows(specifier, version):
                return self._over(pin, version, "constraint", f"{name}{specifier}")
        for by, specifier in self._requirers_of(name):
            if not allows(specifier, version):
                return self._over(pin, version, "conflict", f"{by.name} {by.version}, which requires {name}{specifier}")
        if usable:
            return None
        if nearest := self._nearest(name, version):
            return self._over(pin, version, "no-file", nearest)
        if is_sdist(release.files[0].name):
            return self._over(pin, version, "sdist")
        return self._over(pin, version, "no-file", "has no file for this target")

    def _nearest(self, name: str, version: str) -> str:
        """What wheels of a release need that differ from the target by their floor alone; "" if there are none."""
        tags = wheel_tags(self._problem.target, self._problem.python)
        wanted = parsed(version)
        reasons = []
        for file in self._index.files(name):
            if file.name.endswith(".whl") and version_of(file.name, name) == wanted:
                why = mismatch(file.name, tags)
                if why is not None and why.above_floor and not why.other_python:
                    reasons.append(why.reason)
        return min(reasons, key=lambda reason: [int(number) for number in re.findall(r"[0-9]+", reason)], default="")

    def _investigated(self, pin: Pin, view: View, release: Release, *, thoroughly: bool) -> PassedOver | None:
        """The reason against a release that could be chosen by itself: its own requirements. None if unknown.

        Only `thoroughly` makes other searches.
        """
        version = release.version
        file = next(file for file in release.files if self._rules.refuses(file, pin.name, named=True) is None)
        try:
            metadata = self._index.metadata(view, file)
            if not python_fits(metadata.requires_python, self._problem.python.full_version):
                return self._over(pin, version, "requires-python", metadata.requires_python)
            requires = [one for one in metadata.requires if self._applies(one, pin)]
            for requirement in requires:
                if requirement.url:
                    found = self._over(pin, version, "url", requirement.name)
                    return msgspec.structs.replace(found, url=requirement.url)
            missing, floor = self._without_wheels(requires)
            if floor:
                return self._over(pin, version, "no-file", floor)
            if not missing and (conflict := self._conflict_with_pins(pin.name, requires)):
                return self._over(pin, version, "conflict", conflict)
            if not thoroughly:
                return self._over(pin, version, "sdist", ", ".join(missing)) if missing else None
            from envc_solvers.pypi.explain.release import why_not_chosen  # late: most reasons need no search

            extras = sorted({extra for root in self._roots[pin.name] for extra in root.extras})
            exactly = Requirement(pin.name, f"=={version}", tuple(extras))
            why = why_not_chosen(exactly, missing, self._trials())
            return None if why is None else self._over(pin, version, *why)
        except MetadataUnusable as error:
            return self._over(pin, version, "metadata", error.reason)
        except Unanswered:
            return None  # a run that has a solution does not end because it cannot say more about it

    def _trials(self) -> Trials:
        from envc_solvers.pypi.explain.release import Trials

        return Trials(self._problem, self._index, self._answers, self._budget)

    def _applies(self, requirement: Requirement, pin: Pin) -> bool:
        """Whether a requirement of another release holds here, with the extras that are requested of the project."""
        return requirement.name not in self._overridden and self._markers.holds(requirement.marker, pin.extras)

    def _without_wheels(self, requires: Iterable[Requirement]) -> tuple[list[str], str]:
        """The required projects that have nothing but source distributions within the requirement.

        Also, of the first one whose wheels are for higher floors than the target's, what it needs; else "".
        """
        found = set()
        for requirement in requires:
            name = requirement.name
            pin = self._pins.get(name)
            if name in self._problem.provided or (pin is not None and allows(requirement.specifier, pin.version)):
                continue
            try:
                view = self._index.view(name)
            except ProjectNotFound:
                continue
            specifiers = frozenset(filter(None, {requirement.specifier, *self._limits.get(name, ())}))
            if Project(view, self._rules, "highest").candidates(specifiers):
                continue
            versions = {
                str(version)
                for file in self._index.files(name)
                if (version := version_of(file.name, name)) is not None
                and all(allows(specifier, str(version)) for specifier in specifiers)
            }
            for newest in sorted(versions, key=parsed, reverse=True)[:_MOST_RELEASES]:
                if reason := self._nearest(name, newest):
                    return [], f"needs {name} {newest}, which {reason}"
            if any(self._could_be_built(file, name, specifiers) for file in self._index.files(name)):
                found.add(name)
        return sorted(found), ""

    def _could_be_built(self, file: File, name: str, specifiers: frozenset[str]) -> bool:
        version = version_of(file.name, name) if is_sdist(file.name) else None
        return (
            version is not None
            and all(allows(specifier, str(version)) for specifier in specifiers)
            and self._rules.refuses(file, name, any(map(names_exactly, specifiers))) is None
        )

    def _conflict_with_pins(self, project: str, requires: Iterable[Requirement]) -> str:
        """A pin that a release of a project does not accept and that cannot change for it: a root, or one that others
        need.
        """
        for requirement in requires:
            name = requirement.name
            pin = self._pins.get(name)
            if pin is None or allows(requirement.specifier, pin.version):
                continue
            words = f"{name} {pin.version}, because it requires {name}{requirement.specifier}"
            if name in self._roots:
                return words
            versions = Project(self._index.view(name), self._rules, "highest")
            for by, specifier in self._requirers_of(name):
                if by.name != project and not versions.candidates(frozenset({specifier, requirement.specifier})):
                    return words
        return ""

    def _requirers_of(self, name: str) -> list[tuple[Pin, str]]:
        """The requirements of the pins on a project that hold here; none if an override replaces them."""
        found = self._requirers.get(name)
        if found is None:
            found = self._requirers[name] = [
                (pin, one.specifier)
                for pin in self._pins.values()
                if name in pin.depends and name not in self._overridden
                for one in pin.requires
                if one.name == name and one.specifier and self._markers.holds(one.marker, pin.extras)
            ]
        return found

    def _over(self, pin: Pin, version: str, kind: PassedOverKind, detail: str = "") -> PassedOver:
        is_kept = pin.version in self._problem.preferences.get(pin.name, ())
        return PassedOver(pin.name, pin.version, version, kind, detail, pin.name in self._roots, is_kept)


def _until(releases: Iterable[Release], version: str) -> Iterator[Release]:
    """The releases that are newer than a version."""
    chosen = None
    for release in releases:
        if release.version == version:
            return
        if chosen is None:
            chosen = parsed(version)
        if parsed(release.version) <= chosen:
            return
        yield release


def _names_prerelease(specifier: str) -> bool:
    clauses = filter(None, specifier.split(","))
    return any(not one.startswith("===") and is_prerelease(one.lstrip("<>=!~ ").removesuffix(".*")) for one in clauses)
