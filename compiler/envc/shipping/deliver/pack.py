"""pack: writes environments into a store, as objects and records, with the pointers and the code of steps.

The order of publishing is: a lease, objects, records, code and lock, pointers. So everything that a reader finds is
complete, and nothing that it refers to is collected in the meantime. An interrupted run resumes where it stopped, since
existing blobs are not made again.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

import msgspec

from envc.errors import DigestMismatch
from envc.model.digest import Sha256, sha256
from envc.model.environment import Environment, EnvironmentMember
from envc.model.lock_lines import Extra
from envc.model.progress import Progress
from envc.model.record import ObjectIndex, Record, RecordObject, StepPointer
from envc.shipping.deliver.path_conflicts import (
    check_paths,
    check_portable,
    warn_of_contested_paths,
    warn_of_folders,
    warn_of_scripts,
)
from envc.shipping.deliver.reuse import Ledger, find_object, is_as_locked, is_intact, is_trusted
from envc.shipping.deliver.stated_metadata import Use, uses_of
from envc.shipping.format.decode import read_member
from envc.shipping.format.encode import LEVEL, Encoder, Entry
from envc.shipping.format.errors import CorruptBlob, MissingBlob
from envc.shipping.format.record_rules import winners
from envc.shipping.machine.floors import machine_requirements
from envc.shipping.machine.interpreter import HOST
from envc.shipping.prefix.conda_prefix import changed_paths
from envc.shipping.prefix.tree import CorruptObject
from envc.shipping.prefix.venv import STATE, made_paths
from envc.shipping.store.blobs import Blobs
from envc.shipping.store.keys import code_key, environment_key, lock_key, object_key, step_key
from envc.shipping.store.objects import StoredObject, encode_code, put_code, range_reader
from envc.shipping.store.records import get_record, put_lock, put_pointer, put_record
from envc.shipping.store.upkeep.leases import leased
from envc.shipping.unpack.conda_meta import PrefixRecord, decode_record, meta_path
from envc.system.cores import usable_cores
from envc_solvers.target import PLATFORMS

_UPLOADS = 8  # concurrent uploads of objects

ObjectId = tuple[Sha256, str]  # artifact, layout
Code = tuple[Entry, ...]
Relock = Callable[[Mapping[ObjectId, Sha256]], bytes]  # content digests -> the lock file that contains them


class StepBundle(msgspec.Struct, frozen=True, kw_only=True):
    """One step on one target."""

    step: str
    target: str  # target name
    environment: Environment
    code: Code | None = None  # None for no code
    extras: frozenset[Extra] = frozenset()  # that the step's own requirements request
    run: str | None = None
    shell: bool = False  # whether a shell runs `run`
    env: dict[str, str] = {}


class BundleRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The contents that a store should have afterwards."""

    project: str
    lock: bytes  # the current lock file
    steps: tuple[StepBundle, ...]
    level: int = LEVEL  # of zstd; 3 is fast, 19 is small
    trust_store: bool = False  # trust objects that other machines made
    repair: bool = False  # read everything that the store has for the steps, and make again what is damaged


class Bundled(msgspec.Struct, frozen=True, kw_only=True):
    """The result of pack."""

    store: str  # its name for messages: a folder, or a URL without credentials
    lock: Sha256  # digest of the lock file, which is part of the keys of pointers
    pointers: dict[tuple[str, str], StepPointer]  # by step and target name
    records: tuple[Record, ...]  # one for each distinct environment
    made: tuple[EnvironmentMember, ...]  # objects that were derived in this run
    content: dict[ObjectId, Sha256]  # content digests by artifact and layout, for a lock to record

    @property
    def sizes(self) -> dict[ObjectId, int]:
        """The bytes of each object in the store."""
        return {
            (item.index.artifact, item.index.layout): item.size for record in self.records for item in record.objects
        }


class Artifacts(Protocol):
    """A source of verified artifacts."""

    def fetch(self, members: Iterable[EnvironmentMember]) -> Iterator[tuple[EnvironmentMember, Path]]:
        """Each member, in any order, with a file that has its sha256. Raises EnvcError."""


