"""Sources: indexes, channels and folders of packages, and the projects that they claim."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import combinations

from envc.context import misspelt_url
from envc.fetch.net.urls import TOKEN_HINT, holds_token, url_mistake
from envc.locking.manifest.document import SourceTable
from envc.locking.manifest.names import check_names, matches, overlap, read_glob
from envc.locking.manifest.paths import path_mistake
from envc.locking.manifest.report import Report, check_unique, suggest_name
from envc.model.kinds import DIRECT_SOURCES, DependencyKind, SourceKind, may_mean_missing
from envc.model.manifest import KeyPath, PyPIDependency, Source

BUILT_IN: Mapping[str, SourceKind] = {"pypi": "pypi", "conda-forge": "conda"}


class SourceNames:
    """The sources that a manifest may name. Their kind is None if the declaration itself is a mistake."""

    def __init__(self, kinds: Mapping[str, SourceKind | None]) -> None:
        self.kinds: dict[str, SourceKind | None] = {**BUILT_IN, **kinds}

    def check(self, report: Report, at: KeyPath, name: str, kind: DependencyKind) -> None:
        """Report a name that is not a source of packages of that kind. A find-links source supplies PyPI packages."""
        if name not in self.kinds:
            near = suggest_name(name, (known for known, of in self.kinds.items() if _supplies(of, kind)))
            is_place = "/" in name or "\\" in name
            declare = "declare a source with this as its `url`" if is_place else f"declare it as [sources.{name}]"
            report.add(at, f"there is no source {name!r}", f"{near}; or {declare}" if near else declare)
        elif not _supplies(self.kinds[name], kind):
            expected = "a conda channel" if kind == "conda" else "a PyPI source"
            report.add(at, f"{name!r} is a source of kind {self.kinds[name]!r}, not {expected}")

    def check_list(self, report: Report, at: KeyPath, names: tuple[str, ...], kind: DependencyKind) -> None:
        """The same for a list of sources in order of priority."""
        check_unique(report, at, names)
        for index, name in enumerate(names):
            self.check(report, (*at, index), name, kind)


def _supplies(source: SourceKind | None, kind: DependencyKind) -> bool:
    return source is None or (source == "conda") == (kind == "conda")


def read_sources(
    report: Report, tables: Mapping[str, SourceTable], steps: Iterable[str], is_target: Mapping[str, object]
) -> dict[str, Source]:
    """Declared and built-in sources, by name. It is a mistake if two claim a project for the same step and target."""
    known_steps = set(steps)
    check_names(report, ("sources",), "source", tables)
    sources = {name: Source(name=name, kind=kind) for name, kind in BUILT_IN.items()}
    for name, table in tables.items():
        at: KeyPath = ("sources", name)
        _check_address(report, at, name, table)
        if table.kind == "conda" and table.projects:
            report.add(
                (*at, "projects"),
                "a conda channel cannot claim PyPI projects",
                f'write "{name}::package" for a package that must come from it',
            )
        _check_missing(report, at, table)
        if table.exclude_newer is not None:
            _check_cut_off(report, (*at, "exclude-newer"), table)
        for index, step in enumerate(table.steps):
            if step not in known_steps:
                report.unknown((*at, "steps", index), "step", step, known_steps)
        for index, target in enumerate(table.targets):
            if target not in is_target:
                report.unknown((*at, "targets", index), "target", target, is_target)
        sources[name] = Source(
            name=name,
            kind=table.kind,
            url=table.url,
            projects=tuple(read_glob(report, (*at, "projects", i), glob) for i, glob in enumerate(table.projects)),
            steps=table.steps,
            targets=table.targets,
            missing=tuple(sorted(set(table.missing))),
            is_undated=table.exclude_newer is False,
        )
    _check_overlaps(report, sources.values())
    return sources


def _check_address(report: Report, at: KeyPath, name: str, table: SourceTable) -> None:
    built_in = BUILT_IN.get(name)
    if name in DIRECT_SOURCES:
        report.add(at, f"a source cannot be called {name!r}: in a lock it marks requirements with `{name}`")
    if built_in is not None and table.kind != built_in:
        report.add(
            (*at, "kind"), f"the built-in source {name!r} is of kind {built_in!r}", "choose another name for this one"
        )
    elif table.url is None:
        if built_in is None:
            report.add(at, "lacks `url`")
    elif "://" in table.url:
        schemes = frozenset({"http", "https"}) if table.kind == "pypi" else None
        if mistake := url_mistake(table.url, schemes):
            report.add((*at, "url"), *mistake)
        elif table.kind == "conda" and holds_token(table.url):
            report.add((*at, "url"), "holds a token, which a manifest must not", TOKEN_HINT)
    elif meant := misspelt_url(table.url):
        report.add((*at, "url"), f"{table.url!r} looks like a URL, and is none", f"write {meant!r}")
    elif table.kind == "pypi":
        report.add((*at, "url"), f"{table.url!r} is not a URL", 'a folder of files is a source of kind "find-links"')
    elif mistake := path_mistake(table.url):
        report.add((*at, "url"), *mistake)


def _check_missing(report: Report, at: KeyPath, table: SourceTable) -> None:
    if table.missing and table.kind == "find-links":
        report.add((*at, "missing"), 'a source of kind "find-links" has one page, so no project of it can be missing')
    for index, status in enumerate(table.missing):
        if not may_mean_missing(status):
            always = status == 404
            report.add(
                (*at, "missing", index),
                "404 means that already" if always else f"{status} cannot mean that the index does not have a project",
                None if always else "name statuses from 400 to 499, except 404, 407, 408, 425 and 429",
            )


def _check_cut_off(report: Report, at: KeyPath, table: SourceTable) -> None:
    if table.exclude_newer:
        report.add(at, "expected false, found true", "leave it out: the cut-off of the project applies")
    elif table.kind != "conda":
        report.add(
            at, "is for conda channels", "lift the cut-off for single projects with policy.exclude-newer-package"
        )


def _check_overlaps(report: Report, sources: Iterable[Source]) -> None:
    claiming = [source for source in sources if source.projects and source.kind != "conda"]
    for left, right in combinations(claiming, 2):
        if _disjoint(left.steps, right.steps) or _disjoint(left.targets, right.targets):
            continue
        for index, glob in enumerate(right.projects):
            rival = next((other for other in left.projects if overlap(glob, other)), None)
            if rival is not None:
                report.add(
                    ("sources", right.name, "projects", index),
                    f"{glob!r} and {rival!r} of source {left.name!r} can match the same projects",
                    "a project comes from one source; narrow one of the two, by name or by `steps` or `targets`",
                )


def _disjoint(left: tuple[str, ...], right: tuple[str, ...]) -> bool:
    """Whether two restrictions exclude each other; () is no restriction."""
    return bool(left) and bool(right) and not set(left) & set(right)


def check_claim(report: Report, dependency: PyPIDependency, step: str, sources: Mapping[str, Source]) -> None:
    """Report a requirement that names one source while another claims its project for that step."""
    named = dependency.source and sources.get(dependency.source)
    if not named:
        return
    at = (*dependency.at, "source")
    if named.steps and step not in named.steps:
        report.add(at, f"source {named.name!r} is not for step {step!r}", f"add it to sources.{named.name}.steps")
    name = dependency.requirement.name
    for source in sources.values():
        other_steps = source.steps and step not in source.steps
        if source is named or other_steps or _disjoint(source.targets, named.targets):
            continue
        glob = next((glob for glob in source.projects if matches(glob, name)), None)
        if glob is not None:
            report.add(
                at, f"source {source.name!r} claims {name!r} with {glob!r}", "name the same source in both places"
            )
