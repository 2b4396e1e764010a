"""expand: turns a manifest into one value per step and target, with every input that decides what is locked there."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta

import msgspec

from envc.locking.manifest.python import choose_python, is_range, python_of_minor
from envc.model.graph import LockGraph
from envc.model.kinds import InterpreterKind, PackageCutoff
from envc.model.manifest import (
    CondaDependency,
    Dependencies,
    KeyPath,
    LimitFile,
    Limits,
    Manifest,
    PyPIDependency,
    PythonRequest,
    Source,
    Step,
)
from envc_solvers.target import Python, Target, default_target, parse_python_key

NO_LIMITS = Limits()
StepTargetId = tuple[str, str]  # step, target key


class StepTarget(msgspec.Struct, frozen=True, kw_only=True):
    """One step on one target."""

    step: str
    target: Target
    python: Python
    interpreter: InterpreterKind
    pypi: tuple[PyPIDependency, ...]  # in the order of the manifest: step, groups, additions for the target
    conda: tuple[CondaDependency, ...]
    requires: tuple[str, ...]  # `pypi` and `conda` in canonical form, sorted and without duplicates
    indexes: tuple[Source, ...]  # sources of PyPI projects, in order of priority
    dedicated: tuple[Source, ...]  # sources that supply only the projects that they claim
    channels: tuple[Source, ...]  # of conda packages, in order of priority
    limits: Limits = NO_LIMITS  # of the step and its groups, with the files of all steps

    @property
    def id(self) -> StepTargetId:
        return self.step, self.key

    @property
    def key(self) -> str:
        """The target key: ``linux-64/cp312``."""
        return f"{self.target.name}/{self.python.key}"

    @property
    def uses_conda(self) -> bool:
        """Whether its interpreter comes from a conda channel, with or without further conda packages."""
        return self.interpreter == "conda"

    @property
    def is_mixed(self) -> bool:
        return self.uses_conda and bool(self.pypi)

    @property
    def extras(self) -> frozenset[tuple[str, str]]:
        """The extras that the inputs request: project and extra, normalised."""
        return frozenset((d.requirement.name, extra) for d in self.pypi for extra in d.requirement.extras)

    @property
    def target_name(self) -> str:
        return self.target.name

    @property
    def python_text(self) -> str:
        return self.python.text

    @property
    def index_names(self) -> tuple[str, ...]:
        return tuple(source.name for source in self.indexes)


class _Inputs(msgspec.Struct, frozen=True):
    """The requirements of a step and its groups together."""

    pypi: tuple[PyPIDependency, ...]
    conda: tuple[CondaDependency, ...]
    requires: tuple[str, ...]
    limits: Limits


def expand(manifest: Manifest, graph: LockGraph | None = None) -> tuple[StepTarget, ...]:
    """Every step on each of its targets, in the order of the manifest.

    A range of Pythons leaves the minor version open: the one in the lock `graph` stays while the range allows it.
    """
    pythons = _pythons(manifest, graph)
    # A thousand steps over ten groups have about ten different sets of inputs. Parts are compared by identity; the
    # manifest keeps them alive. Comparing them by value would take longer than rendering them again.
    known: dict[tuple[int, ...], _Inputs] = {}
    step_targets = []
    for step_name, step in manifest.steps.items():
        shared = (step.dependencies, *(manifest.groups[group] for group in step.groups))
        for target_name in manifest.targets if step.targets is None else step.targets:
            own = (step.on[target_name],) if target_name in step.on else ()
            parts = tuple(part for part in (*shared, *own) if part.pypi or part.conda or part.limits)
            identity = tuple(map(id, parts))
            if identity not in known:
                known[identity] = _inputs(parts, manifest.limit_files)
            step_targets.append(_step_target(manifest, (step_name, pythons[step_name]), target_name, known[identity]))
    return tuple(step_targets)


def _inputs(parts: tuple[Dependencies, ...], files: tuple[LimitFile, ...]) -> _Inputs:
    pypi = tuple(dependency for part in parts for dependency in part.pypi)
    conda = tuple(dependency for part in parts for dependency in part.conda)
    lines = {render_dependency(dependency) for dependency in pypi} | {f"conda:{one.spec}" for one in conda}
    limits = _joined([part.limits for part in parts if part.limits is not None], files)
    if limits is not NO_LIMITS:
        lines.update(limit_lines(limits))
    return _Inputs(pypi, conda, tuple(sorted(lines)), limits)


def _joined(parts: list[Limits], files: tuple[LimitFile, ...]) -> Limits:
    if not parts and not files:
        return NO_LIMITS

    def join(tables: list[Dependencies]) -> Dependencies:
        return Dependencies(
            pypi=tuple(dependency for table in tables for dependency in table.pypi),
            conda=tuple(dependency for table in tables for dependency in table.conda),
        )

    return Limits(
        constraints=join([part.constraints for part in parts]),
        overrides=join([part.overrides for part in parts]),
        files=(*files, *(file for part in parts for file in part.files)),
    )


def limit_lines(limits: Limits) -> dict[str, KeyPath]:
    """The constraints, overrides and files of a step in the form of the lock's ``requires``, with their places."""
    lines: dict[str, KeyPath] = {}
    for word, table in (("constraint", limits.constraints), ("override", limits.overrides)):
        lines |= {f"{word} {render_dependency(one)}": one.at for one in table.pypi}
        lines |= {f"{word} conda:{one.spec}": one.at for one in table.conda}
    for file in limits.files:
        lines[f"{file.text} with sha256 {file.sha256}" if file.sha256 else file.text] = file.at
    return lines


