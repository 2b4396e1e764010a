"""The verbs that maintain stores and caches: ``envc verify``, ``gc``, ``tag`` and ``cache``."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from envc.context import Context
from envc.errors import EnvcError, UsageError
from envc.locking.plan.project import Project, Selection, select
from envc.model.digest import Sha256
from envc.pipeline.locate import locate, located_record
from envc.pipeline.project import choose_store, lock_digest, require_fresh_lock, require_lock
from envc.shipping.store.blobs import Blobs

if TYPE_CHECKING:
    from envc.model.manifest import Manifest
    from envc.shipping.deliver.caches import CachePart, Pruned
    from envc.shipping.deliver.verify import Verified
    from envc.shipping.machine.interpreter import HostPython
    from envc.shipping.store.tags import NamedTag
    from envc.shipping.store.upkeep.collect import Garbage
    from envc_solvers.target import Python

RECENT = timedelta(days=30)


def open_store(store: str | None, manifest: str | None, context: Context) -> Blobs:
    """The store, as `choose_store` chooses it. The manifest is read only if nothing else names a store."""

    def read_manifest() -> Manifest:
        from envc.locking.manifest.find import find_manifest
        from envc.locking.manifest.load import load_manifest

        return load_manifest(find_manifest(manifest, context.environ, context.cwd))

    return choose_store(store, read_manifest, context)


# verify


def verify_steps(project: Project, selection: Selection, context: Context) -> Verified:
    """locate → record → verify: compare the stored environments of the selected steps and targets with the lock."""
    from envc.shipping.deliver.verify import Problem, Verified, verify_environments

    require_lock(project, selection)
    step_targets = select(project, selection)
    environments, problems = [], []
    for step_target in step_targets:
        try:
            located = locate(project, step_target, selection, context)
            environments.append((located_record(located).record, located.pointer))
        except EnvcError as error:
            problems.append(Problem(where=f"{step_target.step} on {step_target.target.name}", reason=str(error)))
    store = choose_store(selection.store, lambda: project.manifest, context)
    verified = verify_environments(store, environments, context.progress)
    _doubt(verified, context)
    return Verified(
        checked=len(step_targets) + verified.checked, problems=tuple(sorted([*problems, *verified.problems]))
    )


def verify_whole_store(store: Blobs, context: Context) -> Verified:
    """Check everything in a store, whichever project it belongs to."""
    from envc.shipping.deliver.verify import verify_store

    verified = verify_store(store, context.progress)
    _doubt(verified, context)
    return verified


def _doubt(verified: Verified, context: Context) -> None:
    """Make the next bundle on this machine derive the damaged objects again."""
    from envc.model.digest import parse_sha256
    from envc.shipping.store.keys import OBJECTS, is_own

    damaged = [problem.where for problem in verified.problems if problem.where.startswith(f"{OBJECTS}/")]
    if not damaged:
        return
    from envc.shipping.deliver.reuse import Ledger

    ledger = Ledger(context.cache / "derived")
    for key in filter(is_own, damaged):
        _, _, layout, _, artifact = key.split("/")
        ledger.mark_doubtful(layout, parse_sha256(artifact))


def verify_folder(prefix: Path, context: Context) -> Verified:
    """Compare a prefix with the record that it was made from."""
    from envc.shipping.deliver.verify import verify_prefix
    from envc.shipping.machine.interpreter import NoInterpreter, find_host_python

    def find_python(python: Python) -> HostPython | None:
        try:
            return find_host_python(python, context.environ)
        except NoInterpreter:
            return None

    return verify_prefix(context.cwd / prefix, context.progress, find_python)


# gc and tags


class Collected(msgspec.Struct, frozen=True, kw_only=True):
    """The garbage that a collection found, and whether it was removed."""

    store: str
    removed: bool
    garbage: int  # blobs
    garbage_size: int  # bytes
    kept: int  # blobs
    kept_size: int  # bytes


def collect(store: Blobs, context: Context, *, recent: timedelta = RECENT, remove: bool = False) -> Collected:
    """Count the blobs that no tag, recent pointer or lease refers to; with `remove`, delete them.

    Ages are measured by the clock of the store. If it cannot be written, nothing can be removed, and ages are measured
    by the clock of this machine.
    """
    from envc.shipping.store.upkeep.collect import Collector
    from envc.shipping.store.upkeep.store_clock import StoreClock

    clock = StoreClock(store, otherwise=None if remove else context.now.timestamp())
    collector = Collector(store, now=clock.now, recent=recent.total_seconds(), progress=context.progress)
    garbage: Garbage = collector.find()
    blobs = collector.remove(garbage) if remove else garbage.blobs
    return Collected(
        store=store.name,
        removed=remove,
        garbage=len(blobs),
        garbage_size=sum(listed.size for listed in blobs),
        kept=garbage.kept,
        kept_size=garbage.kept_size,
    )


def tag(project: Project, name: str, selection: Selection, context: Context, *, move: bool = False) -> Sha256:
    """Tag the lock, so that its environments are kept. Raises EnvcError if the store holds none of them, and
    UsageError if the tag belongs to another lock and `move` is not set.
    """
    from envc.shipping.store.tags import is_bundled, put_tag

    require_fresh_lock(project)
    lock = lock_digest(project)
    store = choose_store(selection.store, lambda: project.manifest, context)
    if not is_bundled(store, project.manifest.name, lock):
        raise EnvcError(f"{store.name} has no environment of this lock: run `envc bundle` first")
    if not put_tag(store, project.manifest.name, name, lock, move=move):
        raise UsageError(f"the tag {name} belongs to another lock", "pass --move to move it to this one")
    return lock


def untag(project: Project, name: str, selection: Selection, context: Context) -> None:
    """Delete a tag. Raises UsageError if it does not exist."""
    from envc.shipping.store.tags import delete_tag

    store = choose_store(selection.store, lambda: project.manifest, context)
    if not delete_tag(store, project.manifest.name, name):
        raise UsageError(f"{store.name} has no tag {name} of {project.manifest.name}")


def list_tags(store: Blobs, context: Context, project: str | None = None) -> tuple[NamedTag, ...]:
    from envc.shipping.store.own_blobs import OwnBlobs
    from envc.shipping.store.tags import tags

    own = OwnBlobs(store)
    found = tuple(tags(store, own, project))
    own.warn(context.progress)
    return found


# cache


def show_cache(context: Context) -> tuple[CachePart, ...]:
    from envc.shipping.deliver.caches import show

    return show(context.cache, context.progress)


def prune_cache(context: Context, unused: timedelta | None, *, dry_run: bool = False) -> Pruned:
    """Remove entries that were not used for that long; with None, all entries. Entries in use stay."""
    from envc.shipping.deliver.caches import prune

    seconds = None if unused is None else unused.total_seconds()
    return prune(context.cache, seconds, context.progress, now=context.now.timestamp(), dry_run=dry_run)
