"""pose: what must be solved becomes problems, and equal problems become one."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Literal

import msgspec

from envc.errors import NotAvailable, render_key_path
from envc.expand import StepTarget
from envc.model.graph import LockGraph
from envc.model.manifest import KeyPath, Manifest, PyPIDependency
from envc_solvers.pypi.solve import Policy, Problem, Root

Label = Callable[[KeyPath], str]


class PosedProblem(msgspec.Struct, frozen=True, kw_only=True):
    """One run of a solver, and the step-targets that share its answer."""

    problem: Problem
    cells: tuple[StepTarget, ...]  # at least one; they agree on everything that the problem holds
    only: dict[str, str]  # project name: the one source that its requirement names

    @property
    def title(self) -> str:
        """For progress and errors: ``train on linux-64``."""
        steps = sorted({cell.step for cell in self.cells})
        return f"{', '.join(steps)} on {self.cells[0].target.name}"


def pose(
    manifest: Manifest,
    cells: Iterable[StepTarget],
    *,
    now: datetime,
    lock: LockGraph | None = None,
    release: Callable[[str], bool] = lambda _name: False,
    wanted: dict[str, str] | None = None,
    label: Label = render_key_path,
) -> tuple[PosedProblem, ...]:
    """The problems of these step-targets, each once, Python descending, then target name.

    `lock` supplies preferences, except for names that `release` says yes to; `wanted` holds versions to prefer instead
    (from ``-P name==version``). `label` renders where a requirement stands. Raises NotAvailable for what no solver can
    do yet.
    """
    refuse_unavailable(cells := tuple(cells), label)
    policy = _policy(manifest, now)
    constraints = _roots(manifest.constraints.pypi, label)
    overrides = _roots(manifest.overrides.pypi, label)
    posed: dict[bytes, list[StepTarget]] = {}
    problems: dict[bytes, tuple[Problem, dict[str, str]]] = {}
    for cell in cells:
        identity = _identity(cell)
        if identity not in problems:
            preferences, files = _preferences(lock, cell, release)
            for name, version in (wanted or {}).items():
                preferences[name] = (version, *preferences.get(name, ()))
            problem = Problem(
                target=cell.target,
                python=cell.python,
                roots=_roots(cell.pypi, label),
                constraints=constraints,
                overrides=overrides,
                policy=policy,
                preferences=preferences,
                locked_files=files,
            )
            only = {dep.requirement.name: dep.source for dep in cell.pypi if dep.source is not None}
            problems[identity] = (problem, only)
        posed.setdefault(identity, []).append(cell)
    result = [
        PosedProblem(problem=problems[identity][0], only=problems[identity][1], cells=tuple(members))
        for identity, members in posed.items()
    ]
    return tuple(
        sorted(result, key=lambda p: (tuple(-n for n in p.problem.python.minor), p.problem.target.name, p.title))
    )


def refuse_unavailable(cells: Iterable[StepTarget], label: Label = render_key_path) -> None:
    """Raise NotAvailable for anything that these step-targets ask of a solver that does not exist yet."""
    conda: dict[str, str] = {}
    direct: dict[str, str] = {}
    for cell in cells:
        for spec in cell.conda:
            conda.setdefault(cell.step, f"step {cell.step}: {label(spec.at)}: {spec.spec}")
        if cell.interpreter != "host" and not cell.conda:
            conda.setdefault(cell.step, f'step {cell.step}: interpreter = "{cell.interpreter}"')
        for dependency in cell.pypi:
            if dependency.is_direct:
                direct.setdefault(
                    label(dependency.at), f"step {cell.step}: {label(dependency.at)}: {dependency.requirement.name}"
                )
    if conda:
        raise NotAvailable(
            "solving conda packages and pinned interpreters",
            tuple(conda[step] for step in sorted(conda)),
            'take the conda packages out of these steps, or give them `interpreter = "host"`',
        )
    if direct:
        raise NotAvailable(
            "locking a requirement that names a path, a URL or a repository",
            tuple(direct.values()),
            "name a release from an index instead",
        )


def _identity(cell: StepTarget) -> bytes:
    """What makes two step-targets the same problem: the target's floors rather than its name, and no origins."""
    return msgspec.msgpack.encode(
        (
            msgspec.structs.replace(cell.target, name=""),
            cell.python,
            cell.requires,
            [source.name for source in cell.indexes],
            [source.name for source in cell.dedicated],
        )
    )


def _roots(dependencies: Iterable[PyPIDependency], label: Label) -> tuple[Root, ...]:
    return tuple(Root(dependency.requirement, label(dependency.at)) for dependency in dependencies)


def _policy(manifest: Manifest, now: datetime) -> Policy:
    policy = manifest.policy
    return Policy(
        prereleases=policy.prereleases,
        prereleases_for=frozenset(policy.prereleases_for),
        strategy=policy.resolution,
        exclude_newer=cutoff(manifest.exclude_newer, now),
        exclude_newer_for={name: cutoff(value, now) for name, value in policy.exclude_newer_package.items()},
    )


def cutoff(value: datetime | timedelta | Literal[False] | None, now: datetime) -> int | None:
    """A cut-off as seconds since the epoch; None where there is none."""
    if isinstance(value, timedelta):
        value = now - value
    return int(value.timestamp()) if isinstance(value, datetime) else None


def _preferences(
    lock: LockGraph | None, cell: StepTarget, release: Callable[[str], bool]
) -> tuple[dict[str, tuple[str, ...]], frozenset[str]]:
    """Versions to prefer (the step's own environment first, then the rest of the lock) and the files already locked."""
    if lock is None:
        return {}, frozenset()
    packages = {package.id: package for package in lock.packages}
    own = [ref.id for env in lock.environments if cell.step in env.steps for ref in env.packages]
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
    return {name: tuple(versions) for name, versions in names.items()}, frozenset(files)
