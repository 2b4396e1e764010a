"""The manifest as typed values: what the author wrote, parsed, before any of it is combined."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

import msgspec

from envc.model.kinds import InterpreterKind, SourceKind
from envc_solvers import origin
from envc_solvers.pypi.language.requirement import Requirement
from envc_solvers.target import Target

KeyPath = origin.KeyPath


class PyPIDependency(msgspec.Struct, frozen=True, kw_only=True):
    """A requirement on a PyPI project, with where it stands and where it must come from."""

    requirement: Requirement  # its `url` holds a direct `url = …` without fragment; path and git stand below
    at: KeyPath
    source: str | None = None  # name of the source that alone may supply it
    path: str | None = None  # relative to the manifest, POSIX separators
    git: str | None = None
    rev: str | None = None
    subdirectory: str | None = None
    sha256: str | None = None  # that the file behind `url` must have
    editable: bool = False

    @property
    def is_direct(self) -> bool:
        return bool(self.requirement.url or self.path or self.git)


class CondaDependency(msgspec.Struct, frozen=True, kw_only=True):
    """A conda MatchSpec; its grammar is read by the conda solver."""

    spec: str  # white space normalised
    at: KeyPath


class Dependencies(msgspec.Struct, frozen=True, kw_only=True):
    """What one table asks for, in the order of the file."""

    pypi: tuple[PyPIDependency, ...] = ()
    conda: tuple[CondaDependency, ...] = ()


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """Where packages come from. `pypi` and `conda-forge` exist without being declared; their url is None."""

    name: str
    kind: SourceKind
    url: str | None = None  # None: the built-in default of that name. Never written to a lock or a store
    projects: tuple[str, ...] = ()  # globs over normalised names: these come from here and nowhere else
    steps: tuple[str, ...] = ()  # () is all
    targets: tuple[str, ...] = ()  # () is all


class Standalone(msgspec.Struct, frozen=True, kw_only=True):
    """Where standalone interpreters come from, where it is not what ``pbs-installer`` says."""

    url: str | None = None  # of a folder with the archives; a path is relative to the manifest
    table: str | None = None  # path of a table in the form of pbs-installer's, relative to the manifest


class PythonRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Which Python somebody asked for, before a minor is chosen."""

    text: str  # as written
    implementation: Literal["cpython", "pypy"] = "cpython"
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
    run: str | None = None  # a command line
    env: dict[str, str] = {}
    dependencies: Dependencies = Dependencies()
    on: dict[str, Dependencies] = {}  # additions per target name


class ManifestPolicy(msgspec.Struct, frozen=True, kw_only=True):
    prereleases: Literal["if-necessary", "never", "allow"] = "if-necessary"
    prereleases_for: tuple[str, ...] = ()  # normalised names, when the manifest gives a list
    resolution: Literal["highest", "lowest", "lowest-direct"] = "highest"
    align: Literal["newest", "strong", "off"] = "newest"
    build: tuple[str, ...] = ()  # normalised names
    channel_priority: Literal["strict", "flexible", "disabled"] = "strict"
    exclude_newer_package: dict[str, datetime | timedelta | Literal[False]] = {}  # False lifts the cut-off


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """A whole manifest. Only `envc.parse` builds one, and only when it found no mistake."""

    path: Path  # of the file
    prefix: KeyPath = ()  # ("tool", "envc") in a pyproject.toml
    name: str
    targets: tuple[str, ...]  # the project's, in the order of the file
    python: PythonRequest
    channels: tuple[str, ...] = ("conda-forge",)
    indexes: tuple[str, ...] = ("pypi",)  # the first that knows a project supplies it
    store: str | None = None  # an fsspec URL or a folder relative to the manifest
    exclude_newer: datetime | timedelta | None = None  # aware; a span counts back from now
    sources: dict[str, Source]  # declared and built-in ones, by name
    declared_targets: dict[str, Target] = {}  # [targets.X], defaults filled in
    groups: dict[str, Dependencies] = {}
    steps: dict[str, Step]  # in the order of the file
    constraints: Dependencies = Dependencies()
    overrides: Dependencies = Dependencies()
    policy: ManifestPolicy = ManifestPolicy()
    virtual_packages: dict[str, dict[str, str]] = {}  # target: {"__glibc": "2.28"}
    standalone: Standalone = Standalone()
    mapping: dict[str, str | Literal[False]] = {}  # conda name: PyPI name, or false

    @property
    def root(self) -> Path:
        """The folder that paths and code globs are relative to."""
        return self.path.parent

    @property
    def lock_path(self) -> Path:
        return self.path.with_suffix(".lock")