def pack(
    request: BundleRequest,
    store: Blobs,
    artifacts: Artifacts,
    *,
    ledger: Ledger,
    progress: Progress,
    relock: Relock | None = None,
) -> Bundled:
    """Write everything that the steps need into the store, each object and each environment once.

    With `relock`, the content digests are recorded in the lock before it is published. A content digest that a lock
    will demand must not be taken on trust. So an existing object is used only if the lock already demands its content;
    every other object is derived from its artifact, regardless of the ledger and of the content that the lock demanded.

    Raises MetadataMismatch, BadArtifact, Unjoinable, DigestMismatch (for an artifact whose content is not the one that
    the lock records), StoreError, and whatever `artifacts` raises.
    """
    ids = [step.environment.id for step in request.steps]
    environments = {digest: step.environment for digest, step in zip(ids, request.steps, strict=True)}
    uses = _uses(request.steps)
    needed = [object_key(layout, artifact) for artifact, layout in uses]
    with leased(store, [*needed, *map(environment_key, environments)]):
        objects, made, metas = _objects_with_records(
            uses, request, store, artifacts, ledger, progress, rederive=relock is not None
        )
        content = {key: stored.index.content for key, stored in objects.items()}
        records = {
            digest: _record(environment, objects, metas, progress) for digest, environment in environments.items()
        }
        digests = {digest: _publish(store, record, progress) for digest, record in records.items()}
        lock = relock(content) if relock else request.lock
        pointers = _point(request, store, lock, digests)
        return Bundled(
            store=store.name,
            lock=sha256(lock),
            pointers=pointers,
            records=tuple(records.values()),
            made=made,
            content=content,
        )


def _point(
    request: BundleRequest, store: Blobs, lock: bytes, records: Mapping[Sha256, Sha256]
) -> dict[tuple[str, str], StepPointer]:
    """Publish code, lock and pointers. `records` are the digests of the published records, by environment id."""
    codes = _codes(request)
    for step in request.steps:
        if step.code is not None:
            index = codes[step.code][0]
            check_portable(f"the code of {step.step}", index.members, step.environment.target.facts, index.layout)
    digest = sha256(lock)
    keys = [step_key(request.project, digest, step.step, step.target) for step in request.steps]
    with leased(store, [lock_key(digest), *(code_key(index.content) for index, _ in codes.values()), *keys]):
        put_lock(store, lock)
        stored = {code: put_code(store, index, data) for code, (index, data) in codes.items()}
        pointers: dict[tuple[str, str], StepPointer] = {}
        for step in request.steps:
            code, code_object = stored[step.code] if step.code is not None else (None, None)
            pointers[step.step, step.target] = StepPointer(
                environment=step.environment.id,
                record=records[step.environment.id],
                code=code,
                code_object=code_object,
                run=step.run,
                env=step.env,
                shell=step.shell or msgspec.UNSET,
            )
        for key, step in zip(keys, request.steps, strict=True):
            put_pointer(store, key, pointers[step.step, step.target])
    return pointers


def _codes(request: BundleRequest) -> dict[Code, tuple[ObjectIndex, bytes]]:
    """All code packages. Steps with the same code share it in the store."""
    with Encoder(level=request.level) as encoder:
        return {
            code: encode_code(encoder, code) for code in {step.code: None for step in request.steps} if code is not None
        }


def _uses(steps: Iterable[StepBundle]) -> dict[ObjectId, tuple[Use, ...]]:
    """Every object with the ways in which environments use it.

    Two sources may list one file with different metadata, so the lock may say different things of one object, and of
    environments with the same id.
    """
    requested: dict[Environment, set[Extra]] = {}
    for step in steps:
        requested.setdefault(step.environment, set()).update(step.extras)
    found: dict[ObjectId, dict[Use, None]] = {}
    for environment, extras in requested.items():
        for member in environment.members:
            uses = found.setdefault((member.sha256, member.layout), {})
            if member.kind != "pypi":
                uses.setdefault(Use(member))
        for use in uses_of(environment, extras):
            found[use.member.sha256, use.member.layout].setdefault(use)
    return {key: tuple(uses) for key, uses in found.items()}


