"""A manifest with its lock, and the step-targets that a selection means."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from envc.errors import UsageError
from envc.locking.plan.expand import StepTarget
from envc.locking.plan.freshness import Freshness
from envc.model.graph import LockGraph
from envc.model.manifest import Manifest
from envc_solvers.nearest import nearest_name
from envc_solvers.target import PLATFORMS


class Project(msgspec.Struct, frozen=True, kw_only=True):
    """A manifest with what was derived from it, and the lock beside it."""

    manifest: Manifest
    step_targets: tuple[StepTarget, ...]
    graph: LockGraph | None  # None when there is no lock
    freshness: Freshness | None  # None when there is no lock


class Selection(msgspec.Struct, frozen=True, kw_only=True):
    """Which step-targets a verb is about, and where their packages are."""

    steps: tuple[str, ...] = ()  # () is all
    targets: tuple[str, ...] = ()  # target or platform names; () is all
    store: str | None = None
    frozen: bool = False  # use the lock whether or not it is stale


def select(project: Project, selection: Selection) -> tuple[StepTarget, ...]:
    """The step-targets that are meant. Raises UsageError for a name that means none."""
    steps, targets = set(project.manifest.steps), {step_target.target.name for step_target in project.step_targets}
    for name in selection.steps:
        if name not in steps:
            raise UsageError(f"there is no step {name}", _has(name, steps))
    named = targets | {step_target.target.platform for step_target in project.step_targets}
    for name in selection.targets:
        if name in PLATFORMS and name not in named:
            # Spelt right, and so no near miss of a name that the manifest has.
            hint = f'add "{name}" to the targets of the project or of a step, and run `envc lock`'
            raise UsageError(f"the manifest has no target for {name}; it has {', '.join(sorted(named))}", hint)
        if name not in named:
            raise UsageError(f"there is no target or platform {name}", _has(name, named))
    step_targets = tuple(
        step_target
        for step_target in project.step_targets
        if (not selection.steps or step_target.step in selection.steps)
        and (not selection.targets or {step_target.target.name, step_target.target.platform} & set(selection.targets))
    )
    if not step_targets:
        raise UsageError("no step has one of these targets", f"the manifest has {', '.join(sorted(targets))}")
    return step_targets


def answers(project: Project, selected: tuple[StepTarget, ...]) -> bool:
    """Whether the lock says what the manifest asks for: everything, or what some step-targets ask for."""
    if project.freshness is None:
        return False
    if len(selected) == len(project.step_targets):
        return project.freshness.is_fresh
    return all(step_target.id in project.freshness.fresh for step_target in selected)


def _has(name: str, known: Iterable[str]) -> str:
    """The way out for a name that the manifest does not have."""
    near = nearest_name(name, known)
    return f"did you mean {near}?" if near else f"the manifest has {', '.join(sorted(known))}"
