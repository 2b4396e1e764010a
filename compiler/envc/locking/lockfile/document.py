"""The shape of a lock file in TOML. Its JSON Schema is made from these types."""

# Annotations are not strings here: msgspec would compile each of them for the first lock, which took 1 ms.
from datetime import date
from typing import Annotated, Any

import msgspec
from msgspec import Meta, field

from envc.model.kinds import NoArch


class Shape(msgspec.Struct, frozen=True, kw_only=True, rename="kebab", forbid_unknown_fields=True, omit_defaults=True):
    """A TOML table that rejects unknown keys."""


Digest = Annotated[str, Meta(pattern="^[0-9a-f]{64}$", max_length=64, description="sha256, lower-case hex")]
Size = Annotated[int, Meta(ge=0, description="Bytes as downloaded; left out if no source states it")]
Yanked = Annotated[
    str | None, Meta(description="Why its author yanked it, as of the last solve; empty without a reason")
]
# Never a path: caches and stores use it as a file name.
FileName = Annotated[str, Meta(pattern=r"^[^/\\:\x00-\x1f\x7f]+$", min_length=3, max_length=255)]


class ArtifactTable(Shape, frozen=True, kw_only=True):
    """One downloadable file."""

    file: FileName
    size: Size = 0
    sha256: Digest
    targets: Annotated[
        tuple[str, ...], Meta(description="Target keys that use it; absent if all that use the package do")
    ] = field(default=(), name="for")
    depends: Annotated[
        tuple[str, ...] | None, Meta(description="Only if the package's artifacts state different requirements")
    ] = None
    noarch: Annotated[NoArch, Meta(description="The kind of a conda package that is not for one platform")] = ""
    site_packages: Annotated[
        str, Meta(description="The folder where conda's python keeps packages (CEP-17), if not the usual one")
    ] = ""
    yanked: Yanked = None
    content: Annotated[dict[str, Digest], Meta(description="Content digest by layout")] = {}


class PackageTable(Shape, frozen=True, kw_only=True):
    """One version of a package with the artifacts of it that the lock uses."""

    id: Annotated[str, Meta(description='"pypi:torch"; "pypi:torch@2.3.1" for a further version in the same lock')]
    version: str
    build: Annotated[str, Meta(description="conda build string")] = ""
    source: Annotated[str, Meta(description="Name of a source, never its address")]
    released: Annotated[date | None, Meta(description="Day (UTC) of the earliest upload among the artifacts")] = None
    license: str = ""
    pypi: Annotated[tuple[str, ...], Meta(description="PyPI projects that it supplies in steps that mix both")] = ()
    depends: Annotated[tuple[str, ...], Meta(description="The requirements it was solved with, canonical")] = ()
    artifacts: tuple[ArtifactTable, ...]


class SdistTable(Shape, frozen=True, kw_only=True):
    """The source distribution that a wheel was built from."""

    file: FileName
    size: Size = 0
    sha256: Digest


class BuildRequirementTable(Shape, frozen=True, kw_only=True):
    """One wheel of a build environment."""

    name: str
    version: str
    source: Annotated[str, Meta(description="Name of a source, never its address")]
    file: FileName
    size: Size = 0
    sha256: Digest
    yanked: Yanked = None


class BuildTable(Shape, frozen=True, kw_only=True):
    """How a wheel that no source serves was built; one of `commit`, `tree` and `sdist` names its sources."""

    wheel: FileName
    sha256: Annotated[Digest, Meta(description="Of the wheel")]
    commit: Annotated[str, Meta(description="Of the git repository that the manifest names")] = ""
    tree: Annotated[str, Meta(description="Digest of the files of the local project that the manifest names")] = ""
    sdist: SdistTable | None = None
    python: Annotated[str, Meta(description='Platform and Python that built it: "linux-64/cp312"')]
    requires: Annotated[
        tuple[str, ...], Meta(description="The requirements of its build system and those in `added`, canonical")
    ] = ()
    added: Annotated[tuple[str, ...], Meta(description="The requirements that the manifest adds, canonical")] = ()
    constraints: Annotated[
        tuple[str, ...], Meta(description="The manifest's constraints on the packages of the build, canonical")
    ] = ()
    packages: Annotated[
        tuple[BuildRequirementTable, ...], Meta(description="The packages of the build environment")
    ] = ()


class EnvironmentTable(Shape, frozen=True, kw_only=True):
    """The packages of steps with equal inputs."""

    steps: Annotated[tuple[str, ...], Meta(min_length=1)]
    targets: Annotated[tuple[str, ...], Meta(description='Target keys: "linux-64/cp312", "linux-64/-"')]
    python: str = ""
    python_from: Annotated[
        tuple[str, ...],
        Meta(description='Oldest patch release of Python that the packages are for, "3.9.2 @ target, target"; absent '
             "if it is the first one, or the interpreter is part of the environment"),
    ] = ()  # fmt: skip
    interpreter: str = ""  # an InterpreterKind, or ""; an unknown kind makes the lock stale, not invalid
    requires: Annotated[tuple[str, ...], Meta(description="The inputs in canonical form")]
    packages: Annotated[
        tuple[str, ...], Meta(description='Package ids; "id @ target, target" if only some targets have it')
    ]
    passed_over: Annotated[
        tuple[str, ...],
        Meta(description="Newer releases that were not chosen, and why; informs people, decides nothing"),
    ] = ()


class LockDocument(Shape, frozen=True, kw_only=True):
    """A lock file of envc."""

    version: int
    options: Annotated[
        dict[str, Any], Meta(description="Every input that affects results and belongs to no single step")
    ] = {}
    environment: tuple[EnvironmentTable, ...] = ()
    package: tuple[PackageTable, ...] = ()
    build: tuple[BuildTable, ...] = ()
