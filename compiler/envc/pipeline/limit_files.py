"""The files of constraints and overrides of a manifest: read from this machine, or fetched when something is solved."""

from __future__ import annotations

import msgspec

from envc.context import Context
from envc.fetch.net.urls import redact
from envc.locking.manifest.limit_files import limit_files, read_local, with_limit_files, without_unread
from envc.locking.plan.expand import expand
from envc.locking.plan.freshness import Freshness, compare
from envc.locking.plan.project import Project, Selection, Upgrades, is_fresh_for, select
from envc.model.graph import LockGraph
from envc.model.manifest import LimitFile, Manifest

_DIGEST = " with sha256 "  # between the file and its digest in a line of the lock


def read_files(manifest: Manifest, graph: LockGraph | None) -> Manifest:
    """The manifest with the files of this machine, and the locked digests of those at URLs. Uses no network.

    Raises LimitFileError, and UsageError for a file that cannot be read.
    """
    locked: dict[str, str] = {}
    if graph is not None:
        lines = {one.text for environment in graph.environments for one in environment.requires if _DIGEST in one.text}
        for line in sorted(lines, reverse=True):
            text, _, digest = line.rpartition(_DIGEST)
            locked[text] = digest

    def read(file: LimitFile) -> LimitFile:
        if file.is_url:
            return msgspec.structs.replace(file, sha256=locked.get(file.text, ""))
        return read_local(manifest.root, file)

    return with_limit_files(manifest, read)


def fetch_files(project: Project, selection: Selection, upgrades: Upgrades, context: Context) -> Project:
    """The project with the contents of all its files, if anything will be solved. Raises UsageError for an absent file.

    A file at a URL keeps its locked digest, unless the command refreshes or upgrades everything.
    """
    files = limit_files(project.manifest)
    take_new = context.refresh or upgrades.everything
    has_urls = any(file.is_url for file in files)
    is_fresh = is_fresh_for(project, select(project, selection)) and not upgrades.releases
    if not files or (is_fresh and not (take_new and has_urls)):
        return project
    without_unread(project.manifest)
    if not has_urls:
        _warn_of_hashes(files, context)
        return project
    from envc.locking.resolve.limit_urls import fetch_limit_files  # late: most manifests name no URL

    manifest = fetch_limit_files(project.manifest, context, take_new=take_new)
    _warn_of_hashes(limit_files(manifest), context)
    step_targets = expand(manifest, project.graph)
    if project.graph is None:
        return msgspec.structs.replace(project, manifest=manifest, step_targets=step_targets)
    again = compare(manifest, step_targets, project.graph, project.local)
    # Conflict markers are a reason that no comparison finds.
    markers = tuple(reason for reason in (project.freshness or again).reasons if reason.key == "lock")
    freshness = Freshness(reasons=(*markers, *again.reasons), scopes=again.scopes, fresh=again.fresh)
    return msgspec.structs.replace(project, manifest=manifest, step_targets=step_targets, freshness=freshness)


def with_fetched_files(project: Project, context: Context) -> Project:
    """The project with the contents of its files at URLs, which have to be those that are locked."""
    if not any(file.is_url for file in limit_files(project.manifest)):
        return project
    from envc.locking.resolve.limit_urls import fetch_limit_files

    manifest = fetch_limit_files(project.manifest, context, take_new=False)
    return msgspec.structs.replace(project, manifest=manifest, step_targets=expand(manifest, project.graph))


def _warn_of_hashes(files: tuple[LimitFile, ...], context: Context) -> None:
    for place in sorted({file.place for file in files if file.has_hashes}):
        hint = "the lock has the digests of the files that the indexes list"
        context.progress.warn(f"the hashes in {redact(place)} are not compared", hint=hint)
