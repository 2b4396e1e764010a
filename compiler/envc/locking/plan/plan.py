"""relock: what of a lock stays, what may move, and what has to be solved."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from envc.errors import UsageError
from envc.locking.plan.closure import Closures, DanglingLock
from envc.locking.plan.expand import StepTarget, lock_options
from envc.locking.plan.freshness import requires_on
from envc.locking.plan.link import Asking, Cell
from envc.locking.plan.problems import identity
from envc.locking.plan.project import Project
from envc.model.graph import Choice, LockGraph, target_name_of
from envc.model.manifest import Manifest
from envc_solvers.nearest import nearest_name
from envc_solvers.pypi.language.requirement import canonicalize_name


class Moves(msgspec.Struct, frozen=True, kw_only=True):
    """What a command line lets move."""

    upgrade: bool = False  # everything
    packages: tuple[str, ...] = ()  # NAME or NAME==VERSION


class LeftAlone(msgspec.Struct, frozen=True, kw_only=True):
    """A step-target that the lock keeps as it was, with the inputs that it was locked with; see `link.Asking`."""

    step: str
    target_name: str
    key: str
    python_text: str
    interpreter: str
    requires: tuple[str, ...]
    index_names: tuple[str, ...]

    @property
    def extras(self) -> frozenset[tuple[str, str]]:
        """Read off the canonical requirements: ``pypi:name[one,two]>=1``."""
        found: set[tuple[str, str]] = set()
        for line in self.requires:
            kind, _, text = line.partition(":")
            name, bracket, rest = text.partition("[")
            # A bracket further on belongs to a path or a URL.
            if kind == "pypi" and bracket and name.replace("-", "").isalnum():
                found.update((name, extra) for extra in rest.partition("]")[0].split(","))
        return frozenset(found)


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """How a lock comes from the one before."""

    solve: tuple[StepTarget, ...]
    choices: dict[Cell, tuple[Choice, ...]]  # pins that stay, by step and target key
    asking: tuple[Asking, ...]  # every step-target that the lock will hold
    options: dict[str, object]  # of the lock
    moving: frozenset[str]  # names that need not stay
    wanted: dict[str, str]  # name: the version that is asked for


def plan(project: Project, selected: tuple[StepTarget, ...], moves: Moves) -> Plan:
    """What to solve so that the selected step-targets are answered.

    With a selection of some the others stay as the lock has them, with the inputs that they were locked with, so that
    they are as stale as before. Raises UsageError where the lock cannot say both: its options hold for all of it, the
    floors of a target for all steps on it, and the Python of a step for all its targets.
    """
    manifest, graph = project.manifest, project.graph
    moving, wanted = _moving(moves.packages, graph)
    left: tuple[LeftAlone, ...] = ()
    choices: dict[Cell, tuple[Choice, ...]] = {}
    if graph is not None and project.freshness is not None:
        closures = Closures(graph)
        if len(selected) < len(project.step_targets):
            left = _left_alone(project, closures, graph, selected)
            _refuse_a_mixture(project, selected, left)
        fresh = {step_target: closures.choices(*step_target) for step_target in project.freshness.fresh}
        kept = {} if moves.upgrade else _kept(selected, fresh, moving)
        choices = kept | {
            (step_target.step, step_target.key): closures.choices(step_target.step, step_target.key)
            for step_target in left
        }
    return Plan(
        solve=tuple(step_target for step_target in selected if (step_target.step, step_target.key) not in choices),
        choices=choices,
        asking=(*selected, *left),
        options=_options(manifest, project.step_targets, selected, left, graph),
        moving=moving,
        wanted=wanted,
    )


def _kept(
    selected: tuple[StepTarget, ...], fresh: dict[Cell, tuple[Choice, ...]], moving: frozenset[str]
) -> dict[Cell, tuple[Choice, ...]]:
    """Pins of the selected step-targets whose inputs hold, and that have no package which may move.

    A step-target that is new takes the pins of one with the same inputs.
    """
    staying = {step_target: pins for step_target, pins in fresh.items() if not any(pin.name in moving for pin in pins)}
    kept = {
        place: staying[place] for step_target in selected if (place := (step_target.step, step_target.key)) in staying
    }
    new = [step_target for step_target in selected if (step_target.step, step_target.key) not in fresh]
    # Identities cost more than all else here, and most step-targets can be told apart without.
    alike = {_size(step_target) for step_target in new}
    answered = [
        step_target
        for step_target in selected
        if (step_target.step, step_target.key) in kept and _size(step_target) in alike
    ]
    answers = {identity(step_target): kept[step_target.step, step_target.key] for step_target in answered}
    if answers:
        for step_target in new:
            if (pins := answers.get(identity(step_target))) is not None:
                kept[step_target.step, step_target.key] = pins
    return kept


def _size(step_target: StepTarget) -> tuple[str, int, int]:
    """Equal for step-targets of equal identity."""
    return step_target.target.platform, len(step_target.pypi), len(step_target.conda)


def _left_alone(
    project: Project, closures: Closures, graph: LockGraph, selected: tuple[StepTarget, ...]
) -> tuple[LeftAlone, ...]:
    """What the lock holds beside the selected step-targets, except what a merge has broken."""
    chosen = {(step_target.step, step_target.target.name) for step_target in selected}
    indexes = {
        (step_target.step, step_target.target.name): step_target.index_names for step_target in project.step_targets
    }
    found = []
    for environment in graph.environments:
        for step in environment.steps:
            for key in environment.targets:
                target_name = target_name_of(key)
                if (step, target_name) in chosen or closures.locked(step) is not environment:
                    continue
                try:
                    closures.choices(step, key)
                except DanglingLock:
                    continue
                found.append(
                    LeftAlone(
                        step=step,
                        target_name=target_name,
                        key=key,
                        python_text=environment.python,
                        interpreter=environment.interpreter,
                        requires=requires_on(environment, target_name),
                        index_names=indexes.get((step, target_name), ()),
                    )
                )
    return tuple(found)


def _refuse_a_mixture(project: Project, selected: tuple[StepTarget, ...], left: tuple[LeftAlone, ...]) -> None:
    assert project.freshness is not None
    targets = {step_target.target.name for step_target in selected} & {step_target.target_name for step_target in left}
    steps = {step_target.step for step_target in selected} & {step_target.step for step_target in left}
    for reason in project.freshness.reasons:
        name, _, key = reason.key.rpartition(".")
        if reason.key.startswith("options.targets."):
            shared = key in targets and bool(reason.old)
            whom = f"every step on {key}: leave out --step"
        elif reason.key.startswith("options."):
            shared, whom = True, "the whole lock: leave out --step and --target"
        else:
            shared = key in ("python", "interpreter") and name in steps
            whom = f"all targets of step {name}: leave out --target"
        if shared:
            raise UsageError(f"{reason} concerns more than what is selected", f"it holds for {whom}")


def _options(
    manifest: Manifest,
    step_targets: tuple[StepTarget, ...],
    selected: tuple[StepTarget, ...],
    left: tuple[LeftAlone, ...],
    graph: LockGraph | None,
) -> dict[str, object]:
    options = lock_options(manifest, step_targets)
    if len(selected) == len(step_targets):
        return options
    before = graph.options.get("targets") if graph is not None else None
    staying = {step_target.target_name for step_target in left}
    targets = {name: text for name, text in (before if isinstance(before, dict) else {}).items() if name in staying}
    targets |= {step_target.target.name: step_target.target.text for step_target in selected}
    return options | {"targets": dict(sorted(targets.items()))}


def _moving(packages: Iterable[str], graph: LockGraph | None) -> tuple[frozenset[str], dict[str, str]]:
    """The names that ``-P`` lets move, and the versions that it asks for. Raises UsageError for an unknown name."""
    names: set[str] = set()
    wanted: dict[str, str] = {}
    locked = {package.name for package in graph.packages} if graph else set()
    for text in packages:
        written, _, version = text.partition("==")
        # Conda's names are not normalised: what the lock has as it is written is meant.
        written = written.strip().lower()
        name = written if written in locked else canonicalize_name(written)
        if graph is not None and name not in locked:
            near = nearest_name(name, locked)
            raise UsageError(f"-P {text}: the lock holds no package {name}", f"did you mean {near}?" if near else None)
        names.add(name)
        if version:
            wanted[name] = version.strip()
    return frozenset(names), wanted
