"""The conda requirements of one step-target, as a problem for the conda solver."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime

import msgspec

from envc.errors import UsageError
from envc.locking.plan.cutoff import cutoff_timestamp
from envc.locking.plan.expand import StepTarget, constraints_of, overrides_of
from envc.model.graph import LockGraph
from envc.model.manifest import CondaDependency, KeyPath, Manifest, Source
from envc_solvers.conda.language.matchspec import InvalidMatchSpec, parse_matchspec
from envc_solvers.conda.language.virtual import virtual_packages
from envc_solvers.conda.problem import CondaProblem, CondaRoot
from envc_solvers.origin import render_key_path
from envc_solvers.target import Python


def conda_problem(
    manifest: Manifest,
    step_target: StepTarget,
    *,
    now: datetime,
    lock: LockGraph | None,
    is_unpinned: Callable[[str], bool],
    requested: tuple[CondaRoot, ...],
) -> CondaProblem:
    """The conda problem of a step-target. Its Python is a package like the others. `requested` limits it like
    constraints; the other arguments are as for `pose_problems`.

    Raises UsageError for a spec that is not a match spec, and for a step without a channel.
    """
    target = step_target.target.name
    text = python_spec(step_target.python)
    requested_python = manifest.steps[step_target.step].python or manifest.python
    setting = f'python = "{requested_python.text}"'
    python = CondaRoot(parse_matchspec(text), text, _python_at(manifest, step_target), setting)
    overrides = [
        f"{name}={version}" for name, version in manifest.virtual_packages.get(step_target.target.name, {}).items()
    ]
    if not step_target.channels:
        raise UsageError(f"step {step_target.step} has no conda channel on {target}", "name one in project.channels")
    preferences = _preferences(lock, step_target, is_unpinned)
    policy = manifest.policy
    channels = tuple(manifest.sources[name] for name in manifest.channels)
    return CondaProblem(
        target=target,
        specs=(*_roots(step_target.conda, step_target.channels, f"step {step_target.step} on {target}"), python),
        channels=tuple(channel.name for channel in step_target.channels),
        priority=policy.channel_priority,
        virtual=virtual_packages(step_target.target, overrides),
        constraints=(*_roots(constraints_of(manifest, step_target).conda, channels, "the project"), *requested),
        overrides=_roots(overrides_of(manifest, step_target).conda, channels, "the project"),
        exclude_newer=cutoff_timestamp(manifest.exclude_newer, now),
        exclude_newer_for={name: cutoff_timestamp(value, now) for name, value in policy.exclude_newer_package.items()},
        exclude_newer_except=frozenset(channel.name for channel in step_target.channels if channel.is_undated),
        preferences=preferences,
    )


def python_spec(python: Python) -> str:
    """The Python of a step as a MatchSpec: the minor version that expand chose, and the patch if one is named."""
    version = f"{python.minor[0]}.{python.minor[1]}"
    number = f"{version}.*" if python.patch is None else f"{version}.{python.patch}.*"
    if python.limits and python.patch is None:
        # `~=3.12.3` means the same to conda as the floor; other operators are the same in both languages.
        floor = [f">={version}.{python.release}"] if python.release else []
        number = ",".join([number, *floor, *(one for one in python.limits.split(",") if one[0] in "!<")])
    return f"python {number} *_cp{python.minor[0]}{python.minor[1]}t" if python.free_threaded else f"python {number}"


def _python_at(manifest: Manifest, step_target: StepTarget) -> KeyPath:
    return ("steps", step_target.step, "python") if manifest.steps[step_target.step].python else ("project", "python")


def _roots(dependencies: Iterable[CondaDependency], channels: tuple[Source, ...], whose: str) -> tuple[CondaRoot, ...]:
    found = []
    for dependency in dependencies:
        try:
            spec = parse_matchspec(dependency.spec)
        except InvalidMatchSpec as error:
            raise UsageError(
                f"{render_key_path(dependency.at)}: {dependency.spec}: {error.reason}", 'write it as "numpy >=1.26,<3"'
            ) from None
        if spec.channel is not None:
            channel = _channel_of(spec.channel, channels)
            if channel is None:
                raise UsageError(
                    f"{render_key_path(dependency.at)}: {dependency.spec}: {spec.channel} is not a channel of {whose}, "
                    f"which has {', '.join(channel.name for channel in channels)}",
                    f'add "{spec.channel}" to project.channels',
                )
            spec = msgspec.structs.replace(spec, channel=channel)
        found.append(CondaRoot(spec, dependency.spec, dependency.at))
    return tuple(found)


def _channel_of(text: str, channels: tuple[Source, ...]) -> str | None:
    """The name of the channel that a spec names; None if it is none of these."""
    names = [channel.name for channel in channels]
    if text not in names and text == "defaults":
        text = "pkgs/main"  # the first of conda's default channels
    return text if text in names else None


def _preferences(
    lock: LockGraph | None, step_target: StepTarget, is_unpinned: Callable[[str], bool]
) -> dict[str, tuple[str, ...]]:
    """By name: the locked files, those of the step's own environment first, then their versions."""
    if lock is None:
        return {}
    packages = {package.id: package for package in lock.packages}
    own = [ref.id for env in lock.environments if step_target.step in env.steps for ref in env.packages]
    files: dict[str, list[str]] = {}
    versions: dict[str, list[str]] = {}
    for package_id in [*own, *packages]:
        package = packages.get(package_id)
        if package is None or package.kind != "conda" or is_unpinned(package.name):
            continue
        serving = [a.file for a in package.artifacts if not a.targets or step_target.key in a.targets]
        files.setdefault(package.name, []).extend(serving)
        versions.setdefault(package.name, []).append(package.version)
    return {name: tuple(dict.fromkeys([*files[name], *versions[name]])) for name in files}
