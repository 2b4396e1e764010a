"""The manifest as typed values, parsed but not yet combined."""

from __future__ import annotations

from pathlib import Path

import msgspec

from envc.model.kinds import (
    Alignment,
    ChannelPriority,
    Cutoff,
    Fallback,
    InterpreterKind,
    PackageCutoff,
    Prereleases,
    RecordPolicy,
    Resolution,
    SourceKind,
)
from envc_solvers import origin
from envc_solvers.pypi.language.requirement import Requirement
from envc_solvers.target import Implementation, Target

KeyPath = origin.KeyPath


class PyPIDependency(msgspec.Struct, frozen=True, kw_only=True):
    """A requirement on a PyPI project, with its key path in the manifest and the origin that it prescribes."""

    requirement: Requirement  # its `url` is that of a direct `url = …`, without the fragment
    at: KeyPath
    source: str | None = None  # name of the only source that may supply it
    path: str | None = None  # relative to the manifest, POSIX separators
    git: str | None = None
    rev: str | None = None
    subdirectory: str | None = None
    sha256: str | None = None  # of the file at `url`
    editable: bool = False

    @property
    def is_direct(self) -> bool:
        return bool(self.requirement.url or self.path or self.git)


class CondaDependency(msgspec.Struct, frozen=True, kw_only=True):
    """A conda MatchSpec. The conda solver parses it."""

    spec: str  # with white space normalised
    at: KeyPath


class Dependencies(msgspec.Struct, frozen=True, kw_only=True):
    """The requirements of one table, in the order of the file."""

    pypi: tuple[PyPIDependency, ...] = ()
    conda: tuple[CondaDependency, ...] = ()
    limits: Limits | None = None  # the constraints and overrides of a step or group; None without any


class LimitFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file of constraints or overrides of PyPI projects, in the format of pip's constraints files."""

    place: str  # a URL, or a path relative to the manifest
    at: KeyPath
    overrides: bool = False  # whether it holds overrides, not constraints
    sha256: str = ""  # of its bytes; "" if it does not exist, or if it is a URL that is not in the lock yet
    pypi: tuple[PyPIDependency, ...] | None = None  # None until it is read
    has_hashes: bool = False  # whether it states hashes, which are not used

    @property
    def is_url(self) -> bool:
        return "://" in self.place

    @property
    def text(self) -> str:
        """The file in the form of the lock's ``requires``, without its digest."""
        return f"{'overrides' if self.overrides else 'constraints'} of {self.place}"


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Constraints and overrides that hold for some steps."""

    constraints: Dependencies = Dependencies()
    overrides: Dependencies = Dependencies()
    files: tuple[LimitFile, ...] = ()


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """An index, a channel or a folder of packages. The url of `pypi` and of public channels is None."""

    name: str
    kind: SourceKind
    url: str | None = None  # None: the built-in default of that name. Never written to a lock or a store
    projects: tuple[str, ...] = ()  # globs over normalised names: these projects come only from here
    steps: tuple[str, ...] = ()  # () is all
    targets: tuple[str, ...] = ()  # () is all
    is_undated: bool = False  # whether the project's `exclude-newer` does not apply to this channel
    missing: tuple[int, ...] = ()  # HTTP statuses of an index that mean "does not have it", besides 404; sorted


class Standalone(msgspec.Struct, frozen=True, kw_only=True):
    """The origin of standalone interpreters, if it is not the one in ``pbs-installer``."""

    url: str | None = None  # of a folder with the archives; a path is relative to the manifest
    table: str | None = None  # path of a table in the format of pbs-installer's, relative to the manifest


class PythonRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A requested Python, before a minor version is chosen."""

    text: str  # as written
    implementation: Implementation = "cpython"
    free_threaded: bool = False
    specifier: str = ""  # PEP 440: "==3.12.*", "==3.12.7", ">=3.11,<3.13"


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """A unit of work."""

    name: str
    needs: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    targets: tuple[str, ...] | None = None  # None: the project's
    python: PythonRequest | None = None  # None: the project's
    interpreter: InterpreterKind | None = None  # None: "conda" with conda packages, else "host"
    code: tuple[str, ...] | None = None  # globs; None: *.py below the manifest, without ignored files
    run: str | None = None  # a command line, as `model.command_line` reads it
    shell: bool = False  # whether a shell runs it
    env: dict[str, str] = {}
    dependencies: Dependencies = Dependencies()
    on: dict[str, Dependencies] = {}  # additions per target name


class ManifestPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """The ``[policy]`` table: which candidates are allowed, and which are preferred."""

    prereleases: Prereleases = "if-necessary"
    prereleases_for: tuple[str, ...] = ()  # normalised names, when the manifest gives a list
    resolution: Resolution = "highest"
    align: Alignment = "newest"
    build: tuple[str, ...] = ()  # normalised names
    sdist: Fallback = "refuse"  # for newer releases that are, or need, sources that may not be built
    direct_dependencies: Fallback = "refuse"  # for newer releases that require something from a URL
    channel_priority: ChannelPriority = "strict"
    exclude_newer_package: dict[str, PackageCutoff] = {}
    record: RecordPolicy = "lenient"  # which wheels `bundle` accepts; no lock depends on it


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """A whole manifest. It exists only if `locking.manifest` finds no mistake."""

    path: Path  # of the file
    unsaved: str | None = None  # the text, if it is not that of the file
    prefix: KeyPath = ()  # ("tool", "envc") in a pyproject.toml
    name: str
    targets: tuple[str, ...]  # the project's, in the order of the file
    python: PythonRequest
    channels: tuple[str, ...] = ("conda-forge",)
    indexes: tuple[str, ...] = ("pypi",)  # the first that has a project supplies it
    store: str | None = None  # an fsspec URL or a folder relative to the manifest
    exclude_newer: Cutoff | None = None  # a moment is timezone-aware
    sources: dict[str, Source]  # declared and built-in ones, by name
    declared_targets: dict[str, Target] = {}  # [targets.X], defaults filled in
    groups: dict[str, Dependencies] = {}
    steps: dict[str, Step]  # in the order of the file
    constraints: Dependencies = Dependencies()
    overrides: Dependencies = Dependencies()
    limit_files: tuple[LimitFile, ...] = ()  # of all steps
    build_requires: dict[str, tuple[PyPIDependency, ...]] = {}  # by project: what its build needs and does not declare
    build_constraints: tuple[PyPIDependency, ...] = ()  # on the packages of every build environment
    policy: ManifestPolicy = ManifestPolicy()
    virtual_packages: dict[str, dict[str, str]] = {}  # target: {"__glibc": "2.28"}
    standalone: Standalone = Standalone()
    mapping: dict[str, tuple[str, ...]] = {}  # conda name: PyPI names, sorted; () for none

    @property
    def has_limits(self) -> bool:
        """Whether a step or group has constraints or overrides of its own, or a file holds some."""
        tables = (*self.groups.values(), *(step.dependencies for step in self.steps.values()))
        return bool(self.limit_files) or any(table.limits is not None for table in tables)

    @property
    def root(self) -> Path:
        """The folder that paths and code globs are relative to."""
        return self.path.parent

    @property
    def lock_path(self) -> Path:
        return self.path.with_suffix(".lock")
