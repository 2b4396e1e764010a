"""Tiny package universes: an index in memory, and scenario files with a universe and the expected solution.

A scenario (``tests/scenarios/pypi/*.toml``)::

    rule = "passed-over"
    description = "The newest version needs something that does not exist, so the one before is taken."

    [packages.app]
    "2.0" = { requires = ["missing"] }
    "1.0" = {}

    [problem]
    roots = ["app"]

    [expected]
    pins = { app = "1.0" }

A version may have `requires`, `extras`, `requires-python`, `metadata-requires-python`, `yanked`, `uploaded`, `files`
(names; default: one pure wheel) and `broken` (why its metadata cannot be read). `[problem]` may have `target`, `musl`,
`python`, `constraints`, `overrides`, `prereleases`, `prereleases-for`, `strategy`, `exclude-newer`,
`exclude-newer-for`, `spans`, `preferences` and `locked-files`. `[expected]` has all `pins`, every `yanked` one
(project: reason), all `warnings` and optionally `files`. For a problem without a solution it has `reasons` (project:
reason), `roots` (the smallest failing set), `mentions` and `suggestion`. `tries` limits the candidates that the
search may try. `uv` gives the reason if uv's answer differs. `rule` is a heading of ``tests/scenarios/README.md``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from datetime import datetime
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import msgspec

from envc_solvers.errors import MetadataUnusable, ProjectNotFound
from envc_solvers.pypi.language.index import File, View
from envc_solvers.pypi.language.requirement import Metadata, Requirement, parse
from envc_solvers.pypi.language.tags import rank_files, wheel_tags
from envc_solvers.pypi.problem import Policy, PyPIProblem, PyPIRoot
from envc_solvers.target import Python, Target, default_target
from tests.support.scenario_files import load_scenario


class Version(msgspec.Struct, frozen=True, kw_only=True, rename="kebab", forbid_unknown_fields=True):
    """The fields of one version of a project in a scenario file."""

    requires: tuple[str, ...] = ()
    extras: tuple[str, ...] = ()
    requires_python: str = ""
    metadata_requires_python: str | None = None  # if the metadata differs from the page
    yanked: str | None = None
    uploaded: datetime | None = None
    files: tuple[str, ...] | None = None  # None: one wheel for every Python and platform
    broken: str | None = None


Universe = Mapping[str, Mapping[str, Version]]  # project: version: its fields


class ProblemTable(msgspec.Struct, frozen=True, kw_only=True, rename="kebab", forbid_unknown_fields=True):
    """The table `[problem]` of a scenario file."""

    roots: tuple[str, ...]
    constraints: tuple[str, ...] = ()
    overrides: tuple[str, ...] = ()
    target: str = "linux-64"
    musl: str | None = None
    python: str = "3.11"
    prereleases: str = "if-necessary"
    prereleases_for: tuple[str, ...] = ()
    strategy: str = "highest"
    exclude_newer: datetime | None = None
    exclude_newer_for: dict[str, datetime | bool] = {}
    spans: tuple[str, ...] = ()
    preferences: dict[str, tuple[str, ...]] = {}
    locked_files: tuple[str, ...] = ()


class Expected(msgspec.Struct, frozen=True, kw_only=True, rename="kebab", forbid_unknown_fields=True):
    """The table `[expected]` of a scenario file."""

    pins: dict[str, str] | None = None  # every project and its version; None: there is no solution
    files: tuple[str, ...] = ()  # file names among those of the pins
    warnings: tuple[str, ...] = ()
    yanked: dict[str, str] = {}  # every yanked project among the pins, with the reason
    reasons: dict[str, str] = {}
    roots: tuple[str, ...] | None = None
    mentions: tuple[str, ...] = ()
    suggestion: str | None = None
    tries: int = 1_000
    uv: str | None = None


class Scenario(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One scenario file."""

    rule: str
    description: str
    packages: dict[str, dict[str, Version]]
    problem: ProblemTable
    expected: Expected


def load(path: Path) -> Scenario:
    return load_scenario(path, Scenario)


def digest(file: str) -> str:
    """Return the sha256 that a universe states for a file."""
    return hashlib.sha256(file.encode()).hexdigest()


