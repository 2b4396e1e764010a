"""freshness: which step-targets of a lock are up to date, and how it differs from the manifest. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Literal

import msgspec

from envc.locking.plan.closure import Closures
from envc.locking.plan.expand import StepTarget, StepTargetId, limit_lines, lock_options, render_dependency
from envc.locking.plan.inputs import environment_inputs
from envc.model.digest import Sha256
from envc.model.graph import Build, LockedEnvironment, LockGraph
from envc.model.kinds import DIRECT_SOURCES
from envc.model.lock_lines import LockedInput
from envc.model.manifest import Dependencies, KeyPath, Manifest, Step
from envc_solvers.origin import render_key_path

if TYPE_CHECKING:
    from envc.locking.plan.coherence import Coherence

_MOST_FAULTS = 20  # contradictions that are reported for one environment


class Reason(msgspec.Struct, frozen=True, order=True):
    """One difference between lock and manifest."""

    key: str  # "options.exclude-newer", "train.requires"
    old: str  # the value in the lock; "" if there is none
    new: str  # the value in the manifest; "" if there is none
    at: KeyPath = ()  # the place of the value in the manifest, if there is only one
    line: int | None = None  # of the manifest, from 1; None until it is looked up
    # The path of a local project, if the difference is only that its files have changed; left out otherwise.
    code: str | msgspec.UnsetType = msgspec.UNSET

    def __str__(self) -> str:
        place = f" ({render_key_path(self.at)}, line {self.line})" if self.line is not None else ""
        if self.code:
            step = self.key.removesuffix(f".{self.code}")
            return f"the files of {self.code} have changed since step {step} was locked{place}"
        if self.key == "steps":
            if self.new:
                return f"step {self.new} is not in the lock{place}"
            return f"step {self.old} is in the lock, but not in the manifest"
        if not self.old:
            return f"{self.key}: + {self.new}{place}"
        if not self.new:
            return f"{self.key}: - {self.old}{place}"
        return f"{self.key}: {self.old} -> {self.new}{place}"


class Scope(msgspec.Struct, frozen=True):
    """The part of a lock that a difference concerns."""

    kind: Literal["lock", "target", "step", "package"]  # "package": entries of the lock that no step uses
    name: str = ""  # of the target or step
    all_targets: bool = False  # of a step: whether the difference applies to all its targets


class Freshness(msgspec.Struct, frozen=True, kw_only=True):
    """Which step-targets of a lock are up to date."""

    reasons: tuple[Reason, ...]  # sorted; empty if the lock matches the manifest exactly
    scopes: dict[Reason, Scope] = {}
    fresh: frozenset[StepTargetId]  # step-targets whose packages can be kept as they are
    checked: frozenset[str] | None = None  # the steps for which the lock was checked against itself; None for all

    @property
    def is_fresh(self) -> bool:
        return not self.reasons

    def is_coherent(self, step_target: StepTarget) -> bool:
        """Whether the packages of a step-target are known to agree with each other and with the manifest."""
        return step_target.id in self.fresh and (self.checked is None or step_target.step in self.checked)


class Checks(msgspec.Struct, frozen=True, kw_only=True):
    """How far a lock is checked against itself (see `coherence`)."""

    steps: Collection[str] | None = None  # for which it is checked; None for all, and for entries that no step uses
    are_known: bool = False  # whether these checks are known to find nothing


def compare(
    manifest: Manifest,
    step_targets: tuple[StepTarget, ...],
    graph: LockGraph,
    local: Mapping[str, str] | None = None,
    checks: Checks | None = None,
) -> Freshness:
    """Every reason why the lock is stale, and the step-targets that no reason affects.

    `local` maps each path that a requirement names to the current digest of its files, "" if it does not exist."""
    return _Comparison(manifest, step_targets, graph, local or {}, checks or Checks()).freshness()


class _Comparison:
    def __init__(
        self,
        manifest: Manifest,
        step_targets: tuple[StepTarget, ...],
        graph: LockGraph,
        local: Mapping[str, str],
        checks: Checks,
    ) -> None:
        self._checks = checks
        self._manifest = manifest
        self._graph = graph
        self._local = local
        self._closures = Closures(graph)
        self._coherence: Coherence | None = None  # until the first step-target is checked
        self._incoherent: dict[tuple[tuple[str, ...], str], list[str]] = {}  # target keys by steps and fault
        self._builds = graph.builds_by_wheel() if local else {}
        self._options = lock_options(manifest, step_targets)
        self._by_step: dict[str, list[StepTarget]] = {}
        for step_target in step_targets:
            self._by_step.setdefault(step_target.step, []).append(step_target)
        self._scopes: dict[Reason, Scope] = {}
        self._inputs: dict[tuple[int, str], tuple[str, ...]] = {}  # locked inputs by environment and target
        # Steps that use the same groups share their tuples of inputs, so these are compared by identity.
        self._environment_inputs: dict[tuple[tuple[str, int], ...], tuple[LockedInput, ...]] = {}

    def freshness(self) -> Freshness:
        self._add(Scope("lock"), _option_reasons(self._graph.options, self._options, self._manifest))
        options_match = not self._scopes
        same_targets = self._compare_targets()
        fresh: set[StepTargetId] = set()
        for step, members in self._by_step.items():
            locked = self._closures.locked(step)
            if locked is None:
                self._add(Scope("step", step), [Reason("steps", "", step, ("steps", step))])
                continue
            python_matches = self._compare_step(locked, members)
            for step_target in members:
                key = step_target.key
                if key not in locked.targets or not self._packages_hold(step_target, key):
                    continue
                inputs_match = self._locked_inputs(locked, step_target.target_name) == step_target.requires
                if not (options_match and python_matches and step_target.target_name in same_targets and inputs_match):
                    continue
                if self._is_coherent(locked, step_target, key):
                    fresh.add((step, key))
        for locked in self._graph.environments:
            for step in locked.steps:
                if step not in self._by_step:
                    self._add(Scope("step", step), [Reason("steps", step, "")])
        self._add_incoherent()
        if self._checks.steps is None and not self._checks.are_known:
            from envc.locking.plan.coherence import surplus

            self._add(Scope("package"), [Reason("packages", text, "") for text in surplus(self._graph)])
        return Freshness(
            reasons=tuple(sorted(self._scopes)),
            scopes=self._scopes,
            fresh=frozenset(fresh),
            checked=None if self._checks.steps is None else frozenset(self._checks.steps),
        )

    def _add(self, scope: Scope, reasons: Iterable[Reason]) -> None:
        self._scopes.update((reason, scope) for reason in reasons)

    def _compare_targets(self) -> frozenset[str]:
        """Record which targets have changed. Returns the names of those that have not."""
        locked, current = _table(self._graph.options.get("targets")), _table(self._options.get("targets"))
        for name in sorted(current.keys() | locked.keys()):
            old, new = locked.get(name), current.get(name)
            if old != new:
                declared = name in self._manifest.declared_targets
                at: KeyPath = ("targets", name) if declared else ("project", "targets")
                self._add(
                    Scope("target", name),
                    [Reason(f"options.targets.{name}", old or "", new or "", at if new else ())],
                )
        return frozenset(name for name, text in current.items() if locked.get(name) == text)

    def _compare_step(self, locked: LockedEnvironment, members: list[StepTarget]) -> bool:
        """Record how the inputs of a step differ. Returns whether its Python and interpreter are the locked ones."""
        step, own = members[0].step, self._manifest.steps[members[0].step]
        target_keys = [step_target.key for step_target in members]
        self._add(
            Scope("step", step),
            _differences(f"{step}.targets", locked.targets, target_keys, partial(_targets_at, own)),
        )
        inputs = self._inputs_of(members)
        if locked.requires != inputs:
            self._add(Scope("step", step), _input_reasons(f"{step}.requires", locked.requires, inputs, members))
        python: KeyPath = ("project", "python") if own.python is None else ("steps", step, "python")
        pairs = (
            ("python", locked.python, members[0].python.text, python),
            ("interpreter", locked.interpreter, members[0].interpreter, ("steps", step, "interpreter")),
        )
        changed = [Reason(f"{step}.{key}", old, new, at) for key, old, new, at in pairs if old != new]
        if changed:
            self._add(Scope("step", step, all_targets=True), changed)
        return not changed

    def _inputs_of(self, members: list[StepTarget]) -> tuple[LockedInput, ...]:
        """The inputs of a step's environment. Steps that use the same groups share them."""
        key = tuple((step_target.target_name, id(step_target.requires)) for step_target in members)
        if key not in self._environment_inputs:
            self._environment_inputs[key] = environment_inputs(members)
        return self._environment_inputs[key]

    def _locked_inputs(self, locked: LockedEnvironment, target_name: str) -> tuple[str, ...]:
        key = id(locked), target_name
        if key not in self._inputs:
            self._inputs[key] = locked.requires_on(target_name)
        return self._inputs[key]

    def _is_coherent(self, locked: LockedEnvironment, step_target: StepTarget, key: str) -> bool:
        """Whether the packages of a step-target can be what was solved for its inputs, or need no check."""
        steps = self._checks.steps
        if self._checks.are_known or (steps is not None and step_target.step not in steps):
            return True
        if any(file.overrides and file.pypi is None for file in step_target.limits.files):
            return True  # without the overrides at a URL, no other requirement can be judged
        if self._coherence is None:
            from envc.locking.plan.coherence import Coherence  # late: a lock that is made anew is not compared

            self._coherence = Coherence(self._manifest, self._closures)
        faults = self._coherence.faults(locked, step_target, key)
        for fault in faults:
            # Steps share environments, and most faults are the same on all targets: each is reported once.
            keys = self._incoherent.setdefault((locked.steps, fault), [])
            if key not in keys:
                keys.append(key)
        return not faults

    def _add_incoherent(self) -> None:
        count: dict[tuple[str, ...], int] = {}
        for (steps, fault), keys in self._incoherent.items():
            count[steps] = count.get(steps, 0) + 1
            if count[steps] > _MOST_FAULTS:
                continue
            others = f", also for {len(steps) - 1} other steps" if len(steps) > 1 else ""
            reason = Reason(f"{steps[0]}.packages", f"on {', '.join(sorted(keys))}: {fault}{others}", "")
            self._add(Scope("step", steps[0]), [reason])
        for steps, number in count.items():
            if number > _MOST_FAULTS:
                more = Reason(f"{steps[0]}.packages", f"and {number - _MOST_FAULTS} more contradictions", "")
                self._add(Scope("step", steps[0]), [more])

    def _packages_hold(self, step_target: StepTarget, key: str) -> bool:
        """Whether the lock has every file of a step-target, and its local projects are unchanged since."""
        step = step_target.step
        missing = self._closures.dangling(step, key)
        if missing is not None:
            fault = "is listed twice" if self._closures.is_duplicated(missing) else "cannot be found"
            reason = Reason(f"{step}.packages", f"{missing} on {key} {fault}", "")
            self._add(Scope("step", step), [reason])
            return False
        if not self._local:
            return True
        changed = list(_changed_files(step_target, self._closures, self._builds, self._local))
        self._add(Scope("step", step), changed)
        return not changed


