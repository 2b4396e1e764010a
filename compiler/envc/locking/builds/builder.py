"""Builds each wheel from its sources once, keeps it by its digest, and repeats builds that the lock describes."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path

import msgspec

from envc.context import Context
from envc.fetch.artifacts import Artifacts
from envc.fetch.pypi.metadata import wheel_metadata
from envc.fetch.pypi.wheel_metadata import name_and_version
from envc.locking.builds.backend import Backend, BuildSystem, build_system
from envc.locking.builds.environment import FOLDER, BuildEnvironments, Machine, Supplier, fits, machine_for, python_of
from envc.locking.builds.errors import BadSource, BuildElsewhere, BuildFailed, BuildMismatch, CrossBuild
from envc.locking.builds.origin import Origin
from envc.model.digest import Sha256, sha256
from envc.model.graph import Build, BuildRequirement
from envc.system.atomic_file import write_file
from envc_solvers.errors import MetadataUnusable
from envc_solvers.malformed import malformed
from envc_solvers.pypi.language.requirement import InvalidRequirement, Metadata, Requirement, parse
from envc_solvers.target import Python, Target

# Locks requirements for an interpreter of this machine. Raises EnvcError if they cannot be met.
LockRequirements = Callable[[str, Machine, tuple[Requirement, ...]], tuple[BuildRequirement, ...]]


class Built(msgspec.Struct, frozen=True):
    """A wheel that was built on this machine, now or before."""

    path: Path
    size: int  # bytes
    metadata: Metadata
    build: Build


class BuildInputs(msgspec.Struct, frozen=True, kw_only=True):
    """What a manifest adds to builds, as canonical requirements."""

    added: dict[str, tuple[str, ...]] = {}  # by project, sorted
    constraints: tuple[Requirement, ...] = ()  # on the packages of build environments

    def constraints_on(self, packages: Iterable[BuildRequirement]) -> tuple[str, ...]:
        """The constraints that concern these packages, sorted."""
        names = {one.name for one in packages}
        return tuple(sorted({str(one) for one in self.constraints if one.name in names}))

    def agree(self, name: str, build: Build) -> bool:
        """Whether a build of that project was made with these inputs."""
        return (build.added, build.constraints) == (self.added.get(name, ()), self.constraints_on(build.packages))


class Builder:
    """The builds of a run."""

    def __init__(
        self,
        artifacts: Artifacts,
        context: Context,
        before: Iterable[Build] = (),
        supplier: Supplier | None = None,
        inputs: BuildInputs = BuildInputs(),  # noqa: B008 - a frozen value
    ) -> None:
        """`before` are the builds of the lock, whose wheels are used if the cache has them. Build requirements come
        from `supplier`, or from `artifacts` if there is none.
        """
        self._artifacts = artifacts
        self._environ = context.environ
        self._cache = context.cache
        self._progress = context.progress
        self._environments = BuildEnvironments(supplier or artifacts, context.cache, context.progress)
        self._before = tuple(before)
        self._inputs = inputs
        self._machines: dict[Python, Machine] = {}
        self._made: dict[tuple[str, str, str, str], dict[str, Built]] = {}  # origin and name; by machine key

    @property
    def builds(self) -> tuple[Build, ...]:
        """The builds of this run, including those whose wheels were in the cache."""
        return tuple(built.build for made in self._made.values() for built in made.values())

    def wheel(self, name: str, origin: Origin, target: Target, python: Python, lock: LockRequirements) -> Built:
        """A wheel of `origin` that fits that target.

        Raises CrossBuild, BuildFailed, BadSource, and the errors of `lock`.
        """
        made = self._made.setdefault((origin.identity, origin.subdirectory, origin.place, name), {})
        for built in made.values():
            if fits(built.build.wheel, name, target, python):
                return built
        for build in self._before:
            is_same = build.identity == origin.identity and self._inputs.agree(name, build)
            if origin.is_locked and is_same and fits(build.wheel, name, target, python):
                known = self._kept(build)
                if known is not None:
                    made[build.python] = known
                    return known
        machine = self._machine_for(python)
        if machine.key not in made:
            made[machine.key] = self._build(name, origin, machine, lock)
        built = made[machine.key]
        if not fits(built.build.wheel, name, target, python):
            raise CrossBuild(f"{name} {built.metadata.version}", f"{target.name}/{python.key}", built.build.wheel)
        return built

    def rebuild(self, name: str, origin: Origin, build: Build) -> Built:
        """Repeat a build of the lock. Raises BuildMismatch if the new wheel differs."""
        what = build.wheel
        machine = self._machine_for(python_of(build.python))
        for one in build.packages:
            if not fits(one.file, one.name, machine.target, machine.python):
                raise BuildElsewhere(what, build.python, machine.key, f"it was built with {one.file}")
        built = self._run(name, origin, machine, build_system(origin), lambda _: build.packages, known=build.requires)
        if built.build.sha256 != build.sha256:
            raise BuildMismatch(what, build.sha256, built.build.sha256, build.python)
        return built

    def _machine_for(self, python: Python) -> Machine:
        """`machine_for`, once for each Python: interpreters are searched for on disk."""
        if python not in self._machines:
            self._machines[python] = machine_for(python, self._environ, self._cache)
        return self._machines[python]

    def _build(self, name: str, origin: Origin, machine: Machine, lock: LockRequirements) -> Built:
        system, added = build_system(origin), self._inputs.added.get(name, ())
        system = msgspec.structs.replace(system, requires=(*system.requires, *added))
        cached: list[Built] = []

        def locked(requires: tuple[str, ...]) -> tuple[BuildRequirement, ...]:
            packages = lock(name, machine, tuple(map(parse, requires)))
            known = self._cached(origin, machine, requires, packages)
            if known is not None and known.build.added == added:
                cached.append(described(known))
                raise _AlreadyBuilt
            return packages

        def described(built: Built) -> Built:
            constraints = self._inputs.constraints_on(built.build.packages)
            build = msgspec.structs.replace(built.build, added=added, constraints=constraints)
            return msgspec.structs.replace(built, build=build)

        try:
            built = described(self._run(name, origin, machine, system, locked))
        except _AlreadyBuilt:
            return cached[0]
        self._remember(origin, machine, built.build)
        return built

    def _run(
        self,
        name: str,
        origin: Origin,
        machine: Machine,
        system: BuildSystem,
        lock: Callable[[tuple[str, ...]], tuple[BuildRequirement, ...]],
        known: tuple[str, ...] = (),
    ) -> Built:
        """Unpack, make the environment, get further requirements from the backend, build.

        `lock` is called with all requirements that are known so far. `known` are those that the lock has already.
        """
        requires = _canonical(origin, system.requires)
        packages = lock(requires)
        with (
            tempfile.TemporaryDirectory(prefix="envc-build-", ignore_cleanup_errors=True) as scratch,
            ExitStack() as marks,
        ):
            folder = Path(scratch)
            project = origin.unpack(folder / "source")
            if not project.is_dir() or not project.resolve().is_relative_to((folder / "source").resolve()):
                raise BadSource(origin.label, f"it has no folder {origin.subdirectory}", "correct `subdirectory`")
            (folder / "home").mkdir()
            backend = Backend(origin.label, project, system, self._environ, folder / "home")
            prefix = self._environments.prefix(packages, (*requires, *known), machine, marks)
            all_requires = _canonical(origin, (*requires, *backend.requires(prefix)))
            if all_requires != requires:
                requires, packages = all_requires, lock(all_requires)
                prefix = self._environments.prefix(packages, (*requires, *known), machine, marks)
            (folder / "wheel").mkdir()
            task = self._progress.task(f"building {name}", 1)
            try:
                wheel = backend.wheel(prefix, folder / "wheel")
            finally:
                task.done()
            self._check(name, origin, wheel)
            path, digest, size = self._artifacts.adopt(wheel)
        build = Build(wheel=path.name, sha256=digest, python=machine.key, requires=requires, packages=packages)
        return Built(path, size, self._metadata(path), origin.described(build))

    def _check(self, name: str, origin: Origin, wheel: Path) -> None:
        try:
            actual, _ = name_and_version(wheel.name)
        except ValueError as error:
            raise BuildFailed(origin.label, "build_wheel", f"it made {wheel.name!r}: {error}") from None
        if actual != name:
            raise BadSource(origin.label, f"it is {actual}, not {name}", f"write {actual} as the requirement's name")

    def _kept(self, build: Build) -> Built | None:
        path = self._artifacts.cached(build.sha256, build.wheel)
        return None if path is None else Built(path, path.stat().st_size, self._metadata(path), build)

    def _metadata(self, path: Path) -> Metadata:
        try:
            return wheel_metadata(path)
        except MetadataUnusable as error:
            raise BadSource(path.name, error.reason) from None

    # The cache records the last build of each origin by each interpreter. It is valid if the requirements are the same.

    def _cached(
        self, origin: Origin, machine: Machine, requires: tuple[str, ...], packages: tuple[BuildRequirement, ...]
    ) -> Built | None:
        try:
            build = msgspec.json.decode(self._record_path(origin, machine).read_bytes(), type=Build)
        except malformed(OSError):
            return None
        if (build.identity, build.python, build.packages) != (origin.identity, machine.key, packages):
            return None
        return self._kept(build) if set(requires) <= set(build.requires) else None

    def _remember(self, origin: Origin, machine: Machine, build: Build) -> None:
        path = self._record_path(origin, machine)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_file(path, msgspec.json.encode(build))
        except OSError:
            pass  # without the record, the next run builds again

    def _record_path(self, origin: Origin, machine: Machine) -> Path:
        parts = (origin.identity, origin.subdirectory, machine.host.digest, *([origin.place] if origin.place else ()))
        key: Sha256 = sha256("\0".join(parts).encode())
        return self._cache / FOLDER / "notes" / f"{key}.json"


class _AlreadyBuilt(Exception):
    """The cache has the wheel, so nothing needs to be built."""


def _canonical(origin: Origin, requires: Iterable[str]) -> tuple[str, ...]:
    """Requirements in canonical form, sorted and without duplicates. Raises BadSource for invalid ones and for URLs."""
    found: set[str] = set()
    for text in requires:
        try:
            requirement = parse(text)
        except InvalidRequirement:
            raise BadSource(
                origin.label, f"its build requires {text[:100]!r}, which is not a valid requirement"
            ) from None
        if requirement.url:
            raise BadSource(origin.label, f"its build requires {requirement.name} from a URL")
        found.add(str(requirement))
    return tuple(sorted(found))
