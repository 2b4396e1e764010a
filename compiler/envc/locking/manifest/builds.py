"""What builds need besides what projects declare: further requirements, and constraints."""

from __future__ import annotations

from collections.abc import Mapping

from envc.locking.manifest.document import BuildLimitTable, BuildTable, DependencyTable
from envc.locking.manifest.limits import read_constraints
from envc.locking.manifest.names import read_project_name
from envc.locking.manifest.report import Report
from envc.locking.manifest.requirements import read_pypi
from envc.locking.manifest.sources import SourceNames
from envc.model.manifest import KeyPath, PyPIDependency


def read_build_requires(
    report: Report, tables: Mapping[str, BuildTable], sources: SourceNames, buildable: tuple[str, ...]
) -> dict[str, tuple[PyPIDependency, ...]]:
    """The further build requirements of each project, by its normalised name."""
    found: dict[str, tuple[PyPIDependency, ...]] = {}
    for name, table in tables.items():
        at: KeyPath = ("build", name)
        project = read_project_name(report, at, name)
        if project in found:
            report.add(at, f"{project!r} is listed twice")
        if project not in buildable:
            hint = f'write build = ["{project}"] under [policy], which lets the code of its build run on this machine'
            report.add(at, f"{name!r} may not be built, so this has no effect", hint)
        read = [
            read_pypi(report, (*at, "requires", index), entry, sources) for index, entry in enumerate(table.requires)
        ]
        found[project] = tuple(dependency for dependency in read if dependency is not None)
        for dependency in found[project]:
            if dependency.is_direct or dependency.source is not None:
                report.add(dependency.at, "a build requirement cannot give its origin", "name its project and version")
    return {name: requires for name, requires in found.items() if requires}


def read_build_constraints(report: Report, table: BuildLimitTable, sources: SourceNames) -> tuple[PyPIDependency, ...]:
    return read_constraints(report, ("build-constraints",), DependencyTable(pypi=table.pypi), sources).pypi
