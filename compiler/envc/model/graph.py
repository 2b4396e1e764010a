"""The lock graph: the contents of a lock file as values.

Sets are sorted tuples here, so that equal graphs are equal values and have the same text.

One artifact passes through several shapes on its way from an index to a prefix. Each shape holds only what the next
stage needs, and is made from the one before by a constructor of its own type:

* ``File`` (solvers): a file as an index or channel lists it. ``ListedFile`` (`fetch`) adds its URL, which no later
  shape has, so that no address reaches a lock.
* ``Pin`` (solvers): the file that a solver chose for one target. Its digest may be missing.
* ``StandalonePython`` (`fetch`): the archive of an interpreter, until it becomes a pin of a solution (``as_pin``).
* `Choice`: the same file in the form that a lock can hold, with a digest and a day. It is made from a pin
  (`Choice.of_pin`) or from the previous lock (`Choice.of_locked`).
* `Package` with its `Artifact` (`Artifact.of_choice`): the chosen files of one release, merged over all targets.
* `BuildRequirement` (`BuildRequirement.of_pin`) and `SourceFile`: the files behind a wheel that no source serves.
* ``EnvironmentMember`` (`model.environment`): one artifact of one step on one target, with its layout.
* ``RecordObject`` (`model.record`): its object in a store.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

import msgspec

from envc.model.digest import Sha256, parse_sha256
from envc.model.kinds import ArtifactKind, BuildOrigin, NoArch
from envc.model.layout_names import usual_site
from envc.model.lock_lines import LockedInput, LockedPassedOver, StatedRequirement

if TYPE_CHECKING:
    from envc_solvers.pypi.language.requirement import Requirement
    from envc_solvers.solution import Pin
    from envc_solvers.target import Python, Target

LOCK_VERSION = 1


def target_name_of(target_key: str) -> str:
    """The name of the target in a target key: ``linux-64`` of ``linux-64/cp312``."""
    return target_key.partition("/")[0]


def minor_of(target_key: str) -> str:
    """The minor version of the Python in a target key: ``3.12`` of ``linux-64/cp312``; "" if it has none."""
    digits = target_key.partition("/")[2][2:].rstrip("t")
    return f"{digits[:1]}.{digits[1:]}" if len(digits) > 1 and digits.isdecimal() else ""


class Artifact(msgspec.Struct, frozen=True, kw_only=True):
    """One downloadable file, identified by its sha256. Its address is looked up by (source, file, sha256)."""

    file: str
    size: int  # bytes as downloaded
    sha256: Sha256
    targets: tuple[str, ...] = ()  # target keys that use it, sorted; () for all that use the package
    depends: tuple[str, ...] | None = None  # only if the package's artifacts state different requirements
    noarch: NoArch = ""
    site_packages: str = ""  # of conda's `python`: the folder where it keeps packages, if not the usual one
    content: dict[str, Sha256] = {}  # content digest by layout, once `bundle --record` has added it
    # Why the file was yanked, as its index stated when it was last solved; "" without a reason, None if not yanked. A
    # yank is not a property of the bytes, so it is not part of any id.
    yanked: str | None = None

    @classmethod
    def of_choice(
        cls,
        choice: Choice,
        *,
        targets: tuple[str, ...],
        depends: tuple[str, ...] | None,
        content: dict[str, Sha256],
        yanked: str | None,
    ) -> Artifact:
        """The chosen file, with the fields that depend on the whole graph."""
        return cls(
            file=choice.file,
            size=choice.size,
            sha256=choice.sha256,
            targets=targets,
            depends=depends,
            noarch=choice.noarch,
            site_packages=choice.site_packages,
            content=content,
            yanked=yanked,
        )


class Package(msgspec.Struct, frozen=True, kw_only=True):
    """One version of a package with the artifacts of it that this lock uses."""

    id: str  # "pypi:torch", and "pypi:torch@2.3.1" for a further version in the same lock
    version: str
    build: str = ""  # conda build string, if all artifacts have the same
    source: str  # source name
    released: date | None = None  # day (UTC) of the earliest upload among the artifacts
    license: str = ""
    pypi: tuple[str, ...] = ()  # projects that a conda package supplies in steps that mix both kinds, sorted
    depends: tuple[str, ...] = ()  # canonical requirements, sorted; those of an extra only if it is requested
    artifacts: tuple[Artifact, ...]  # sorted by file

    @property
    def kind(self) -> ArtifactKind:
        return self.id.partition(":")[0]  # type: ignore[return-value]

    @property
    def name(self) -> str:
        return self.id.partition(":")[2].partition("@")[0]

    @property
    def variant(self) -> str:
        """The build string in the id, if one target has several builds of the package; else ""."""
        return self.id.partition("=")[2]


class SourceFile(msgspec.Struct, frozen=True, kw_only=True):
    """A source distribution, identified by its sha256."""

    file: str
    size: int  # bytes as downloaded
    sha256: Sha256


class BuildRequirement(msgspec.Struct, frozen=True, kw_only=True):
    """One wheel of a build environment."""

    name: str  # normalised
    version: str
    source: str  # source name
    file: str
    size: int  # bytes as downloaded
    sha256: Sha256
    yanked: str | None = None  # as in `Artifact`

    @classmethod
    def of_pin(cls, pin: Pin) -> BuildRequirement:
        """A solver's pin. Raises ValueError if its digest is missing or malformed."""
        return cls(
            name=pin.name,
            version=pin.version,
            source=pin.source,
            file=pin.file,
            size=pin.size,
            sha256=parse_sha256(pin.sha256),
        )


