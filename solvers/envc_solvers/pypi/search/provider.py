"""What the search asks about packages: their versions, what these need, and which name to decide next."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from resolvelib.providers import AbstractProvider

from envc_solvers.errors import MetadataUnusable, ProjectNotFound, SolverError
from envc_solvers.pypi.language.index import Index
from envc_solvers.pypi.language.markers import Markers
from envc_solvers.pypi.language.requirement import Metadata, Requirement
from envc_solvers.pypi.language.specifier import allows
from envc_solvers.pypi.search.candidate import (
    Candidate,
    Candidates,
    Need,
    Order,
    Project,
    ProvidedProject,
    Rules,
    canonical,
    names_exactly,
    python_fits,
)
from envc_solvers.pypi.search.priority import Priorities

if TYPE_CHECKING:
    from envc_solvers.pypi.problem import PyPIProblem


class Unusable(SolverError):
    """A candidate that can never be chosen, whatever else is. The search goes on without it."""

    def __init__(self, candidate: Candidate, reason: str) -> None:
        super().__init__(candidate, reason)
        self.candidate = candidate
        self.reason = reason  # completes "foo 1.0 …"


class Provider(AbstractProvider[Need, Candidate, str]):
    """Answers the questions of one search; every answer is worked out once."""

    def __init__(self, problem: PyPIProblem, index: Index, markers: Markers) -> None:
        self._index = index
        self._markers = markers
        self._python = problem.python.full_version
        self._rules = Rules(problem.policy, self._python, problem.preferences, problem.locked_files)
        self._strategy = problem.policy.strategy
        self._direct = frozenset(root.requirement.name for root in problem.roots)
        self._projects: dict[str, Project | ProvidedProject] = {}
        self.provided: dict[str, Candidate] = {}  # what the problem provides; decided before anything else
        self._needs: dict[tuple[str, str, str], Need] = {}
        self._candidates: dict[Need, Candidates] = {}
        self._announced: set[Need] = set()
        self._refused: dict[Candidate, Unusable] = {}
        self.priorities = Priorities()
        self.limits: dict[str, tuple[str, ...]] = {}  # name: specifiers of the constraints that hold here
        self._overrides: dict[str, list[Requirement]] = {}  # name: replacements that hold here, maybe none
        for constraint in problem.constraints:
            one = constraint.requirement
            if markers.holds(one.marker):
                self.limits[one.name] = (*self.limits.get(one.name, ()), one.specifier)
        for name, said in problem.provided.items():
            project = self._projects[name] = ProvidedProject(name, said.version)
            self.provided[name] = project.candidate
        for override in problem.overrides:
            kept = self._overrides.setdefault(override.requirement.name, [])
            if markers.holds(override.requirement.marker):
                kept.append(override.requirement)

    # What resolvelib asks

    def identify(self, requirement_or_candidate: Need | Candidate) -> str:
        return requirement_or_candidate.identifier

    def get_dependencies(self, candidate: Candidate) -> tuple[Need, ...]:
        """What a candidate needs, on this target. Raises Unusable."""
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

    # What the search and the solution ask

    def announce(self, needs: Iterable[Need]) -> None:
        """Tell the index what it will soon be asked about; each need once."""
        new = [need for need in needs if need not in self._announced]
        if new:
            self._announced.update(new)
            self._index.expect([Requirement(one.name, one.specifier, (one.extra,) if one.extra else ()) for one in new])

    def announce_candidates(self, name: str, candidates: Iterable[Candidate]) -> None:
        """Tell the index which candidates will be looked at next, should the one at hand fall as well."""
        files = (candidate.file for candidate in candidates if candidate.metadata is None)
        self._index.expect_metadata(self.project(name).view, files)

    def candidates(self, needs: Iterable[Need]) -> Candidates:
        """The versions that all of these needs, of one project or one extra, and the constraints on it allow.

        Raises ProjectNotFound.
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
        """What keeps a decided version from meeting a need: the need itself, or a constraint seen as one."""
        if not allows(need.specifier, pin.version):
            return need
        if pin.name in self.provided:
            for specifier in self.limits.get(pin.name, ()):
                if specifier and not allows(specifier, pin.version):
                    return self.need(pin.name, "", specifier)
        return None

    def project(self, name: str) -> Project | ProvidedProject:
        """Raises ProjectNotFound."""
        found = self._projects.get(name)
        if found is None:
            lowest = self._strategy == "lowest" or (self._strategy == "lowest-direct" and name in self._direct)
            order: Order = "lowest" if lowest else "highest"
            found = self._projects[name] = Project(self._index.view(name), self._rules, order)
        return found

    def needs(self, requirement: Requirement, by: str = "") -> list[Need]:
        """A requirement of the project `by`, or of the problem, as needs: the project, and each extra of it, all within
        the same versions.
        """
        name, specifier = requirement.name, requirement.specifier
        found = [self.need(name, extra, specifier) for extra in ("", *requirement.extras)]
        if specifier and names_exactly(specifier):
            self.priorities.named_exactly(name, by)
        return found

    def need(self, name: str, extra: str, specifier: str) -> Need:
        """The one Need object for these three; first seen decides a name's place in the search order."""
        key = name, extra, specifier
        found = self._needs.get(key)
        if found is None:
            found = self._needs[key] = Need(name, extra, specifier)
            self.priorities.add(name, extra)
        return found

    def metadata(self, candidate: Candidate) -> Metadata:
        """The metadata of a candidate's file. Raises Unusable when it cannot stand for that version on this Python."""
        base = candidate.base
        if base.metadata is None and base.name in self.provided:
            base.metadata = self._published(base)
        if base.metadata is None:
            try:
                metadata = self._index.metadata(self.project(base.name).view, base.file)
            except MetadataUnusable as error:
                raise Unusable(candidate, f"has metadata that cannot be used: {error.reason}") from error
            if not python_fits(metadata.requires_python, self._python):
                raise Unusable(candidate, f"requires Python {metadata.requires_python}")
            base.metadata = metadata
        return base.metadata

    def _published(self, provided: Candidate) -> Metadata:
        """What an index says of the version that is provided, for its extras; nothing where it does not know it."""
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
        """What holds of a candidate's Requires-Dist, overrides applied. Raises Unusable for a direct reference."""
        extra = candidate.extra
        answer = self._markers.answer
        found: list[Requirement] = []
        for requirement in metadata.requires:
            if extra:
                # What holds without the extra as well is the base candidate's business.
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
                raise Unusable(candidate, f"requires {requirement.name} from a URL")
            else:
                found.append(requirement)
        return found
