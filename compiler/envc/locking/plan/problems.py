"""Turns step-targets into problems for the solvers. Step-targets with equal problems share one."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import msgspec

from envc.errors import BuildNotAllowed, NoSuchInterpreter
from envc.locking.manifest.direct import file_name_of
from envc.locking.plan.cutoff import cutoff_timestamp
from envc.locking.plan.expand import StepTarget, constraints_of, overrides_of
from envc.locking.plan.named_upgrades import NamedVersions
from envc.locking.plan.python_releases import with_newest_release
from envc.model.graph import LockGraph, Package
from envc.model.manifest import Manifest, PyPIDependency
from envc_solvers.origin import Phrase
from envc_solvers.pypi.problem import Policy, PyPIProblem, PyPIRoot
from envc_solvers.target import Python

if TYPE_CHECKING:
    from envc_solvers.conda.problem import CondaProblem
    from envc_solvers.mixed.problem import MixedProblem

_NONE = NamedVersions()


class StandalonePreference(msgspec.Struct, frozen=True, kw_only=True):
    """Which release of a standalone interpreter is preferred."""

    locked: Package | None = None  # as in the lock, with the one archive for this target; kept while it is allowed
    requested: str | None = None  # version


class SharedProblem(msgspec.Struct, frozen=True, kw_only=True):
    """One run of a solver, and the step-targets that share its solution."""

    problem: PyPIProblem | CondaProblem | MixedProblem
    step_targets: tuple[StepTarget, ...]  # at least one; they agree on everything in the problem
    only: dict[str, str] = {}  # project name: the source that its requirement names
    standalone: StandalonePreference | None = None  # for steps with a standalone interpreter
    direct: tuple[PyPIDependency, ...] = ()  # requirements and overrides with a path, URL or git repository
    buildable: frozenset[str] = frozenset()  # projects that may be built from source

    @property
    def title(self) -> str:
        """For progress and messages: ``train on linux-64``."""
        return f"{', '.join(self.steps)} on {self.step_targets[0].target.name}"

    @property
    def is_mixed(self) -> bool:
        """Whether the problem has packages of both kinds."""
        return self.step_targets[0].is_mixed

    @property
    def steps(self) -> list[str]:
        return sorted({step_target.step for step_target in self.step_targets})


def pose_problems(
    manifest: Manifest,
    step_targets: Iterable[StepTarget],
    *,
    now: datetime,
    lock: LockGraph | None = None,
    is_unpinned: Callable[[str], bool] = lambda _name: False,
    requested: NamedVersions = _NONE,
) -> tuple[SharedProblem, ...]:
    """The problems of these step-targets, each once, sorted by Python descending, then by target name.

    Versions in `lock` are preferred, except for names for which `is_unpinned` returns true. `requested` holds the
    versions that ``-P`` asks for, which limit the problems like constraints. Raises NoSuchInterpreter for a step whose
    interpreter does not fit its packages, and BuildNotAllowed.
    """
    refuse_interpreters(step_targets := tuple(step_targets))
    _refuse_builds(manifest, step_targets)
    policy = _policy(manifest, now)
    no_longer_allowed = _no_longer_allowed(policy, lock)
    by_identity: dict[bytes, list[StepTarget]] = {}
    for step_target in step_targets:
        by_identity.setdefault(problem_identity(step_target), []).append(step_target)
    result = []
    for members in by_identity.values():
        step_target = members[0]
        overrides = overrides_of(manifest, step_target)
        conda = None
        if step_target.uses_conda:
            from envc.locking.plan.conda_problems import conda_problem

            conda = conda_problem(
                manifest, step_target, now=now, lock=lock, is_unpinned=is_unpinned, requested=requested.conda
            )
        # With another strategy, preferring the old pins would make the change ineffective.
        same_strategy = lock is not None and lock.options.get("resolution", "highest") == manifest.policy.resolution
        preferences, files = _preferences(
            lock if same_strategy else None,
            step_target,
            lambda name: is_unpinned(name) or name in no_longer_allowed,
        )
        problem = PyPIProblem(
            target=step_target.target,
            python=_solved_python(step_target, policy),
            roots=_roots(step_target.pypi),
            constraints=(*_roots(constraints_of(manifest, step_target).pypi), *requested.pypi),
            overrides=_roots(overrides.pypi),
            policy=policy,
            preferences=preferences,
            locked_files=files,
        )
        direct = tuple(each for each in (*step_target.pypi, *overrides.pypi) if each.is_direct)
        only = {dep.requirement.name: dep.source for dep in step_target.pypi if dep.source is not None}
        standalone = None
        if step_target.interpreter == "standalone":
            requested_release = requested.releases.get(step_target.python.implementation)
            standalone = _standalone_preference(lock, step_target, is_unpinned, requested_release)
        whole: PyPIProblem | CondaProblem | MixedProblem = problem if conda is None else conda
        if conda is not None and step_target.is_mixed:
            from envc_solvers.mixed.problem import MixedProblem

            whole = MixedProblem(conda=conda, pypi=problem, reserved=_reserved(step_target))
        result.append(
            SharedProblem(
                problem=whole,
                only=only,
                step_targets=tuple(members),
                standalone=standalone,
                direct=direct,
                buildable=frozenset(manifest.policy.build),
            )
        )
    return tuple(
        sorted(
            result,
            key=lambda p: (tuple(-n for n in p.step_targets[0].python.minor), p.step_targets[0].target.name, p.title),
        )
    )


def _no_longer_allowed(policy: Policy, lock: LockGraph | None) -> frozenset[str]:
    """The projects that the lock has in an older version because of a policy that has become stricter since."""
    if lock is None or not lock.holds_passed_over:
        return frozenset()
    kinds = {"sdist": ("sdist", policy.sdist), "url": ("direct-dependencies", policy.direct_dependencies)}
    now_refused = {
        kind for kind, (option, now) in kinds.items() if now == "refuse" and lock.options.get(option) == "older"
    }
    lines = (line for environment in lock.environments for line in environment.passed_over)
    return frozenset(line.name for line in lines if line.kind in now_refused)


def refuse_interpreters(step_targets: Iterable[StepTarget]) -> None:
    """Raise NoSuchInterpreter for a step with conda packages and a Python other than conda's, or with conda's PyPy."""
    not_cpython: dict[str, Phrase] = {}
    not_conda: dict[str, Phrase] = {}
    for step_target in step_targets:
        step = step_target.step
        if step_target.conda and step_target.interpreter != "conda":
            first = step_target.conda[0]
            interpreter = f'interpreter = "{step_target.interpreter}"'
            at = ("steps", step, "interpreter")
            not_conda.setdefault(step, (f"step {step}: {first.spec} (", first.at, f"), {interpreter} (", at, ")"))
        if step_target.interpreter == "conda" and step_target.python.implementation != "cpython":
            not_cpython.setdefault(step, (f"step {step}: {step_target.python.text} from conda channels",))
    if not_conda:
        raise NoSuchInterpreter(
            "a step with conda packages uses conda's own Python, and no other",
            tuple(not_conda[step] for step in sorted(not_conda)),
            "remove `interpreter`; the step then uses conda's Python",
        )
    if not_cpython:
        raise NoSuchInterpreter(
            "only CPython can come from conda channels",
            tuple(not_cpython[step] for step in sorted(not_cpython)),
            'set `python` to a version such as "3.12", or choose another interpreter',
        )


def _solved_python(step_target: StepTarget, policy: Policy) -> Python:
    """The Python of a problem. A patch release that conda or an archive decides is known only later."""
    if step_target.interpreter != "host":
        return step_target.python
    return with_newest_release(step_target.python, policy.exclude_newer)


def _refuse_builds(manifest: Manifest, step_targets: Iterable[StepTarget]) -> None:
    """Raise BuildNotAllowed for direct requirements on sources of projects that may not be built."""
    places: dict[str, Phrase] = {}
    stated = (each for step_target in step_targets for each in (*step_target.pypi, *step_target.limits.overrides.pypi))
    for dependency in (*stated, *manifest.overrides.pypi):
        name = dependency.requirement.name
        address = dependency.path or dependency.requirement.url
        is_source = dependency.git or (address and not file_name_of(address).endswith(".whl"))
        if is_source and name not in manifest.policy.build:
            places.setdefault(name, (dependency.at, f": {name}"))
    if places:
        raise BuildNotAllowed(tuple(sorted(places)), tuple(places[name] for name in sorted(places)))


def problem_identity(step_target: StepTarget) -> bytes:
    """Equal for two step-targets with the same problem. Includes the target's floors, but not its name or key paths."""
    return msgspec.msgpack.encode(
        (
            msgspec.structs.replace(step_target.target, name=""),
            step_target.python,
            step_target.interpreter,
            step_target.requires,
            [source.name for source in step_target.indexes],
            [source.name for source in step_target.dedicated],
            [source.name for source in step_target.channels] if step_target.uses_conda else [],
            # The manifest overrides virtual packages by the name of the target.
            step_target.target.name if step_target.uses_conda else "",
        )
    )


