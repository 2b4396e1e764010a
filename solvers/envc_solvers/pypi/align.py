"""The same versions on several targets, wherever they can be had.

Each problem is solved by itself first. Where solutions differ, problems are solved again with versions of the others as
limits; a limit only narrows, so that every answer is a solution of the problem as it was posed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, MutableMapping, Sequence
from typing import Literal

import msgspec

from envc_solvers.pypi.language.index import Index
from envc_solvers.pypi.language.markers import Answer, Markers, marker_environment
from envc_solvers.pypi.language.requirement import Requirement, parse
from envc_solvers.pypi.language.specifier import allows, parsed
from envc_solvers.pypi.problem import PyPIProblem, PyPIRoot
from envc_solvers.pypi.search.candidate import Candidate
from envc_solvers.pypi.search.provider import Provider
from envc_solvers.solution import Solution

Mode = Literal["newest", "strong"]
Trial = Callable[
    [int, PyPIProblem], "Solution | None"
]  # number of the problem, and it with more limits; None: no solution

_MOST_VERSIONS = 24  # common versions of one project that are tried
_ROUNDS = 2  # what is settled for one project may take another apart


class Apart(msgspec.Struct, frozen=True, kw_only=True):
    """A project that keeps more than one version although one was wanted, and why."""

    project: str
    versions: tuple[tuple[str, str], ...]  # target and version, in the order of the problems
    reason: str  # completes a sentence about the project: "no version has files for all of them"


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """One of the problems that should agree."""

    problem: PyPIProblem
    index: Index
    answers: MutableMapping[str, Answer]


def align(
    members: Sequence[Member], solutions: Sequence[Solution], mode: Mode, solve: Trial
) -> tuple[list[Solution], tuple[Apart, ...]]:
    """The solutions of problems that should agree, with as many versions in common as the mode asks for.

    "newest": a version chosen for an earlier problem is taken where it is also the first that this one allows (by its
    files, the policy and its own requirements), nothing that was chosen beside it forbids it, and whatever else changes
    with it changes to versions of earlier problems, too. "strong": for every project that differs, the versions that
    all problems allow are tried, newest first, until one can be had everywhere; what was settled for one project stays
    while the next is tried. Returns what could not be settled, too.
    """
    table = _Table(members, list(solutions), solve)
    table.prefer_earlier()
    apart = table.settle() if mode == "strong" else ()
    return table.solutions, apart


class _Table:
    """Problems beside their solutions, and the limits that were put on them."""

    def __init__(self, members: Sequence[Member], solutions: list[Solution], solve: Trial) -> None:
        self.solutions = solutions
        self._members = members
        self._solve = solve
        self._limits: list[tuple[PyPIRoot, ...]] = [()] * len(members)
        self._markers = [
            Markers(marker_environment(m.problem.target, m.problem.python), m.answers) for m in self._members
        ]
        self._providers: dict[int, Provider] = {}

    def prefer_earlier(self) -> None:
        """See "newest"."""
        for number in range(1, len(self._members)):
            wanted = {
                name: versions[0]
                for name, versions in self._versions(range(number)).items()
                if (own := self._version(number, name)) is not None
                and own != versions[0]
                and self._is_welcome(number, name, versions[0])
            }
            if not wanted or self._follow(number, [_limit(*one) for one in wanted.items()]):
                continue
            for one in wanted.items():
                self._follow(number, [_limit(*one)])

    def _follow(self, number: int, limits: list[PyPIRoot]) -> bool:
        """As `_try`, unless a project would get a version that neither this problem nor an earlier one has."""
        before = self.solutions[number], self._limits[number]
        known = self._versions(range(number + 1))
        if not self._try(number, limits):
            return False
        for pin in self.solutions[number].pins:
            if pin.name in known and parsed(pin.version) not in map(parsed, known[pin.name]):
                self.solutions[number], self._limits[number] = before
                return False
        return True

    def settle(self) -> tuple[Apart, ...]:
        """See "strong"."""
        # What earlier problems led to is no reason to stay apart from later ones.
        self._limits = [()] * len(self._members)
        apart: dict[str, Apart] = {}
        for _ in range(_ROUNDS):
            apart = {}
            for name in sorted(self._differing()):
                # An earlier project may have settled this one.
                if name in self._differing() and (reason := self._settle_one(name)) is not None:
                    apart[name] = Apart(project=name, versions=self._by_target(name), reason=reason)
            if not apart and not self._differing():
                break
        return tuple(apart.values())

    def _settle_one(self, name: str) -> str | None:
        """Bring a project to one version; else why that is impossible."""
        holding = [number for number in range(len(self._members)) if self._version(number, name) is not None]
        allowed = [[candidate.version for candidate in self._allowed(number, name)] for number in holding]
        everywhere = [set(map(parsed, versions)) for versions in allowed]
        common = [version for version in allowed[0] if all(parsed(version) in each for each in everywhere)]
        if not common:
            return "no version has files for all of them that the policy and the requirements allow"
        for version in common[:_MOST_VERSIONS]:
            if self._try_everywhere(holding, _limit(name, version)):
                return None
        if len(common) > _MOST_VERSIONS:
            return f"none of the {_MOST_VERSIONS} first of {len(common)} common versions can be had everywhere"
        return f"no common version can be had everywhere ({_listed(common)} tried)"

    def _try_everywhere(self, numbers: Iterable[int], limit: PyPIRoot) -> bool:
        before = list(self.solutions), list(self._limits)
        for number in numbers:
            if not self._try(number, [limit]):
                self.solutions, self._limits = before
                return False
        return True

    def _try(self, number: int, limits: list[PyPIRoot]) -> bool:
        """Solve a problem with further limits, and keep that if it can be done."""
        problem = self._members[number].problem
        together = (*self._limits[number], *limits)
        own = {pin.name: pin.version for pin in self.solutions[number].pins}
        if all(allows(one.requirement.specifier, own[one.requirement.name]) for one in limits):
            self._limits[number] = together
            return True
        solution = self._solve(number, msgspec.structs.replace(problem, constraints=(*problem.constraints, *together)))
        if solution is None:
            return False
        self.solutions[number], self._limits[number] = solution, together
        return True

    def _differing(self) -> list[str]:
        return [name for name, versions in self._versions(range(len(self._members))).items() if len(versions) > 1]

    def _versions(self, numbers: Iterable[int]) -> dict[str, list[str]]:
        """Per project the distinct versions that these solutions have, in their order."""
        found: dict[str, list[str]] = {}
        for number in numbers:
            for pin in self.solutions[number].pins:
                versions = found.setdefault(pin.name, [])
                if parsed(pin.version) not in map(parsed, versions):
                    versions.append(pin.version)
        return found

    def _version(self, number: int, name: str) -> str | None:
        return next((pin.version for pin in self.solutions[number].pins if pin.name == name), None)

    def _by_target(self, name: str) -> tuple[tuple[str, str], ...]:
        pairs = ((m.problem.target.name, self._version(number, name)) for number, m in enumerate(self._members))
        return tuple((target, version) for target, version in pairs if version is not None)

    def _is_welcome(self, number: int, name: str, version: str) -> bool:
        """Whether a version is the first that a problem allows, and no chosen package forbids it."""
        first = next(iter(self._allowed(number, name)), None)
        if first is None or parsed(first.version) != parsed(version):
            return False
        holds = self._markers[number].holds
        for pin in self.solutions[number].pins:
            if name in pin.depends:
                stated = [parse(line) for line in pin.requires if line.startswith(name)]
                needs = [one for one in stated if one.name == name and holds(one.marker, pin.extras)]
                if not all(allows(one.specifier, version) for one in needs):
                    return False
        return True

    def _allowed(self, number: int, name: str) -> Iterable[Candidate]:
        """The candidates that a problem's files, policy, roots and constraints leave of a project, best first."""
        member, markers = self._members[number], self._markers[number]
        if number not in self._providers:
            self._providers[number] = Provider(member.problem, member.index, markers)
        stated = (*member.problem.roots, *member.problem.constraints)
        wanted = {
            root.requirement.specifier
            for root in stated
            if root.requirement.name == name and root.requirement.specifier and markers.holds(root.requirement.marker)
        }
        return self._providers[number].project(name).candidates(frozenset(wanted))


def _limit(name: str, version: str) -> PyPIRoot:
    # "==" would name a yanked file exactly, and so allow it.
    public = version.partition("+")[0]
    return PyPIRoot(Requirement(name, f"<={public},>={public}"), "alignment")


def _listed(versions: list[str]) -> str:
    return ", ".join(versions[:3]) + (f" and {len(versions) - 3} more" if len(versions) > 3 else "")
