"""status: the steps and environments of a project, and the reasons why its lock is stale."""

from __future__ import annotations

import msgspec

from envc.locking.plan.closure import BrokenLock, Closures
from envc.locking.plan.expand import StepTarget
from envc.locking.plan.freshness import Freshness, Reason
from envc.locking.review.passed_over import PassedOverPackage, of_graph
from envc.locking.review.pythons import ChosenPython, chosen_pythons
from envc.locking.review.yanked import YankedPackage, yanked
from envc.model.digest import Sha256
from envc.model.graph import LockGraph
from envc.model.manifest import Manifest


class StepStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One step on one target."""

    step: str
    target: str  # target key: "linux-64/cp312"
    environment: Sha256 | None  # environment id; None if it is not in the lock
    packages: int
    fresh: bool  # whether the lock matches the manifest here


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """The state of a project, as ``envc status`` shows it."""

    project: str
    lock: str  # path of the lock file
    locked: bool  # whether the lock exists
    fresh: bool  # whether the lock matches the manifest exactly
    steps: tuple[StepStatus, ...]  # in the order of the manifest
    pythons: tuple[ChosenPython, ...]  # in the order of the manifest
    reasons: tuple[Reason, ...]  # why it is stale, sorted
    yanked: tuple[YankedPackage, ...]  # yanked packages in the lock, sorted
    passed_over: tuple[PassedOverPackage, ...]  # newer releases that the lock does not have, sorted

    @property
    def environments(self) -> int:
        """The number of distinct environments of the locked step-targets."""
        return len({step.environment for step in self.steps if step.environment})


def status(
    manifest: Manifest,
    step_targets: tuple[StepTarget, ...],
    graph: LockGraph | None,
    freshness: Freshness | None,
    reasons: tuple[Reason, ...],
) -> Status:
    """The status of every step-target. `reasons` say why the lock is stale."""
    closures = Closures(graph) if graph is not None else None
    # Steps share environments. A lock has one for each list of packages, and it differs between targets and Pythons.
    found: dict[tuple[object, ...], tuple[Sha256 | None, int]] = {}
    steps = []
    for step_target in step_targets:
        environment, packages = None, 0
        if closures is not None:
            locked = closures.locked(step_target.step)
            key = (id(locked), step_target.key, step_target.interpreter, step_target.python_text)
            if key not in found:
                found[key] = _environment(closures, step_target)
            environment, packages = found[key]
        steps.append(
            StepStatus(
                step=step_target.step,
                target=step_target.key,
                environment=environment,
                packages=packages,
                fresh=freshness is not None and step_target.id in freshness.fresh,
            )
        )
    return Status(
        project=manifest.name,
        lock=str(manifest.lock_path),
        locked=graph is not None,
        fresh=freshness is not None and freshness.is_fresh,
        steps=tuple(steps),
        pythons=chosen_pythons(manifest, step_targets),
        reasons=reasons,
        yanked=yanked(graph) if graph is not None else (),
        passed_over=of_graph(graph) if graph is not None else (),
    )


def _environment(closures: Closures, step_target: StepTarget) -> tuple[Sha256 | None, int]:
    """The id of a step-target's environment, None if the lock has none, and the number of its packages."""
    try:
        environment = closures.environment(step_target)
    except BrokenLock:
        return None, 0
    return environment.id, len(environment.members)