def _objects_with_records(
    uses: dict[ObjectId, tuple[Use, ...]],
    request: BundleRequest,
    store: Blobs,
    artifacts: Artifacts,
    ledger: Ledger,
    progress: Progress,
    *,
    rederive: bool,
) -> tuple[dict[ObjectId, StoredObject], tuple[EnvironmentMember, ...], dict[Sha256, PrefixRecord]]:
    """As `_objects`, and the prefix records in the objects of conda packages. An object whose record is damaged is
    derived again. Raises CorruptObject if it is damaged nevertheless.
    """
    members = [uses[key][0].member for key in uses]
    damaged: CorruptObject | None = None
    made: dict[ObjectId, EnvironmentMember] = {}
    while True:
        objects, new = _objects(uses, request, store, artifacts, ledger, progress, rederive=rederive)
        made |= {(member.sha256, member.layout): member for member in new}
        try:
            return objects, tuple(made.values()), _prefix_records(members, objects, store)
        except CorruptObject as error:
            if damaged is not None and (damaged.layout, damaged.artifact) == (error.layout, error.artifact):
                raise
            damaged = error
            ledger.mark_doubtful(error.layout, error.artifact)


def _objects(
    uses: dict[ObjectId, tuple[Use, ...]],
    request: BundleRequest,
    store: Blobs,
    artifacts: Artifacts,
    ledger: Ledger,
    progress: Progress,
    *,
    rederive: bool,
) -> tuple[dict[ObjectId, StoredObject], tuple[EnvironmentMember, ...]]:
    """All objects, as the store finally contains them, and the members whose objects were derived. With `rederive`,
    neither the ledger nor an earlier demand of the lock is trusted.
    """
    found: dict[ObjectId, StoredObject] = {}
    cores = usable_cores()

    def look(key: ObjectId) -> tuple[StoredObject | None, bool]:
        """An object in the store, and whether it may be used as it is. Raises MetadataMismatch."""
        member = uses[key][0].member
        stored = find_object(store, member, progress)
        if stored is None or not is_trusted(stored, member, ledger, trust_store=request.trust_store, rederive=rederive):
            return stored, False
        is_usable = is_as_locked(store, stored, uses[key], ledger, progress)
        return stored, is_usable and (not request.repair or is_intact(store, stored))

    with ThreadPoolExecutor(max(4 * cores, store.in_flight), thread_name_prefix="envc-look") as pool:
        # Leaving `map` early, for example by Ctrl-C, cancels the calls that have not started.
        known = dict(zip(uses, pool.map(look, uses), strict=True))
    missing: dict[ObjectId, tuple[Use, ...]] = {}
    for key, (stored, is_usable) in known.items():
        if stored is not None and is_usable:
            found[key] = stored
        else:
            missing[key] = tuple(use.without_content() for use in uses[key]) if rederive else uses[key]
    if not missing:
        return found, ()
    from envc.shipping.deliver.derive import derive, warn_of_replaced  # loads the readers of all kinds of artifacts

    # An artifact may be needed in several layouts. It is fetched only once.
    layouts: dict[Sha256, list[ObjectId]] = {}
    for key in missing:
        layouts.setdefault(key[0], []).append(key)
    members = {key: missing[key][0].member for key in missing}
    task = progress.task("objects", sum(member.size for member in members.values()), "B")

    def work(key: ObjectId, path: Path, encoder: Encoder) -> StoredObject:
        made = derive(missing[key], path, known[key][0], store, encoder, ledger, progress)
        task.advance(members[key].size)
        return made

    fetched = artifacts.fetch([members[keys[0]] for keys in layouts.values()])
    # The encoder is closed first: after a failure, it then rejects frames that are still written, so the pool ends
    # soon. The encoder itself bounds the encoding. More threads than cores let uploads wait at the same time.
    threads = max(cores, min(_UPLOADS, store.in_flight))
    with ThreadPoolExecutor(threads, thread_name_prefix="envc-pack") as pool, Encoder(level=request.level) as encoder:
        working: dict[ObjectId, Future[StoredObject]] = {}
        try:
            for member, path in fetched:
                for key in layouts[member.sha256]:
                    working[key] = pool.submit(work, key, path, encoder)
                _raise_first(working.values())
            for key, future in working.items():
                found[key] = future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
        finally:
            if isinstance(fetched, Generator):
                fetched.close()  # otherwise a traceback would keep the downloads alive
            task.done()
    replaced = [
        members[key]
        for key in missing
        if (before := known[key][0]) is not None and before.index.content != found[key].index.content
    ]
    warn_of_replaced(replaced, store, progress)
    return found, tuple(members.values())


