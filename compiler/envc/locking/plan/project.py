"""A manifest with its lock, and the step-targets that a command line selects."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from envc.errors import UsageError
from envc.locking.plan.expand import StepTarget
from envc.locking.plan.freshness import Freshness
from envc.model.graph import LockGraph
from envc.model.manifest import Manifest
from envc_solvers.target import PLATFORMS


class Project(msgspec.Struct, frozen=True, kw_only=True):
    """A manifest with its step-targets, and the lock beside it."""

    manifest: Manifest
    step_targets: tuple[StepTarget, ...]
    lock: bytes | None = None  # the content of the lock file, which is read once; None if there is no lock
    graph: LockGraph | None  # None if there is no lock
    freshness: Freshness | None  # None if there is no lock
    local: dict[str, str] = {}  # digests of the local projects that requirements name, by path


class Selection(msgspec.Struct, frozen=True, kw_only=True):
    """Which step-targets a command applies to, and the store that has their packages."""

    steps: tuple[str, ...] = ()  # () is all
    targets: tuple[str, ...] = ()  # target or platform names; () is all
    store: str | None = None
    init_store: bool = False  # make the folder of the store one, although other files are in it
    frozen: bool = False  # use the lock even if it is stale


class NamedUpgrade(msgspec.Struct, frozen=True):
    """A package that ``-P`` names, with the versions that it asks for, if any."""

    name: str  # as written
    specifier: str = ""  # as written: "==2.1", ">=2,<3"

    @classmethod
    def parse(cls, text: str) -> NamedUpgrade:
        """Read ``NAME``, or ``NAME`` with a specifier such as ``==VERSION``. Raises UsageError for anything else."""
        import re  # late: most locks have no -P

        found = re.fullmatch(r"\s*([A-Za-z0-9_][A-Za-z0-9._-]*)\s*((?:[=<>!~].*)?)", text)
        if found is None or ";" in found[2] or "@" in found[2]:
            raise UsageError(
                f"-P {text}: write the name of a package, and versions if needed",
                "extras, markers and addresses stay in the manifest; for example: -P numpy==2.1",
            )
        return cls(found[1], found[2].strip())

    def __str__(self) -> str:
        return f"{self.name}{self.specifier}"


class Upgrades(msgspec.Struct, frozen=True, kw_only=True):
    """Which locked packages a command line allows to change."""

    @property
    def releases(self) -> bool:
        """Whether any package may change."""
        return self != Upgrades()

    everything: bool = False
    packages: tuple[NamedUpgrade, ...] = ()
    reuploads: tuple[str, ...] = ()  # packages whose files may have other bytes than in the lock, as written


def select(project: Project, selection: Selection) -> tuple[StepTarget, ...]:
    """The selected step-targets. Raises UsageError for a name that matches none."""
    steps, targets = set(project.manifest.steps), {step_target.target.name for step_target in project.step_targets}
    for name in selection.steps:
        if name not in steps:
            raise UsageError(f"there is no step {name}", _suggestion(name, steps))
    named = targets | {step_target.target.platform for step_target in project.step_targets}
    for name in selection.targets:
        if name in PLATFORMS and name not in named:
            # A valid platform is not a misspelt name of the manifest.
            hint = f'add "{name}" to the targets of the project or of a step, and run `envc lock`'
            raise UsageError(f"the manifest has no target for {name}; it has {', '.join(sorted(named))}", hint)
        if name not in named:
            raise UsageError(f"there is no target or platform {name}", _suggestion(name, named))
    step_targets = tuple(
        step_target
        for step_target in project.step_targets
        if (not selection.steps or step_target.step in selection.steps)
        and (not selection.targets or {step_target.target.name, step_target.target.platform} & set(selection.targets))
    )
    if not step_targets:
        raise UsageError("no step has one of these targets", f"the manifest has {', '.join(sorted(targets))}")
    return step_targets


def is_fresh_for(project: Project, selected: tuple[StepTarget, ...]) -> bool:
    """Whether the lock matches the manifest, as a whole or for the selected step-targets."""
    if project.freshness is None:
        return False
    if len(selected) == len(project.step_targets):
        return project.freshness.is_fresh
    return all(step_target.id in project.freshness.fresh for step_target in selected)


def _suggestion(name: str, known: Iterable[str]) -> str:
    """A suggestion for a name that the manifest does not have."""
    from envc_solvers.nearest import nearest_name  # late: only mistakes need it

    near = nearest_name(name, known)
    return f"did you mean {near}?" if near else f"the manifest has {', '.join(sorted(known))}"
