"""Stages that several verbs share: find a locked step-target in a store, and make its environment ready here.

Stages that use the network or a store are imported by the functions that need them, to keep start-up fast.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from envc.context import Context
from envc.locking.plan.closure import Closures, locked_python
from envc.locking.plan.expand import StepTarget
from envc.locking.plan.project import Project, Selection
from envc.pipeline.project import channel_addresses, lock_digest, require_lock, store_of, store_place

if TYPE_CHECKING:
    from envc.model.environment import Environment
    from envc.model.manifest import Manifest
    from envc.model.record import StepPointer
    from envc.shipping.deliver.hydrate import StoredEnvironment
    from envc.shipping.format.errors import NotBundled
    from envc.shipping.machine.interpreter import Interpreter
    from envc.shipping.store.blobs import Blobs
    from envc.shipping.store.records import StoredRecord


class Located(msgspec.Struct, frozen=True, kw_only=True):
    """A step-target whose pointer was found in a store."""

    manifest: Manifest
    store: Blobs
    environment: Environment  # as locked
    pointer: StepPointer


class KnownEnvironment(msgspec.Struct, frozen=True):
    """An environment that is ready on this machine, to which the step's pointer in the store led before."""

    prefix: Path
    is_fresh: bool  # whether the store was asked within the last day


def known_environment(
    project: Project, step_target: StepTarget, selection: Selection, interpreter: Interpreter, context: Context
) -> KnownEnvironment | None:
    """The environment that the pointer of a step led to before, if the store is at a URL. Makes no request."""
    from envc.shipping.deliver.hydrate import find_ready
    from envc.shipping.deliver.known_records import recall

    place = store_place(selection.store, lambda: project.manifest, context)
    if not isinstance(place, str):
        return None  # a folder is read in less time than the entry
    known = recall(context.cache, place, _pointer_key(project, step_target))
    if known is None:
        return None
    environment = _environment(project, step_target, selection)
    prefix = find_ready(environment, known.digest, interpreter=interpreter, cache=context.cache)
    return KnownEnvironment(prefix, known.is_fresh) if prefix is not None else None


def remember_record(
    project: Project, step_target: StepTarget, selection: Selection, located: Located, context: Context
) -> None:
    """Remember the record of a step whose environment is ready, for `known_environment`."""
    from envc.shipping.deliver.known_records import remember

    place = store_place(selection.store, lambda: project.manifest, context)
    if isinstance(place, str):
        remember(context.cache, place, _pointer_key(project, step_target), located.pointer.record)


def locate(project: Project, step_target: StepTarget, selection: Selection, context: Context) -> Located:
    """closure → pointer: one request. Raises NotBundled, and CorruptBlob for a pointer to another environment."""
    from envc.shipping.format.errors import CorruptBlob, MissingBlob, NotBundled
    from envc.shipping.store.records import get_pointer

    store = store_of(project, selection, context)
    environment = _environment(project, step_target, selection)
    key = _pointer_key(project, step_target)
    try:
        pointer = get_pointer(store, key)
    except MissingBlob:
        raise NotBundled(store.name, key, step_target.step, step_target.target.name) from None
    if pointer.environment != environment.id:
        raise CorruptBlob(f"{key} in {store.name}", "points to another environment than the lock")
    return Located(manifest=project.manifest, store=store, environment=environment, pointer=pointer)


def tell_holdings(error: NotBundled, project: Project, selection: Selection, context: Context) -> NotBundled:
    """The error with what the store holds instead. Lists the store, so only for an error that the user will see."""
    from envc.shipping.store.holdings import holdings

    error.add(holdings(store_of(project, selection, context), project.manifest.name, lock_digest(project)))
    return error


def _environment(project: Project, step_target: StepTarget, selection: Selection) -> Environment:
    is_coherent = project.freshness is not None and project.freshness.is_coherent(step_target)
    return Closures(require_lock(project, selection)).environment(step_target, is_coherent=is_coherent)


def _pointer_key(project: Project, step_target: StepTarget) -> str:
    from envc.shipping.store.keys import step_key

    return step_key(project.manifest.name, lock_digest(project), step_target.step, step_target.target.name)


def located_record(located: Located) -> StoredRecord:
    """pointer → record: one request. Raises CorruptBlob unless it names exactly the artifacts that the lock names."""
    from envc.shipping.deliver.hydrate import check_record
    from envc.shipping.store.records import read_record

    stored = read_record(located.store, located.environment.id, located.pointer.record)
    check_record(stored.record, located.environment, located.store)
    return stored


def stored_environment(located: Located) -> StoredEnvironment:
    """pointer → record, with the data of the lock and the manifest for it. Raises the errors of `located_record`."""
    from envc.shipping.deliver.hydrate import StoredEnvironment

    stored = located_record(located)
    return StoredEnvironment(
        located.store,
        stored.record,
        text=stored.text,
        environment=located.environment,
        origins=channel_addresses(located.manifest, located.environment),
    )


def make_ready(located: Located, interpreter: Interpreter, context: Context) -> tuple[Path, bool]:
    """record → hydrate. Returns the environment's prefix in the cache, and whether this call made it.

    If several processes need the same environment at once, only one of them makes it.
    """
    from envc.shipping.deliver.hydrate import find_ready, one_at_a_time, ready_environment

    environment, cache = located.environment, context.cache

    def find() -> Path | None:
        return find_ready(environment, located.pointer.record, interpreter=interpreter, cache=cache)

    found = find()
    if found is not None:
        return found, False
    with one_at_a_time(environment.id, cache):
        found = find()
        if found is not None:
            return found, False
        stored = stored_environment(located)
        return ready_environment(
            stored, interpreter=interpreter, cache=cache, progress=context.progress, force=context.force
        )


@contextmanager
def corrupt_objects_forgotten(context: Context) -> Iterator[None]:
    """If the body finds a corrupt object, make the next bundle derive it again and compare it with the store's."""
    from envc.shipping.format.errors import CorruptBlob

    try:
        yield
    except CorruptBlob as error:
        # Imported here: a ready environment needs neither, and they would take a tenth of its start-up time.
        from envc.shipping.deliver.reuse import Ledger
        from envc.shipping.prefix.tree import CorruptObject

        if isinstance(error, CorruptObject):
            Ledger(context.cache / "derived").mark_doubtful(error.layout, error.artifact)
        raise


def interpreter_for(step_target: StepTarget, project: Project, context: Context) -> Interpreter:
    """The interpreter for the step, as locked, on this machine. Raises NoInterpreter, and WrongMachine if the machine
    does not meet the floors that the manifest declares.
    """
    from envc.shipping.machine.floors import suitable_interpreter
    from envc.shipping.machine.interpreter import NoInterpreter

    target = step_target.target
    python = locked_python(step_target, project.graph.environments if project.graph is not None else ())
    try:
        return suitable_interpreter(step_target.interpreter, python, target.platform, target.declared, context)
    except NoInterpreter as error:
        from envc.locking.review.pythons import line_for_machine, line_for_older

        line = line_for_machine(project.manifest, step_target.step, error.versions)
        if not line and python.release > step_target.python.release:
            line = line_for_older(python, error.versions)
        if line:
            error.hint = f"{line} and run `envc lock`, or {error.hint}"
        raise
