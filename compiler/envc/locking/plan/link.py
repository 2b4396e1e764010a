"""link: the pins of every step-target become one lock graph."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

import msgspec

from envc.locking.plan.expand import StepTarget
from envc.model.digest import Sha256, parse_sha256
from envc.model.environment import usual_site
from envc.model.graph import Artifact, Build, Choice, LockedEnvironment, LockGraph, Package, PackageRef
from envc_solvers.pypi.language.requirement import canonicalize_name
from envc_solvers.solution import Pin

if TYPE_CHECKING:
    from packaging.version import Version

_EXTRA = r"""extra\s*==\s*["']([^"']*)["']|["']([^"']*)["']\s*==\s*extra"""
_ASKING = re.compile(r"([a-z0-9-]+)\[([a-z0-9,-]+)\]")  # how a canonical requirement with extras begins

Cell = tuple[str, str]  # step, target key
Release = tuple[str, str, str, str, str]  # kind, name, version, source, variant: what has one id; see `_releases`
# An artifact as some step-target has it: two sources may have the very same file.
Origin = tuple[Sha256, tuple[str, str, str, str]]  # and its kind, name, version, source


class Asking(Protocol):
    """What a lock says of a step-target beside its pins: a `StepTarget`, or one that a lock keeps as it was."""

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
    def extras(self) -> frozenset[tuple[str, str]]: ...  # that the inputs ask for: project, extra
    @property
    def index_names(self) -> tuple[str, ...]: ...


def choice_of(pin: Pin, step_target: StepTarget) -> Choice:
    """A solver's pin for a step-target as a choice. Raises ValueError when its digest is missing or malformed."""
    is_usual = pin.site_packages == usual_site(step_target.target, step_target.python)
    return Choice(
        kind=pin.kind,
        name=pin.name,
        version=pin.version,
        build=pin.build,
        source=pin.source,
        file=pin.file,
        size=pin.size,
        sha256=parse_sha256(pin.sha256),
        noarch=pin.noarch,
        site_packages="" if is_usual else pin.site_packages,
        released=datetime.fromtimestamp(pin.uploaded, UTC).date() if pin.uploaded is not None else None,
        license=pin.license,
        pypi=pin.provides,
        requires=pin.requires,
    )


def link(
    step_targets: Iterable[Asking],
    choices: Mapping[Cell, tuple[Choice, ...]],
    options: dict[str, object],
    previous: LockGraph | None = None,
    builds: Iterable[Build] = (),
) -> LockGraph:
    """The graph of these step-targets. `previous` decides which version keeps the plain id, and hands on the content
    digests that were recorded of artifacts, how wheels were built, and which files are yanked: what is true of them,
    however they were chosen now. `builds` are those of this run.

    The result does not depend on the order of `step_targets` or of the choices.
    """
    step_targets = tuple(step_targets)
    chosen = _look_at(
        {
            (step_target.step, step_target.key): choices[step_target.step, step_target.key]
            for step_target in step_targets
        }
    )
    releases = _releases(chosen)
    by_release = _assign_ids(set(releases.values()), previous)
    ids = {origin: by_release[release] for origin, release in releases.items()}
    environments = tuple(
        sorted(
            (_environment(steps, group, chosen.rows, ids) for steps, group in _group(step_targets, chosen.rows)),
            key=lambda environment: environment.steps,
        )
    )
    return LockGraph(
        options=options,
        environments=environments,
        packages=_packages(chosen, ids, _needed_requires(step_targets, chosen.choices), _Recorded(previous)),
        builds=_builds_of(chosen.choices, builds, previous.builds if previous is not None else ()),
    )


class _Chosen(msgspec.Struct, frozen=True):
    """What the step-targets of a graph have."""

    choices: tuple[Choice, ...]  # step-targets share most of them; each once
    artifacts: dict[Origin, Choice]
    rows: dict[Cell, tuple[Origin, ...]]
    serving: dict[str, set[Origin]]  # by target key