def _changed_files(
    step_target: StepTarget,
    closures: Closures,
    builds: Mapping[Sha256, tuple[Build, ...]],
    local: Mapping[str, str],
) -> Iterable[Reason]:
    """The local projects and files of a step-target that have changed since they were locked."""
    paths = {each.requirement.name: each for each in step_target.pypi if each.path is not None}
    for package, artifact in closures.pins(step_target.step, step_target.key):
        dependency = paths.get(package.name)
        # One wheel may have been built both from a path and from a repository. Either may be its package's source.
        if dependency is None or dependency.path is None or package.source not in DIRECT_SOURCES:
            continue
        made_from: set[str] = {artifact.sha256}
        if artifact.sha256 in builds:
            made_from = {build.state for build in builds[artifact.sha256] if build.origin != "commit"}
        current = local.get(dependency.path, "")
        if made_from and current not in made_from:
            key = f"{step_target.step}.{dependency.path}"
            is_folder = any(build.origin == "tree" for build in builds.get(artifact.sha256, ()))
            code = dependency.path if current and is_folder else msgspec.UNSET
            yield Reason(key, min(made_from)[:12], current[:12], dependency.at, code=code)


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
                    key_path = _option_at(manifest, key, name) if name in right else ()
                    yield Reason(f"options.{key}.{name}", _text(left.get(name)), _text(right.get(name)), key_path)
        else:
            key_path = _option_at(manifest, key, "") if after is not None else ()
            yield Reason(f"options.{key}", _text(before), _text(after), key_path)