def _raise_first(futures: Iterable[Future[StoredObject]]) -> None:
    """Raise the error of an object that has failed already, which stops the downloads."""
    for future in futures:
        if future.done():
            future.result()


def _prefix_records(
    members: Iterable[EnvironmentMember], objects: dict[ObjectId, StoredObject], store: Blobs
) -> dict[Sha256, PrefixRecord]:
    """The prefix records in the objects of conda packages, by artifact. Raises CorruptObject."""
    packages = [member for member in members if member.kind == "conda"]

    def read(member: EnvironmentMember) -> PrefixRecord:
        stored = objects[member.sha256, member.layout]
        what = f"the object of {member.file} in {store.name}"
        try:
            return decode_record(
                read_member(stored.index, range_reader(store, stored.key), meta_path(member.file), what)
            )
        except (ValueError, CorruptBlob) as error:
            reason = error.reason if isinstance(error, CorruptBlob) else str(error)
            raise CorruptObject(what, reason, member.layout, member.sha256) from None

    if not packages:
        return {}
    with ThreadPoolExecutor(max(1, min(store.in_flight, len(packages))), thread_name_prefix="envc-look") as pool:
        return dict(zip((member.sha256 for member in packages), pool.map(read, packages), strict=True))


def _record(
    environment: Environment,
    objects: dict[ObjectId, StoredObject],
    metas: Mapping[Sha256, PrefixRecord],
    progress: Progress,
) -> Record:
    """The record of an environment, with a winner for every contested path."""
    items = []
    for member in environment.members:
        stored = objects[member.sha256, member.layout]
        items.append(RecordObject.of_member(member, stored.index, stored.size))
    items.sort(key=lambda item: (item.kind, item.name))
    platform = PLATFORMS[environment.target.platform]
    check_paths(items, platform)
    for item in items:
        check_portable(f"{item.name} {item.version}", item.index.members, platform, item.index.layout)
    winning = winners(items, platform.name)
    warn_of_contested_paths(items, winning, progress)
    warn_of_folders(items, platform, progress)
    warn_of_scripts(items, platform, progress)
    record = Record(
        environment=environment.id,
        platform=environment.target.platform,
        python=environment.python.key,
        interpreter=environment.interpreter,
        objects=tuple(items),
        winners=winning,
        requirements=machine_requirements(environment.members, environment.target.platform),
    )
    return msgspec.structs.replace(record, made=tuple(sorted((STATE, *_made(environment, record, metas)))))


def _made(environment: Environment, record: Record, metas: Mapping[Sha256, PrefixRecord]) -> Iterable[str]:
    """The paths that hydrate makes or rewrites, except its own state."""
    if environment.interpreter == HOST:
        return made_paths(environment.target.facts, environment.python)
    packages = {item.index.artifact: metas[item.index.artifact] for item in record.objects if item.kind == "conda"}
    return changed_paths(record, packages)


def _publish(store: Blobs, record: Record, progress: Progress) -> Sha256:
    """Write a record to the store. Returns its digest.

    An existing record with the same objects stays, since pointers of other locks name its digest.
    """
    try:
        existing = get_record(store, record.environment)
        if (existing.objects, existing.winners) == (record.objects, record.winners):
            return put_record(store, record)
    except MissingBlob:
        pass
    except (CorruptBlob, DigestMismatch) as error:
        what = error.headline if isinstance(error, DigestMismatch) else error
        progress.warn(f"the record of an environment is made again: {what}")
    return put_record(store, record, replace=True)