def constraints_of(manifest: Manifest, step_target: StepTarget) -> Dependencies:
    """The constraints that hold for a step-target: those of all steps, its own, and those of its files."""
    return _with_files(manifest.constraints, step_target.limits.constraints, step_target, overrides=False)


def overrides_of(manifest: Manifest, step_target: StepTarget) -> Dependencies:
    """The overrides that hold for a step-target, as `constraints_of`."""
    return _with_files(manifest.overrides, step_target.limits.overrides, step_target, overrides=True)


def _with_files(common: Dependencies, own: Dependencies, step_target: StepTarget, *, overrides: bool) -> Dependencies:
    if step_target.limits is NO_LIMITS:
        return common
    listed = (file.pypi or () for file in step_target.limits.files if file.overrides == overrides)
    return Dependencies(
        pypi=(*common.pypi, *own.pypi, *(dependency for file in listed for dependency in file)),
        conda=(*common.conda, *own.conda),
    )


def _pythons(manifest: Manifest, graph: LockGraph | None) -> dict[str, Python]:
    """The Python of each step. A new step with a range takes the minor version of the others with the same range."""
    requests = {name: step.python or manifest.python for name, step in manifest.steps.items()}
    found = {name: choose_python(request) for name, request in requests.items()}
    ranges = {name: request for name, request in requests.items() if is_range(request)}
    if graph is None or not ranges:
        return found
    locked = _locked_minors(graph)
    by_range: dict[PythonRequest, tuple[int, int]] = {}
    for name, request in ranges.items():
        if name in locked:
            by_range[request] = max(locked[name], by_range.get(request, locked[name]))
    for name, request in ranges.items():
        minor = locked.get(name) or by_range.get(request)
        python = python_of_minor(request, minor) if minor is not None else None
        found[name] = python or found[name]
    return found


def _locked_minors(graph: LockGraph) -> dict[str, tuple[int, int]]:
    """By step: the minor version of CPython that it is locked with."""
    found = {}
    for environment in graph.environments:
        keys = {target_key.partition("/")[2] for target_key in environment.targets}
        with suppress(ValueError):
            pythons = set(map(parse_python_key, keys))
            if len(pythons) == 1 and (python := pythons.pop()) == Python(minor=python.minor):
                found.update(dict.fromkeys(environment.steps, python.minor))
    return found


def _step_target(manifest: Manifest, step_of: tuple[str, Python], target_name: str, inputs: _Inputs) -> StepTarget:
    step_name, python = step_of
    step = manifest.steps[step_name]
    allowed = [
        source
        for source in manifest.sources.values()
        if (not source.steps or step_name in source.steps) and (not source.targets or target_name in source.targets)
    ]
    by_name = {source.name: source for source in allowed}
    return StepTarget(
        step=step_name,
        target=target_of(manifest, target_name),
        python=python,
        interpreter=step.interpreter or ("conda" if _has_conda_packages(manifest, step) else "host"),
        pypi=inputs.pypi,
        conda=inputs.conda,
        requires=inputs.requires,
        indexes=tuple(by_name[name] for name in manifest.indexes if name in by_name),
        dedicated=tuple(source for source in allowed if source.kind != "conda" and source.name not in manifest.indexes),
        channels=tuple(by_name[name] for name in manifest.channels if name in by_name),
        limits=inputs.limits,
    )


def _has_conda_packages(manifest: Manifest, step: Step) -> bool:
    """Whether a step has conda packages on any target. Its interpreter is of one kind on all of them."""
    targets = manifest.targets if step.targets is None else step.targets
    parts = (step.dependencies, *(manifest.groups[group] for group in step.groups))
    return any(part.conda for part in parts) or any(step.on[name].conda for name in targets if name in step.on)


