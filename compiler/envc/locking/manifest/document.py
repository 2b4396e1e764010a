"""The shape of a manifest in TOML. Its JSON Schema is made from these types.

The meaning (names that must exist, requirements that must parse) is checked by the other modules of this package.
"""

# Annotations are not strings here: msgspec would compile each of them for the first manifest, which took 2 ms.
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from envc.model.kinds import (
    Alignment,
    ChannelPriority,
    Fallback,
    InterpreterKind,
    Prereleases,
    RecordPolicy,
    Resolution,
    SourceKind,
)


class Shape(msgspec.Struct, frozen=True, kw_only=True, rename="kebab", forbid_unknown_fields=True, omit_defaults=True):
    """A TOML table that rejects unknown keys."""


PythonText = Annotated[str, Meta(description='"3.12", "3.12.7", "3.13t", "pypy3.10" or a range such as ">=3.11,<3.13"')]
Interpreter = Annotated[
    InterpreterKind,
    Meta(description='Where the interpreter comes from; default: "conda" for steps with conda packages, else "host"'),
]
# A TOML date-time or date is text to a JSON Schema. msgspec forbids unions of text and dates, hence Any.
Cutoff = Annotated[
    Any,
    Meta(
        description='A date-time with its zone, a date (that whole day, UTC, included), or a span such as "7 days"',
        extra_json_schema={"type": "string"},
    ),
]
PackageCutoff = Annotated[
    Any,
    Meta(
        description="A cut-off for this package alone; false lifts it",
        extra_json_schema={"anyOf": [{"type": "string"}, {"const": False}]},
    ),
]


class PyPITable(Shape, frozen=True, kw_only=True):
    """A requirement on a PyPI project, written as a table."""

    name: Annotated[str, Meta(description="May be left out if `path` or `url` ends with it")] = ""
    extras: tuple[str, ...] = ()
    version: Annotated[str, Meta(description='A PEP 440 specifier set: ">=2.1,<3"')] = ""
    marker: Annotated[str, Meta(description="A PEP 508 marker: \"sys_platform != 'win32'\"")] = ""
    source: Annotated[str | None, Meta(description="The only source that may supply it")] = None
    path: Annotated[str | None, Meta(description="A folder or file, relative to the manifest")] = None
    url: Annotated[str | None, Meta(description="URL of a wheel or source archive; #sha256=… may follow")] = None
    git: Annotated[str | None, Meta(description="URL of a git repository")] = None
    rev: Annotated[str | None, Meta(description="A commit, tag or branch of the git repository")] = None
    subdirectory: Annotated[str | None, Meta(description="The folder of the project in the repository or archive")] = (
        None
    )
    editable: Annotated[
        bool, Meta(description="Accepted for other tools, without effect: a lock holds the state of a `path`")
    ] = False


class CondaTable(Shape, frozen=True, kw_only=True):
    """A conda MatchSpec, written as a table."""

    name: str
    version: Annotated[str, Meta(description='">=12,<13"')] = ""
    build: Annotated[str, Meta(description='A build string or glob, such as "*cuda*"')] = ""
    source: Annotated[str | None, Meta(description="The only channel that may supply it")] = None


PyPIList = Annotated[
    tuple[str | PyPITable, ...],
    Meta(description='PEP 508 requirements: "pandas>=2.1", or tables'),
]
CondaList = Annotated[
    tuple[str | CondaTable, ...],
    Meta(description='conda MatchSpecs: "cuda-nvcc >=12,<13", or tables'),
]


class DependencyTable(Shape, frozen=True, kw_only=True):
    """PyPI and conda packages."""

    pypi: PyPIList = ()
    conda: CondaList = ()


class LimitTable(DependencyTable, frozen=True, kw_only=True):
    """Constraints or overrides."""

    files: Annotated[
        tuple[str, ...],
        Meta(description="Files in the format of pip's constraints files: paths, or URLs, whose digests are locked"),
    ] = ()


class GroupTable(DependencyTable, frozen=True, kw_only=True):
    """PyPI and conda packages, and limits that hold where they are used."""

    constraints: Annotated[
        LimitTable, Meta(description="Apply in these steps wherever the package occurs; add no packages")
    ] = LimitTable()
    overrides: Annotated[
        LimitTable, Meta(description="Replace the requirements that packages state, in these steps")
    ] = LimitTable()


class ProjectTable(Shape, frozen=True, kw_only=True):
    """The default settings of every step."""

    name: str
    targets: Annotated[
        tuple[str, ...], Meta(description="Platforms (conda subdir names) and names of [targets.…]; at least one")
    ] = ()
    platforms: Annotated[tuple[str, ...], Meta(description="A synonym for `targets`")] = ()
    python: PythonText
    channels: Annotated[
        tuple[str, ...],
        Meta(description="conda channels in order of priority: sources, names of public channels, URLs, paths"),
    ] = ("conda-forge",)
    indexes: Annotated[tuple[str, ...], Meta(description="PyPI sources; the first that has a project supplies it")] = (
        "pypi",
    )
    store: Annotated[str | None, Meta(description="Where bundles are kept: a URL, or a folder")] = None
    exclude_newer: Cutoff = None


