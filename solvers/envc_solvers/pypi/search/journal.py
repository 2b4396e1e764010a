"""The failures of a search, recorded for an explanation. A search that succeeds discards them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeVar

from envc_solvers.errors import ProjectNotFound
from envc_solvers.pypi.search.candidate import Candidate, Need
from envc_solvers.pypi.search.rejection import Rejection

if TYPE_CHECKING:
    from resolvelib.resolvers import ResolutionImpossible
    from resolvelib.resolvers.criterion import Criterion

_Kept = TypeVar("_Kept")


class Blamed(NamedTuple):
    """A fact about a provided version that causes a failure. Every version with this fact fails in the same way."""

    name: str
    outside: str = ""  # the version is outside this specifier set,
    version: str = ""  # or it is exactly this version


Requirer = tuple[str, Need]  # identifier of the decision, "" for a root; and its need


class Journal:
    """Failures by project, in the order in which they first occurred."""

    __slots__ = ("blamed", "broken", "clashes", "failures", "last", "not_found", "requirers", "tried", "versions")

    def __init__(self) -> None:
        self.requirers: dict[str, list[Requirer]] = {}  # identifier: the needs on it when it was first decided
        self.versions: dict[Requirer, dict[str, None]] = {}  # versions of the requirer that have this need
        self.clashes: dict[str, dict[Requirer, None]] = {}  # project: needs that could not be met together
        self.broken: dict[str, dict[str, Rejection]] = {}  # project: version: why it can never be chosen
        self.not_found: dict[str, ProjectNotFound] = {}  # project: no source has it
        self.failures: dict[str, int] = {}  # project: how many candidates were rejected because of it
        self.blamed: frozenset[Blamed] = frozenset()  # provided versions that a final failure depends on
        self.last: str = ""  # the identifier that was decided last, or failed
        self.tried: int = 0  # candidates; set when the search ends

    def decide(self, identifier: str, criterion: Criterion[Need, Candidate]) -> None:
        """Record that a name is about to be decided."""
        self.last = identifier
        if identifier not in self.requirers:
            self.requirers[identifier] = list(self._requirers_of(criterion))

    def unusable(self, candidate: Candidate, reason: Rejection) -> None:
        """Record that a candidate can never be chosen."""
        self.broken.setdefault(candidate.name, {})[candidate.version] = reason
        self._count(candidate.name)

    def missing(self, candidate: Candidate, error: ProjectNotFound) -> None:
        """Record that a candidate needs a project that no source has."""
        self.not_found[error.name] = error
        for need in candidate.needs or ():
            if need.name == error.name:
                self._note(error.name, candidate, need)

    def clash(
        self, candidate: Candidate, need: Need, pin: Candidate, criterion: Criterion[Need, Candidate] | None
    ) -> None:
        """Record that a candidate's need does not allow a decided version."""
        self._note(pin.name, candidate, need)
        if criterion is not None:
            self.clashes[pin.name].update(self._requirers_of(criterion))

    def empty(self, candidate: Candidate, criterion: Criterion[Need, Candidate]) -> None:
        """Record that a candidate's needs leave no version of a project."""
        name = next(criterion.iter_requirement()).name
        self.clashes.setdefault(name, {}).update(self._requirers_of(criterion))
        self._count(name)

    def add(self, other: Journal) -> None:
        """Add the records of another journal of the same search."""
        for identifier, requirers in other.requirers.items():
            self.requirers.setdefault(identifier, requirers)
        for requirer, versions in other.versions.items():
            self.versions.setdefault(requirer, {}).update(versions)
        for name, clash in other.clashes.items():
            self.clashes.setdefault(name, {}).update(clash)
        for name, reasons in other.broken.items():
            self.broken.setdefault(name, {}).update(reasons)
        self.not_found.update(other.not_found)
        for name, count in other.failures.items():
            self.failures[name] = self.failures.get(name, 0) + count

    def root_causes(self, error: ResolutionImpossible[Need, Candidate]) -> None:
        """Record that the roots alone leave no version of a project, so that nothing was tried."""
        if self.clashes or self.broken or self.not_found:
            return
        for need, parent in error.causes:
            if parent is None:
                self.clashes.setdefault(need.name, {})[("", need)] = None

    def put_most_frequent_first(self) -> None:
        """Sort the records by how many candidates each project had rejected, for a search that was stopped."""

        def ordered(table: dict[str, _Kept]) -> dict[str, _Kept]:
            return dict(sorted(table.items(), key=lambda item: -self.failures.get(item[0], 0)))

        self.clashes, self.broken = ordered(self.clashes), ordered(self.broken)

    def roots_reached(self) -> set[tuple[str, str]]:
        """The roots from which recorded needs reach the projects in conflict: (name, specifier)."""
        found: set[tuple[str, str]] = set()
        seen: set[str] = set()
        queue: list[Requirer] = [requirer for clash in self.clashes.values() for requirer in clash]
        queue += [requirer for name in self.broken for requirer in self.requirers.get(name, ())]
        while queue:
            identifier, need = queue.pop()
            if not identifier:
                found.add((need.name, need.specifier))
            elif identifier not in seen:
                seen.add(identifier)
                queue += self.requirers.get(identifier, ())
        return found

    def _note(self, project: str, candidate: Candidate, need: Need) -> None:
        requirer = candidate.identifier, need
        self.clashes.setdefault(project, {})[requirer] = None
        self.versions.setdefault(requirer, {})[candidate.version] = None
        self._count(project)

    def _count(self, project: str) -> None:
        self.failures[project] = self.failures.get(project, 0) + 1

    def _requirers_of(self, criterion: Criterion[Need, Candidate]) -> dict[Requirer, None]:
        found: dict[Requirer, None] = {}
        versions = self.versions
        for need, parent in criterion.information:
            if parent is None:
                found["", need] = None
                continue
            requirer = parent.identifier, need
            found[requirer] = None
            if requirer in versions:
                versions[requirer][parent.version] = None
            else:
                versions[requirer] = {parent.version: None}
        return found
