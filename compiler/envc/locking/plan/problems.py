"""pose: what must be solved becomes problems, and equal problems become one."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import msgspec

from envc.errors import BuildNotAllowed, NoSuchInterpreter
from envc.locking.manifest.direct import last_part
from envc.locking.plan.cutoff import cutoff
from envc.locking.plan.expand import StepTarget
from envc.model.graph import LockGraph, Package
from envc.model.manifest import Manifest, PyPIDependency
from envc_solvers.origin import Phrase
from envc_solvers.pypi.problem import Policy, PyPIProblem, PyPIRoot

if TYPE_CHECKING:
    from envc_solvers.conda.problem import CondaProblem
    from envc_solvers.mixed.problem import MixedProblem


class StandaloneWish(msgspec.Struct, frozen=True, kw_only=True):
    """Which release of a standalone interpreter is preferred."""

    locked: Package | None = None  # as the lock has it, with the one archive that serves; it stays while it may
    wanted: str | None = None  # version that was asked for


class PosedProblem(msgspec.Struct, frozen=True, kw_only=True):
    """One run of a solver, and the step-targets that share its answer."""

    problem: PyPIProblem | CondaProblem | MixedProblem
    step_targets: tuple[StepTarget, ...]  # at least one; they agree on everything that the problem holds
    only: dict[str, str] = {}  # project name: the one source that its requirement names
    standalone: StandaloneWish | None = None  # for steps whose interpreter is an archive of the lock
    direct: tuple[PyPIDependency, ...] = ()  # requirements that say where their project is, and overrides that do
    buildable: frozenset[str] = frozenset()  # projects that may be built from source

    @property
    def title(self) -> str:
        """For progress and errors: ``train on linux-64``."""
        return f"{', '.join(self.steps)} on {self.step_targets[0].target.name}"

    @property
    def is_mixed(self) -> bool:
        """Whether the problem is one of both kinds."""
        return self.step_targets[0].is_mixed

    @property
    def steps(self) -> list[str]:
        return sorted({step_target.step for step_target in self.step_targets})


def pose(
    manifest: Manifest,
    step_targets: Iterable[StepTarget],
    *,
    now: datetime,
    lock: LockGraph | None = None,
    release: Callable[[str], bool] = lambda _name: False,
    wanted: dict[str, str] | None = None,
) -> tuple[PosedProblem, ...]:
    """The problems of these step-targets, each once, Python descending, then target name.

    `lock` supplies preferences, except for names that `release` says yes to; `wanted` holds versions to prefer instead
    (from ``-P name==version``). Raises NoSuchInterpreter where the
    interpreter of a step does not go with its packages, and BuildNotAllowed.
    """
    _refuse_interpreters(step_targets := tuple(step_targets))
    _refuse_builds(manifest, step_targets)
    policy = _policy(manifest, now)
    constraints = _roots(manifest.constraints.pypi)
    overrides = _roots(manifest.overrides.pypi)
    posed: dict[bytes, list[StepTarget]] = {}
    for step_target in step_targets:
        posed.setdefault(identity(step_target), []).append(step_target)
    result = []
    for members in posed.values():
        step_target = members[0]
        conda = None
        if step_target.uses_conda:
            from envc.locking.plan.conda_problems import conda_problem

            conda = conda_problem(manifest, step_target, now=now, lock=lock, release=release, wanted=wanted or {})
        # Pins of the opposite strategy would be kept as if it had not changed.
        same = lock is not None and lock.options.get("resolution", "highest") == manifest.policy.resolution
        preferences, files = _preferences(lock if same else None, step_target, release)
        for name, version in (wanted or {}).items():
            preferences[name] = (version, *preferences.get(name, ()))
        problem = PyPIProblem(
            target=step_target.target,
            python=step_target.python,
            roots=_roots(step_target.pypi),
            constraints=constraints,
            overrides=overrides,
            policy=policy,
            preferences=preferences,
            locked_files=files,
        )
        direct = tuple(each for each in (*step_target.pypi, *manifest.overrides.pypi) if each.is_direct)
        only = {dep.requirement.name: dep.source for dep in step_target.pypi if dep.source is not None}
        wish = None
        if step_target.interpreter == "standalone":
            wish = _standalone_wish(lock, step_target, release, (wanted or {}).get(step_target.python.implementation))
        whole: PyPIProblem | CondaProblem | MixedProblem = problem if conda is None else conda
        if conda is not None and step_target.is_mixed:
            from envc_solvers.mixed.problem import MixedProblem

            whole = MixedProblem(conda=conda, pypi=problem, reserved=_reserved(step_target))
        result.append(
            PosedProblem(
                problem=whole,
                only=only,
                step_targets=tuple(members),
                standalone=wish,
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


def _refuse_interpreters(step_targets: Iterable[StepTarget]) -> None:
    """Raise NoSuchInterpreter where conda packages stand beside another Python than conda's, or it is not CPython."""
    not_cpython: dict[str, Phrase] = {}
    beside: dict[str, Phrase] = {}
    for step_target in step_targets:
        step = step_target.step
        if step_target.conda and step_target.interpreter != "conda":
            first = step_target.conda[0]
            interpreter = f'interpreter = "{step_target.interpreter}"'
            at = ("steps", step, "interpreter")
            beside.setdefault(step, (f"step {step}: {first.spec} (", first.at, f"), {interpreter} (", at, ")"))
        if step_target.interpreter == "conda" and step_target.python.implementation != "cpython":
            not_cpython.setdefault(step, (f"step {step}: {step_target.python.text} from conda channels",))
    if beside:
        raise NoSuchInterpreter(
            "an environment of conda packages has conda's own Python, and no other one",
            tuple(beside[step] for step in sorted(beside)),
            "leave out `interpreter`, and the step's Python is conda's too",
        )
    if not_cpython:
        raise NoSuchInterpreter(
            "conda channels are asked for CPython only",
            tuple(not_cpython[step] for step in sorted(not_cpython)),
            'name a Python such as "3.12", or another interpreter',
        )