class SourceTable(Shape, frozen=True, kw_only=True):
    """An index, a channel or a folder of packages."""

    kind: SourceKind
    url: Annotated[
        str | None, Meta(description="Without user name and password: those come from netrc or a keyring")
    ] = None
    projects: Annotated[tuple[str, ...], Meta(description="Names or globs of projects that come only from here")] = ()
    steps: Annotated[tuple[str, ...], Meta(description="Only these steps may use it")] = ()
    targets: Annotated[tuple[str, ...], Meta(description="Only these targets may use it")] = ()
    missing: Annotated[
        tuple[int, ...],
        Meta(description="HTTP statuses by which an index says that it does not have a project, besides 404: [403]"),
    ] = ()
    exclude_newer: Annotated[
        bool | None,
        Meta(
            description="false: `project.exclude-newer` does not apply to this channel, which may state no times",
            extra_json_schema={"const": False},
        ),
    ] = None


class StandaloneTable(Shape, frozen=True, kw_only=True):
    """The origin of standalone interpreters."""

    url: Annotated[str | None, Meta(description="A folder with the archives: a URL, or a path")] = None
    table: Annotated[str | None, Meta(description="A file in the format of pbs-installer's versions.json")] = None


class TargetTable(Shape, frozen=True, kw_only=True):
    """A kind of machine: a platform and its floors."""

    platform: Annotated[str | None, Meta(description="A conda subdir name; not needed if the target has that name")] = (
        None
    )
    glibc: Annotated[str | None, Meta(description='"2.28"; Linux')] = None
    musl: Annotated[str | None, Meta(description='"1.2"; Linux, instead of glibc')] = None
    macos: Annotated[str | None, Meta(description='"13.0"; macOS')] = None
    cuda: Annotated[str | None, Meta(description='"12.4"; the driver\'s CUDA version')] = None
    archspec: Annotated[str | None, Meta(description='"x86_64_v2"')] = None
    platform_release: Annotated[
        str | None, Meta(description="`platform_release` in markers; on macOS, it follows from `macos`")
    ] = None


class StepTable(GroupTable, frozen=True, kw_only=True):
    """A unit of work."""

    needs: Annotated[tuple[str, ...], Meta(description="Steps that run before this one")] = ()
    groups: tuple[str, ...] = ()
    targets: Annotated[tuple[str, ...] | None, Meta(description="Targets of this step, instead of the project's")] = (
        None
    )
    python: PythonText | None = None
    interpreter: Interpreter | None = None
    code: Annotated[
        tuple[str, ...] | None, Meta(description="Globs below the manifest; default: *.py without ignored files")
    ] = None
    run: Annotated[
        str | tuple[str, ...] | None,
        Meta(description="The command line: words, quoted as in a POSIX shell but run by none; or a list of words"),
    ] = None
    shell: Annotated[bool, Meta(description="Run the command line with /bin/sh, or cmd on Windows")] = False
    env: dict[str, str] = {}
    on: Annotated[dict[str, DependencyTable], Meta(description="Additions per target")] = {}


class PolicyTable(Shape, frozen=True, kw_only=True):
    """Which candidates may be chosen, and which are preferred."""

    prereleases: Annotated[
        Prereleases | tuple[str, ...],
        Meta(description="A list names the packages whose pre-releases are allowed"),
    ] = "if-necessary"
    resolution: Resolution = "highest"
    align: Alignment = "newest"
    build: Annotated[tuple[str, ...], Meta(description="Projects that may be built from source")] = ()
    sdist: Annotated[
        Fallback,
        Meta(description="For a direct requirement whose newer releases are, or need, sources that may not be built"),
    ] = "refuse"
    direct_dependencies: Annotated[
        Fallback, Meta(description="For a direct requirement whose newer releases require something from a URL")
    ] = "refuse"
    channel_priority: ChannelPriority = "strict"
    exclude_newer_package: dict[str, PackageCutoff] = {}
    record: Annotated[
        RecordPolicy,
        Meta(description="Whether wheels are bundled whose RECORD does not list each file with a digest"),
    ] = "lenient"


class BuildTable(Shape, frozen=True, kw_only=True):
    """The build of one project."""

    requires: Annotated[
        tuple[str | PyPITable, ...], Meta(description="Packages that the build needs and the project does not declare")
    ] = ()


class BuildLimitTable(Shape, frozen=True, kw_only=True):
    """Constraints on build environments."""

    pypi: PyPIList = ()


class ManifestDocument(Shape, frozen=True, kw_only=True):
    """A manifest of envc."""

    project: ProjectTable
    sources: dict[str, SourceTable] = {}
    standalone: StandaloneTable = StandaloneTable()
    targets: dict[str, TargetTable] = {}
    groups: dict[str, GroupTable] = {}
    steps: dict[str, StepTable] = {}
    constraints: Annotated[LimitTable, Meta(description="Apply wherever the package occurs; add no packages")] = (
        LimitTable()
    )
    overrides: Annotated[LimitTable, Meta(description="Replace the requirements that packages state")] = LimitTable()
    policy: PolicyTable = PolicyTable()
    build: Annotated[dict[str, BuildTable], Meta(description="By project, for those in policy.build")] = {}
    build_constraints: Annotated[
        BuildLimitTable, Meta(description="Apply to the packages of every build environment; add none")
    ] = BuildLimitTable()
    virtual_packages: Annotated[
        dict[str, dict[str, str]], Meta(description='Per target: { __glibc = "2.28" }; "" removes one')
    ] = {}
    mapping: Annotated[
        dict[str, str | bool | tuple[str, ...]],
        Meta(
            description="conda name = PyPI name, a list of names that it supplies all, or false if it supplies none",
            extra_json_schema={
                "additionalProperties": {
                    "anyOf": [
                        {"type": "string"},
                        {"const": False},
                        {"type": "array", "items": {"type": "string"}, "minItems": 1},
                    ]
                }
            },
        ),
    ] = {}
