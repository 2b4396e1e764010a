"""plan: decides which packages of a lock stay, which may change, and which step-targets must be solved."""

from __future__ import annotations

import msgspec

from envc.errors import UsageError
from envc.locking.plan.closure import Closures, DanglingLock
from envc.locking.plan.expand import StepTarget, StepTargetId, lock_options
from envc.locking.plan.freshness import Reason, Scope
from envc.locking.plan.inputs import StepTargetInputs
from envc.locking.plan.named_upgrades import NamedVersions, name_packages
from envc.locking.plan.problems import problem_identity
from envc.locking.plan.project import Project, Upgrades
from envc.model.graph import Choice, LockedEnvironment, LockGraph, target_name_of
from envc.model.lock_lines import Extra
from envc.model.manifest import Manifest


class KeptStepTarget(msgspec.Struct, frozen=True, kw_only=True):
    """A step-target that the lock keeps as it was, with the inputs that it was locked with (`StepTargetInputs`)."""

    step: str
    key: str  # target key
    python_text: str
    interpreter: str  # as in the lock, which may name a kind that this envc does not know
    requires: tuple[str, ...]
    extras: frozenset[Extra]
    index_names: tuple[str, ...]

    @property
    def id(self) -> StepTargetId:
        return self.step, self.key

    @property
    def target_name(self) -> str:
        return target_name_of(self.key)


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """How to make a lock from the previous one."""

    solve: tuple[StepTarget, ...]
    choices: dict[StepTargetId, tuple[Choice, ...]]  # of the step-targets that are not solved
    patches: dict[StepTargetId, int]  # of these: the oldest patch release of Python that the choices hold for, if not 0
    step_targets: tuple[StepTargetInputs, ...]  # every one that the lock will hold
    options: dict[str, object]  # of the lock
    unpinned: frozenset[str]  # names of packages whose locked versions are not preferred
    requested: NamedVersions  # versions that -P asks for
    reuploads: frozenset[str]  # names of packages whose files may have other bytes than in the lock


def plan(project: Project, selected: tuple[StepTarget, ...], upgrades: Upgrades) -> Plan:
    """What to solve for the selected step-targets.

    All others stay as they are in the lock, with the inputs that they were locked with, so they stay as stale as
    before. Raises UsageError if one lock cannot hold both parts: its options apply to all of it, the floors of a target
    to all steps on it, and the Python of a step to all its targets.
    """
    manifest, graph = project.manifest, project.graph
    named = name_packages(upgrades, graph, selected)
    kept: tuple[KeptStepTarget, ...] = ()
    choices: dict[StepTargetId, tuple[Choice, ...]] = {}
    patches: dict[StepTargetId, int] = {}
    if graph is not None and project.freshness is not None:
        closures = Closures(graph)
        if len(selected) < len(project.step_targets):
            kept = _kept_step_targets(project, closures, graph, selected)
            _refuse_shared_changes(project, selected, kept)
        if not upgrades.everything:
            fresh = {step_target: closures.choices(*step_target) for step_target in project.freshness.fresh}
            kept_from = _kept_choices(selected, fresh, named.names | named.reuploads)
            choices = {step_target: fresh[origin] for step_target, origin in kept_from.items()}
            patches = {step_target: _patch(closures, origin) for step_target, origin in kept_from.items()}
        choices |= {step_target.id: closures.choices(*step_target.id) for step_target in kept}
        patches |= {step_target.id: _patch(closures, step_target.id) for step_target in kept}
    return Plan(
        solve=tuple(step_target for step_target in selected if step_target.id not in choices),
        choices=choices,
        patches={step_target: patch for step_target, patch in patches.items() if patch},
        step_targets=(*selected, *kept),
        options=_options(manifest, project.step_targets, selected, kept, graph),
        unpinned=named.names,
        requested=named.versions,
        reuploads=named.reuploads,
    )


def _patch(closures: Closures, step_target: StepTargetId) -> int:
    """The oldest patch release of Python that the lock has for a step-target."""
    step, key = step_target
    locked = closures.locked(step)
    return locked.patch_on(target_name_of(key)) if locked is not None and locked.python_from else 0


