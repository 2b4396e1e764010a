"""The starting point of every verb: a manifest with its lock, the selected step-targets and the store."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from envc.context import Context, cache_folder, refuse_misspelt_url, user_path
from envc.errors import NoLock, StaleLock, UsageError
from envc.locking.manifest.find import find_manifest
from envc.locking.manifest.load import parse_manifest, read_manifest
from envc.locking.plan.expand import StepTarget, expand
from envc.locking.plan.freshness import Checks, Reason, compare
from envc.locking.plan.project import Project, Selection, is_fresh_for, select
from envc.model.graph import LockGraph
from envc.model.manifest import Manifest
from envc.pipeline.places import reasons

if TYPE_CHECKING:
    from envc.model.digest import Sha256
    from envc.model.environment import Environment
    from envc.shipping.store.blobs import Blobs
    from envc_solvers.pypi.problem import Strategy


def open_project(
    manifest: str | None,
    context: Context,
    resolution: Strategy | None = None,
    *,
    checked: tuple[str, ...] | None = None,
    unsaved: str | None = None,
) -> Project:
    """parse → expand, then compare with the lock. Reads the manifest, the lock and local projects; uses no network.

    `checked` are the steps for which the lock is also checked against itself, None for all: a verb that uses one step
    need not wait for the others.

    `unsaved` is a text to read in place of that in the file.

    A `resolution` replaces the one in the manifest's policy. A lock with conflict markers is read as two locks and
    merged by key. The result counts as stale. Locking again keeps everything that both sides agree on.
    """
    place = find_manifest(manifest, context.environ, context.cwd)
    text = read_manifest(place) if unsaved is None else unsaved
    loaded = parse_manifest(text, place)
    if unsaved is not None:
        loaded = msgspec.structs.replace(loaded, unsaved=unsaved)
    if resolution is not None:
        replace = msgspec.structs.replace
        loaded = replace(loaded, policy=replace(loaded.policy, resolution=resolution))
    path = loaded.lock_path
    if not path.exists():
        loaded = _with_files(loaded, None)
        return Project(manifest=loaded, step_targets=expand(loaded), graph=None, freshness=None)
    data, graph, is_merged = _read_lock(path)
    loaded = _with_files(loaded, graph)
    step_targets = expand(loaded, graph)
    local = _local_digests(loaded, step_targets)
    from envc.locking.lockfile.coherent import CoherentLock  # late: there may be no lock

    known = CoherentLock(_cache_to_remember(context), path, text, data)
    is_known = known.includes(checked)
    freshness = compare(loaded, step_targets, graph, local, Checks(steps=checked, are_known=is_known))
    if freshness.is_fresh and not is_known and not is_merged and loaded.steps.keys() >= set(checked or ()):
        known.add(checked)
    if is_merged:
        markers = Reason("lock", "merge conflict markers", "")
        freshness = msgspec.structs.replace(freshness, reasons=(markers, *freshness.reasons))
    return Project(manifest=loaded, step_targets=step_targets, lock=data, graph=graph, freshness=freshness, local=local)


def _with_files(manifest: Manifest, graph: LockGraph | None) -> Manifest:
    """The manifest with its files of constraints and overrides. Most manifests have none."""
    if not manifest.has_limits:
        return manifest
    from envc.pipeline.limit_files import read_files

    return read_files(manifest, graph)


def _read_lock(path: Path) -> tuple[bytes, LockGraph, bool]:
    """The content of the lock file, its graph, and whether it had conflict markers: then that of both sides merged."""
    from envc.locking.lockfile.conflict import LockConflict
    from envc.locking.lockfile.load import decode, loads, read

    data = read(path)
    try:
        return data, loads(decode(data, path), path), False
    except LockConflict as conflict:
        from envc.locking.lockfile.merge import merge

        return data, merge(loads(conflict.ours, path), loads(conflict.theirs, path)), True


def _cache_to_remember(context: Context) -> Path | None:
    """The cache folder, which need not exist; None without one. A verb that only compares does not need a cache."""
    try:
        return cache_folder(context.environ)
    except UsageError:
        return None


def lock_digest(project: Project) -> Sha256:
    """The digest of the lock as it was read, which names the lock in stores. Raises NoLock."""
    from envc.model.digest import sha256

    if project.lock is None:
        raise NoLock(project.manifest.lock_path)
    return sha256(project.lock)


def _local_digests(manifest: Manifest, step_targets: tuple[StepTarget, ...]) -> dict[str, str]:
    """The digests of the local projects that requirements name by path, by path; "" for one that does not exist."""
    paths = {
        dependency.path
        for step_target in step_targets
        for dependency in step_target.pypi
        if dependency.path is not None
    }
    if not paths:
        return {}
    from envc.locking.worktree.local import NotThere, local_digest

    found = {}
    for path in sorted(paths):
        try:
            found[path] = str(local_digest(manifest.root, path, manifest.lock_path))
        except NotThere:
            found[path] = ""
    return found


def require_fresh_lock(project: Project, selected: tuple[StepTarget, ...] | None = None) -> LockGraph:
    """The lock. Raises NoLock, and StaleLock with every reason unless it is up to date.

    With `selected`, it has to be up to date only for these step-targets.
    """
    path = project.manifest.lock_path
    if project.graph is None:
        raise NoLock(path)
    if not is_fresh_for(project, project.step_targets if selected is None else selected):
        raise StaleLock(path, tuple(str(reason) for reason in reasons(project)))
    return project.graph


def warn_of_yanked(graph: LockGraph, context: Context, step_targets: Iterable[StepTarget] | None = None) -> None:
    """Warn about yanked files in a lock: all of them, or those that `step_targets` use."""
    if graph.holds_yanked:
        from envc.locking.review.yanked import yanked

        for package in yanked(graph, step_targets):
            context.progress.warn(str(package), hint=package.hint)


def require_lock(project: Project, selection: Selection) -> LockGraph:
    """The lock, which may be stale only with `selection.frozen`. Raises NoLock and StaleLock."""
    if selection.frozen and project.graph is not None:
        return project.graph
    try:
        return require_fresh_lock(project)
    except StaleLock as error:
        error.hint = "run `envc lock`, or pass --frozen to use the lock as it is"
        raise


def store_of(project: Project, selection: Selection, context: Context) -> Blobs:
    return choose_store(selection.store, lambda: project.manifest, context, init=selection.init_store)


def choose_store(
    chosen: str | None, manifest: Callable[[], Manifest], context: Context, *, init: bool = False
) -> Blobs:
    """The store at `store_place`. `init` as for `open_store`."""
    from envc.shipping.store.open import open_store

    place = store_place(chosen, manifest, context)
    return open_store(place, context.environ, init=init, tell=context.progress.note)


def store_place(chosen: str | None, manifest: Callable[[], Manifest], context: Context) -> str | Path:
    """The folder or URL of the `chosen` store, else of ``ENVC_STORE``, else of the manifest's, else of a folder in the
    user's data directory. Raises UsageError for a misspelt URL.
    """
    from envc.shipping.store.open import is_url

    base, origin = context.cwd, "--store" if chosen else "ENVC_STORE"
    location = chosen or context.environ.get("ENVC_STORE")
    if not location and (location := manifest().store):
        base, origin = manifest().root, "`store` in the manifest"
    if location:
        refuse_misspelt_url(location, origin)
        return location if is_url(location) else base / user_path(location, "the store")
    from envc.system.cache_folder import default_store

    return default_store(context.environ, context.progress)


def step_target_for(project: Project, step: str, target: str | None, *, foreign: bool = False) -> StepTarget:
    """The step on that target, else on its target for this machine's platform. With `foreign`, that may be a
    target of another platform.

    Raises UsageError if there is none.
    """
    step_targets = select(project, Selection(steps=(step,), targets=(target,) if target else ()))
    platform = this_platform()
    fitting = [step_target for step_target in step_targets if foreign or step_target.target.platform == platform]
    if not fitting:
        available = ", ".join(step_target.target.name for step_target in select(project, Selection(steps=(step,))))
        raise UsageError(
            f"step {step} has no target for this machine, which is {platform}; it has {available}",
            f'add "{platform}" to the targets of the project or of the step, and run `envc lock`',
        )
    # The target with the name of its platform is the default. A declared one, such as "gpu", must be named.
    return min(fitting, key=lambda step_target: step_target.target.name != step_target.target.platform)


def this_platform() -> str:
    """The platform of the interpreter that envc runs in."""
    from envc.shipping.machine.interpreter import this_python

    return this_python().platform


def channel_addresses(manifest: Manifest, environment: Environment) -> dict[Sha256, str]:
    """The channel of each conda artifact, as prefix records name it.

    Public channels have the address that every conda tool knows. Other channels have only their name, so that no
    address of the manifest reaches a prefix.
    """
    members = [member for member in environment.members if member.kind == "conda"]
    if not members:
        return {}
    from envc.fetch.conda.channel_locations import public_address

    addresses = {}
    for member in members:
        source = manifest.sources.get(member.source)
        is_public = source is not None and source.url is None
        addresses[member.sha256] = public_address(member.source) if is_public else f"envc://{member.source}"
    return addresses
