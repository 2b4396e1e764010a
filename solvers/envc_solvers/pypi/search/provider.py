"""The search's view of packages: candidates, their needs, and the order in which names are decided."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from resolvelib.providers import AbstractProvider

from envc_solvers.errors import MetadataUnusable, ProjectNotFound, SolverError
from envc_solvers.pypi.language.index import Index
from envc_solvers.pypi.language.markers import Markers
from envc_solvers.pypi.language.requirement import Metadata, Requirement
from envc_solvers.pypi.language.specifier import allows, python_fits
from envc_solvers.pypi.search.candidate import Candidate, Need
from envc_solvers.pypi.search.priority import Priorities
from envc_solvers.pypi.search.project import (
    Candidates,
    Order,
    Project,
    ProvidedProject,
    Rules,
    canonical,
    names_exactly,
)
from envc_solvers.pypi.search.rejection import Rejection

if TYPE_CHECKING:
    from envc_solvers.pypi.problem import PyPIProblem


class Unusable(SolverError):
    """A candidate can never be chosen, whatever else is chosen. The search continues without it."""

    def __init__(self, candidate: Candidate, reason: Rejection) -> None:
        super().__init__(candidate, reason)
        self.candidate = candidate
        self.reason = reason


class Provider(AbstractProvider[Need, Candidate, str]):
    """Projects, candidates and needs for one search. Every result is computed once."""

    def __init__(self, problem: PyPIProblem, index: Index, markers: Markers) -> None:
        self._index = index
        self._markers = markers
        self._python = problem.python.full_version
        self._rules = Rules(problem.policy, self._python, problem.preferences, problem.locked_files)
        self._strategy = problem.policy.strategy
        self._direct = frozenset(root.requirement.name for root in problem.roots)
        self._projects: dict[str, Project | ProvidedProject] = {}
        self.provided: dict[str, Candidate] = {}  # provided projects by name; decided before anything else
        self._needs: dict[tuple[str, str, str], Need] = {}
        self._candidates: dict[Need, Candidates] = {}
        self._announced: set[Need] = set()
        self._refused: dict[Candidate, Unusable] = {}
        self.priorities = Priorities()
        self.limits: dict[str, tuple[str, ...]] = {}  # name: specifiers of the constraints that hold here
        self._overrides: dict[str, list[Requirement]] = {}  # name: replacements that hold here, perhaps none
        for constraint in problem.constraints:
            one = constraint.requirement
            if markers.holds(one.marker):
                self.limits[one.name] = (*self.limits.get(one.name, ()), one.specifier)
        for name, provided in problem.provided.items():
            project = self._projects[name] = ProvidedProject(name, provided.version)
            self.provided[name] = project.candidate
        for override in problem.overrides:
            kept = self._overrides.setdefault(override.requirement.name, [])
            if markers.holds(override.requirement.marker):
                kept.append(override.requirement)

    # The interface of resolvelib

    def identify(self, requirement_or_candidate: Need | Candidate) -> str:
        return requirement_or_candidate.identifier

    def get_dependencies(self, candidate: Candidate) -> tuple[Need, ...]:
        """The needs of a candidate on this target. Raises Unusable."""
        if candidate.needs is not None:
            return candidate.needs
        if candidate in self._refused:
            raise self._refused[candidate]
        try:
            requirements = self._requirements(candidate, self.metadata(candidate))
        except Unusable as error:
            self._refused[candidate] = error
            raise
        needs: dict[Need, None] = {}
        for requirement in requirements:
            needs.update(dict.fromkeys(self.needs(requirement, candidate.name)))
        candidate.needs = tuple(needs)
        candidate.need_set = frozenset(needs)
        return candidate.needs

    # Used by the search and for the solution

    def announce(self, needs: Iterable[Need]) -> None:
        """Tell the index which needs will be looked up soon. Each need is announced once."""
        new = [need for need in needs if need not in self._announced]
        if new:
            self._announced.update(new)
            self._index.expect([Requirement(one.name, one.specifier, (one.extra,) if one.extra else ()) for one in new])

    def announce_candidates(self, name: str, candidates: Iterable[Candidate]) -> None:
        """Tell the index which candidates come next if the current one is rejected too."""
        files = (candidate.file for candidate in candidates if candidate.metadata is None)
        self._index.expect_metadata(self.project(name).view, files)

    def candidates(self, needs: Iterable[Need]) -> Candidates:
        """The candidates that satisfy all of these needs and the constraints on their project.

        The needs are of one project or of one extra. Raises ProjectNotFound.
        """
        first, *others = needs
        found = self._candidates.get(first)
        if found is None:
            specifiers = {first.specifier, *self.limits.get(first.name, ())} - {""}
            found = self._candidates[first] = self.project(first.name).candidates(frozenset(specifiers))
        for need in others:
            found = found.narrowed(need.specifier)
        return found

    def excluding(self, need: Need, pin: Candidate) -> Need | None:
        """Why a decided version does not meet a need: the need itself, or a constraint as a need; None if it does."""
        if not allows(need.specifier, pin.version):
            return need
        if pin.name in self.provided:
            for specifier in self.limits.get(pin.name, ()):
                if specifier and not allows(specifier, pin.version):
                    return self.need(pin.name, "", specifier)
        return None

    def project(self, name: str) -> Project | ProvidedProject:
        """A project by its normalised name. Raises ProjectNotFound."""
        found = self._projects.get(name)
        if found is None:
            lowest = self._strategy == "lowest" or (self._strategy == "lowest-direct" and name in self._direct)
            order: Order = "lowest" if lowest else "highest"
            found = self._projects[name] = Project(self._index.view(name), self._rules, order)
        return found

    def needs(self, requirement: Requirement, by: str = "") -> list[Need]:
        """A requirement of the project `by`, or of the problem for "", as needs: one for the project and each extra.

        All of them allow the same versions.
        """
        name, specifier = requirement.name, requirement.specifier
        found = [self.need(name, extra, specifier) for extra in ("", *requirement.extras)]
        if specifier and names_exactly(specifier):
            self.priorities.named_exactly(name, by)
        return found

    def need(self, name: str, extra: str, specifier: str) -> Need:
        """The Need object for these three. The first need on a name determines its position in the order of names."""
        key = name, extra, specifier
        found = self._needs.get(key)
        if found is None:
            found = self._needs[key] = Need(name, extra, specifier)
            self.priorities.add(name, extra)
        return found

    def metadata(self, candidate: Candidate) -> Metadata:
        """The metadata of a candidate's file. Raises Unusable if it is broken or requires another Python."""
        base = candidate.base
        if base.metadata is None and base.name in self.provided:
            base.metadata = self._published(base)
        if base.metadata is None:
            try:
                metadata = self._index.metadata(self.project(base.name).view, base.file)
            except MetadataUnusable as error:
                raise Unusable(candidate, Rejection("metadata", error.reason)) from error
            if not python_fits(metadata.requires_python, self._python):
                raise Unusable(candidate, Rejection("requires-python", metadata.requires_python))
            base.metadata = metadata
        return base.metadata

    def _published(self, provided: Candidate) -> Metadata:
        """The index's metadata of a provided version, for its extras; empty if the index lacks the version."""
        try:
            view = self._index.view(provided.name)
            same = canonical(provided.version)
            for release in view.releases:
                if canonical(release.version) == same:
                    return self._index.metadata(view, release.files[0])
        except (ProjectNotFound, MetadataUnusable):
            pass
        return Metadata(name=provided.name, version=provided.version)

    def _requirements(self, candidate: Candidate, metadata: Metadata) -> list[Requirement]:
        """The requirements of a candidate that hold here, with overrides. Raises Unusable for a direct reference."""
        extra = candidate.extra
        answer = self._markers.answer
        found: list[Requirement] = []
        for requirement in metadata.requires:
            if extra:
                # A requirement that holds without the extra belongs to the base candidate.
                if not requirement.marker:
                    continue
                known = answer(requirement.marker)
                if known.default or extra not in known.exceptions:
                    continue
            elif requirement.marker and not answer(requirement.marker).default:
                continue
            if requirement.name in self._overrides:
                found.extend(one for one in self._overrides[requirement.name] if one not in found)
            elif requirement.url:
                raise Unusable(candidate, Rejection("url", requirement.name))
            else:
                found.append(requirement)
        return found
