"""Targets: declared kinds of machines, with default floors if they set none."""

from __future__ import annotations

import re
from collections.abc import Mapping

from envc.locking.manifest.document import TargetTable
from envc.locking.manifest.names import check_names
from envc.locking.manifest.report import Report
from envc.model.manifest import KeyPath
from envc_solvers.target import PLATFORMS, Family, Target, default_target

# Per floor: the form of its value (a regular expression), an example, and the families of systems that have it.
_FLOORS: Mapping[str, tuple[str, str, tuple[Family, ...]]] = {
    "glibc": (r"[0-9]{1,3}\.[0-9]{1,3}", "2.28", ("linux",)),
    "musl": (r"[0-9]{1,3}\.[0-9]{1,3}", "1.2", ("linux",)),
    "macos": (r"[0-9]{1,3}(\.[0-9]{1,3})?", "13.0", ("macos",)),
    "cuda": (r"[0-9]{1,3}(\.[0-9]{1,3})?", "12.4", ("linux", "windows")),
    "archspec": (r"[a-z0-9_]+", "x86_64_v2", ("linux", "macos", "windows")),
}


def read_targets(report: Report, tables: Mapping[str, TargetTable]) -> dict[str, Target]:
    """The valid declared targets, by name."""
    check_names(report, ("targets",), "target", tables)
    targets = {}
    for name, table in tables.items():
        target = _read_target(report, ("targets", name), name, table)
        if target is not None:
            targets[name] = target
    return targets


def _read_target(report: Report, at: KeyPath, name: str, table: TargetTable) -> Target | None:
    platform = table.platform if table.platform is not None else name
    if platform not in PLATFORMS:
        if table.platform is None:
            report.add(at, "lacks `platform`", f"known: {', '.join(PLATFORMS)}")
        else:
            report.unknown((*at, "platform"), "platform", platform, PLATFORMS)
        return None
    if name in PLATFORMS and platform != name:
        report.add((*at, "platform"), f"target {name!r} has the name of another platform", "choose another name")
    defaults = default_target(platform)
    family = defaults.facts.family
    if table.glibc is not None and table.musl is not None:
        report.add((*at, "musl"), "a machine has either glibc or musl", "declare two targets")
    floors = {
        floor: _read_floor(report, (*at, floor), floor, value, family)
        for floor in _FLOORS
        if (value := getattr(table, floor)) is not None
    }
    return Target(
        name=name,
        platform=platform,
        glibc=floors.get("glibc", None if "musl" in floors else defaults.glibc),
        musl=floors.get("musl"),
        macos=floors.get("macos", defaults.macos),
        cuda=floors.get("cuda"),
        archspec=floors.get("archspec", defaults.archspec),
        platform_release=_read_release(report, (*at, "platform-release"), table.platform_release),
    )


def _read_release(report: Report, at: KeyPath, value: str | None) -> str | None:
    if value is not None and not re.fullmatch(r"[0-9A-Za-z][0-9A-Za-z._+~-]{0,99}", value):
        report.add(at, f"{value[:80]!r} is not a valid platform_release", 'for example, write "22.6.0"')
        return None
    return value


def _read_floor(report: Report, at: KeyPath, floor: str, value: str, family: Family) -> str:
    form, example, families = _FLOORS[floor]
    if family not in families:
        report.add(at, f"a {family} machine has no {floor}")
    elif not re.fullmatch(form, value):
        report.add(at, f"{value[:80]!r} is not a valid {floor} version", f'for example, write "{example}"')
    elif floor in ("macos", "cuda") and "." not in value:
        return f"{value}.0"
    return value