def target_of(manifest: Manifest, name: str) -> Target:
    """The declared target of that name, or the default target of the platform of that name."""
    return manifest.declared_targets.get(name) or default_target(name)


def render_dependency(dependency: PyPIDependency) -> str:
    """A PyPI input in the form of the lock's ``requires``. It contains only URLs of the manifest."""
    text = f"pypi:{dependency.requirement}"
    if dependency.path is not None:
        text += f" at {dependency.path}"
    if dependency.git is not None:
        text += f" from git {dependency.git}" + (f" rev {dependency.rev}" if dependency.rev else "")
    if dependency.subdirectory is not None:
        text += f" in {dependency.subdirectory}"
    if dependency.sha256 is not None:
        text += f" with sha256 {dependency.sha256}"
    if dependency.source is not None:
        text += f" from {dependency.source}"
    return text


def lock_options(manifest: Manifest, step_targets: tuple[StepTarget, ...]) -> dict[str, object]:
    """Every input that affects results and belongs to no single step, as TOML values. Defaults are left out."""
    policy = manifest.policy
    uses_conda = any(step_target.uses_conda for step_target in step_targets)
    is_mixed = any(step_target.is_mixed for step_target in step_targets)
    targets = {step_target.target.name: step_target.target for step_target in step_targets}
    options: dict[str, object] = {
        "targets": {name: target.text for name, target in sorted(targets.items())},
        "indexes": list(manifest.indexes) if any(step_target.pypi for step_target in step_targets) else [],
        "channels": list(manifest.channels) if uses_conda else [],
        "sources": {
            name: render_source(source)
            for name, source in sorted(manifest.sources.items())
            if (source.url is not None or source.missing or source.is_undated)
            and (uses_conda or source.kind != "conda")
        },
        "exclude-newer": render_cutoff(manifest.exclude_newer),
        "exclude-newer-package": {
            name: render_cutoff(value) for name, value in sorted(policy.exclude_newer_package.items())
        },
        "constraints": _sorted_requires(manifest.constraints),
        "overrides": _sorted_requires(manifest.overrides),
        "prereleases": sorted(policy.prereleases_for) or policy.prereleases,
        "resolution": policy.resolution,
        "align": policy.align,
        "build": sorted(policy.build),
        "build-requires": {
            name: sorted({str(one.requirement) for one in requires})
            for name, requires in sorted(manifest.build_requires.items())
        },
        "build-constraints": sorted({str(one.requirement) for one in manifest.build_constraints}),
        "sdist": policy.sdist,
        "direct-dependencies": policy.direct_dependencies,
        "channel-priority": policy.channel_priority if uses_conda else "strict",
        "virtual-packages": {name: dict(sorted(v.items())) for name, v in sorted(manifest.virtual_packages.items())}
        if uses_conda
        else {},
        "mapping": {name: _render_projects(projects) for name, projects in sorted(manifest.mapping.items())}
        if is_mixed
        else {},
    }
    defaults = {
        "prereleases": "if-necessary",
        "resolution": "highest",
        "align": "newest",
        "sdist": "refuse",
        "direct-dependencies": "refuse",
        "channel-priority": "strict",
    }
    return {key: value for key, value in options.items() if value not in (None, [], {}) and value != defaults.get(key)}


def _render_projects(projects: tuple[str, ...]) -> str | bool | list[str]:
    """The projects of a conda package as the manifest writes them."""
    return list(projects) if len(projects) > 1 else projects[0] if projects else False


def _sorted_requires(dependencies: Dependencies) -> list[str]:
    return sorted(
        {render_dependency(dependency) for dependency in dependencies.pypi}
        | {f"conda:{dependency.spec}" for dependency in dependencies.conda}
    )


def render_source(source: Source) -> str:
    """A declared source without its address: ``pypi projects=acme-* steps=train``."""
    parts: list[str] = [source.kind]
    for label, values in (("projects", source.projects), ("steps", source.steps), ("targets", source.targets)):
        if values:
            parts.append(f"{label}={','.join(sorted(values))}")
    if source.is_undated:
        parts.append("exclude-newer=false")
    if source.missing:
        parts.append(f"missing={','.join(map(str, source.missing))}")
    return " ".join(parts)


def render_cutoff(value: PackageCutoff | None) -> str | bool | None:
    """A cut-off as a lock writes it: RFC 3339 in UTC, an ISO 8601 duration for a span, false if there is none."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, timedelta):
        days, seconds = value.days, value.seconds
        return f"P{days}D" if not seconds else f"P{days}DT{seconds}S" if days else f"PT{seconds}S"
    return value
