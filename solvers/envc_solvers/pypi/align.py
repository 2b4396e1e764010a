"""Alignment: the same versions on several targets, as far as possible.

Each problem is first solved on its own. If solutions differ, problems are solved again with versions of the others as
limits. A limit only narrows a problem, so every result is a solution of the original problem.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, MutableMapping, Sequence
from typing import Literal

import msgspec

from envc_solvers.pypi.language.index import Index
from envc_solvers.pypi.language.markers import Answer, Markers, marker_environment
from envc_solvers.pypi.language.requirement import Requirement
from envc_solvers.pypi.language.specifier import allows, parsed
from envc_solvers.pypi.problem import PyPIProblem, PyPIRoot
from envc_solvers.pypi.search.candidate import Candidate
from envc_solvers.pypi.search.provider import Provider
from envc_solvers.solution import Solution

Mode = Literal["newest", "strong"]
# Takes the number of a problem and the problem with more limits. Returns None if there is no solution.
Trial = Callable[[int, PyPIProblem], "Solution | None"]

_MOST_VERSIONS = 24  # common versions of one project that are tried
_ROUNDS = 2  # because settling one project may separate another


class Apart(msgspec.Struct, frozen=True, kw_only=True):
    """A project that keeps different versions on several targets although `strong` was requested, with the reason."""

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
    """Align the solutions of some problems. Returns the solutions and the projects that stay apart.

    "newest": a version chosen for an earlier problem is also used for a later one, if three conditions hold. It is the
    first version that the later problem allows (by its files, policy, roots and constraints); no package chosen there
    forbids it; and every version that changes as a consequence changes to one of an earlier problem. "strong": in
    addition, for every project that differs, the versions that all problems allow are tried, newest first, until one
    works for all of them. A settled project keeps its version while the next ones are tried.
    """
    alignment = _Alignment(members, list(solutions), solve)
    alignment.prefer_earlier()
    apart = alignment.settle() if mode == "strong" else ()
    return alignment.solutions, apart


class _Alignment:
    """The problems, their current solutions, and the limits that were added to each."""

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
        """Apply "newest"."""
        for number in range(1, len(self._members)):
            earlier = {
                name: versions[0]
                for name, versions in self._versions(range(number)).items()
                if (own := self._version(number, name)) is not None
                and own != versions[0]
                and self._is_acceptable(number, name, versions[0])
            }
            if not earlier or self._solve_with_earlier_versions(number, [_limit(*one) for one in earlier.items()]):
                continue
            for one in earlier.items():
                self._solve_with_earlier_versions(number, [_limit(*one)])

    def _solve_with_earlier_versions(self, number: int, limits: list[PyPIRoot]) -> bool:
        """As `_try`, but fails if a project gets a version that neither this problem nor an earlier one had."""
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
        """Apply "strong" and return the projects that stay apart."""
        # A limit from "newest" must not keep a project apart from later problems.
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
        """Find one version of a project for all problems. Returns None, or the reason why that is impossible."""
        containing = [number for number in range(len(self._members)) if self._version(number, name) is not None]
        allowed = [[candidate.version for candidate in self._allowed(number, name)] for number in containing]
        everywhere = [set(map(parsed, versions)) for versions in allowed]
        common = [version for version in allowed[0] if all(parsed(version) in each for each in everywhere)]
        if not common:
            return "no version has files for all of them that the policy and the requirements allow"
        for version in common[:_MOST_VERSIONS]:
            if self._try_everywhere(containing, _limit(name, version)):
                return None
        if len(common) > _MOST_VERSIONS:
            return f"none of the first {_MOST_VERSIONS} of {len(common)} common versions works on all of them"
        return f"no common version works on all of them ({_listed(common)} tried)"

    def _try_everywhere(self, numbers: Iterable[int], limit: PyPIRoot) -> bool:
        before = list(self.solutions), list(self._limits)
        for number in numbers:
            if not self._try(number, [limit]):
                self.solutions, self._limits = before
                return False
        return True

    def _try(self, number: int, limits: list[PyPIRoot]) -> bool:
        """Solve a problem with more limits, and keep the solution and the limits if there is one."""
        problem = self._members[number].problem
        all_limits = (*self._limits[number], *limits)
        own = {pin.name: pin.version for pin in self.solutions[number].pins}
        if all(allows(one.requirement.specifier, own[one.requirement.name]) for one in limits):
            self._limits[number] = all_limits
            return True
        solution = self._solve(
            number, msgspec.structs.replace(problem, constraints=(*problem.constraints, *all_limits))
        )
        if solution is None:
            return False
        self.solutions[number], self._limits[number] = solution, all_limits
        return True

    def _differing(self) -> list[str]:
        return [name for name, versions in self._versions(range(len(self._members))).items() if len(versions) > 1]

    def _versions(self, numbers: Iterable[int]) -> dict[str, list[str]]:
        """By project: the distinct versions in these solutions, in their order."""
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

    def _is_acceptable(self, number: int, name: str, version: str) -> bool:
        """Whether a version is the first that a problem allows and no chosen package forbids it."""
        first = next(iter(self._allowed(number, name)), None)
        if first is None or parsed(first.version) != parsed(version):
            return False
        holds = self._markers[number].holds
        for pin in self.solutions[number].pins:
            if name in pin.depends:
                needs = [one for one in pin.requires if one.name == name and holds(one.marker, pin.extras)]
                if not all(allows(one.specifier, version) for one in needs):
                    return False
        return True

    def _allowed(self, number: int, name: str) -> Iterable[Candidate]:
        """The candidates of a project that the problem's files, policy, roots and constraints allow, best first."""
        member, markers = self._members[number], self._markers[number]
        if number not in self._providers:
            self._providers[number] = Provider(member.problem, member.index, markers)
        stated = (*member.problem.roots, *member.problem.constraints)
        specifiers = {
            root.requirement.specifier
            for root in stated
            if root.requirement.name == name and root.requirement.specifier and markers.holds(root.requirement.marker)
        }
        return self._providers[number].project(name).candidates(frozenset(specifiers))


def _limit(name: str, version: str) -> PyPIRoot:
    # "==" would name the version exactly, which allows yanked files.
    public = version.partition("+")[0]
    return PyPIRoot(Requirement(name, f"<={public},>={public}"))


def _listed(versions: list[str]) -> str:
    return ", ".join(versions[:3]) + (f" and {len(versions) - 3} more" if len(versions) > 3 else "")
