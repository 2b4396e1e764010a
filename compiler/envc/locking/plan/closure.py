"""closure: the packages of one step on one target, looked up in a lock graph."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import msgspec

from envc.errors import EnvcError, SeveralLines
from envc.locking.plan.expand import StepTarget
from envc.model.environment import Environment, EnvironmentMember
from envc.model.graph import Artifact, Choice, LockedEnvironment, LockGraph, Package, build_string, target_name_of
from envc.model.layout_names import python_layout
from envc_solvers.target import Python

LockedPin = tuple[Package, Artifact]  # a package and its artifact for some target
LockedPins = tuple[LockedPin, ...]


class BrokenLock(EnvcError):
    """A lock with no usable environment for a step on a target. A merge or an edit by hand can cause this."""

    hint = "run `envc lock`"


class DanglingLock(BrokenLock):
    """A lock that names a package, or a file for a target, but does not contain it."""

    def __init__(self, step: str, target_key: str, package_id: str) -> None:
        super().__init__(step, target_key, package_id)
        self.step = step
        self.target_key = target_key
        self.package_id = package_id

    def __str__(self) -> str:
        return f"the lock has no file of {self.package_id} for step {self.step} on {self.target_key}"


class MisnamedArtifact(SeveralLines, BrokenLock):
    """A lock with an artifact whose name says that it is of another package or version."""

    def __init__(self, step: str, target_key: str, faults: tuple[str, ...]) -> None:
        super().__init__(step, target_key, faults)
        self.step = step
        self.target_key = target_key
        self.faults = faults

    def lines(self) -> tuple[str, ...]:
        start = f"the lock contradicts itself for step {self.step} on {self.target_key}"
        return (start, *(f"  {fault}" for fault in self.faults))

    def data(self) -> dict[str, object]:
        return {"step": self.step, "target": self.target_key, "reasons": list(self.faults)}


class Closures:
    """A lock graph with look-up tables, which are built once."""

    def __init__(self, graph: LockGraph) -> None:
        self.graph = graph
        self._packages: dict[str, Package] = {}
        self._duplicated: set[str] = set()
        for package in graph.packages:
            if package.id in self._packages:
                self._duplicated.add(package.id)
            self._packages[package.id] = package
        self._environments: dict[str, LockedEnvironment] = {}
        claims = Counter(step for environment in graph.environments for step in environment.steps)
        for environment in graph.environments:
            for step in environment.steps:
                # After a merge, a step may be in two environments. In that case neither has been reviewed.
                if claims[step] == 1:
                    self._environments[step] = environment
        # These are found once for all steps of an environment. Environments, packages and artifacts are compared by
        # identity; the graph keeps them alive. A package id in place of pins means that this package has no file.
        self._pins: dict[tuple[int, str], LockedPins | str] = {}  # by environment and target key
        self._pin_of: dict[str, dict[str, LockedPin]] = {}  # by target key and package id
        self._choices: dict[tuple[int, str], tuple[Choice, ...]] = {}  # by environment and target key
        self._choice: dict[tuple[int, int], Choice] = {}  # by package and artifact
        self._faults: dict[tuple[int, int], tuple[str, ...]] = {}  # by package and artifact

    def locked(self, step: str) -> LockedEnvironment | None:
        """The environment that holds this step, if there is exactly one."""
        return self._environments.get(step)

    def dangling(self, step: str, target_key: str) -> str | None:
        """The id of a package of the step that has no file for the target in the lock; None if all have one."""
        try:
            self.pins(step, target_key)
        except DanglingLock as error:
            return error.package_id
        return None

    def is_duplicated(self, id: str) -> bool:
        """Whether the lock lists several packages under this id."""
        return id in self._duplicated

    def pins(self, step: str, target_key: str) -> LockedPins:
        """The packages of a step on a target, each with its artifact, sorted by id. Raises DanglingLock."""
        environment = self._environments.get(step)
        if environment is None or target_key not in environment.targets:
            raise DanglingLock(step, target_key, "any package")
        key = id(environment), target_key
        found = self._pins.get(key)
        if found is None:
            found = self._pins[key] = self._find(environment, target_key)
        if isinstance(found, str):
            raise DanglingLock(step, target_key, found)
        return found

    def _find(self, environment: LockedEnvironment, target_key: str) -> LockedPins | str:
        """The pins of an environment on a target, or the id of a package that has no file in the lock."""
        target_name = target_name_of(target_key)
        pin_of = self._pin_of.setdefault(target_key, {})
        found = []
        for ref in environment.packages:
            if ref.targets and target_name not in ref.targets:
                continue
            pin = pin_of.get(ref.id)
            if pin is None:
                package = self._packages.get(ref.id)
                if package is None or ref.id in self._duplicated:
                    return ref.id
                artifacts = [each for each in package.artifacts if not each.targets or target_key in each.targets]
                if len(artifacts) != 1:
                    return ref.id
                pin = pin_of[ref.id] = (package, artifacts[0])
            found.append(pin)
        return tuple(found)

    def choices(self, step: str, target_key: str) -> tuple[Choice, ...]:
        """The pins as choices, for step-targets that need no solver. Raises DanglingLock."""
        pins = self.pins(step, target_key)
        key = id(self._environments[step]), target_key
        if key not in self._choices:
            made = self._choice
            chosen = []
            for package, artifact in pins:
                pair = id(package), id(artifact)
                if pair not in made:
                    made[pair] = Choice.of_locked(package, artifact)
                chosen.append(made[pair])
            self._choices[key] = tuple(chosen)
        return self._choices[key]

    def name_faults(self, package: Package, artifact: Artifact) -> tuple[str, ...]:
        """Why the artifact cannot be one of the package, according to its name."""
        key = id(package), id(artifact)
        found = self._faults.get(key)
        if found is None:
            from envc.locking.plan.artifact_names import artifact_faults, package_faults  # late: a new lock needs none

            found = self._faults[key] = (*package_faults(package), *artifact_faults(package, artifact))
        return found

    def python(self, step_target: StepTarget) -> Python:
        """The Python that the packages of a step-target are for: from the patch release of the lock on."""
        locked = self._environments.get(step_target.step)
        return locked_python(step_target, () if locked is None else (locked,))

    def environment(self, step_target: StepTarget, *, is_coherent: bool = False) -> Environment:
        """The environment of a step-target, in the form that pack and hydrate use.

        Raises DanglingLock, and MisnamedArtifact, whether or not the lock matches the manifest. Names are not compared
        again if they are known to be coherent.
        """
        pins = self.pins(step_target.step, step_target.key)
        faults: list[str] = []
        if not is_coherent:
            counts = Counter((package.kind, package.name) for package, _ in pins)
            faults += [f"{kind}:{name} is listed {count} times" for (kind, name), count in counts.items() if count > 1]
            faults += [fault for package, artifact in pins for fault in self.name_faults(package, artifact)]
            faults += _other_interpreters(step_target, pins)
        if faults:
            raise MisnamedArtifact(step_target.step, step_target.key, tuple(faults))
        site = next((artifact.site_packages for _, artifact in pins if artifact.site_packages), "")
        layout = python_layout(step_target.target, step_target.python, step_target.interpreter, site)
        members = []
        for package, artifact in pins:
            members.append(EnvironmentMember.of_locked(package, artifact, layout, step_target.target.platform))
        return Environment(
            target=step_target.target,
            python=self.python(step_target),
            interpreter=step_target.interpreter,
            members=tuple(sorted(members)),
        )


def _other_interpreters(step_target: StepTarget, pins: LockedPins) -> list[str]:
    """The packages of conda's Python that are not the Python of the step."""
    if step_target.interpreter != "conda":
        return []
    from envc_solvers.conda.language.interpreters import other_kind  # late: few locks are used unchecked

    kinds = [
        (package, other_kind(package.name, build_string(package, artifact), step_target.python))
        for package, artifact in pins
        if package.kind == "conda"
    ]
    return [
        f"{package.id} {package.version} is {kind}, and the Python is {step_target.python_text}"
        for package, kind in kinds
        if kind is not None
    ]


def locked_python(step_target: StepTarget, environments: Iterable[LockedEnvironment]) -> Python:
    """The Python of a step-target, from the patch release on that the lock has for it."""
    python = step_target.python
    patches = [
        environment.patch_on(step_target.target_name)
        for environment in environments
        if environment.python_from and step_target.step in environment.steps
    ]
    if not patches or python.patch is not None:
        return python
    return msgspec.structs.replace(python, release=max(python.release, *patches))


def new_conda_packages(
    graph: LockGraph, before: LockGraph | None, step_targets: Iterable[StepTarget]
) -> tuple[EnvironmentMember, ...]:
    """The conda packages of these step-targets that the previous lock did not contain, each once."""
    if not any(package.kind == "conda" for package in graph.packages):
        return ()
    known = {artifact.sha256 for package in before.packages for artifact in package.artifacts} if before else set()
    closures = Closures(graph)
    members = {
        member.sha256: member for step_target in step_targets for member in closures.environment(step_target).members
    }
    return tuple(member for digest, member in members.items() if member.kind == "conda" and digest not in known)
