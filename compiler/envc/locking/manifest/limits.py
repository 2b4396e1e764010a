"""Constraints and overrides: of all steps, of a step or group, and the files that hold them."""

from __future__ import annotations

from envc.fetch.net.urls import url_mistake
from envc.locking.manifest.direct import WEB
from envc.locking.manifest.document import DependencyTable, GroupTable, LimitTable
from envc.locking.manifest.paths import path_mistake
from envc.locking.manifest.report import Report, check_unique
from envc.locking.manifest.requirements import read_dependencies
from envc.locking.manifest.sources import SourceNames
from envc.model.manifest import Dependencies, KeyPath, LimitFile, Limits


def read_group(report: Report, at: KeyPath, table: GroupTable, sources: SourceNames) -> Dependencies:
    """The requirements of a step or group, with its constraints and overrides."""
    own = read_dependencies(report, at, table, sources)
    if not (_is_used(table.constraints) or _is_used(table.overrides)):
        return own
    limits = Limits(
        constraints=read_constraints(report, (*at, "constraints"), table.constraints, sources),
        overrides=read_dependencies(report, (*at, "overrides"), table.overrides, sources),
        files=read_files(report, at, table.constraints, table.overrides),
    )
    return Dependencies(pypi=own.pypi, conda=own.conda, limits=limits)


def read_constraints(report: Report, at: KeyPath, table: DependencyTable, sources: SourceNames) -> Dependencies:
    """Constraints limit which versions may be chosen, and nothing else."""
    constraints = read_dependencies(report, at, table, sources)
    for dependency in constraints.pypi:
        if dependency.is_direct:
            report.add(dependency.at, "a constraint cannot give the origin of a package", "use [overrides]")
        if dependency.source is not None:
            report.add((*dependency.at, "source"), "a constraint cannot give the origin of a package")
        if dependency.requirement.extras:
            report.add(dependency.at, "a constraint cannot request extras", "request them in a step or group")
    return constraints


def read_files(report: Report, at: KeyPath, constraints: LimitTable, overrides: LimitTable) -> tuple[LimitFile, ...]:
    """The files that two tables below `at` name. They are not read."""
    found = []
    for key, table in (("constraints", constraints), ("overrides", overrides)):
        check_unique(report, (*at, key, "files"), table.files)
        for index, place in enumerate(table.files):
            here: KeyPath = (*at, key, "files", index)
            mistake = url_mistake(place, WEB) if "://" in place else path_mistake(place)
            if mistake is None and "#" in place:
                mistake = "has a fragment, which has no effect", "the digest of the file is kept in the lock"
            if mistake is not None:
                report.add(here, *mistake)
            found.append(LimitFile(place=place, at=here, overrides=key == "overrides"))
    return tuple(found)


def _is_used(table: LimitTable) -> bool:
    return bool(table.pypi or table.conda or table.files)
