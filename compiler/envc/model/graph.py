"""The lock graph: everything a lock file says, as values.

Sets stand in the graph as sorted tuples, so that equal graphs are equal values and their text is the same.
"""

from __future__ import annotations

from datetime import date

import msgspec

from envc.model.digest import Sha256
from envc.model.kinds import ArtifactKind, BuildOrigin

LOCK_VERSION = 1


def target_name_of(target_key: str) -> str:
    """The name of the target in a target key: ``linux-64`` of ``linux-64/cp312``."""
    return target_key.partition("/")[0]


class Artifact(msgspec.Struct, frozen=True, kw_only=True):
    """One downloadable file, known by its sha256; where it lives is looked up by (source, file, sha256)."""

    file: str
    size: int  # bytes as downloaded
    sha256: Sha256
    targets: tuple[str, ...] = ()  # target keys it serves, sorted; () for every target key that uses the package
    depends: tuple[str, ...] | None = None  # only where the package's artifacts state different requirements
    noarch: str = ""  # of a conda package: "python", "generic", or "" for one of a platform
    site_packages: str = ""  # of conda's `python`: where it keeps packages, if that is not where its layout says
    content: dict[str, Sha256] = {}  # layout: content digest, once `bundle --record` has added it
    # What its index said when a step with it was solved last: None, or the reason why it was taken back, perhaps "".
    # No fact of the bytes, and so no part of any id.
    yanked: str | None = None


class Package(msgspec.Struct, frozen=True, kw_only=True):
    """One version of a package with the artifacts that this lock uses of it. A fact of its digests."""

    id: str  # "pypi:torch", and "pypi:torch@2.3.1" for a further version in the same lock
    version: str
    build: str = ""  # conda build string, where all artifacts have the same
    source: str  # source name
    released: date | None = None  # day (UTC) of the earliest upload among the artifacts
    license: str = ""
    pypi: tuple[str, ...] = ()  # projects that a conda package stands for, where a step mixed both kinds; sorted
    depends: tuple[str, ...] = ()  # canonical requirements, sorted; extras' ones only where an extra is asked for
    artifacts: tuple[Artifact, ...]  # sorted by file

    @property
    def kind(self) -> ArtifactKind:
        return self.id.partition(":")[0]  # type: ignore[return-value]

    @property
    def name(self) -> str:
        return self.id.partition(":")[2].partition("@")[0]


class SourceFile(msgspec.Struct, frozen=True, kw_only=True):
    """A source distribution, known by its sha256."""

    file: str
    size: int  # bytes as downloaded
    sha256: Sha256


class BuildRequirement(msgspec.Struct, frozen=True, kw_only=True):
    """One wheel that stood in the environment of a build."""

    name: str  # normalised
    version: str
    source: str  # source name
    file: str
    size: int  # bytes as downloaded
    sha256: Sha256
    yanked: str | None = None  # as of an `Artifact`


class Build(msgspec.Struct, frozen=True, kw_only=True):
    """How a wheel was made that no source serves: out of what, by which Python, with what beside it.

    Exactly one of `commit`, `tree` and `sdist` says out of what. Where that lives is the manifest's to say, or the
    package's source's.
    """

    wheel: str  # file name
    sha256: Sha256  # of the wheel
    commit: str = ""  # of a git repository, 40 or 64 lower-case hex digits
    tree: str = ""  # digest of a local project's files (see `envc.local`)
    sdist: SourceFile | None = None
    python: str  # platform and Python that made it: "linux-64/cp312"
    requires: tuple[str, ...] = ()  # what its build system asked for, canonical, sorted
    packages: tuple[BuildRequirement, ...] = ()  # sorted by name

    @property
    def identity(self) -> str:
        """Names the sources that it was built from: equal for equal sources, wherever they are."""
        return f"{self.origin} {self.state}"

    @property
    def origin(self) -> BuildOrigin:
        """Which of the three fields is set."""
        if self.sdist is not None:
            return "sdist"
        return "commit" if self.commit else "tree"

    @property
    def state(self) -> str:
        """The digest or commit that tells these sources from others of the same origin."""
        return self.sdist.sha256 if self.sdist is not None else self.commit or self.tree


class PackageRef(msgspec.Struct, frozen=True, order=True):
    """A package in an environment. Renders as ``pypi:torch`` or ``pypi:colorama @ win-64/cp312``."""

    id: str
    targets: tuple[str, ...] = ()  # target names where it holds, sorted; () for all of the environment's


class LockedEnvironment(msgspec.Struct, frozen=True, kw_only=True):
    """What one set of equal inputs was solved to. Its key is `steps`."""

    steps: tuple[str, ...]  # sorted
    targets: tuple[str, ...]  # target keys "linux-64/cp312", sorted
    python: str = ""  # Python.text, "" without Python
    interpreter: str = ""  # "host", "conda", "standalone", "" without Python
    requires: tuple[str, ...]  # expanded inputs in canonical form, sorted
    packages: tuple[PackageRef, ...]  # sorted


class LockGraph(msgspec.Struct, frozen=True, kw_only=True):
    """A whole lock."""

    version: int = LOCK_VERSION
    options: dict[str, object] = {}  # every input that changes results and is not a step's; plain TOML values, by key
    environments: tuple[LockedEnvironment, ...]  # sorted by steps
    packages: tuple[Package, ...]  # sorted by kind, name, id
    builds: tuple[Build, ...] = ()  # sorted by wheel, sha256, identity

    @property
    def holds_yanked(self) -> bool:
        """Whether a file was taken back by its author, as far as the lock knows."""
        return any(artifact.yanked is not None for package in self.packages for artifact in package.artifacts) or any(
            one.yanked is not None for build in self.builds for one in build.packages
        )

    def builds_by_wheel(self) -> dict[Sha256, tuple[Build, ...]]:
        """How each wheel that no source serves was built; equal wheels may come out of several sources."""
        found: dict[Sha256, tuple[Build, ...]] = {}
        for build in self.builds:
            found[build.sha256] = (*found.get(build.sha256, ()), build)
        return found


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """One package chosen for one step-target, from a solver or from the lock before."""

    kind: ArtifactKind
    name: str
    version: str
    build: str = ""
    source: str
    file: str
    size: int  # bytes
    sha256: Sha256
    noarch: str = ""
    site_packages: str = ""
    released: date | None = None
    license: str = ""
    pypi: tuple[str, ...] = ()
    requires: tuple[str, ...] = ()  # canonical requirements; at least those that the graph's extras ask for
    content: dict[str, Sha256] = {}

    @property
    def release(self) -> tuple[str, str, str, str]:
        """What makes two choices the same package of the graph, unless one target would get two files of it."""
        return (self.kind, self.name, self.version, self.source)
