"""The verbs that look after stores and caches: `envc.pipeline`'s second page."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from envc.errors import EnvcError, UsageError
from envc.model.digest import Sha256, sha256
from envc.pipeline import bind, bound_record
from envc.project import Project, Selection, check, choose_store, locked, select
from envc.store.blobs import Blobs
from envc.surroundings import Surroundings

if TYPE_CHECKING:
    from envc.caches import CachePart, Pruned
    from envc.model.manifest import Manifest
    from envc.store.sweep import Garbage
    from envc.store.tags import NamedTag
    from envc.verify import Verified

RECENT = timedelta(days=30)


def open_store(store: str | None, manifest: str | None, around: Surroundings) -> Blobs:
    """The store that is meant. A manifest is looked for only where nothing else names one."""

    def found() -> Manifest:
        from envc.parse import find_manifest, load_manifest

        return load_manifest(find_manifest(manifest, around.environ, around.cwd))

    return choose_store(store, found, around)


# verify


def verify_steps(project: Project, selection: Selection, around: Surroundings) -> Verified:
    """bind → verify: all that the store holds for the steps and targets that are meant, compared with the lock."""
    from envc.verify import Problem, Verified, verify_environments

    locked(project, selection)
    cells = select(project, selection)
    found, problems = [], []
    for cell in cells:
        try:
            bound = bind(project, cell, selection, around)
            found.append((bound_record(bound).record, bound.pointer))
        except EnvcError as error:
            problems.append(Problem(where=f"{cell.step} on {cell.target.name}", reason=str(error)))
    store = choose_store(selection.store, lambda: project.manifest, around)
    verified = verify_environments(store, found, around.progress)
    return Verified(checked=len(cells) + verified.checked, problems=tuple(sorted([*problems, *verified.problems])))


def verify_whole_store(store: Blobs, around: Surroundings) -> Verified:
    """Everything that a store holds, whoever bundled it."""
    from envc.verify import verify_store

    return verify_store(store, around.progress)


def verify_folder(prefix: Path, around: Surroundings) -> Verified:
    """A prefix, compared with the record that it was made from."""
    from envc.verify import verify_prefix

    return verify_prefix(around.cwd / prefix, around.progress)


# gc and tags


class Collected(msgspec.Struct, frozen=True, kw_only=True):
    """What a collection found, and whether it was removed."""

    store: str
    removed: bool
    garbage: int  # blobs
    garbage_size: int  # bytes
    kept: int  # blobs
    kept_size: int  # bytes


def collect(store: Blobs, around: Surroundings, *, recent: timedelta = RECENT, remove: bool = False) -> Collected:
    """What no tag, recent pointer or lease leads to; counted, and removed only if asked to."""
    from envc.store.sweep import Collector

    collector = Collector(store, now=around.now.timestamp(), recent=recent.total_seconds(), progress=around.progress)
    garbage: Garbage = collector.find()
    gone = collector.remove(garbage) if remove else garbage.blobs
    return Collected(
        store=store.name,
        removed=remove,
        garbage=len(gone),
        garbage_size=sum(listed.size for listed in gone),
        kept=garbage.kept,
        kept_size=garbage.kept_size,
    )


def tag(project: Project, name: str, selection: Selection, around: Surroundings, *, move: bool = False) -> Sha256:
    """Keep the environments of the lock as it stands. Raises UsageError unless the store holds one, and where the name
    stands for another lock and may not move.
    """
    from envc.store.tags import is_bundled, put_tag

    check(project)
    lock = sha256(project.manifest.lock_path.read_bytes())
    store = choose_store(selection.store, lambda: project.manifest, around)
    if not is_bundled(store, project.manifest.name, lock):
        raise EnvcError(f"{store.name} holds nothing that was bundled by this lock: run `envc bundle` first")
    if not put_tag(store, project.manifest.name, name, lock, move=move):
        raise UsageError(f"the tag {name} stands for another lock", "pass --move to let it stand for this one")
    return lock


def untag(project: Project, name: str, selection: Selection, around: Surroundings) -> None:
    """Remove a tag. Raises UsageError when there is none of that name."""
    from envc.store.tags import delete_tag

    store = choose_store(selection.store, lambda: project.manifest, around)
    if not delete_tag(store, project.manifest.name, name):
        raise UsageError(f"{store.name} holds no tag {name} of {project.manifest.name}")


def list_tags(store: Blobs, project: str | None = None) -> tuple[NamedTag, ...]:
    from envc.store.tags import tags

    return tuple(tags(store, project))


# cache


def show_cache(around: Surroundings) -> tuple[CachePart, ...]:
    from envc.caches import show

    return show(around.cache, around.progress)


def prune_cache(around: Surroundings, unused: timedelta | None, *, dry_run: bool = False) -> Pruned:
    """Remove what was not used for that long; with None, everything."""
    from envc.caches import prune

    before = None if unused is None else around.now.timestamp() - unused.total_seconds()
    return prune(around.cache, before, around.progress, dry_run=dry_run)