def _look_at(choices: Mapping[Cell, tuple[Choice, ...]]) -> _Chosen:
    # They are told apart as objects: to hash all that each says takes longer than all else here.
    distinct = {id(choice): choice for chosen in choices.values() for choice in chosen}
    origins = {number: _origin(choice) for number, choice in distinct.items()}
    rows = {step_target: tuple([origins[id(choice)] for choice in chosen]) for step_target, chosen in choices.items()}
    artifacts: dict[Origin, Choice] = {}
    serving: dict[str, set[Origin]] = {}
    for step_target, row in rows.items():
        artifacts.update(zip(row, choices[step_target], strict=True))
        serving.setdefault(step_target[1], set()).update(row)
    return _Chosen(tuple(distinct.values()), artifacts, rows, serving)


def _builds_of(choices: Iterable[Choice], made: Iterable[Build], before: Iterable[Build]) -> tuple[Build, ...]:
    """How the chosen wheels were built, one of each wheel and source: this run's word, else the lock's before."""
    by_wheel: dict[Sha256, list[Build]] = {}
    for build in (*made, *before):
        by_wheel.setdefault(build.sha256, []).append(build)
    found: dict[tuple[Sha256, str], Build] = {}
    chosen = {choice.sha256 for choice in choices}
    while chosen:
        # What stood in the environment of a build may itself have been built.
        following: set[Sha256] = set()
        for build in (build for digest in chosen for build in by_wheel.pop(digest, ())):
            found.setdefault((build.sha256, build.identity), build)
            following.update(one.sha256 for one in build.packages)
        chosen = following
    return tuple(sorted(found.values(), key=lambda build: (build.wheel, build.sha256, build.identity)))


class _Recorded:
    """What the lock before says of artifacts and no choice does."""

    def __init__(self, previous: LockGraph | None) -> None:
        self.contents: dict[Sha256, dict[str, Sha256]] = {}
        self.yanked: dict[tuple[str, Sha256], str | None] = {}  # by source, too: it is an index's word
        for package in previous.packages if previous is not None else ():
            for artifact in package.artifacts:
                self.contents[artifact.sha256] = artifact.content
                self.yanked[package.source, artifact.sha256] = artifact.yanked


def _group(
    step_targets: tuple[Asking, ...], rows: Mapping[Cell, tuple[Origin, ...]]
) -> list[tuple[tuple[str, ...], list[Asking]]]:
    """Steps with equal inputs and pins together, with the step-targets of the first of them.

    Equal inputs have equal pins, unless one step alone was locked again.
    """
    by_step: dict[str, list[Asking]] = {}
    for step_target in step_targets:
        by_step.setdefault(step_target.step, []).append(step_target)
    groups: dict[object, list[str]] = {}
    for step, members in by_step.items():
        identity = frozenset(
            (
                step_target.key,
                step_target.python_text,
                step_target.interpreter,
                step_target.requires,
                step_target.index_names,
                frozenset(rows[step, step_target.key]),
            )
            for step_target in members
        )
        groups.setdefault(identity, []).append(step)
    return [(tuple(sorted(steps)), by_step[min(steps)]) for steps in groups.values()]


def environment_requires(step_targets: Iterable[Asking]) -> tuple[str, ...]:
    """The inputs of one environment: a line as it stands where every target asks for it, else with ``@ targets``."""
    step_targets = tuple(step_targets)
    if len({step_target.requires for step_target in step_targets}) == 1:
        return step_targets[0].requires
    asking: dict[str, set[str]] = {}
    for step_target in step_targets:
        for line in step_target.requires:
            asking.setdefault(line, set()).add(step_target.target_name)
    everywhere = {step_target.target_name for step_target in step_targets}
    return tuple(
        sorted(
            line if targets == everywhere else f"{line} @ {', '.join(sorted(targets))}"
            for line, targets in asking.items()
        )
    )