def _kept_choices(
    selected: tuple[StepTarget, ...],
    fresh: dict[StepTargetId, tuple[Choice, ...]],
    released: frozenset[str],
) -> dict[StepTargetId, StepTargetId]:
    """The selected step-targets that keep choices of the lock, each with the step-target that has these: itself, if it
    is fresh and no package of it may change. A new one takes the choices of one with the same inputs.
    """
    staying = {
        step_target for step_target, choices in fresh.items() if not any(choice.name in released for choice in choices)
    }
    kept = {step_target.id: step_target.id for step_target in selected if step_target.id in staying}
    new = [step_target for step_target in selected if step_target.id not in fresh]
    # Computing identities takes most of the time here, and most step-targets can be distinguished without them.
    sizes = {_size(step_target) for step_target in new}
    candidates = [step_target for step_target in selected if step_target.id in kept and _size(step_target) in sizes]
    by_identity = {problem_identity(step_target): kept[step_target.id] for step_target in candidates}
    if by_identity:
        for step_target in new:
            if (origin := by_identity.get(problem_identity(step_target))) is not None:
                kept[step_target.id] = origin
    return kept


def _size(step_target: StepTarget) -> tuple[str, int, int]:
    """Equal for step-targets with equal identities."""
    return step_target.target.platform, len(step_target.pypi), len(step_target.conda)


def _kept_step_targets(
    project: Project, closures: Closures, graph: LockGraph, selected: tuple[StepTarget, ...]
) -> tuple[KeptStepTarget, ...]:
    """The step-targets of the lock that are not selected, except those that a merge has broken."""
    chosen = {(step_target.step, step_target.target_name) for step_target in selected}
    indexes = {
        (step_target.step, step_target.target_name): step_target.index_names for step_target in project.step_targets
    }
    found = []
    for environment in graph.environments:
        inputs = {key: _inputs_on(environment, target_name_of(key)) for key in environment.targets}
        for step in environment.steps:
            for key in environment.targets:
                name = target_name_of(key)
                if (step, name) in chosen or closures.locked(step) is not environment:
                    continue
                try:
                    closures.choices(step, key)
                except DanglingLock:
                    continue
                found.append(
                    KeptStepTarget(
                        step=step,
                        key=key,
                        python_text=environment.python,
                        interpreter=environment.interpreter,
                        requires=inputs[key][0],
                        extras=inputs[key][1],
                        index_names=indexes.get((step, name), ()),
                    )
                )
    return tuple(found)


def _inputs_on(environment: LockedEnvironment, target_name: str) -> tuple[tuple[str, ...], frozenset[Extra]]:
    inputs = [one for one in environment.requires if not one.targets or target_name in one.targets]
    return environment.requires_on(target_name), frozenset(extra for one in inputs for extra in one.extras)


def _refuse_shared_changes(
    project: Project, selected: tuple[StepTarget, ...], kept: tuple[KeptStepTarget, ...]
) -> None:
    """Raise UsageError for a difference that affects both selected and kept step-targets."""
    assert project.freshness is not None
    targets = {step_target.target_name for step_target in selected} & {step_target.target_name for step_target in kept}
    steps = {step_target.step for step_target in selected} & {step_target.step for step_target in kept}
    for reason in project.freshness.reasons:
        affected = _affected(reason, project.freshness.scopes.get(reason), targets, steps)
        if affected is not None:
            raise UsageError(f"{reason} affects more than the selection", f"it applies to {affected}")


def _affected(reason: Reason, scope: Scope | None, targets: set[str], steps: set[str]) -> str | None:
    match scope:
        case Scope(kind="lock"):
            return "the whole lock: leave out --step and --target"
        case Scope(kind="target", name=name) if name in targets and reason.old:
            return f"every step on {name}: leave out --step"
        case Scope(kind="step", name=name, all_targets=True) if name in steps:
            return f"all targets of step {name}: leave out --target"
        case _:
            return None


def _options(
    manifest: Manifest,
    step_targets: tuple[StepTarget, ...],
    selected: tuple[StepTarget, ...],
    kept: tuple[KeptStepTarget, ...],
    graph: LockGraph | None,
) -> dict[str, object]:
    options = lock_options(manifest, step_targets)
    if len(selected) == len(step_targets):
        return options
    before = graph.options.get("targets") if graph is not None else None
    staying = {step_target.target_name for step_target in kept}
    targets = {name: text for name, text in (before if isinstance(before, dict) else {}).items() if name in staying}
    targets |= {step_target.target_name: step_target.target.text for step_target in selected}
    return options | {"targets": dict(sorted(targets.items()))}
