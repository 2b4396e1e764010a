"""Sources: what a run needs besides indexes where its manifest names direct requirements, or allows builds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from textwrap import indent

import msgspec

from envc.context import Limits
from envc.errors import UsageError, render_key_path
from envc.fetch.git import Git
from envc.fetch.pypi.lookahead import Hints
from envc.fetch.pypi.origins import Origins, ProjectIndex, SourceOrder
from envc.locking.builds.builder import Builder
from envc.locking.builds.environment import Machine
from envc.locking.builds.errors import BadSource
from envc.locking.builds.references import Reference, References
from envc.locking.builds.source_index import SourceIndex
from envc.locking.plan.problems import PosedProblem
from envc.model.graph import BuildRequirement, LockGraph
from envc.model.manifest import PyPIDependency
from envc.model.progress import Progress
from envc_solvers.errors import SolverError
from envc_solvers.pypi.language.index import Index
from envc_solvers.pypi.language.markers import Markers, marker_environment
from envc_solvers.pypi.language.requirement import Requirement
from envc_solvers.pypi.problem import Policy, PyPIProblem, PyPIRoot
from envc_solvers.pypi.solve import solve_pypi
from envc_solvers.solution import Solution


class Sources:
    """The direct requirements and the builds of a run."""

    def __init__(
        self,
        origins: Origins,
        *,
        environ: Mapping[str, str],
        cache: Path,
        root: Path,
        lock_path: Path,
        progress: Progress,
        lock: LockGraph | None,
        release: Callable[[str], bool],
        limits: Limits,
    ) -> None:
        """Paths are relative to `root`. `lock` and `release` as for `References`."""
        git = Git(cache / "git", environ, origins.context.keyring, offline=origins.context.offline)
        self._origins = origins
        self._references = References(
            origins.artifacts,
            git,
            root=root,
            lock_path=lock_path,
            offline=origins.context.offline,
            lock=lock,
            release=release,
        )
        # A wheel is built anew where its name is released: with newer build requirements, perhaps.
        released = {
            artifact.sha256
            for package in (lock.packages if lock is not None else ())
            if release(package.name)
            for artifact in package.artifacts
        }
        before = [build for build in (lock.builds if lock is not None else ()) if build.sha256 not in released]
        self.builder = Builder(origins.artifacts, environ, cache, progress, before)
        self._limits = limits
        self._building: list[str] = []  # projects whose build requirements are being locked
        # What indexes said of build requirements, by source and sha256: None, or why a file was taken back.
        self.yanked: dict[tuple[str, str], str | None] = {}

    def _refer(self, posed: PosedProblem, problem: PyPIProblem) -> tuple[PyPIProblem, dict[str, Reference]]:
        """The problem as the solver takes it, and what its direct requirements lead to on its target.

        What somebody points at is wanted, whatever the policy says of pre-releases and upload times.
        """
        markers = Markers(
            marker_environment(problem.target, problem.python), self._origins.answers(problem.target, problem.python)
        )
        held: dict[str, PyPIDependency] = {}
        found: dict[str, Reference] = {}
        for dependency in posed.direct:
            name = dependency.requirement.name
            if not markers.holds(dependency.requirement.marker):
                continue
            reference = self._references.find(dependency, (step_target.key for step_target in posed.step_targets))
            earlier = held.setdefault(name, dependency)
            if found.setdefault(name, reference) is not reference:
                raise UsageError(
                    f"{posed.title} takes {name} from two places: {render_key_path(earlier.at)} and "
                    f"{render_key_path(dependency.at)}",
                    "make them agree, or tell them apart with markers",
                )
        if not found:
            return problem, found
        policy = msgspec.structs.replace(
            problem.policy,
            prereleases_for=problem.policy.prereleases_for | found.keys(),
            exclude_newer_for={**problem.policy.exclude_newer_for, **dict.fromkeys(found)},
        )
        return msgspec.structs.replace(problem, policy=policy), found

    def open(self, posed: PosedProblem, problem: PyPIProblem, listed: ProjectIndex) -> tuple[PyPIProblem, SourceIndex]:
        """A problem as the solver takes it, and its index: what the sources list, and what direct requirements lead to.

        Raises EnvcError for a reference that leads nowhere.
        """
        problem, references = self._refer(posed, problem)
        return problem, self._index(posed, problem, listed, references)

    def build(self, problem: PyPIProblem, index: Index, solution: Solution) -> Solution:
        """A solution of such a problem with wheels in place of the sources that it chose.

        Solved again where a wheel says something else than its sources did. Raises what the solver raises, and
        EnvcError for a build that fails.
        """
        assert isinstance(index, SourceIndex)
        while not index.build(solution):
            solution = self._solve(problem, index)
        return index.built(solution)

    def _index(
        self, posed: PosedProblem, problem: PyPIProblem, listed: ProjectIndex, references: Mapping[str, Reference]
    ) -> SourceIndex:
        step_target = posed.step_targets[0]
        order = tuple(source.name for source in step_target.indexes)
        dedicated = tuple(source.name for source in step_target.dedicated)

        def lock(name: str, machine: Machine, requires: tuple[Requirement, ...]) -> tuple[BuildRequirement, ...]:
            return self._lock(name, machine, requires, order, dedicated, problem.policy, posed.buildable)

        return SourceIndex(
            listed,
            self._origins,
            problem.target,
            problem.python,
            references=references,
            buildable=posed.buildable,
            builder=self.builder,
            lock=lock,
        )

    def _lock(
        self,
        name: str,
        machine: Machine,
        requires: tuple[Requirement, ...],
        order: tuple[str, ...],
        dedicated: tuple[str, ...],
        policy: Policy,
        buildable: frozenset[str],
    ) -> tuple[BuildRequirement, ...]:
        """Lock build requirements for this machine, from the same sources and by the same cut-offs as all else.

        The manifest's constraints do not count: they speak of the steps' environments. A build requirement may itself
        have to be built, if that is allowed, but not for its own build.
        """
        if name in self._building:
            ring = " → ".join([*self._building[self._building.index(name) :], name])
            raise BadSource(name, f"building it needs what it builds: {ring}", "name a wheel of one of them")
        problem = PyPIProblem(
            target=machine.target,
            python=machine.python,
            roots=tuple(PyPIRoot(requirement, f"to build {name}") for requirement in requires),
            policy=msgspec.structs.replace(policy, strategy="highest"),
        )
        listed = self._origins.index(
            machine.target, machine.python, SourceOrder(order, dedicated=dedicated), Hints(policy=policy)
        )
        index = SourceIndex(
            listed,
            self._origins,
            machine.target,
            machine.python,
            references={},
            buildable=buildable,
            builder=self.builder,
            lock=lambda other, there, needs: self._lock(other, there, needs, order, dedicated, policy, buildable),
        )
        self._building.append(name)
        try:
            solution = self.build(problem, index, self._solve(problem, index))
        except SolverError as error:
            raise BadSource(name, f"what its build needs cannot be had\n{indent(str(error), '  ')}") from None
        finally:
            self._building.pop()
        pins = self._origins.complete(solution, index.view).pins
        self.yanked.update(((pin.source, pin.sha256), pin.yanked) for pin in pins)
        return tuple(map(BuildRequirement.of_pin, pins))

    def _solve(self, problem: PyPIProblem, index: SourceIndex) -> Solution:
        answers = self._origins.answers(problem.target, problem.python)
        limits = self._limits
        return solve_pypi(problem, index, answers, max_tries=limits.candidates, out_of_time=limits.clock())