def _roots(dependencies: Iterable[PyPIDependency]) -> tuple[PyPIRoot, ...]:
    """The requirements for the solver, without URLs, because the index of the problem resolves these."""
    return tuple(
        PyPIRoot(
            msgspec.structs.replace(dependency.requirement, url="") if dependency.is_direct else dependency.requirement,
            dependency.at,
        )
        for dependency in dependencies
    )


def _reserved(step_target: StepTarget) -> dict[str, Phrase]:
    """Projects that conda must not supply, because the manifest gives their source or address on this target."""
    placed = [dep for dep in step_target.pypi if dep.source is not None or dep.is_direct]
    if not placed:
        return {}
    from envc_solvers.pypi.language.markers import Markers, marker_environment

    markers = Markers(marker_environment(step_target.target, step_target.python), {})
    return {
        dep.requirement.name: (f"it comes from {dep.source or 'an address of its own'} (", dep.at, ")")
        for dep in placed
        if markers.holds(dep.requirement.marker)
    }


def _policy(manifest: Manifest, now: datetime) -> Policy:
    policy = manifest.policy
    cutoffs = {"": manifest.exclude_newer, **policy.exclude_newer_package}
    return Policy(
        prereleases=policy.prereleases,
        prereleases_for=frozenset(policy.prereleases_for),
        sdist=policy.sdist,
        direct_dependencies=policy.direct_dependencies,
        strategy=policy.resolution,
        exclude_newer=cutoff_timestamp(manifest.exclude_newer, now),
        exclude_newer_for={name: cutoff_timestamp(value, now) for name, value in policy.exclude_newer_package.items()},
        spans=frozenset(name for name, value in cutoffs.items() if isinstance(value, timedelta)),
    )


