"""stale: what a lock was made from, beside what the manifest says now. Reads values, asks nobody."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial

import msgspec

from envc.errors import render_key_path
from envc.locking.plan.closure import Closures
from envc.locking.plan.expand import StepTarget, lock_options, render_dependency
from envc.locking.plan.link import environment_requires
from envc.model.digest import Sha256
from envc.model.graph import Build, LockedEnvironment, LockGraph, target_name_of
from envc.model.kinds import DIRECT_SOURCES
from envc.model.manifest import Dependencies, KeyPath, Manifest, Step


class Reason(msgspec.Struct, frozen=True, order=True):
    """One difference between lock and manifest."""

    key: str  # "options.exclude-newer", "train.requires"
    old: str  # what the lock says; "" for nothing
    new: str  # what the manifest says; "" for nothing
    at: KeyPath = ()  # where the manifest says it, if that is one place
    line: int | None = None  # of the manifest, from 1; None until somebody has looked

    def __str__(self) -> str:
        place = f" ({render_key_path(self.at)}, line {self.line})" if self.line is not None else ""
        if not self.old:
            return f"{self.key}: + {self.new}{place}"
        if not self.new:
            return f"{self.key}: - {self.old}{place}"
        return f"{self.key}: {self.old} -> {self.new}{place}"


class Freshness(msgspec.Struct, frozen=True, kw_only=True):
    """Which step-targets a lock still answers."""

    reasons: tuple[Reason, ...]  # sorted; empty when the lock says exactly what the manifest asks for
    fresh: frozenset[tuple[str, str]]  # (step, target key) whose pins can be kept as they are

    @property
    def is_fresh(self) -> bool:
        return not self.reasons


def compare(
    manifest: Manifest, step_targets: tuple[StepTarget, ...], graph: LockGraph, local: Mapping[str, str] | None = None
) -> Freshness:
    """Every reason why the lock is stale, and the step-targets that the reasons do not touch.

    `local` holds, for each path that a requirement names, the digest of what is there now, "" for nothing.
    """
    closures = Closures(graph)
    builds = graph.builds_by_wheel() if local else {}
    options = lock_options(manifest, step_targets)
    reasons = set(_option_reasons(graph.options, options, manifest))
    options_hold = not reasons
    locked_targets, targets = _table(graph.options.get("targets")), _table(options.get("targets"))
    for name in sorted(targets.keys() | locked_targets.keys()):
        old, new = locked_targets.get(name), targets.get(name)
        if old != new:
            at: KeyPath = ("targets", name) if name in manifest.declared_targets else ("project", "targets")
            reasons.add(Reason(f"options.targets.{name}", old or "", new or "", at if new else ()))

    by_step: dict[str, list[StepTarget]] = {}
    for step_target in step_targets:
        by_step.setdefault(step_target.step, []).append(step_target)
    fresh: set[tuple[str, str]] = set()
    asked: dict[tuple[int, str], tuple[str, ...]] = {}  # by environment and target: its locked inputs
    for step, members in by_step.items():
        locked = closures.locked(step)
        if locked is None:
            reasons.add(Reason("steps", "", step, ("steps", step)))
            continue
        own = manifest.steps[step]
        reasons.update(
            _differences(
                f"{step}.targets",
                locked.targets,
                [step_target.key for step_target in members],
                partial(_listed_at, own),
            )
        )
        reasons.update(
            _differences(
                f"{step}.requires", locked.requires, environment_requires(members), partial(_asked_at, members)
            )
        )
        python: KeyPath = ("project", "python") if own.python is None else ("steps", step, "python")
        for key, old, new, at in (
            ("python", locked.python, members[0].python.text, python),
            ("interpreter", locked.interpreter, members[0].interpreter, ("steps", step, "interpreter")),
        ):
            if old != new:
                reasons.add(Reason(f"{step}.{key}", old, new, at))
        inputs_hold = (locked.python, locked.interpreter) == (members[0].python.text, members[0].interpreter)
        for step_target in members:
            if step_target.key not in locked.targets:
                continue
            missing = closures.dangling(step, step_target.key)
            if missing is not None:
                reasons.add(Reason(f"{step}.packages", f"{missing} on {step_target.key} cannot be found", ""))
                continue
            moved = tuple(_moved(step_target, closures, builds, local)) if local else ()
            if moved:
                reasons.update(moved)
                continue
            same_target = locked_targets.get(step_target.target.name) == targets[step_target.target.name]
            place = id(locked), step_target.target.name
            if place not in asked:
                asked[place] = requires_on(locked, step_target.target.name)
            if options_hold and inputs_hold and same_target and asked[place] == step_target.requires:
                fresh.add((step, step_target.key))
    for locked in graph.environments:
        reasons.update(Reason("steps", step, "") for step in locked.steps if step not in by_step)
    return Freshness(reasons=tuple(sorted(reasons)), fresh=frozenset(fresh))


def _moved(
    step_target: StepTarget,
    closures: Closures,
    builds: Mapping[Sha256, tuple[Build, ...]],
    local: Mapping[str, str],
) -> Iterable[Reason]:
    """The local projects and files of a step-target that are not what was locked any more."""
    paths = {each.requirement.name: each for each in step_target.pypi if each.path is not None}
    for package, artifact in closures.pins(step_target.step, step_target.key):
        named = paths.get(package.name)
        # One wheel may have come out of a path and of a repository; then its package bears the name of either.
        if named is None or named.path is None or package.source not in DIRECT_SOURCES:
            continue
        made_from: set[str] = {artifact.sha256}
        if artifact.sha256 in builds:
            local_builds = [build for build in builds[artifact.sha256] if not build.commit]
            made_from = {build.sdist.sha256 if build.sdist else build.tree for build in local_builds}
        now = local.get(named.path, "")
        if made_from and now not in made_from:
            yield Reason(f"{step_target.step}.{named.path}", min(made_from)[:12], now[:12], named.at)


def requires_on(locked: LockedEnvironment, target_name: str) -> tuple[str, ...]:
    """The locked inputs that concern one target, without the target names behind them."""
    known = {target_name_of(key) for key in locked.targets}
    lines = set()
    for line in locked.requires:
        text, _, behind = line.rpartition(" @ ")
        names = set(behind.split(", "))
        # A direct reference holds " @ " too: what stands behind is only read as targets where it names some.
        if text and names <= known:
            if target_name in names:
                lines.add(text)
        else:
            lines.add(line)
    return tuple(sorted(lines))


def _option_reasons(old: dict[str, object], new: dict[str, object], manifest: Manifest) -> Iterable[Reason]:
    for key in sorted((old.keys() | new.keys()) - {"targets"}):
        before, after = old.get(key), new.get(key)
        if before == after:
            continue
        if isinstance(before, list | None) and isinstance(after, list | None) and key not in ("indexes", "channels"):
            at = partial(_option_at, manifest, key)
            yield from _differences(f"options.{key}", map(str, before or ()), map(str, after or ()), at)
        elif isinstance(before, dict | None) and isinstance(after, dict | None):
            left, right = before or {}, after or {}
            for name in sorted(left.keys() | right.keys()):
                if left.get(name) != right.get(name):
                    place = _option_at(manifest, key, name) if name in right else ()
                    yield Reason(f"options.{key}.{name}", _text(left.get(name)), _text(right.get(name)), place)
        else:
            place = _option_at(manifest, key, "") if after is not None else ()
            yield Reason(f"options.{key}", _text(before), _text(after), place)


def _differences(key: str, old: Iterable[str], new: Iterable[str], at: Callable[[str], KeyPath]) -> Iterable[Reason]:
    """Lines that one side has alone; `at` says where the manifest has one."""
    if old == new:
        return
    before, after = set(old), set(new)
    yield from (Reason(key, line, "") for line in sorted(before - after))
    yield from (Reason(key, "", line, at(line)) for line in sorted(after - before))


def _listed_at(step: Step, _key: str) -> KeyPath:
    """Where the targets of a step are listed."""
    return ("project", "targets") if step.targets is None else ("steps", step.name, "targets")


def _asked_at(asking: Iterable[StepTarget | Dependencies], line: str) -> KeyPath:
    """Where somebody asks for what a line of the lock would be."""
    for each in asking:
        for dependency in each.pypi:
            if _is_line(line, render_dependency(dependency)):
                return dependency.at
        for package in each.conda:
            if _is_line(line, f"conda:{package.spec}"):
                return package.at
    return ()


def _is_line(line: str, asked: str) -> bool:
    """Whether a line says this, perhaps for some targets alone."""
    return line == asked or line.rpartition(" @ ")[0] == asked


def _option_at(manifest: Manifest, key: str, entry: str) -> KeyPath:
    """Where the manifest states an option of the lock, or one entry of it."""
    match key:
        case "indexes" | "channels" | "exclude-newer":
            return ("project", key)
        case "constraints" | "overrides":
            return _asked_at([manifest.constraints if key == "constraints" else manifest.overrides], entry)
        case "sources" | "mapping" | "virtual-packages":
            return (key, entry)
        case "exclude-newer-package":
            return ("policy", key, entry)
        case _:
            return ("policy", key)


def _table(value: object) -> dict[str, str]:
    return {str(k): str(v) for k, v in value.items()} if isinstance(value, dict) else {}


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)
