"""passed over: the newer releases that a lock does not have, with the reasons and the ways out."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import msgspec

from envc.model.graph import LockGraph, target_name_of
from envc.model.lock_lines import LockedPassedOver

if TYPE_CHECKING:
    from envc.locking.plan.expand import StepTargetId
    from envc_solvers.passed_over import PassedOver

_FLOOR = re.compile(r"(?:needs|is for) (glibc|musl|macOS) ([0-9.]+), target has [0-9.]+")


class PassedOverPackage(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """A package with a newer release that the manifest allows and the lock does not have."""

    name: str
    version: str  # as locked
    newer: str  # the release that was passed over
    reason: str  # its kind, such as "sdist", "conflict" or "requires-python"
    text: str  # why it was not chosen; completes a sentence that begins with the release
    direct: bool  # whether the manifest requires the package; else another package brings it along
    steps: tuple[str, ...]  # sorted
    targets: tuple[str, ...]  # names, sorted
    hint: str = ""  # how to get the newer release

    def __str__(self) -> str:
        return f"{_where(self.steps, self.targets)}: {self.name} {self.version} is locked: {self.newer} {self.text}"


def of_graph(
    graph: LockGraph, found: Mapping[StepTargetId, Iterable[PassedOver]] | None = None
) -> tuple[PassedOverPackage, ...]:
    """What a lock records as passed over, once for all steps and targets that it holds for; sorted.

    `found` has what the solutions of this run say. It adds what a lock does not record: releases that are newer than
    locked versions, or than the cut-off.
    """
    from envc.locking.plan.passed_over import NOT_RECORDED, locked_versions, recorded_on

    places: dict[tuple[str, str, LockedPassedOver, bool], set[tuple[str, str]]] = {}
    versions = locked_versions(graph) if graph.holds_passed_over else {}
    for environment in graph.environments:
        if not environment.passed_over:
            continue
        texts = (one.text.removeprefix("pypi:") for one in environment.requires)
        required = {re.split(r"[^a-z0-9-]", text, maxsplit=1)[0] for text in texts}
        for target in map(target_name_of, environment.targets):
            for (name, version), line in recorded_on(environment, target, versions).items():
                where = places.setdefault((name, version, line, name in required), set())
                where.update((step, target) for step in environment.steps)
    known = {(name, line.newer) for name, _, line, _ in places}
    for (step, key), listed in (found or {}).items():
        for one in listed:
            if one.kind in NOT_RECORDED and (one.name, one.newer) not in known:
                line = LockedPassedOver.of(one)
                places.setdefault((one.name, one.version, line, one.direct), set()).add((step, target_name_of(key)))
    return tuple(sorted(_package(*key, where) for key, where in places.items()))


def _package(
    name: str, version: str, line: LockedPassedOver, direct: bool, where: set[tuple[str, str]]
) -> PassedOverPackage:
    from envc_solvers.passed_over import reason_text

    targets = tuple(sorted({target for _, target in where}))
    return PassedOverPackage(
        name=name,
        version=version,
        newer=line.newer,
        reason=line.kind,
        text=reason_text(line.kind, line.detail),
        direct=direct,
        steps=tuple(sorted({step for step, _ in where})),
        targets=targets,
        hint=_hint(name, line, targets),
    )


def _hint(name: str, line: LockedPassedOver, targets: tuple[str, ...]) -> str:
    match line.kind:
        case "sdist":
            options = " ".join(f"--build {each}" for each in (line.detail.split(", ") if line.detail else [name]))
            return f"`envc lock {options} -P {name}` builds from source"
        case "no-file" if floor := _FLOOR.search(line.detail):
            return " and ".join(f'{floor[1].lower()} = "{floor[2]}" under [targets.{target}]' for target in targets)
        case "locked":
            return f"`envc lock -P {name}` upgrades it"
        case "prerelease":
            return f'prereleases = ["{name}"] under [policy] allows it'
        case _:
            return ""


def _where(steps: tuple[str, ...], targets: tuple[str, ...]) -> str:
    """``prepare, train on linux-64``, with numbers in place of more than three names."""
    step = ", ".join(steps) if len(steps) <= 3 else f"{len(steps)} steps"
    target = ", ".join(targets) if len(targets) <= 3 else f"{len(targets)} targets"
    return f"{step} on {target}"
