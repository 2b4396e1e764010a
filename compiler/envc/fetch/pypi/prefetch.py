"""Prefetching: while the solver works on one project, pages and metadata that it will probably need are fetched.

Requirements are followed from candidate to candidate: the first candidate that would be tried for each project, then
the requirements of that candidate on this target. A wrong guess costs a request, and never changes a solution.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable, Mapping
from typing import Protocol

import msgspec

from envc.errors import EnvcError
from envc.fetch.net.http import Stopped
from envc.system.workers import Workers
from envc_solvers.errors import SolverError
from envc_solvers.pypi.language.index import File, View
from envc_solvers.pypi.language.markers import Markers
from envc_solvers.pypi.language.requirement import Metadata, Requirement, specifiers
from envc_solvers.pypi.problem import Policy
from envc_solvers.target import Python

_MAX_STEPS = 5_000  # requirements followed for one problem
_MAX_RELEASES = 200  # releases examined for one requirement
_IGNORED = (EnvcError, SolverError, Stopped, InterruptedError)  # raised again if the solver needs the same answer


class Hints(msgspec.Struct, frozen=True, kw_only=True):
    """Parts of a problem that improve guesses. They do not affect solutions."""

    policy: Policy = Policy()
    preferences: Mapping[str, tuple[str, ...]] = {}  # versions to prefer, best first, by normalised project name
    provided: Collection[str] = ()  # normalised names of projects that no index has to supply


class Lookups(Protocol):
    """The look-ups of a prefetcher. Every method may be called from any thread."""

    def find(self, name: str) -> View | None: ...
    def metadata_of(self, view: View, file: File) -> Metadata: ...


class Prefetcher:
    """Prefetching for one problem. Thread-safe."""

    def __init__(
        self,
        lookups: Lookups,
        workers: Workers,
        markers: Markers,
        python: Python,
        hints: Hints,
    ) -> None:
        self._lookups = lookups
        self._workers = workers
        self._markers = markers
        self._python = python
        self._policy = hints.policy
        self._preferences = hints.preferences
        self._provided = hints.provided
        self._seen: set[Requirement] = set()
        self._specifiers: dict[str, list[str]] = {}
        self._lock = threading.Lock()

    def expect(self, requirements: Iterable[Requirement], extras: tuple[str, ...] = ()) -> None:
        """Follow those of these requirements whose markers hold with one of the extras."""
        for requirement in requirements:
            if (
                requirement.url
                or requirement.name in self._provided
                or not self._markers.holds(requirement.marker, extras)
            ):
                continue
            with self._lock:
                if requirement in self._seen or len(self._seen) >= _MAX_STEPS:
                    continue
                self._seen.add(requirement)
                known = self._specifiers.setdefault(requirement.name, [])
                if requirement.specifier and requirement.specifier not in known:
                    known.append(requirement.specifier)
            self._workers.submit(lambda requirement=requirement: self._visit(requirement))  # type: ignore[misc]

    def expect_metadata(self, view: View, files: Iterable[File]) -> None:
        """Fetch metadata that the solver is going to read. Its requirements are not followed until a file is chosen."""
        for file in files:
            self._workers.submit(lambda file=file: self._fetch(view, file), rank=1)  # type: ignore[misc]

    def _visit(self, requirement: Requirement) -> None:
        try:
            view = self._lookups.find(requirement.name)
            file = self._likely(view, requirement) if view is not None else None
            if view is None or file is None:
                return
            metadata = self._lookups.metadata_of(view, file)
        except _IGNORED:
            return
        self.expect(metadata.requires, requirement.extras)

    def _fetch(self, view: View, file: File) -> None:
        try:
            self._lookups.metadata_of(view, file)
        except _IGNORED:
            return

    def _likely(self, view: View, requirement: Requirement) -> File | None:
        """The file that would be tried first under all specifiers known so far, or under this requirement alone."""
        with self._lock:
            known = tuple(self._specifiers.get(view.name, ()))
        return self._first(view, known) or (self._first(view, (requirement.specifier,)) if len(known) > 1 else None)

    def _first(self, view: View, texts: tuple[str, ...]) -> File | None:
        from packaging.specifiers import InvalidSpecifier
        from packaging.version import Version

        try:
            sets = [specifiers(text) for text in texts]
        except InvalidSpecifier:
            return None
        preferred = self._preferences.get(view.name, ())
        releases = sorted(view.releases, key=lambda release: release.version not in preferred) if preferred else None
        allowed = self._policy.prereleases == "allow" or view.name in self._policy.prereleases_for
        fallback = None  # a pre-release, if there is nothing else
        for release in (releases or view.releases)[:_MAX_RELEASES]:
            version = Version(release.version)
            if not all(one.contains(version, prereleases=True) for one in sets):
                continue
            file = self._usable(view.name, release.files)
            if file is None:
                continue
            if allowed or not version.is_prerelease:
                return file
            fallback = fallback or file
        return fallback

    def _usable(self, name: str, files: tuple[File, ...]) -> File | None:
        """The best file that the policy and the Python version allow."""
        from packaging.specifiers import InvalidSpecifier

        cutoff = self._policy.exclude_newer_for.get(name, self._policy.exclude_newer)
        for file in files:
            if file.yanked is not None or (cutoff is not None and (file.uploaded is None or file.uploaded >= cutoff)):
                continue
            try:
                if not file.requires_python or specifiers(file.requires_python).contains(
                    self._python.full_version, prereleases=True
                ):
                    return file
            except InvalidSpecifier:
                continue
        return None