def _environment(
    steps: tuple[str, ...],
    step_targets: list[Asking],
    rows: Mapping[Cell, tuple[Origin, ...]],
    ids: Mapping[Origin, str],
) -> LockedEnvironment:
    holding: dict[str, set[str]] = {}
    for step_target in step_targets:
        for origin in rows[step_target.step, step_target.key]:
            holding.setdefault(ids[origin], set()).add(step_target.target_name)
    everywhere = {step_target.target_name for step_target in step_targets}
    return LockedEnvironment(
        steps=steps,
        targets=tuple(sorted(step_target.key for step_target in step_targets)),
        python=step_targets[0].python_text,
        interpreter=step_targets[0].interpreter,
        requires=environment_requires(step_targets),
        packages=tuple(
            sorted(
                PackageRef(package_id, () if targets == everywhere else tuple(sorted(targets)))
                for package_id, targets in holding.items()
            )
        ),
    )


def _origin(choice: Choice) -> Origin:
    return choice.sha256, choice.release


def _releases(chosen: _Chosen) -> dict[Origin, Release]:
    """The release of each artifact. Its variant is "" unless two files of one version are chosen under one target key.

    Then the build joins the id, since an id has at most one file per target key (DESIGN section 4).
    """
    split: set[tuple[str, str, str, str]] = set()
    for origins in chosen.serving.values():
        seen: set[tuple[str, str, str, str]] = set()
        for _, release in origins:
            (split if release in seen else seen).add(release)
    return {
        origin: (*origin[1], (choice.build or choice.sha256[:8]) if origin[1] in split else "")
        for origin, choice in chosen.artifacts.items()
    }


def _assign_ids(releases: set[Release], previous: LockGraph | None) -> dict[Release, str]:
    """``pypi:torch`` for one release of each name, ``pypi:torch@2.3.1`` for further ones.

    An id stays with its release for as long as both are in the lock, so that no line changes because another came.
    """
    before = {
        (package.kind, package.name, package.version, package.source, package.id.partition("=")[2]): package.id
        for package in (previous.packages if previous else ())
    }
    by_name: dict[tuple[str, str], list[Release]] = {}
    for release in releases:
        by_name.setdefault(release[:2], []).append(release)
    ids: dict[Release, str] = {}
    for (kind, name), group in by_name.items():
        plain = f"{kind}:{name}"
        if len(group) > 1:
            group.sort(key=lambda release: (_version_order(release[2]), release), reverse=True)
        taken: set[str] = set()
        for release in group:
            # A lock that was merged from two may have given one id to two releases.
            if release in before and before[release] not in taken:
                ids[release] = before[release]
                taken.add(ids[release])
        for release in group:
            if release in ids:
                continue
            _, _, version, source, variant = release
            spellings = [plain, f"{plain}@{version}", f"{plain}@{version}:{source}"]
            if variant:
                spellings = [f"{plain}@{version}={variant}", f"{plain}@{version}:{source}={variant}"]
            ids[release] = next(spelling for spelling in spellings if spelling not in taken)
            taken.add(ids[release])
    return ids


def _version_order(version: str) -> tuple[int, Version | str]:
    from packaging.version import InvalidVersion, Version

    try:
        return (1, Version(version))
    except InvalidVersion:
        return (0, version)