class Build(msgspec.Struct, frozen=True, kw_only=True):
    """How a wheel that no source serves was built: from which sources, by which Python, with which other packages.

    Exactly one of `commit`, `tree` and `sdist` is set. The address of these sources is in the manifest, or known to
    the source of the package.
    """

    wheel: str  # file name
    sha256: Sha256  # of the wheel
    commit: str = ""  # of a git repository, 40 or 64 lower-case hex digits
    tree: str = ""  # digest of a local project's files (see `locking.worktree.local`)
    sdist: SourceFile | None = None
    python: str  # platform and Python that built it: "linux-64/cp312"
    requires: tuple[str, ...] = ()  # the requirements of its build system and `added`, canonical, sorted
    added: tuple[str, ...] = ()  # the requirements that the manifest adds, canonical, sorted
    constraints: tuple[str, ...] = ()  # the manifest's constraints on `packages`, canonical, sorted
    packages: tuple[BuildRequirement, ...] = ()  # sorted by name

    @property
    def identity(self) -> str:
        """Identifies the sources that it was built from: equal for equal sources, wherever they are."""
        return f"{self.origin} {self.state}"

    @property
    def origin(self) -> BuildOrigin:
        """Which of the three fields is set."""
        if self.sdist is not None:
            return "sdist"
        return "commit" if self.commit else "tree"

    @property
    def state(self) -> str:
        """The digest or commit that distinguishes these sources from others of the same origin."""
        return self.sdist.sha256 if self.sdist is not None else self.commit or self.tree


class PackageRef(msgspec.Struct, frozen=True, order=True):
    """A package in an environment. Renders as ``pypi:torch`` or ``pypi:colorama @ win-64/cp312``."""

    id: str
    targets: tuple[str, ...] = ()  # names of the targets that have it, sorted; () for all of the environment's


class PythonFrom(msgspec.Struct, frozen=True, order=True):
    """The oldest patch release of a minor version that an environment runs on. Renders like `PackageRef`."""

    version: str  # "3.9.2"
    targets: tuple[str, ...] = ()  # names of the targets that it is for, sorted; () for all of the environment's

    @property
    def line(self) -> str:
        return f"{self.version} @ {', '.join(self.targets)}" if self.targets else self.version


class LockedEnvironment(msgspec.Struct, frozen=True, kw_only=True):
    """The packages of steps with equal inputs. Its key is `steps`."""

    steps: tuple[str, ...]  # sorted
    targets: tuple[str, ...]  # target keys "linux-64/cp312", sorted
    python: str = ""  # Python.text, "" without Python
    # From which patch release on the packages hold, if that is not the first one. Only for interpreters of machines:
    # others are part of the environment.
    python_from: tuple[PythonFrom, ...] = ()
    interpreter: str = ""  # an InterpreterKind, "" without Python; not checked: an unknown kind makes the lock stale
    requires: tuple[LockedInput, ...]  # expanded inputs, sorted by their lines
    packages: tuple[PackageRef, ...]  # sorted
    passed_over: tuple[LockedPassedOver, ...] = ()  # newer releases that were not chosen, sorted

    def patch_on(self, target_name: str) -> int:
        """The oldest patch release of Python that the packages for a target are for."""
        patches = [one.version.rpartition(".")[2] for one in self.python_from
                   if not one.targets or target_name in one.targets]  # fmt: skip
        return max(map(int, patches), default=0)

    def requires_on(self, target_name: str) -> tuple[str, ...]:
        """The inputs that apply to one target, in canonical form, sorted and without duplicates."""
        return tuple(sorted({one.text for one in self.requires if not one.targets or target_name in one.targets}))


