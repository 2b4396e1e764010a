"""link: joins the choices of all step-targets into one lock graph."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

import msgspec

from envc.locking.plan.expand import StepTargetId
from envc.locking.plan.inputs import StepTargetInputs, environment_inputs
from envc.locking.plan.package_ids import ArtifactKey, artifact_key, assign_ids
from envc.locking.plan.passed_over import joined, recorded
from envc.model.digest import Sha256
from envc.model.graph import (
    Artifact,
    Build,
    Choice,
    LockedEnvironment,
    LockGraph,
    Package,
    PackageRef,
    PythonFrom,
    minor_of,
)
from envc.model.lock_lines import Extra, LockedPassedOver, StatedRequirement
from envc_solvers.passed_over import PassedOver

_Listed = tuple[str, Sha256]  # an artifact, as the source of that name lists it


def link(
    step_targets: Iterable[StepTargetInputs],
    choices: Mapping[StepTargetId, tuple[Choice, ...]],
    options: dict[str, object],
    previous: LockGraph | None = None,
    builds: Iterable[Build] = (),
    patches: Mapping[StepTargetId, int] = MappingProxyType({}),
    passed_over: Mapping[StepTargetId, tuple[PassedOver, ...]] = MappingProxyType({}),
) -> LockGraph:
    """The graph of these step-targets. `builds` are those of this run.

    `patches` has the oldest patch release of Python that the choices hold for, where that is not the first one.
    `passed_over` has what the solutions of this run passed over. For other step-targets, it is that of `previous`.

    `previous` decides which release keeps the plain id. Content digests, builds and yanks that it records are kept,
    because they are facts about the artifacts, however these were chosen now.

    The result does not depend on the order of `step_targets` or of the choices.
    """
    step_targets = tuple(step_targets)
    chosen = _collect({step_target.id: choices[step_target.id] for step_target in step_targets})
    ids = assign_ids(chosen.artifacts, chosen.by_target.values(), previous)
    notes = recorded(step_targets, chosen.keys, previous, passed_over)
    environments = tuple(
        sorted(
            (
                _environment(steps, group, chosen.keys, ids, patches, notes)
                for steps, group in _group(step_targets, chosen.keys, patches)
            ),
            key=lambda environment: environment.steps,
        )
    )
    return LockGraph(
        options=options,
        environments=environments,
        packages=_packages(chosen, ids, _kept_requirements(step_targets, chosen.choices), _recorded(previous)),
        builds=_builds_of(chosen.choices, builds, previous.builds if previous is not None else ()),
    )


def with_facts(
    choices: Mapping[StepTargetId, tuple[Choice, ...]], *, solved: Iterable[StepTargetId]
) -> dict[StepTargetId, tuple[Choice, ...]]:
    """The choices, with the requirements that artifacts were now solved with in place of those from the lock.

    A lock that was edited may have other requirements. The step-targets that these affect are solved again, and others
    may keep the same artifact.
    """
    facts = {artifact_key(choice): choice for step_target in solved for choice in choices[step_target]}
    known: dict[int, Choice] = {}  # step-targets share their choices, and `link` relies on that

    def corrected(choice: Choice) -> Choice:
        found = known.get(id(choice))
        if found is None:
            fact = facts.get(artifact_key(choice), choice)
            same = fact is choice or (fact.requires, fact.specs) == (choice.requires, choice.specs)
            found = choice if same else msgspec.structs.replace(choice, requires=fact.requires, specs=fact.specs)
            known[id(choice)] = found
        return found

    return {step_target: tuple(map(corrected, chosen)) for step_target, chosen in choices.items()}


class _Chosen(msgspec.Struct, frozen=True):
    """The artifacts of a graph, and which step-targets use them."""

    choices: tuple[Choice, ...]  # step-targets share most of them; each once
    artifacts: dict[ArtifactKey, Choice]
    keys: dict[StepTargetId, tuple[ArtifactKey, ...]]
    by_target: dict[str, set[ArtifactKey]]  # by target key


def _collect(choices: Mapping[StepTargetId, tuple[Choice, ...]]) -> _Chosen:
    # Choices are compared by identity: hashing all their fields takes longer than the rest of linking.
    distinct = {id(choice): choice for chosen in choices.values() for choice in chosen}
    key_of = {number: artifact_key(choice) for number, choice in distinct.items()}
    keys = {step_target: tuple([key_of[id(choice)] for choice in chosen]) for step_target, chosen in choices.items()}
    artifacts: dict[ArtifactKey, Choice] = {}
    by_target: dict[str, set[ArtifactKey]] = {}
    for step_target, row in keys.items():
        artifacts.update(zip(row, choices[step_target], strict=True))
        by_target.setdefault(step_target[1], set()).update(row)
    return _Chosen(tuple(distinct.values()), artifacts, keys, by_target)


def _builds_of(choices: Iterable[Choice], made: Iterable[Build], before: Iterable[Build]) -> tuple[Build, ...]:
    """The builds of the chosen wheels, one of each wheel and source. Those of this run replace those of the lock."""
    by_wheel: dict[Sha256, list[Build]] = {}
    for build in (*made, *before):
        by_wheel.setdefault(build.sha256, []).append(build)
    found: dict[tuple[Sha256, str], Build] = {}
    wheels = {choice.sha256 for choice in choices}
    while wheels:
        # The build requirements of a build may themselves have been built.
        following: set[Sha256] = set()
        for build in (build for digest in wheels for build in by_wheel.pop(digest, ())):
            found.setdefault((build.sha256, build.identity), build)
            following.update(one.sha256 for one in build.packages)
        wheels = following
    return tuple(sorted(found.values(), key=lambda build: (build.wheel, build.sha256, build.identity)))


class _Recorded(msgspec.Struct, frozen=True):
    """The facts about artifacts that only the previous lock records."""

    contents: dict[Sha256, dict[str, Sha256]]
    yanked: dict[tuple[str, Sha256], str | None]  # by source too, because an index reports only its own files


def _recorded(previous: LockGraph | None) -> _Recorded:
    recorded = _Recorded({}, {})
    for package in previous.packages if previous is not None else ():
        for artifact in package.artifacts:
            recorded.contents[artifact.sha256] = artifact.content
            recorded.yanked[package.source, artifact.sha256] = artifact.yanked
    return recorded


def _group(
    step_targets: tuple[StepTargetInputs, ...],
    keys: Mapping[StepTargetId, tuple[ArtifactKey, ...]],
    patches: Mapping[StepTargetId, int],
) -> list[tuple[tuple[str, ...], list[StepTargetInputs]]]:
    """Steps with equal inputs and packages together, with the step-targets of the first of them.

    Equal inputs have equal packages, unless one step alone was locked again.
    """
    by_step: dict[str, list[StepTargetInputs]] = {}
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
                frozenset(keys[step_target.id]),
                patches.get(step_target.id, 0),
            )
            for step_target in members
        )
        groups.setdefault(identity, []).append(step)
    return [(tuple(sorted(steps)), by_step[min(steps)]) for steps in groups.values()]


def _environment(
    steps: tuple[str, ...],
    step_targets: list[StepTargetInputs],
    keys: Mapping[StepTargetId, tuple[ArtifactKey, ...]],
    ids: Mapping[ArtifactKey, str],
    patches: Mapping[StepTargetId, int],
    notes: Mapping[StepTargetId, Iterable[LockedPassedOver]],
) -> LockedEnvironment:
    targets_of: dict[str, set[str]] = {}
    for step_target in step_targets:
        for key in keys[step_target.id]:
            targets_of.setdefault(ids[key], set()).add(step_target.target_name)
    everywhere = {step_target.target_name for step_target in step_targets}
    return LockedEnvironment(
        steps=steps,
        targets=tuple(sorted(step_target.key for step_target in step_targets)),
        python=step_targets[0].python_text,
        python_from=_python_from(step_targets, patches),
        interpreter=step_targets[0].interpreter,
        requires=environment_inputs(step_targets),
        packages=tuple(
            sorted(
                PackageRef(package_id, () if targets == everywhere else tuple(sorted(targets)))
                for package_id, targets in targets_of.items()
            )
        ),
        passed_over=joined((each.target_name, notes.get(each.id, ())) for each in step_targets),
    )


def _python_from(step_targets: list[StepTargetInputs], patches: Mapping[StepTargetId, int]) -> tuple[PythonFrom, ...]:
    targets_of: dict[str, list[str]] = {}
    for step_target in step_targets:
        patch = patches.get(step_target.id, 0)
        if patch:
            version = f"{minor_of(step_target.key)}.{patch}"
            targets_of.setdefault(version, []).append(step_target.target_name)
    return tuple(
        sorted(
            PythonFrom(version, () if len(targets) == len(step_targets) else tuple(sorted(targets)))
            for version, targets in targets_of.items()
        )
    )


def _packages(
    chosen: _Chosen,
    ids: Mapping[ArtifactKey, str],
    depends: Mapping[_Listed, tuple[str, ...]],
    recorded: _Recorded,
) -> tuple[Package, ...]:
    target_keys: dict[ArtifactKey, list[str]] = {}
    for target_key in sorted(chosen.by_target):
        for key in chosen.by_target[target_key]:
            target_keys.setdefault(key, []).append(target_key)
    projects: dict[str, set[str]] = {}
    for choice in chosen.choices:
        if choice.pypi:
            projects.setdefault(ids[artifact_key(choice)], set()).update(choice.pypi)
    by_id: dict[str, list[Choice]] = {}
    for key, choice in chosen.artifacts.items():
        by_id.setdefault(ids[key], []).append(choice)
    packages = []
    for package_id, group in by_id.items():
        group.sort(key=lambda choice: (choice.file, choice.sha256))
        agree = len({depends[choice.source, choice.sha256] for choice in group}) == 1
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
                depends=depends[group[0].source, group[0].sha256] if agree else (),
                artifacts=tuple(
                    Artifact.of_choice(
                        choice,
                        targets=tuple(target_keys[artifact_key(choice)]) if len(group) > 1 else (),
                        depends=None if agree else depends[choice.source, choice.sha256],
                        content=recorded.contents.get(choice.sha256, {}) | choice.content,
                        yanked=recorded.yanked.get((choice.source, choice.sha256)),
                    )
                    for choice in group
                ),
            )
        )
    return tuple(sorted(packages, key=lambda package: (package.kind, package.name, package.id)))


def _kept_requirements(
    step_targets: tuple[StepTargetInputs, ...], choices: tuple[Choice, ...]
) -> dict[_Listed, tuple[str, ...]]:
    """By source and artifact: the requirements that the lock keeps, in canonical form and sorted.

    The source is part of the key, because an index may list the file of another one with other requirements.

    Requirements of extras that nothing in the graph requests are left out, and so are those that name a URL, which no
    solver accepts and no lock may hold. Markers are not evaluated, so the result depends only on the graph: it is the
    same for a package that was solved now and for one kept from the previous lock.
    """
    kept: dict[_Listed, set[str]] = {}
    waiting: dict[Extra, list[tuple[_Listed, StatedRequirement]]] = {}  # requirements that hold for an extra
    requested: dict[Extra, None] = {extra: None for one in step_targets for extra in sorted(one.extras)}

    def keep(listed: _Listed, requirement: StatedRequirement) -> None:
        kept[listed].add(requirement.text)
        requested.update(dict.fromkeys(requirement.requested_extras))

    # Several targets share most of their artifacts, and share their requirements as objects (`KnownRequirements`).
    # These are compared by identity, because hashing them takes longer than the rest of this function.
    seen: set[tuple[_Listed, int]] = set()
    for choice in choices:
        listed = (choice.source, choice.sha256)
        if choice.kind != "pypi" or (listed, id(choice.requires)) in seen:
            continue
        seen.add((listed, id(choice.requires)))
        kept.setdefault(listed, set())
        for requirement in choice.requires:
            if requirement.is_direct:
                continue
            if not requirement.only_for:
                keep(listed, requirement)
            for own in requirement.only_for:
                waiting.setdefault((choice.name, own), []).append((listed, requirement))
    processed: set[Extra] = set()
    while pending := [extra for extra in requested if extra not in processed]:
        processed.update(pending)
        for extra in pending:
            for listed, requirement in waiting.get(extra, ()):
                keep(listed, requirement)
    result = {listed: tuple(sorted(group)) for listed, group in kept.items()}
    for choice in choices:
        if (choice.source, choice.sha256) not in result:
            result[choice.source, choice.sha256] = tuple(sorted(choice.specs))
    return result
