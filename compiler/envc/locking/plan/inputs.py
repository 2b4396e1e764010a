"""The inputs of environments: the data that a lock records about step-targets besides their packages."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from envc.locking.plan.expand import StepTargetId
from envc.model.lock_lines import Extra, LockedInput


class StepTargetInputs(Protocol):
    """The data that a lock records about a step-target besides its packages.

    Implemented by `StepTarget`, from the manifest, and by `KeptStepTarget`, kept unchanged from the previous lock.
    """

    @property
    def id(self) -> StepTargetId: ...
    @property
    def step(self) -> str: ...
    @property
    def key(self) -> str: ...  # target key
    @property
    def target_name(self) -> str: ...
    @property
    def python_text(self) -> str: ...
    @property
    def interpreter(self) -> str: ...
    @property
    def requires(self) -> tuple[str, ...]: ...  # inputs in canonical form
    @property
    def extras(self) -> frozenset[Extra]: ...  # that the inputs request
    @property
    def index_names(self) -> tuple[str, ...]: ...


def environment_inputs(step_targets: Iterable[StepTargetInputs]) -> tuple[LockedInput, ...]:
    """The inputs of one environment, sorted by their lines; each names its targets unless all targets require it."""
    step_targets = tuple(step_targets)
    if len({step_target.requires for step_target in step_targets}) == 1:
        return tuple(map(LockedInput, step_targets[0].requires))
    targets_of: dict[str, set[str]] = {}
    for step_target in step_targets:
        for text in step_target.requires:
            targets_of.setdefault(text, set()).add(step_target.target_name)
    everywhere = {step_target.target_name for step_target in step_targets}
    inputs = (
        LockedInput(text, () if targets == everywhere else tuple(sorted(targets)))
        for text, targets in targets_of.items()
    )
    return tuple(sorted(inputs, key=lambda one: one.line))
