"""The whole compiler on a page: each function is one verb, and reads as the stages it runs.

Stages that touch the network or a store are imported by the verbs that reach them: start-up is part of the product.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from envc.context import Context
from envc.errors import UsageError
from envc.locking.plan.closure import Closures
from envc.locking.plan.expand import StepTarget
from envc.locking.plan.project import Project, Selection
from envc.model.digest import sha256
from envc.pipeline.project import (
    channel_addresses,
    locked,
    step_target_for,
    store_of,
    this_platform,
)

if TYPE_CHECKING:
    from envc.model.environment import Environment
    from envc.model.manifest import Manifest
    from envc.model.record import StepPointer
    from envc.shipping.deliver.hydrate import Loading, StoredEnvironment
    from envc.shipping.machine.interpreter import Interpreter
    from envc.shipping.store.blobs import Blobs
    from envc.shipping.store.records import StoredRecord


# lock


# bundle


# hydrate and run


class Bound(msgspec.Struct, frozen=True, kw_only=True):
    """A step-target with where the store says it is."""

    manifest: Manifest
    store: Blobs
    environment: Environment  # as the lock has it
    pointer: StepPointer


def bind(project: Project, step_target: StepTarget, selection: Selection, context: Context) -> Bound:
    """closure → pointer: one request. Raises NotBundled, and CorruptBlob for a pointer to another environment."""
    from envc.shipping.format.errors import CorruptBlob, MissingBlob, NotBundled
    from envc.shipping.store.keys import step_key
    from envc.shipping.store.records import get_pointer

    store = store_of(project, selection, context)
    environment = Closures(locked(project, selection)).environment(step_target)
    lock_digest = sha256(project.manifest.lock_path.read_bytes())
    key = step_key(project.manifest.name, lock_digest, step_target.step, step_target.target.name)
    try:
        pointer = get_pointer(store, key)
    except MissingBlob:
        raise NotBundled(store.name, key, step_target.step, step_target.target.name) from None
    if pointer.environment != environment.id:
        raise CorruptBlob(f"{key} in {store.name}", "points to another environment than the lock's")
    return Bound(manifest=project.manifest, store=store, environment=environment, pointer=pointer)


def bound_record(bound: Bound) -> StoredRecord:
    """pointer → record: one request. Raises CorruptBlob unless it names exactly the artifacts that the lock names."""
    from envc.shipping.deliver.hydrate import check_record
    from envc.shipping.store.records import read_record

    stored = read_record(bound.store, bound.environment.id, bound.pointer.record)
    check_record(stored.record, bound.environment, bound.store)
    return stored


def stored_environment(bound: Bound) -> StoredEnvironment:
    """pointer → record, with what the lock and the manifest say about it. Raises what `bound_record` raises."""
    from envc.shipping.deliver.hydrate import StoredEnvironment

    stored = bound_record(bound)
    return StoredEnvironment(
        bound.store,
        stored.record,
        text=stored.text,
        environment=bound.environment,
        origins=channel_addresses(bound.manifest, bound.environment),
    )


def ready(bound: Bound, interpreter: Interpreter, context: Context) -> tuple[Path, bool]:
    """The environment in the cache, and whether it was made now: record → hydrate, by one process for all that ask."""
    from envc.shipping.deliver.hydrate import find_ready, one_at_a_time, ready_environment

    environment, cache = bound.environment, context.cache

    def look() -> Path | None:
        return find_ready(environment, bound.pointer.record, interpreter=interpreter, cache=cache)

    found = look()
    if found is not None:
        return found, False
    with one_at_a_time(environment.id, cache):
        found = look()
        if found is not None:
            return found, False
        stored = stored_environment(bound)
        return ready_environment(
            stored, interpreter=interpreter, cache=cache, progress=context.progress, force=context.force
        )


def hydrate(
    project: Project,
    step: str,
    prefix: Path | None,
    target: str | None,
    selection: Selection,
    context: Context,
    loading: Loading | None = None,
) -> tuple[Path, bool]:
    """bind → record → hydrate, from the store alone: the prefix, and whether it had to be made.

    For a foreign target the files are unpacked without an interpreter. Without a `prefix` it is one in the cache, which
    is loaded in one way only; `loading` is for others.
    """
    from envc.shipping.deliver.hydrate import hydrate as fill

    step_target = step_target_for(project, step, target, context, foreign=target is not None)
    interpreter = interpreter_for(step_target, context) if step_target.target.platform == this_platform() else None
    if prefix is None and interpreter is None:
        raise UsageError(
            f"an environment for {step_target.target.name} cannot run here", "name a folder to unpack it: --prefix"
        )
    bound = bind(project, step_target, selection, context)
    with distrust(context):
        if prefix is None and interpreter is not None:
            return ready(bound, interpreter, context)
        where = context.cwd / (prefix or "")
        made = fill(
            stored_environment(bound),
            where,
            interpreter=interpreter,
            cache=context.cache,
            progress=context.progress,
            loading=loading,
        )
        return where, made


@contextmanager
def distrust(context: Context) -> Iterator[None]:
    """Let the next bundle derive an object again that turned out corrupt, and compare it with the store's."""
    from envc.shipping.format.errors import CorruptBlob

    try:
        yield
    except CorruptBlob as error:
        # Imported here: a step that is ready needs neither, and they cost a tenth of its start.
        from envc.shipping.deliver.derive import Ledger
        from envc.shipping.prefix.tree import CorruptObject

        if isinstance(error, CorruptObject):
            Ledger(context.cache / "derived").forget(error.layout, error.artifact)
        raise


def interpreter_for(step_target: StepTarget, context: Context) -> Interpreter:
    """What the step runs on here. Raises WrongMachine where the manifest declares more than this machine has."""
    from envc.shipping.machine.floors import suitable_interpreter

    target = step_target.target
    return suitable_interpreter(step_target.interpreter, step_target.python, target.platform, target.declared, context)


# solve
