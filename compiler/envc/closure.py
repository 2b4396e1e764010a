"""closure: what a lock graph says of one step on one target."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from envc.errors import EnvcError
from envc.expand import StepTarget
from envc.model.environment import Environment, EnvironmentMember, python_layout
from envc.model.graph import Artifact, Choice, LockedEnvironment, LockGraph, Package


class DanglingLock(EnvcError):
    """A lock that names a package, or a file for a target, that it does not hold; a merge can leave one behind."""

    hint = "run `envc lock`"

    def __init__(self, step: str, target_key: str, package_id: str) -> None:
        super().__init__(step, target_key, package_id)
        self.step = step
        self.target_key = target_key
        self.package_id = package_id

    def __str__(self) -> str:
        return f"the lock has no file of {self.package_id} for step {self.step} on {self.target_key}"


class Closures:
    """A lock graph with its tables of look-up built once."""

    def __init__(self, graph: LockGraph) -> None:
        self.graph = graph
        self._packages: dict[str, Package] = {}
        self._doubled: set[str] = set()
        for package in graph.packages:
            if package.id in self._packages:
                self._doubled.add(package.id)
            self._packages[package.id] = package
        self._environments: dict[str, LockedEnvironment] = {}
        claimed = Counter(step for environment in graph.environments for step in environment.steps)
        for environment in graph.environments:
            for step in environment.steps:
                # After a merge a step may stand in two environments: then neither is what was reviewed.
                if claimed[step] == 1:
                    self._environments[step] = environment
        self._dangling: dict[tuple[int, str], str | None] = {}

    def locked(self, step: str) -> LockedEnvironment | None:
        """The environment that holds this step, if there is exactly one."""
        return self._environments.get(step)

    def dangling(self, step: str, target_key: str) -> str | None:
        """The id of a package that the step names on a target and the lock has no file of; None when all is there.

        Found out once for all steps of an environment.
        """
        key = id(self._environments.get(step)), target_key
        if key not in self._dangling:
            try:
                self._dangling[key] = None
                for _ in self.pins(step, target_key):
                    pass
            except DanglingLock as error:
                self._dangling[key] = error.package_id
        return self._dangling[key]

    def pins(self, step: str, target_key: str) -> Iterator[tuple[Package, Artifact]]:
        """The packages of a step on a target, each with its artifact there, sorted by id. Raises DanglingLock."""
        environment = self._environments.get(step)
        if environment is None or target_key not in environment.targets:
            raise DanglingLock(step, target_key, "any package")
        target_name = target_key.partition("/")[0]
        for ref in environment.packages:
            if ref.targets and target_name not in ref.targets:
                continue
            package = self._packages.get(ref.id)
            if package is None or ref.id in self._doubled:
                raise DanglingLock(step, target_key, ref.id)
            serving = [a for a in package.artifacts if not a.targets or target_key in a.targets]
            if len(serving) != 1:
                raise DanglingLock(step, target_key, ref.id)
            yield package, serving[0]

    def choices(self, step: str, target_key: str) -> tuple[Choice, ...]:
        """The same as link takes it, for step-targets that need no solver. Raises DanglingLock."""
        return tuple(
            Choice(
                kind=package.kind,
                name=package.name,
                version=package.version,
                build=_build(package, artifact),
                source=package.source,
                file=artifact.file,
                size=artifact.size,
                sha256=artifact.sha256,
                released=package.released,
                license=package.license,
                noarch=artifact.noarch,
                site_packages=artifact.site_packages,
                pypi=package.pypi,
                requires=package.depends if artifact.depends is None else artifact.depends,
                content=artifact.content,
            )
            for package, artifact in self.pins(step, target_key)
        )

    def environment(self, cell: StepTarget) -> Environment:
        """What pack and hydrate work on. Raises DanglingLock."""
        pins = tuple(self.pins(cell.step, cell.key))
        site = next((artifact.site_packages for _, artifact in pins if artifact.site_packages), "")
        layout = python_layout(cell.target, cell.python, cell.interpreter, site)
        members = []
        for package, artifact in pins:
            # What does not depend on where Python keeps packages is the same object wherever it is used.
            place = layout if package.kind == "pypi" or artifact.noarch == "python" else "any"
            members.append(
                EnvironmentMember(
                    kind=package.kind,
                    name=package.name,
                    version=package.version,
                    source=package.source,
                    file=artifact.file,
                    size=artifact.size,
                    sha256=artifact.sha256,
                    layout=place,
                    subdir=_subdir(package, artifact, cell),
                    depends=package.depends if artifact.depends is None else artifact.depends,
                    content=artifact.content.get(place),
                )
            )
        return Environment(
            target=cell.target, python=cell.python, interpreter=cell.interpreter, members=tuple(sorted(members))
        )


def new_conda(graph: LockGraph, before: LockGraph | None, cells: Iterable[StepTarget]) -> tuple[EnvironmentMember, ...]:
    """The conda packages of these step-targets that a lock did not hold before, each once."""
    if not any(package.kind == "conda" for package in graph.packages):
        return ()
    known = {artifact.sha256 for package in before.packages for artifact in package.artifacts} if before else set()
    closures = Closures(graph)
    members = {member.sha256: member for cell in cells for member in closures.environment(cell).members}
    return tuple(member for digest, member in members.items() if member.kind == "conda" and digest not in known)


def _subdir(package: Package, artifact: Artifact, cell: StepTarget) -> str:
    if package.kind != "conda":
        return ""
    return "noarch" if artifact.noarch else cell.target.platform


def _build(package: Package, artifact: Artifact) -> str:
    """The build string, which a package with several builds leaves to its files: ``name-version-build.conda``."""
    if package.build or package.kind != "conda":
        return package.build
    return artifact.file.removesuffix(".conda").removesuffix(".tar.bz2").rpartition("-")[2]