def _refuse_builds(manifest: Manifest, step_targets: Iterable[StepTarget]) -> None:
    """Raise BuildNotAllowed for direct requirements that lead to sources of projects that may not be built."""
    places: dict[str, Phrase] = {}
    for dependency in (*(each for step_target in step_targets for each in step_target.pypi), *manifest.overrides.pypi):
        name = dependency.requirement.name
        leads_to = dependency.path or dependency.requirement.url
        to_sources = dependency.git or (leads_to and not last_part(leads_to).endswith(".whl"))
        if to_sources and name not in manifest.policy.build:
            places.setdefault(name, (dependency.at, f": {name}"))
    if places:
        raise BuildNotAllowed(tuple(sorted(places)), tuple(places[name] for name in sorted(places)))


def identity(step_target: StepTarget) -> bytes:
    """Equal for two step-targets that are the same problem: the target's floors rather than its name, no origins."""
    return msgspec.msgpack.encode(
        (
            msgspec.structs.replace(step_target.target, name=""),
            step_target.python,
            step_target.interpreter,
            step_target.requires,
            [source.name for source in step_target.indexes],
            [source.name for source in step_target.dedicated],
            [source.name for source in step_target.channels] if step_target.uses_conda else [],
            # Virtual packages are overridden by the target's name.
            step_target.target.name if step_target.uses_conda else "",
        )
    )


def _roots(dependencies: Iterable[PyPIDependency]) -> tuple[PyPIRoot, ...]:
    """The requirements as a solver takes them: where one says that its project is, the index knows."""
    return tuple(
        PyPIRoot(
            msgspec.structs.replace(dependency.requirement, url="") if dependency.is_direct else dependency.requirement,
            dependency.at,
        )
        for dependency in dependencies
    )


def _reserved(step_target: StepTarget) -> dict[str, Phrase]:
    """Projects for which the manifest names a place on this target: no conda package may stand for them."""
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
        strategy=policy.resolution,
        exclude_newer=cutoff(manifest.exclude_newer, now),
        exclude_newer_for={name: cutoff(value, now) for name, value in policy.exclude_newer_package.items()},
        spans=frozenset(name for name, value in cutoffs.items() if isinstance(value, timedelta)),
    )


def _standalone_wish(
    lock: LockGraph | None, step_target: StepTarget, release: Callable[[str], bool], wanted: str | None
) -> StandaloneWish:
    """The interpreter's release that the step's own environment has, unless it may move."""
    name = step_target.python.implementation
    if lock is None or release(name):
        return StandaloneWish(wanted=wanted)
    own = {ref.id for env in lock.environments if step_target.step in env.steps for ref in env.packages}
    for package in lock.packages:
        if package.id not in own or (package.kind, package.name) != ("interpreter", name):
            continue
        serving = tuple(a for a in package.artifacts if not a.targets or step_target.key in a.targets)
        if len(serving) == 1:
            return StandaloneWish(locked=msgspec.structs.replace(package, artifacts=serving), wanted=wanted)
    return StandaloneWish(wanted=wanted)


def _preferences(
    lock: LockGraph | None, step_target: StepTarget, release: Callable[[str], bool]
) -> tuple[dict[str, tuple[str, ...]], frozenset[str]]:
    """Versions to prefer (the step's own environment first, then the rest of the lock) and the files already locked."""
    if lock is None:
        return {}, frozenset()
    packages = {package.id: package for package in lock.packages}
    refs = [ref for env in lock.environments if step_target.step in env.steps for ref in env.packages]
    # What the step has on this very target before what it has on others.
    refs.sort(key=lambda ref: bool(ref.targets) and step_target.target.name not in ref.targets)
    own = [ref.id for ref in refs]
    names: dict[str, list[str]] = {}
    files: set[str] = set()
    for package_id in [*own, *packages]:
        package = packages.get(package_id)
        if package is None or package.kind != "pypi" or release(package.name):
            continue
        versions = names.setdefault(package.name, [])
        if package.version not in versions:
            versions.append(package.version)
        files.update(artifact.sha256 for artifact in package.artifacts)
    # A wheel that was built stands for the source distribution that the index has.
    files.update(build.sdist.sha256 for build in lock.builds if build.sdist is not None and build.sha256 in files)
    return {name: tuple(versions) for name, versions in names.items()}, frozenset(files)
