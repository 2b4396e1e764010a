"""Reads the tables of a whole document into one `Manifest`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from envc.context import misspelt_url
from envc.fetch.net.urls import url_mistake
from envc.locking.manifest.cutoffs import BadCutoff, parse_cutoff
from envc.locking.manifest.document import ManifestDocument, PolicyTable, ProjectTable, StandaloneTable
from envc.locking.manifest.limits import read_constraints, read_files
from envc.locking.manifest.names import check_name, read_project_name
from envc.locking.manifest.paths import path_mistake
from envc.locking.manifest.report import Report, check_unique, table_of
from envc.locking.manifest.requirements import read_dependencies
from envc.locking.manifest.sources import BUILT_IN, SourceNames, read_sources
from envc.locking.manifest.steps import Names, check_agreement, check_targets, read_groups, read_python, read_steps
from envc.locking.manifest.targets import read_targets
from envc.model.kinds import Cutoff, PackageCutoff
from envc.model.manifest import KeyPath, Manifest, ManifestPolicy, PyPIDependency, Source, Standalone
from envc_solvers.target import PLATFORMS


def read_document(
    report: Report, document: ManifestDocument, written: Mapping[str, Any], path: Path, prefix: KeyPath
) -> Manifest | None:
    """The manifest of a well-formed document; None if it has mistakes, which are then in the report.

    `written` is the document before ill-formed parts were removed. A name that is declared there counts as declared.
    """
    project = document.project
    declared_targets = read_targets(report, document.targets)
    targets = _project_targets(report, project)
    kinds = {
        name: document.sources[name].kind if name in document.sources else None for name in table_of(written, "sources")
    }
    channels, undeclared = project.channels, dict[str, Source]()
    if any(text not in kinds and text not in BUILT_IN for text in channels):
        from envc.locking.manifest.channels import read_channels

        platforms = {declared_targets[name].platform if name in declared_targets else name for name in targets or ()}
        channels, undeclared = read_channels(report, channels, kinds, platforms)
    names = Names(
        steps=table_of(written, "steps"),
        groups=table_of(written, "groups"),
        targets={**dict.fromkeys(PLATFORMS), **table_of(written, "targets")},
        sources=SourceNames({**kinds, **{name: source.kind for name, source in undeclared.items()}}),
    )
    if targets is not None:
        key = "platforms" if project.platforms else "targets"
        check_targets(report, ("project", key), targets, names.targets)
    sources = read_sources(report, document.sources, names.steps, names.targets)
    names.sources.check_list(report, ("project", "channels"), channels, "conda")
    names.sources.check_list(report, ("project", "indexes"), project.indexes, "pypi")
    groups = read_groups(report, document.groups, names.sources)
    steps = read_steps(report, document.steps, names, targets or ())
    constraints = read_constraints(report, ("constraints",), document.constraints, names.sources)
    overrides = read_dependencies(report, ("overrides",), document.overrides, names.sources)
    limit_files = read_files(report, (), document.constraints, document.overrides)
    check_agreement(report, steps, groups, sources)
    check_name(report, ("project", "name"), "project", project.name)
    _check_store(report, project.store)
    python = read_python(report, ("project", "python"), project.python)
    exclude_newer = (
        None
        if project.exclude_newer is None
        else _read_cutoff(report, ("project", "exclude-newer"), project.exclude_newer)
    )
    policy = _read_policy(report, document.policy)
    _check_virtual_packages(report, document.virtual_packages, names.targets)
    build_requires: dict[str, tuple[PyPIDependency, ...]] = {}
    build_constraints: tuple[PyPIDependency, ...] = ()
    if document.build or document.build_constraints.pypi:
        from envc.locking.manifest.builds import read_build_constraints, read_build_requires  # late: few say this

        build_requires = read_build_requires(report, document.build, names.sources, policy.build)
        build_constraints = read_build_constraints(report, document.build_constraints, names.sources)
    standalone = _read_standalone(report, document.standalone)
    mapping = _read_mapping(report, document.mapping)
    if report.mistakes or python is None:
        return None
    return Manifest(
        path=path,
        prefix=prefix,
        name=project.name,
        targets=targets or (),
        python=python,
        channels=channels,
        indexes=project.indexes,
        store=project.store,
        exclude_newer=exclude_newer,
        sources=sources | undeclared,
        declared_targets=declared_targets,
        groups=groups,
        steps=steps,
        constraints=constraints,
        overrides=overrides,
        limit_files=limit_files,
        build_requires=build_requires,
        build_constraints=build_constraints,
        policy=policy,
        virtual_packages=document.virtual_packages,
        standalone=standalone,
        mapping=mapping,
    )


def _project_targets(report: Report, project: ProjectTable) -> tuple[str, ...]:
    if project.targets and project.platforms:
        report.add(("project", "platforms"), "is a synonym for `targets`, which is set too", "keep one of them")
    return project.targets or project.platforms


def _check_store(report: Report, store: str | None) -> None:
    if store is None:
        return
    if "://" in store:
        if mistake := url_mistake(store):
            report.add(("project", "store"), *mistake)
    elif meant := misspelt_url(store):
        report.add(("project", "store"), f"{store!r} looks like a URL, and is none", f"write {meant!r}")
    elif not store.strip():
        report.add(("project", "store"), "is empty", "leave it out to use the user's data directory")


def _read_cutoff(report: Report, at: KeyPath, value: object) -> Cutoff | None:
    try:
        return parse_cutoff(value)
    except BadCutoff as error:
        report.add(at, str(error), error.suggestion)
        return None


def _read_policy(report: Report, table: PolicyTable) -> ManifestPolicy:
    at: KeyPath = ("policy",)
    listed = table.prereleases if isinstance(table.prereleases, tuple) else ()
    cutoffs: dict[str, PackageCutoff] = {}
    for name, value in table.exclude_newer_package.items():
        key_path = (*at, "exclude-newer-package", name)
        project = read_project_name(report, key_path, name)
        if project in cutoffs:
            report.add(key_path, f"{project!r} is listed twice")
        if value is False:
            cutoffs[project] = False
        elif (cutoff := _read_cutoff(report, key_path, value)) is not None:
            cutoffs[project] = cutoff
    return ManifestPolicy(
        prereleases="if-necessary" if isinstance(table.prereleases, tuple) else table.prereleases,
        prereleases_for=_read_projects(report, (*at, "prereleases"), listed),
        resolution=table.resolution,
        align=table.align,
        build=_read_projects(report, (*at, "build"), table.build),
        sdist=table.sdist,
        direct_dependencies=table.direct_dependencies,
        channel_priority=table.channel_priority,
        exclude_newer_package=cutoffs,
        record=table.record,
    )


def _read_projects(report: Report, at: KeyPath, names: tuple[str, ...]) -> tuple[str, ...]:
    projects = [read_project_name(report, (*at, index), name) for index, name in enumerate(names)]
    check_unique(report, at, projects)
    return tuple(projects)


def _check_virtual_packages(
    report: Report, tables: Mapping[str, Mapping[str, str]], known: Mapping[str, object]
) -> None:
    for target, packages in tables.items():
        at: KeyPath = ("virtual-packages", target)
        if target not in known:
            report.unknown(at, "target", target, known)
        for name in packages:
            if not name.startswith("__"):
                report.add((*at, name), f"{name!r} is not a virtual package", f'did you mean "__{name}"?')


def _read_standalone(report: Report, table: StandaloneTable) -> Standalone:
    at: KeyPath = ("standalone",)
    if table.url is not None:
        is_url = "://" in table.url
        mistake = url_mistake(table.url, frozenset({"http", "https", "file"})) if is_url else path_mistake(table.url)
        if mistake:
            report.add((*at, "url"), *mistake)
    if table.table is not None and (mistake := path_mistake(table.table)):
        report.add((*at, "table"), *mistake)
    return Standalone(url=table.url, table=table.table)


def _read_mapping(report: Report, table: Mapping[str, str | bool | tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    mapping: dict[str, tuple[str, ...]] = {}
    for conda_name, project in table.items():
        at: KeyPath = ("mapping", conda_name)
        if isinstance(project, str):
            mapping[conda_name] = (read_project_name(report, at, project),)
        elif isinstance(project, tuple):
            mapping[conda_name] = tuple(sorted(_read_projects(report, at, project)))
            if not project:
                report.add(at, "is empty", "write false for a package that supplies no PyPI project")
        elif project:
            report.add(at, "expected the name of a PyPI project, a list of names or false, found true")
        else:
            mapping[conda_name] = ()
    return mapping