def _packages(
    chosen: _Chosen,
    ids: Mapping[Origin, str],
    requires: Mapping[Sha256, tuple[str, ...]],
    recorded: _Recorded,
) -> tuple[Package, ...]:
    keys: dict[Origin, list[str]] = {}
    for key in sorted(chosen.serving):
        for origin in chosen.serving[key]:
            keys.setdefault(origin, []).append(key)
    projects: dict[str, set[str]] = {}
    for choice in chosen.choices:
        if choice.pypi:
            projects.setdefault(ids[_origin(choice)], set()).update(choice.pypi)
    by_id: dict[str, list[Choice]] = {}
    for origin, choice in chosen.artifacts.items():
        by_id.setdefault(ids[origin], []).append(choice)
    packages = []
    for package_id, group in by_id.items():
        group.sort(key=lambda choice: (choice.file, choice.sha256))
        agree = len({requires[choice.sha256] for choice in group}) == 1
        builds = {choice.build for choice in group}
        released = [choice.released for choice in group if choice.released is not None]
        packages.append(
            Package(
                id=package_id,
                version=group[0].version,
                build=group[0].build if len(builds) == 1 else "",
                source=group[0].source,
                released=min(released, default=None),
                license=group[0].license,
                pypi=tuple(sorted(projects.get(package_id, ()))),
                depends=requires[group[0].sha256] if agree else (),
                artifacts=tuple(
                    Artifact(
                        file=choice.file,
                        size=choice.size,
                        sha256=choice.sha256,
                        targets=tuple(keys[_origin(choice)]) if len(group) > 1 else (),
                        depends=None if agree else requires[choice.sha256],
                        noarch=choice.noarch,
                        site_packages=choice.site_packages,
                        content=recorded.contents.get(choice.sha256, {}) | choice.content,
                        yanked=recorded.yanked.get((choice.source, choice.sha256)),
                    )
                    for choice in group
                ),
            )
        )
    return tuple(sorted(packages, key=lambda package: (package.kind, package.name, package.id)))


def _needed_requires(step_targets: tuple[Asking, ...], choices: tuple[Choice, ...]) -> dict[Sha256, tuple[str, ...]]:
    """Per artifact, the requirements that the lock keeps: all but those of extras that nobody in the graph asks for,
    and those that name a URL, which no solver takes and no lock may hold.

    Whether an extra is asked for is read off the lines themselves, whatever their markers say, so that the answer is
    a function of the graph and the same whether a line was solved now or kept from the lock before.
    """
    kept: dict[Sha256, set[str]] = {}
    waiting: dict[tuple[str, str], list[tuple[Sha256, str]]] = {}  # by project and extra: lines that hold for it
    asked: dict[tuple[str, str], None] = {
        extra: None for step_target in step_targets for extra in sorted(step_target.extras)
    }

    def keep(digest: Sha256, line: str) -> None:
        kept[digest].add(line)
        asking = _ASKING.match(line)
        if asking:
            asked.update(((asking[1], extra), None) for extra in asking[2].split(","))

    seen: set[tuple[Sha256, tuple[str, ...]]] = set()  # several targets share most of their artifacts
    for choice in choices:
        if choice.kind != "pypi" or (choice.sha256, choice.requires) in seen:
            continue
        seen.add((choice.sha256, choice.requires))
        kept.setdefault(choice.sha256, set())
        for line in choice.requires:
            if names_url(line):
                continue
            extras = extras_of(line)
            if not extras:
                keep(choice.sha256, line)
            for extra in extras:
                waiting.setdefault((choice.name, extra), []).append((choice.sha256, line))
    followed: set[tuple[str, str]] = set()
    while more := [extra for extra in asked if extra not in followed]:
        followed.update(more)
        for wanted in more:
            for digest, line in waiting.get(wanted, ()):
                keep(digest, line)
    result = {digest: tuple(sorted(group)) for digest, group in kept.items()}
    for choice in choices:
        if choice.sha256 not in result:
            result[choice.sha256] = tuple(sorted(choice.requires))
    return result


def names_url(line: str) -> bool:
    """Whether a canonical requirement is a direct reference (PEP 508)."""
    return " @ " in line.partition(";")[0]


def extras_of(line: str) -> set[str]:
    """The extras that a requirement's marker compares with, normalised; empty when it holds without any."""
    _, _, marker = line.partition(";")
    if "extra" not in marker:
        return set()
    return {canonicalize_name(a or b) for a, b in re.findall(_EXTRA, marker)}