def _standalone_preference(
    lock: LockGraph | None, step_target: StepTarget, is_unpinned: Callable[[str], bool], requested: str | None
) -> StandalonePreference:
    """The release of the interpreter in the step's own environment, unless it is unpinned."""
    name = step_target.python.implementation
    if lock is None or is_unpinned(name):
        return StandalonePreference(requested=requested)
    from envc.locking.plan.artifact_names import interpreter_faults

    own = {ref.id for env in lock.environments if step_target.step in env.steps for ref in env.packages}
    for package in lock.packages:
        if package.id not in own or (package.kind, package.name) != ("interpreter", name):
            continue
        serving = tuple(a for a in package.artifacts if not a.targets or step_target.key in a.targets)
        # A lock that was edited may have another version over the archive.
        if len(serving) == 1 and not interpreter_faults(package, serving[0], step_target.target, step_target.python):
            return StandalonePreference(locked=msgspec.structs.replace(package, artifacts=serving), requested=requested)
    return StandalonePreference(requested=requested)


def _preferences(
    lock: LockGraph | None, step_target: StepTarget, is_unpinned: Callable[[str], bool]
) -> tuple[dict[str, tuple[str, ...]], frozenset[str]]:
    """Versions to prefer (the step's own environment first, then the rest of the lock) and the files already locked."""
    if lock is None:
        return {}, frozenset()
    from envc.locking.plan.pypi_coherence import is_version

    packages = {package.id: package for package in lock.packages}
    refs = [ref for env in lock.environments if step_target.step in env.steps for ref in env.packages]
    # The step's packages on this very target before those on other targets.
    refs.sort(key=lambda ref: bool(ref.targets) and step_target.target.name not in ref.targets)
    own = [ref.id for ref in refs]
    names: dict[str, list[str]] = {}
    files: set[str] = set()
    for package_id in [*own, *packages]:
        package = packages.get(package_id)
        if package is None or package.kind != "pypi" or is_unpinned(package.name):
            continue
        if not is_version(package.version):
            continue  # of a lock that was edited
        versions = names.setdefault(package.name, [])
        if package.version not in versions:
            versions.append(package.version)
        files.update(artifact.sha256 for artifact in package.artifacts)
    # For a wheel that was built, the index has the source distribution.
    files.update(build.sdist.sha256 for build in lock.builds if build.sdist is not None and build.sha256 in files)
    return {name: tuple(versions) for name, versions in names.items()}, frozenset(files)