def _input_reasons(
    key: str, old: tuple[LockedInput, ...], new: tuple[LockedInput, ...], members: list[StepTarget]
) -> Iterable[Reason]:
    """The inputs that only one side has."""
    before, after = {one.line: one for one in old}, {one.line: one for one in new}
    yield from (Reason(key, line, "") for line in sorted(before.keys() - after.keys()))
    for line in sorted(after.keys() - before.keys()):
        yield Reason(key, "", line, _input_at(members, after[line].text))


def _differences(key: str, old: Iterable[str], new: Iterable[str], at: Callable[[str], KeyPath]) -> Iterable[Reason]:
    """The lines that only one side has. `at` gives the place of a line in the manifest."""
    before, after = set(old), set(new)
    yield from (Reason(key, line, "") for line in sorted(before - after))
    yield from (Reason(key, "", line, at(line)) for line in sorted(after - before))


def _targets_at(step: Step, _key: str) -> KeyPath:
    """Where the targets of a step are listed."""
    return ("project", "targets") if step.targets is None else ("steps", step.name, "targets")


def _input_at(tables: Iterable[StepTarget | Dependencies], text: str) -> KeyPath:
    """Where the manifest states an input, given in canonical form."""
    for table in tables:
        for dependency in table.pypi:
            if render_dependency(dependency) == text:
                return dependency.at
        for package in table.conda:
            if f"conda:{package.spec}" == text:
                return package.at
        if isinstance(table, StepTarget) and (at := limit_lines(table.limits).get(text)) is not None:
            return at
    return ()


def _option_at(manifest: Manifest, key: str, entry: str) -> KeyPath:
    """Where the manifest states an option of the lock, or one entry of it."""
    match key:
        case "indexes" | "channels" | "exclude-newer":
            return ("project", key)
        case "constraints" | "overrides":
            return _input_at([manifest.constraints if key == "constraints" else manifest.overrides], entry)
        case "sources" | "mapping" | "virtual-packages":
            return (key, entry)
        case "build-requires":
            return ("build", entry)
        case "build-constraints":
            return ("build-constraints", "pypi")
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
