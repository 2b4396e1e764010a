"""Scenario files of the conda solver (``tests/scenarios/conda/*.toml``): a tiny universe and the expected solution.

An example::

    description = "The newest build needs something that does not exist, so the one before is taken."

    [channels.main.linux-64]
    "app 2.0 0" = { depends = ["missing"] }
    "app 1.0 0" = {}

    [problem]
    specs = ["app"]

    [expected]
    pins = ["main/linux-64/app 1.0 0"]

A record may have any field of repodata. Its build number is the part after the last underscore of its build. A title
that ends with ``tar.bz2`` is that of an archive. Without `pins` the problem has no solution, and the ``.txt`` file of
the same name contains the message for users.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from envc_solvers.conda.language.matchspec import parse_matchspec
from envc_solvers.conda.language.record import Record
from envc_solvers.conda.language.virtual import parse_virtual_package
from envc_solvers.conda.problem import ChannelPriority, CondaProblem, CondaRoot
from envc_solvers.solution import Solution
from tests.support.scenario_files import load_scenario


class RecordTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The fields of one record in a scenario file."""

    depends: tuple[str, ...] = ()
    constrains: tuple[str, ...] = ()
    track_features: tuple[str, ...] = ()
    timestamp: int = 0  # seconds


class ProblemTable(msgspec.Struct, frozen=True, kw_only=True, rename="kebab", forbid_unknown_fields=True):
    """The table `[problem]` of a scenario file."""

    specs: tuple[str, ...]
    platform: str = "linux-64"
    channels: tuple[str, ...] = ("main",)
    priority: ChannelPriority = "strict"
    virtual: tuple[str, ...] = ("__glibc=2.28",)
    constraints: tuple[str, ...] = ()
    overrides: tuple[str, ...] = ()
    exclude_newer: int | None = None
    exclude_newer_for: dict[str, int | bool] = {}  # false lifts the cut-off
    exclude_newer_except: frozenset[str] = frozenset()
    preferences: dict[str, tuple[str, ...]] = {}


class Expected(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The table `[expected]` of a scenario file."""

    pins: tuple[str, ...] | None = None  # every record; None: there is no solution


class Scenario(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One scenario file."""

    description: str
    channels: dict[str, dict[str, dict[str, RecordTable]]]  # channel: subdir: "name version build": record
    problem: ProblemTable
    expected: Expected

    @property
    def records(self) -> list[Record]:
        return [
            record_of(channel, subdir, title, table)
            for channel, subdirs in self.channels.items()
            for subdir, titles in subdirs.items()
            for title, table in titles.items()
        ]


def load(path: Path) -> Scenario:
    return load_scenario(path, Scenario)


def problem_of(table: ProblemTable) -> CondaProblem:
    """Return the problem of a scenario. Specs have key paths such as ``("specs", 0)``."""
    return CondaProblem(
        target=table.platform,
        specs=as_roots(table.specs, "specs"),
        channels=table.channels,
        priority=table.priority,
        virtual=tuple(map(parse_virtual_package, table.virtual)),
        constraints=as_roots(table.constraints, "constraints"),
        overrides=as_roots(table.overrides, "overrides"),
        exclude_newer=table.exclude_newer,
        exclude_newer_for={
            name: None if when is False else int(when) for name, when in table.exclude_newer_for.items()
        },
        exclude_newer_except=table.exclude_newer_except,
        preferences=table.preferences,
    )


def as_roots(specs: tuple[str, ...], where: str) -> tuple[CondaRoot, ...]:
    """Return specs with key paths, such as ``("specs", 0)``."""
    return tuple(
        CondaRoot(parse_matchspec(spec), spec, (*where.split("."), number)) for number, spec in enumerate(specs)
    )


def titles(solution: Solution, records: list[Record]) -> tuple[str, ...]:
    """Return the pins of a solution as scenario files write them."""
    subdirs = {(record.channel, record.file): record.subdir for record in records}
    return tuple(
        f"{pin.source}/{subdirs[pin.source, pin.file]}/{pin.name} {pin.version} {pin.build}" for pin in solution.pins
    )


def record_of(channel: str, subdir: str, title: str, table: RecordTable) -> Record:
    """Return the record of a title such as ``numpy 2.1 py312_0`` or ``numpy 2.1 py312_0 tar.bz2``."""
    name, version, build, *kind = title.split()
    number = build.rpartition("_")[2]
    return Record(
        name=name,
        version=version,
        build=build,
        build_number=int(number) if number.isdecimal() else 0,
        depends=table.depends,
        constrains=table.constrains,
        track_features=table.track_features,
        timestamp=table.timestamp * 1000,
        channel=channel,
        subdir=subdir,
        file=f"{name}-{version}-{build}.{kind[0] if kind else 'conda'}",
    )