def files_of(name: str, version: str, fields: Version) -> list[File]:
    """Return the files of one version as an index page lists them."""
    names = fields.files if fields.files is not None else (f"{name.replace('-', '_')}-{version}-py3-none-any.whl",)
    return [
        File(
            name=file,
            sha256=digest(file),
            size=len(file),
            uploaded=int(fields.uploaded.timestamp()) if fields.uploaded else None,
            requires_python=fields.requires_python,
            yanked=fields.yanked,
        )
        for file in names
    ]


class MemoryIndex:
    """The in-memory twin of the `Index` protocol. `metadata_read` lists the files whose metadata was read, in order."""

    def __init__(self, universe: Universe, target: Target, python: Python) -> None:
        self._universe = universe
        self._tags = wheel_tags(target, python)
        self.metadata_read: list[str] = []
        self.expected: list[Requirement] = []
        self.expected_files: list[str] = []

    def view(self, name: str) -> View:
        return rank_files(name, "pypi", self.files(name), self._tags)

    def files(self, name: str) -> tuple[File, ...]:
        if name not in self._universe:
            raise ProjectNotFound(name, ("pypi",), next(iter(get_close_matches(name, self._universe, n=1)), None))
        versions = self._universe[name].items()
        return tuple(file for version, fields in versions for file in files_of(name, version, fields))

    def metadata(self, view: View, file: File) -> Metadata:
        self.metadata_read.append(file.name)
        for version, fields in self._universe[view.name].items():
            if file in files_of(view.name, version, fields):
                if fields.broken is not None:
                    raise MetadataUnusable(file.name, fields.broken)
                return Metadata(
                    name=view.name,
                    version=version,
                    requires=tuple(parse(text) for text in fields.requires),
                    requires_python=(
                        fields.requires_python
                        if fields.metadata_requires_python is None
                        else fields.metadata_requires_python
                    ),
                    extras=tuple(sorted(fields.extras)),
                )
        raise AssertionError(f"{file.name} is of another view")

    def expect(self, requirements: Iterable[Requirement]) -> None:
        self.expected.extend(requirements)

    def expect_metadata(self, view: View, files: Iterable[File]) -> None:
        self.expected_files.extend(file.name for file in files)


def python_of(text: str) -> Python:
    """``3.11``, ``3.11.4``, ``3.13t`` or ``pypy3.10``."""
    free_threaded = text.endswith("t")
    numbers = [int(part) for part in text.removeprefix("pypy").rstrip("t").split(".")]
    return Python(
        implementation="pypy" if text.startswith("pypy") else "cpython",
        minor=(numbers[0], numbers[1]),
        patch=numbers[2] if len(numbers) > 2 else None,
        free_threaded=free_threaded,
    )


def problem_of(table: ProblemTable) -> PyPIProblem:
    """Return the problem of a scenario. Roots have key paths such as ``("roots", 0)``."""
    target = default_target(table.target)
    if table.musl:
        target = msgspec.structs.replace(target, glibc=None, musl=table.musl)
    policy: dict[str, Any] = {
        "prereleases": table.prereleases,
        "prereleases_for": frozenset(table.prereleases_for),
        "strategy": table.strategy,
        "exclude_newer": int(table.exclude_newer.timestamp()) if table.exclude_newer else None,
        "exclude_newer_for": {
            name: int(when.timestamp()) if isinstance(when, datetime) else None
            for name, when in table.exclude_newer_for.items()
        },
        "spans": frozenset(table.spans),
    }
    return PyPIProblem(
        target=target,
        python=python_of(table.python),
        roots=as_roots(table.roots, "roots"),
        constraints=as_roots(table.constraints, "constraints"),
        overrides=as_roots(table.overrides, "overrides"),
        policy=Policy(**policy),
        preferences=dict(table.preferences),
        locked_files=frozenset(map(digest, table.locked_files)),
    )


def as_roots(requirements: Iterable[str], where: str) -> tuple[PyPIRoot, ...]:
    """Return requirements with key paths, such as ``("roots", 0)``."""
    return tuple(PyPIRoot(parse(text), (*where.split("."), number)) for number, text in enumerate(requirements))
