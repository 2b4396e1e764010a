"""Steps and groups: their requirements, their order, and contradictions between them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import msgspec

from envc.locking.manifest.document import GroupTable, StepTable
from envc.locking.manifest.limits import read_group
from envc.locking.manifest.names import check_names
from envc.locking.manifest.paths import check_inside
from envc.locking.manifest.python import BadPython, choose_python, parse_python
from envc.locking.manifest.report import Report, check_unique
from envc.locking.manifest.requirements import read_dependencies
from envc.locking.manifest.sources import SourceNames, check_claim
from envc.model.command_line import BadCommandLine, join_words, read_words
from envc.model.manifest import Dependencies, KeyPath, PyPIDependency, PythonRequest, Source, Step
from envc_solvers.origin import render_key_path

_VARIABLE = r"[^=\x00-\x20\x7f]+"


class Names(msgspec.Struct, frozen=True, kw_only=True):
    """Every name that a step may use, including names whose declaration is a mistake."""

    steps: Mapping[str, object]
    groups: Mapping[str, object]
    targets: Mapping[str, object]  # declared ones and platforms
    sources: SourceNames


def read_groups(report: Report, tables: Mapping[str, GroupTable], sources: SourceNames) -> dict[str, Dependencies]:
    check_names(report, ("groups",), "group", tables)
    return {name: read_group(report, ("groups", name), table, sources) for name, table in tables.items()}


def read_steps(
    report: Report, tables: Mapping[str, StepTable], names: Names, project_targets: tuple[str, ...]
) -> dict[str, Step]:
    """The steps in the order of the file. Checks each of them, then their order."""
    check_names(report, ("steps",), "step", tables)
    steps = {name: _read_step(report, name, table, names, project_targets) for name, table in tables.items()}
    _check_cycles(report, steps)
    return steps


def _read_step(report: Report, name: str, table: StepTable, names: Names, project_targets: tuple[str, ...]) -> Step:
    at: KeyPath = ("steps", name)
    for key, kind, known in (("needs", "step", names.steps), ("groups", "group", names.groups)):
        used: tuple[str, ...] = getattr(table, key)
        check_unique(report, (*at, key), used)
        for index, other in enumerate(used):
            if other not in known:
                report.unknown((*at, key, index), kind, other, known)
    if table.targets is not None:
        check_targets(report, (*at, "targets"), table.targets, names.targets)
    targets = project_targets if table.targets is None else table.targets
    for target in table.on:
        if target not in names.targets:
            report.unknown((*at, "on", target), "target", target, [each for each in targets if each in names.targets])
        elif target not in targets:
            report.add(
                (*at, "on", target),
                f"step {name!r} has no target {target!r}, so this has no effect",
                f"its targets: {', '.join(targets)}" if targets else None,
            )
    for index, glob in enumerate(table.code or ()):
        check_inside(report, (*at, "code", index), "code", glob)
        _check_glob(report, (*at, "code", index), glob)
    run = _read_run(report, at, table)
    for variable, value in table.env.items():
        if not re.fullmatch(_VARIABLE, variable):
            report.add((*at, "env", variable), f"{variable!r} is not a valid name of an environment variable")
        if "\x00" in value:
            report.add((*at, "env", variable), "an environment variable cannot contain a NUL character")
    return Step(
        name=name,
        needs=table.needs,
        groups=table.groups,
        targets=table.targets,
        python=None if table.python is None else read_python(report, (*at, "python"), table.python),
        interpreter=table.interpreter,
        code=table.code,
        run=run,
        shell=table.shell,
        env=table.env,
        dependencies=read_group(report, at, table, names.sources),
        on={
            target: read_dependencies(report, (*at, "on", target), additions, names.sources)
            for target, additions in table.on.items()
        },
    )


def _read_run(report: Report, at: KeyPath, table: StepTable) -> str | None:
    """The command line as one text; a list of words is quoted. Reports what no shell would run."""
    if table.run is None:
        if table.shell:
            report.add((*at, "shell"), "has no effect without `run`")
        return None
    is_list = not isinstance(table.run, str)
    if is_list and table.shell:
        report.add((*at, "shell"), "a shell runs one text, and `run` is a list", 'write run = "…"')
    if "\x00" in "".join(table.run):
        report.add((*at, "run"), "a command line cannot contain a NUL character")
        return None
    if is_list:
        if table.run and table.run[0]:
            return join_words(tuple(table.run))
        report.add((*at, "run"), "names no program", "leave it out if the step runs nothing")
        return None
    text = str(table.run)
    try:
        if not table.shell or not text.strip():
            read_words(text)
    except BadCommandLine as error:
        report.add((*at, "run"), str(error), error.suggestion)
    return text


def read_python(report: Report, at: KeyPath, text: str) -> PythonRequest | None:
    """The requested Python; None if the request is invalid, which is then reported."""
    try:
        request = parse_python(text)
        choose_python(request)
    except BadPython as error:
        report.add(at, str(error), error.suggestion)
        return None
    return request


def check_targets(report: Report, at: KeyPath, targets: tuple[str, ...], known: Mapping[str, object]) -> None:
    """Report unknown targets in a list, and an empty list."""
    if not targets:
        report.add(at, "names no target", 'for example, write ["linux-64", "osx-arm64"]')
    check_unique(report, at, targets)
    for index, target in enumerate(targets):
        if target not in known:
            report.unknown((*at, index), "target", target, known)


def _check_cycles(report: Report, steps: Mapping[str, Step]) -> None:
    """Report each cycle of steps once, at the entry that closes it. A depth-first search without recursion."""
    finished: set[str] = set()
    for start in steps:
        trail: dict[
            str, Iterator[tuple[int, str]]
        ] = {}  # the steps on the current path, with their `needs` that are left
        if start not in finished:
            trail[start] = enumerate(steps[start].needs)
        while trail:
            step = next(reversed(trail))
            for index, other in trail[step]:
                if other in trail:
                    order = list(trail)
                    cycle = [*order[order.index(other) :], other]
                    report.add(("steps", step, "needs", index), f"steps need each other: {' → '.join(cycle)}")
                elif other in steps and other not in finished:
                    trail[other] = enumerate(steps[other].needs)
                    break
            else:
                finished.add(step)
                del trail[step]


def check_agreement(
    report: Report, steps: Mapping[str, Step], groups: Mapping[str, Dependencies], sources: Mapping[str, Source]
) -> None:
    """Report projects that one step would take from two places. Dependencies with other mistakes are skipped."""
    mistaken = {mistake.key_path[:length] for mistake in report.mistakes for length in range(len(mistake.key_path) + 1)}
    for step in steps.values():
        shared = [step.dependencies, *(groups[group] for group in step.groups if group in groups)]
        for parts in [shared, *([*shared, additions] for additions in step.on.values())]:
            origins: dict[str, PyPIDependency] = {}
            for part in parts:
                for dependency in part.pypi:
                    if dependency.at in mistaken:
                        continue
                    check_claim(report, dependency, step.name, sources)
                    _check_origin(report, dependency, origins, step.name)


def _check_origin(report: Report, dependency: PyPIDependency, origins: dict[str, PyPIDependency], step: str) -> None:
    # Markers may tell two origins apart, so only requirements without one are compared.
    if dependency.requirement.marker or _origin(dependency) is None:
        return
    earlier = origins.setdefault(dependency.requirement.name, dependency)
    if _origin(earlier) != _origin(dependency):
        report.add(
            dependency.at,
            f"step {step!r} takes {dependency.requirement.name} from another place too: {render_key_path(earlier.at)}",
            "make them agree, or tell them apart with markers",
        )


def _origin(dependency: PyPIDependency) -> tuple[str | None, ...] | None:
    origin = (
        dependency.source,
        dependency.requirement.url or None,
        dependency.path,
        dependency.git,
        dependency.rev,
        dependency.subdirectory,
        dependency.sha256,
    )
    return origin if any(origin) else None


def _check_glob(report: Report, at: KeyPath, glob: str) -> None:
    """Report a glob that pathlib cannot read, or that some Pythons read in another way."""
    parts = [part for part in glob.split("/") if part not in ("", ".")]
    if glob and not parts:
        report.add(at, f"{glob[:80]!r} names no file", 'to bundle everything beside the manifest, write "**/*"')
    elif any("**" in part and part != "**" for part in parts):
        report.add(at, f"{glob[:80]!r} joins ** with other characters", "write ** between two slashes")
