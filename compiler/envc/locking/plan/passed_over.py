"""The passed-over releases that a lock records: from the solutions of this run, else from the previous lock."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from envc.locking.plan.expand import StepTargetId
from envc.locking.plan.inputs import StepTargetInputs
from envc.locking.plan.package_ids import ArtifactKey
from envc.model.graph import LockedEnvironment, LockGraph, target_name_of
from envc.model.lock_lines import LockedPassedOver
from envc_solvers.passed_over import PassedOver

# These change with time and with the history of the lock, and not with what is locked.
NOT_RECORDED = frozenset({"locked", "cut-off", "prerelease", "yanked"})


def recorded(
    step_targets: Iterable[StepTargetInputs],
    keys: Mapping[StepTargetId, tuple[ArtifactKey, ...]],
    previous: LockGraph | None,
    solved: Mapping[StepTargetId, tuple[PassedOver, ...]],
) -> dict[StepTargetId, tuple[LockedPassedOver, ...]]:
    """By step-target: what the lock records, without targets. Step-targets about which nothing is known are left out.

    `keys` are the chosen artifacts. A package that keeps its version keeps what was recorded about it, unless its
    solution says something else.
    """
    before = _Before(previous)
    found = {}
    for step_target in step_targets:
        new = solved.get(step_target.id)
        old = before.of(step_target, keys[step_target.id])
        lines = {one.name: one for one in (() if new is None else map(LockedPassedOver.of, new))}
        staying = old if new is None else [name for name, one in lines.items() if one.kind == "locked"]
        kept = {name: old[name] for name in staying if name in old}
        merged = {name: one for name, one in (lines | kept).items() if one.kind not in NOT_RECORDED}
        if merged:
            found[step_target.id] = tuple(merged[name] for name in sorted(merged))
    return found


def joined(by_target: Iterable[tuple[str, Iterable[LockedPassedOver]]]) -> tuple[LockedPassedOver, ...]:
    """The lines of an environment, from those of its targets by name; each names its targets unless all have it."""
    targets: dict[LockedPassedOver, list[str]] = {}
    everywhere = []
    for target, lines in by_target:
        everywhere.append(target)
        for line in lines:
            targets.setdefault(line, []).append(target)
    if not targets:
        return ()
    return tuple(
        sorted(
            msgspec.structs.replace(line, targets=() if len(names) == len(everywhere) else tuple(sorted(names)))
            for line, names in targets.items()
        )
    )


class _Before:
    """What the previous lock records: of a step itself, else, if the step is new, of the other steps on its target."""

    def __init__(self, previous: LockGraph | None) -> None:
        self._own: dict[tuple[str, str], dict[tuple[str, str], LockedPassedOver]] = {}
        self._any: dict[str, dict[tuple[str, str], LockedPassedOver]] = {}
        if previous is None or not previous.holds_passed_over:
            return
        versions = locked_versions(previous)
        for environment in previous.environments:
            for key in environment.targets:
                lines = recorded_on(environment, target_name_of(key), versions)
                self._any.setdefault(key, {}).update(lines)
                self._own.update(((step, key), lines) for step in environment.steps)

    def of(self, step_target: StepTargetInputs, keys: tuple[ArtifactKey, ...]) -> dict[str, LockedPassedOver]:
        """By name: what is recorded about the packages that keep their versions."""
        lines = self._own.get(step_target.id)
        if lines is None:
            lines = self._any.get(step_target.key, {})
        if not lines:
            return {}
        chosen = {(release[1], release[2]) for _, release in keys if release[0] == "pypi"}
        return {name: line for (name, version), line in lines.items() if (name, version) in chosen}


def locked_versions(graph: LockGraph) -> dict[str, tuple[str, str]]:
    """By id: name and version of the PyPI packages of a lock."""
    return {package.id: (package.name, package.version) for package in graph.packages if package.kind == "pypi"}


def recorded_on(
    environment: LockedEnvironment, target_name: str, locked: Mapping[str, tuple[str, str]]
) -> dict[tuple[str, str], LockedPassedOver]:
    """By name and locked version: what an environment records for one target. `locked` is that of the whole lock."""
    if not environment.passed_over:
        return {}
    versions = dict(
        locked[ref.id]
        for ref in environment.packages
        if ref.id in locked and (not ref.targets or target_name in ref.targets)
    )
    return {
        (line.name, versions[line.name]): msgspec.structs.replace(line, targets=())
        for line in environment.passed_over
        if (not line.targets or target_name in line.targets) and line.name in versions
    }