class LockGraph(msgspec.Struct, frozen=True, kw_only=True):
    """A whole lock."""

    version: int = LOCK_VERSION
    options: dict[str, object] = {}  # every input that affects results and belongs to no single step: TOML values
    environments: tuple[LockedEnvironment, ...]  # sorted by steps
    packages: tuple[Package, ...]  # sorted by kind, name, id
    builds: tuple[Build, ...] = ()  # sorted by wheel, sha256, identity

    @property
    def holds_yanked(self) -> bool:
        """Whether the lock records any file as yanked."""
        return any(artifact.yanked is not None for package in self.packages for artifact in package.artifacts) or any(
            one.yanked is not None for build in self.builds for one in build.packages
        )

    @property
    def holds_passed_over(self) -> bool:
        """Whether the lock records any release as passed over."""
        return any(environment.passed_over for environment in self.environments)

    def builds_by_wheel(self) -> dict[Sha256, tuple[Build, ...]]:
        """The builds of each wheel that no source serves. Several sources may give the same wheel."""
        found: dict[Sha256, tuple[Build, ...]] = {}
        for build in self.builds:
            found[build.sha256] = (*found.get(build.sha256, ()), build)
        return found


# By source and sha256: the requirements of an artifact as its metadata has them, and as a lock does. The targets of a
# manifest share most artifacts, so each is converted once.
KnownRequirements = dict[tuple[str, str], tuple["tuple[Requirement, ...]", tuple[StatedRequirement, ...]]]


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """One package chosen for one step-target, by a solver or in the previous lock."""

    kind: ArtifactKind
    name: str
    version: str
    build: str = ""
    source: str
    file: str
    size: int  # bytes
    sha256: Sha256
    noarch: NoArch = ""
    site_packages: str = ""
    released: date | None = None
    license: str = ""
    pypi: tuple[str, ...] = ()
    requires: tuple[StatedRequirement, ...] = ()  # of a PyPI artifact; at least those of requested extras
    specs: tuple[str, ...] = ()  # of a conda package: the MatchSpecs of its record, sorted
    content: dict[str, Sha256] = {}

    @classmethod
    def of_pin(cls, pin: Pin, target: Target, python: Python, known: KnownRequirements | None = None) -> Choice:
        """A solver's pin for that target and Python. Raises ValueError if its digest is missing or malformed.

        `known` has the requirements of artifacts that were converted before. It grows.
        """
        return cls(
            kind=pin.kind,
            name=pin.name,
            version=pin.version,
            build=pin.build,
            source=pin.source,
            file=pin.file,
            size=pin.size,
            sha256=parse_sha256(pin.sha256),
            noarch=pin.noarch,
            site_packages="" if pin.site_packages == usual_site(target, python) else pin.site_packages,
            released=datetime.fromtimestamp(pin.uploaded, UTC).date() if pin.uploaded is not None else None,
            license=pin.license,
            pypi=pin.provides,
            requires=_stated(pin, {} if known is None else known),
            specs=pin.specs,
        )

    @classmethod
    def of_locked(cls, package: Package, artifact: Artifact) -> Choice:
        """A package of a lock with one of its artifacts."""
        is_pypi = package.kind == "pypi"
        depends = package.depends if artifact.depends is None else artifact.depends
        return cls(
            kind=package.kind,
            name=package.name,
            version=package.version,
            build=build_string(package, artifact),
            source=package.source,
            file=artifact.file,
            size=artifact.size,
            sha256=artifact.sha256,
            released=package.released,
            license=package.license,
            noarch=artifact.noarch,
            site_packages=artifact.site_packages,
            pypi=package.pypi,
            requires=tuple(map(StatedRequirement.read, depends)) if is_pypi else (),
            specs=() if is_pypi else depends,
            content=artifact.content,
        )

    @property
    def release(self) -> tuple[ArtifactKind, str, str, str]:
        """Equal for choices that form one package of the graph, unless a target would get two of its files."""
        return (self.kind, self.name, self.version, self.source)


def _stated(pin: Pin, known: KnownRequirements) -> tuple[StatedRequirement, ...]:
    found = known.get((pin.source, pin.sha256))
    if found is None or found[0] != pin.requires:
        found = known[pin.source, pin.sha256] = (pin.requires, tuple(map(StatedRequirement.of, pin.requires)))
    return found[1]


def build_string(package: Package, artifact: Artifact) -> str:
    """The build string of an artifact, for a package with several from the file name ``name-version-build.conda``."""
    if package.build or package.kind != "conda":
        return package.build
    return artifact.file.removesuffix(".conda").removesuffix(".tar.bz2").rpartition("-")[2]
