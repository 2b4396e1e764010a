"""Projects: which versions of a project may be chosen, in which order, and with which file.

Everything here is lazy. A page may list thousands of versions, and a solve looks at the newest one or two. So
versions stay strings until a specifier or the pre-release rule has to parse them, and lists grow only as they are read.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterator
from functools import lru_cache
from itertools import chain
from typing import TYPE_CHECKING, Literal

from envc_solvers.pypi.language.index import File, Release, View, is_sdist
from envc_solvers.pypi.language.specifier import (
    Place,
    allows,
    common_span,
    parsed,
    place_of,
    python_fits,
    release_of,
    span_of,
)
from envc_solvers.pypi.search.candidate import Candidate
from envc_solvers.pypi.search.rejection import NO_UPLOAD_TIME, TOO_NEW, Rejection

if TYPE_CHECKING:
    from envc_solvers.pypi.problem import Policy

Order = Literal["highest", "lowest"]


@lru_cache(maxsize=1 << 16)
def names_exactly(specifier: str) -> bool:
    """Whether a specifier set has ``==`` or ``===`` without a wildcard, and so may allow yanked files (PEP 592)."""
    return any(
        clause.startswith("===") or (clause.startswith("==") and not clause.endswith(".*"))
        for clause in specifier.split(",")
    )


def is_prerelease(version: str) -> bool:
    """Whether a version is a pre-release or a development release (PEP 440)."""
    return release_of(version) is None and parsed(version).is_prerelease


def _within(specifiers: frozenset[str], version: str) -> bool:
    """Whether all specifier sets allow a version. A loop: `all` over a generator takes twice as long."""
    for specifier in specifiers:  # noqa: SIM110
        if not allows(specifier, version):
            return False
    return True


def places_within(view: View, specifiers: Collection[str]) -> range:
    """The positions of the releases that these specifier sets may allow. All others are too new or too old.

    They are found by bisection. A search that tries one release of a project after the other may need other versions of
    a second project for each, and that project may have thousands of releases.
    """
    lowest, highest = common_span(specifiers)
    releases = view.releases
    start = bisect_left(releases, True, key=lambda release: place_of(release.version) <= highest)
    stop = bisect_left(releases, True, start, key=lambda release: place_of(release.version) < lowest)
    return range(start, stop)


def canonical(version: str) -> str:
    """The canonical text of a version: versions that PEP 440 treats as equal have equal texts."""
    from packaging.utils import canonicalize_version

    return canonicalize_version(version)


class Rules:
    """The rules besides specifiers that decide which candidates may be chosen: policy, Python and locked files."""

    __slots__ = ("locked_files", "policy", "preferences", "python")

    def __init__(
        self,
        policy: Policy,
        python: str,  # full version
        preferences: dict[str, tuple[str, ...]],
        locked_files: frozenset[str],
    ) -> None:
        self.policy = policy
        self.python = python
        self.preferences = preferences
        self.locked_files = locked_files

    def locked_first(self, files: tuple[File, ...]) -> tuple[File, ...]:
        """The files of a release, locked files first, so that a pin keeps its file when a better one is uploaded."""
        if not self.locked_files or files[0].sha256 in self.locked_files:
            return files
        return tuple(sorted(files, key=lambda file: file.sha256 not in self.locked_files))

    def cut_off(self, name: str) -> int | None:
        """The cut-off of a project: files uploaded at or after this time are ignored. None for no limit."""
        policy = self.policy
        return policy.exclude_newer_for.get(name, policy.exclude_newer)

    def _stays(self, file: File, name: str) -> bool:
        """Whether a file is locked and the cut-off of its project does not apply to locked files."""
        span = name if name in self.policy.exclude_newer_for else ""
        return file.sha256 in self.locked_files and span in self.policy.spans

    def prereleases(self, name: str) -> Literal["last", "never", "allow"]:
        """When pre-releases of a project are tried: like any version, never, or after every final release."""
        policy = self.policy
        if policy.prereleases == "allow" or name in policy.prereleases_for:
            return "allow"
        if name in policy.finals_only:
            return "never"
        return "last" if policy.prereleases == "if-necessary" else "never"

    def refuses(self, file: File, name: str, named: bool) -> Rejection | None:
        """Why a file of a matching version is not used, or None. `named`: a requirement names the version exactly."""
        cut_off = self.cut_off(name)
        if cut_off is not None and (file.uploaded is None or file.uploaded >= cut_off) and not self._stays(file, name):
            return TOO_NEW if file.uploaded is not None else NO_UPLOAD_TIME
        if not python_fits(file.requires_python, self.python):
            return Rejection("requires-python", file.requires_python)
        if file.yanked is not None and not named and file.sha256 not in self.locked_files:
            return Rejection("yanked", file.yanked)
        return None


def has_final_sdist(view: View, specifiers: frozenset[str], rules: Rules) -> bool:
    """Whether a final release within these specifier sets exists as source distribution only.

    Then no pre-release is necessary (PEP 440), unless the policy ignores what exists as source only.
    """
    if rules.policy.sdist == "older" or not view.newest_other:
        return False
    named = any(map(names_exactly, specifiers))
    return any(
        not is_prerelease(release.version)
        and _within(specifiers, release.version)
        and any(is_sdist(file.name) and rules.refuses(file, view.name, named) is None for file in release.files)
        for release in view.others
    )


class Project:
    """A project under the rules of one problem: the candidates in its view."""

    __slots__ = ("_by_specifiers", "_made", "_order", "_rules", "view")

    def __init__(self, view: View, rules: Rules, order: Order) -> None:
        self.view = view
        self._rules = rules
        self._order = order
        self._made: dict[tuple[int, bool], Candidate | None] = {}
        self._by_specifiers: dict[frozenset[str], Candidates] = {}

    def candidates(self, specifiers: frozenset[str]) -> Candidates:
        """The candidates that satisfy all of these specifier sets, best first. Equal arguments give the same object."""
        found = self._by_specifiers.get(specifiers)
        if found is None:
            found = self._by_specifiers[specifiers] = Candidates(self, specifiers, self._search(specifiers))
        return found

    def _search(self, specifiers: frozenset[str]) -> Iterator[Candidate]:
        """Preferred versions first, then the order of the strategy; pre-releases where the policy puts them."""
        releases = self.view.releases
        named = any(map(names_exactly, specifiers))
        rule = self._rules.prereleases(self.view.name)
        preferred = self._preferred()
        later: list[int] = []
        for number in chain(preferred, self._in_order(specifiers)):
            version = releases[number].version
            if not _within(specifiers, version):
                continue
            if rule != "allow" and is_prerelease(version):
                if rule == "never":
                    continue
                if number not in preferred:
                    later.append(number)
                    continue
            if (candidate := self._candidate(number, named)) is not None:
                yield candidate
        if later and has_final_sdist(self.view, specifiers, self._rules):
            return
        for number in later:
            if (candidate := self._candidate(number, named)) is not None:
                yield candidate

    def _in_order(self, specifiers: frozenset[str]) -> Iterator[int]:
        """The releases that these specifier sets may allow, in the order of the strategy."""
        count, lowest_first = len(self.view.releases), self._order == "lowest"
        if count:
            yield count - 1 if lowest_first else 0  # usually no other is needed
        places = places_within(self.view, specifiers)
        if lowest_first:
            yield from range(min(places.stop, count - 1) - 1, places.start - 1, -1)
        else:
            yield from range(max(places.start, 1), places.stop)

    def _preferred(self) -> list[int]:
        versions = self._rules.preferences.get(self.view.name)
        if not versions:
            return []
        releases = self.view.releases
        numbers = {release.version: number for number, release in enumerate(releases)}
        if not all(version in numbers for version in versions):
            # A version may be written in another way, such as "2" for "2.0.0".
            numbers = {canonical(release.version): number for number, release in enumerate(releases)}
            versions = tuple(canonical(version) for version in versions)
        return [numbers[version] for version in versions if version in numbers]

    def _candidate(self, number: int, named: bool) -> Candidate | None:
        key = number, named
        if key not in self._made:
            release = self.view.releases[number]
            found = None
            for file in self._rules.locked_first(release.files):
                if self._rules.refuses(file, self.view.name, named) is None:
                    # One object for each version, so that equal pins are the same candidate.
                    other = self._made.get((number, not named))
                    same = other is not None and other.file is file
                    found = other if same else Candidate(self.view.name, release.version, file)
                    break
            self._made[key] = found
        return self._made[key]


class ProvidedProject:
    """A project that the problem provides: one candidate without needs, regardless of the policy."""

    __slots__ = ("candidate", "view")

    def __init__(self, name: str, version: str) -> None:
        nothing = File("")
        self.view = View(name, "", (Release.of(version, (nothing,)),))
        self.candidate = Candidate(name, version, nothing)
        self.candidate.needs = ()

    def candidates(self, specifiers: frozenset[str]) -> Candidates:
        """The one candidate if it satisfies all of these specifier sets."""
        return Candidates(
            self, specifiers, iter([self.candidate] if _within(specifiers, self.candidate.version) else [])
        )


class Candidates:
    """A list of candidates, best first. They are found one by one while iterating; iterating again reuses them."""

    __slots__ = ("_found", "_more", "_narrowed", "_project", "_seen", "_span", "_specifiers")

    def __init__(
        self, project: Project | ProvidedProject, specifiers: frozenset[str], candidates: Iterator[Candidate]
    ) -> None:
        self._project = project
        self._specifiers = specifiers
        self._more = candidates
        self._found: list[Candidate] = []
        self._seen: set[str] = set()  # a preferred version is found a second time in its ordinary position
        self._narrowed: dict[str, Candidates] = {"": self}
        self._span: tuple[Place, Place] | None = None

    def narrowed(self, specifier: str) -> Candidates:
        """The candidates that satisfy one more specifier set. Equal arguments give the same object."""
        found = self._narrowed.get(specifier)
        if found is None:
            if self._span is None:
                self._span = common_span(self._specifiers)
            (lowest, highest), (other_lowest, other_highest) = self._span, span_of(specifier)
            if lowest > other_highest or other_lowest > highest:
                # Usually two exact versions. No release has to be looked at to see that none satisfies both.
                found = Candidates(self._project, self._specifiers | {specifier}, iter(()))
            else:
                found = self._project.candidates(self._specifiers | {specifier})
            self._narrowed[specifier] = found
        return found

    def count(self, most: int | None = None) -> int:
        """The number of candidates, or `most` if there are more."""
        while (most is None or len(self._found) < most) and self._find():
            pass
        return len(self._found) if most is None else min(len(self._found), most)

    def __iter__(self) -> Iterator[Candidate]:
        at = 0
        while at < len(self._found) or self._find():
            yield self._found[at]
            at += 1

    def __bool__(self) -> bool:
        return bool(self._found) or self._find()

    def between(self, start: int, stop: int) -> Iterator[Candidate]:
        """The candidates at these positions; fewer if there are no more."""
        for at in range(start, stop):
            while at >= len(self._found):
                if not self._find():
                    return
            yield self._found[at]

    def _find(self) -> bool:
        """Find one more candidate. Returns False if there is none."""
        for candidate in self._more:
            if candidate.version not in self._seen:
                self._seen.add(candidate.version)
                self._found.append(candidate)
                return True
        return False
