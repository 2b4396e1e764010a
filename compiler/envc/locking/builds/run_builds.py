"""RunBuilds: the direct requirements and the builds of a run. Needed only if the manifest has or allows any."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from envc.context import Context
from envc.errors import UsageError
from envc.fetch.git import Git
from envc.fetch.pypi.indexes import Indexes, ProjectIndex, SourceOrder
from envc.fetch.pypi.prefetch import Hints
from envc.locking.builds.builder import Builder, BuildInputs
from envc.locking.builds.environment import Machine
from envc.locking.builds.errors import BadSource
from envc.locking.builds.references import Reference, References
from envc.locking.builds.source_index import BuildRules, SourceIndex
from envc.locking.plan.problems import SharedProblem
from envc.model.graph import BuildRequirement, LockGraph
from envc.model.manifest import Manifest, PyPIDependency
from envc_solvers.errors import SolverError
from envc_solvers.origin import render_key_path
from envc_solvers.pypi.language.index import Index
from envc_solvers.pypi.language.markers import Markers, marker_environment
from envc_solvers.pypi.language.requirement import Requirement
from envc_solvers.pypi.problem import Policy, PyPIProblem, PyPIRoot
from envc_solvers.pypi.solve import solve_pypi
from envc_solvers.solution import Solution


class _RequirementRules(msgspec.Struct, frozen=True):
    """The rules for locking build requirements, which are those of the step that needs the build."""

    order: SourceOrder
    policy: Policy
    buildable: frozenset[str]  # projects that may be built from source


class RunBuilds:
    """The direct requirements and the builds of a run."""

    def __init__(
        self,
        origins: Indexes,
        manifest: Manifest,
        context: Context,
        *,
        lock: LockGraph | None,
        is_unpinned: Callable[[str], bool],
    ) -> None:
        """For `lock` and `is_unpinned`, see `References`."""
        git = Git(context.cache / "git", context.environ, origins.context.keyring, offline=context.offline)
        self._origins = origins
        self._references = References(
            origins.artifacts, git, manifest, offline=context.offline, lock=lock, is_unpinned=is_unpinned
        )
        # A wheel is built again if its name is unpinned, because newer build requirements may apply.
        unpinned = {
            artifact.sha256
            for package in (lock.packages if lock is not None else ())
            if is_unpinned(package.name)
            for artifact in package.artifacts
        }
        before = [build for build in (lock.builds if lock is not None else ()) if build.sha256 not in unpinned]
        inputs = BuildInputs(
            added={
                name: tuple(sorted({str(one.requirement) for one in requires}))
                for name, requires in manifest.build_requires.items()
            },
            constraints=tuple(one.requirement for one in manifest.build_constraints),
        )
        self._constraints = tuple(PyPIRoot(one.requirement, one.at) for one in manifest.build_constraints)
        self.builder = Builder(origins.artifacts, context, before, inputs=inputs)
        self._limits = context.limits
        self._building: list[str] = []  # projects whose build requirements are being locked
        # The state of build requirements on their indexes, by source and sha256: None, or why a file was yanked.
        self.yanked: dict[tuple[str, str], str | None] = {}

    def open(
        self, shared: SharedProblem, problem: PyPIProblem, listed: ProjectIndex
    ) -> tuple[PyPIProblem, SourceIndex]:
        """The problem for the solver, and its index, which has the files of the sources and of direct requirements.

        Raises EnvcError for a direct requirement whose target does not exist.
        """
        problem, references = self._refer(shared, problem)
        step_target = shared.step_targets[0]
        rules = _RequirementRules(
            order=SourceOrder(
                tuple(source.name for source in step_target.indexes),
                dedicated=tuple(source.name for source in step_target.dedicated),
            ),
            policy=problem.policy,
            buildable=shared.buildable,
        )
        return problem, self._index(problem, listed, references, rules)

    def _refer(self, shared: SharedProblem, problem: PyPIProblem) -> tuple[PyPIProblem, dict[str, Reference]]:
        """The problem for the solver, and those of its direct requirements that apply to its target.

        A project that the manifest points at is allowed, whatever the policy says about pre-releases and upload times.
        """
        markers = Markers(
            marker_environment(problem.target, problem.python), self._origins.answers(problem.target, problem.python)
        )
        dependencies: dict[str, PyPIDependency] = {}
        found: dict[str, Reference] = {}
        for dependency in shared.direct:
            name = dependency.requirement.name
            if not markers.holds(dependency.requirement.marker):
                continue
            reference = self._references.find(dependency, (step_target.key for step_target in shared.step_targets))
            earlier = dependencies.setdefault(name, dependency)
            if found.setdefault(name, reference) is not reference:
                raise UsageError(
                    f"{shared.title} takes {name} from two places: {render_key_path(earlier.at)} and "
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

    def build(self, problem: PyPIProblem, index: Index, solution: Solution) -> Solution:
        """The solution, with wheels in place of the sources that it chose.

        The problem is solved again if a wheel's metadata differs from that of its sources. Raises the errors of the
        solver, and EnvcError for a build that fails.
        """
        assert isinstance(index, SourceIndex)
        while not index.build(solution):
            solution = self._solve(problem, index)
        return index.built(solution)

    def _index(
        self,
        problem: PyPIProblem,
        listed: ProjectIndex,
        references: Mapping[str, Reference],
        rules: _RequirementRules,
    ) -> SourceIndex:
        def lock(name: str, machine: Machine, requires: tuple[Requirement, ...]) -> tuple[BuildRequirement, ...]:
            return self._lock(name, machine, requires, rules)

        builds = BuildRules(builder=self.builder, buildable=rules.buildable, lock=lock)
        return SourceIndex(listed, self._origins, problem.target, problem.python, references=references, builds=builds)

    def _lock(
        self, name: str, machine: Machine, requires: tuple[Requirement, ...], rules: _RequirementRules
    ) -> tuple[BuildRequirement, ...]:
        """Lock build requirements for this machine, from the same sources and with the same cut-offs as the step.

        Of the manifest's constraints, only those on builds apply: the others are for the environments of steps. A build
        requirement may itself have to be built, if that is allowed, but not for its own build.
        """
        if name in self._building:
            cycle = " → ".join([*self._building[self._building.index(name) :], name])
            raise BadSource(name, f"its build requires itself: {cycle}", "name a wheel of one of them")
        problem = PyPIProblem(
            target=machine.target,
            python=machine.python,
            roots=tuple(PyPIRoot(requirement) for requirement in requires),
            constraints=self._constraints,
            policy=msgspec.structs.replace(rules.policy, strategy="highest"),
        )
        listed = self._origins.index(machine.target, machine.python, rules.order, Hints(policy=rules.policy))
        index = self._index(problem, listed, {}, rules)
        self._building.append(name)
        try:
            solution = self.build(problem, index, self._solve(problem, index))
        except SolverError as error:
            details = tuple(str(error).splitlines())
            raise BadSource(name, "its build requirements cannot be solved", details=details) from None
        finally:
            self._building.pop()
        pins = self._origins.complete(solution, index.view).pins
        self.yanked.update(((pin.source, pin.sha256), pin.yanked) for pin in pins)
        return tuple(map(BuildRequirement.of_pin, pins))

    def _solve(self, problem: PyPIProblem, index: SourceIndex) -> Solution:
        answers = self._origins.answers(problem.target, problem.python)
        limits = self._limits
        return solve_pypi(problem, index, answers, max_tries=limits.candidates, out_of_time=limits.clock())
