"""hydrate: turns a record in a store into a runnable prefix. It uses no index, and no network except the store's.

A prefix appears atomically, by a rename, once everything in it has been checked. Until then it is a temporary sibling,
which the next run removes if this run is killed. In a prefix, ``.envc/record.json`` is the record it was made from, and
``.envc/prefix.json`` its state (`Prefix`).
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from envc.errors import EnvcError
from envc.model.digest import Sha256, sha256
from envc.model.environment import Environment
from envc.model.limits import POINTER_BYTES
from envc.model.progress import Progress
from envc.model.record import RECORD_PATH, ObjectIndex, Record, StepPointer, bytes_digest
from envc.shipping.format.documents import canonical_json
from envc.shipping.format.errors import CorruptBlob
from envc.shipping.machine.floors import check_floors, check_platform, machine_of
from envc.shipping.machine.interpreter import HOST, HostPython, Interpreter
from envc.shipping.prefix.places import check_place, plain_place
from envc.shipping.prefix.venv import STATE, make_prefix
from envc.shipping.store.blobs import Blobs, Ranges
from envc.system.beneath import Beneath
from envc_solvers.malformed import malformed
from envc_solvers.target import PLATFORMS, Python, parse_python_key

if TYPE_CHECKING:
    from envc.shipping.format.object_index import ReadRange
    from envc.shipping.prefix.object_cache import LinkMode
    from envc.shipping.prefix.tree import Part

RECORD = RECORD_PATH
PREFIX = STATE
_ENVIRONMENTS = "envs"  # the folder of the cache with the environments of `ready_environment`
_OF_CHECKOUTS = (".git", ".hg", ".jj", ".svn")  # folders or files of version control


class Prefix(msgspec.Struct, frozen=True, kw_only=True):
    """The content of ``.envc/prefix.json``."""

    record: Sha256  # digest of the record
    interpreter: HostPython | str | None  # a str is the kind of its own one; None for a tree that was only unpacked
    place: str = ""  # the path of the prefix if its files contain it; "" if the prefix may be moved
    own: Sha256 | None = None  # content digest of the environment's own files, if it is from a single-file bundle
    bytecode: bool = False  # whether sources were compiled
    demanded: Sha256 | None = None  # `Environment.demanded` of the lock with which its contents were compared


class Loading(msgspec.Struct, frozen=True, kw_only=True):
    """How files are written."""

    link_mode: LinkMode | None = None  # of cached objects; None: reflink, otherwise hard link, otherwise copy
    cached: bool = True  # share files with the object cache of this machine
    bytecode: bool = False  # compile the sources
    threads: int | None = None  # that decompress and write; None: depends on the number of cores
    force: bool = False  # also if the machine does not meet the requirements of the files


def record_digest(record: Record) -> Sha256:
    """The digest by which step pointers name a record."""
    return sha256(canonical_json(record))


def record_python(record: Record) -> Python:
    """The Python of a record."""
    return parse_python_key(record.python)


def check_record(record: Record, environment: Environment, store: Ranges) -> None:
    """Raise CorruptBlob unless a record contains exactly the artifacts of the lock, with the content that it demands.

    This links the lock to the store. The record in turn contains the digests of frames and members.
    """
    what = f"the record of {environment.id[:12]} in {store.name}"
    if (record.environment, record.platform, record.python, record.interpreter) != (
        environment.id,
        environment.target.platform,
        environment.python.key,
        environment.interpreter,
    ):
        raise CorruptBlob(what, "is the record of another environment")
    stored = sorted((item.index.artifact, item.index.layout, item.kind, item.name) for item in record.objects)
    if stored != sorted((member.sha256, member.layout, member.kind, member.name) for member in environment.members):
        raise CorruptBlob(what, "does not contain the artifacts that the lock names")
    content = {(item.index.artifact, item.index.layout): item.content for item in record.objects}
    for member in environment.members:
        if member.content is not None and content[member.sha256, member.layout] != member.content:
            raise CorruptBlob(
                what, f"contains different content for {member.name} {member.version} than the lock records"
            )


class StoredEnvironment(msgspec.Struct, frozen=True):
    """An environment to be hydrated: its location, and its data from the store and the lock."""

    store: Ranges
    record: Record  # already checked by `store.records`; its indexes are checked here, before they are used
    text: bytes | None = None  # the record's JSON as it was read; None: its canonical JSON
    environment: Environment | None = None  # from the lock; the record has been compared with it
    own_files: ObjectIndex | None = None  # the environment object of a single-file bundle
    origins: Mapping[Sha256, str] = {}  # artifact of a conda package: address of its channel, without credentials

    @property
    def json(self) -> bytes:
        """The record's JSON."""
        return self.text or canonical_json(self.record)

    @property
    def demanded(self) -> Sha256 | None:
        """`Environment.demanded` of the lock; None without a lock."""
        return self.environment.demanded if self.environment else None


def hydrate(
    stored: StoredEnvironment,
    prefix: Path,
    *,
    interpreter: Interpreter | None,
    cache: Path,
    progress: Progress,
    loading: Loading | None = None,
) -> bool:
    """Create the stored environment at `prefix`, on that interpreter. Returns False if it exists already.

    Without an interpreter, the files are unpacked unchanged, so that an environment for a foreign platform can be
    inspected. The files of `stored.own_files` are written to the prefix as well. If the lock demands a content
    digest, every file is compared with its digest. Otherwise only frames are compared, since the digests of frames and
    files come from the same record.

    A prefix that envc made before is replaced, and an empty folder is used; anything else raises PrefixOccupied.
    Locks and unpacked objects are kept in the `cache` folder: of several hydrations of one prefix, the first does the
    work, and of several prefixes that hold one object, all but the first share its files. Raises WrongMachine,
    CorruptObject, CorruptBlob, StoreError, NoBytecode, and EnvcError if the files cannot be written.
    """
    loading = loading or Loading()
    store, record, own = stored.store, stored.record, stored.own_files
    if interpreter is not None:
        check_place(prefix, HOST if isinstance(interpreter, HostPython) else interpreter.kind)
        machine = machine_of(interpreter)
        check_platform(record.platform, machine)
        if not loading.force:
            check_floors(record.requirements, machine)
    bytecode = loading.bytecode and interpreter is not None
    prefix = plain_place(prefix)
    text = stored.json
    state = _state(
        sha256(text),
        interpreter,
        prefix,
        own=own.artifact if own else None,
        bytecode=bytecode,
        demanded=stored.demanded,
    )
    from envc.system.atomic_folder import leftovers, publish_folder

    # A run that was killed after the rename left the old prefix behind; `publish_folder` removes it, under the lock.
    if _is_made(prefix, state, cache) and not leftovers(prefix):
        return False
    from envc.shipping.prefix.object_cache import ObjectCache
    from envc.shipping.prefix.tree import write_tree

    parts = _parts(store, record, stored.environment)
    object_cache = None
    if loading.cached:
        # Where files cannot be shared, copies are worth their disk space only if they save network time.
        object_cache = ObjectCache(cache / "objects", mode=loading.link_mode, copies=store.in_flight > 1)
    if own is not None:
        parts.append(_own_part(store, own, record.made if interpreter is not None else ()))

    def populate(folder: Path) -> None:
        task = progress.task("files", sum(part.size for part in parts), "B")
        try:
            write_tree(folder, parts, task, cache=object_cache, threads=loading.threads, in_flight=store.in_flight)
            if isinstance(interpreter, HostPython):
                make_prefix(folder, interpreter, PLATFORMS[record.platform], record_python(record))
            elif interpreter is not None and interpreter.names_prefix:
                from envc.shipping.prefix.conda_prefix import complete_prefix

                complete_prefix(
                    folder, prefix, record, origins=stored.origins, progress=progress, threads=loading.threads
                )
        except (FileExistsError, IsADirectoryError, NotADirectoryError) as error:
            place = os.path.relpath(error.filename2 or error.filename, folder)
            raise EnvcError(f"two members of the environment have the path {place}") from None
        finally:
            task.done()
        if bytecode and interpreter is not None:
            from envc.shipping.prefix.bytecode import compile_tree

            compile_tree(folder, {member.path for item in record.objects for member in item.index.members}, interpreter)
        (folder / ".envc").mkdir(exist_ok=True)
        (folder / RECORD).write_bytes(text)
        (folder / PREFIX).write_bytes(msgspec.json.format(canonical_json(state)) + b"\n")

    is_cached = prefix.parent == cache / _ENVIRONMENTS
    return publish_folder(
        prefix,
        locks=cache / "locks" if is_cached else None,
        is_ours=lambda: _is_ours(prefix),
        is_made=lambda: _is_made(prefix, state, cache),
        populate=populate,
        used=PREFIX if is_cached else None,
    )


def find_ready(environment: Environment, record: Sha256, *, interpreter: Interpreter, cache: Path) -> Path | None:
    """The prefix that `ready_environment` made for the record of that digest, if it exists. Reads one file.

    The digest is in the step pointer, so a step that ran before does not need the record itself. When the prefix was
    made, the record was compared with the lock, and the files with the contents that the lock demands.
    """
    prefix = _ready_place(environment.id, record, interpreter, cache, environment.demanded)
    state = _state(record, interpreter, prefix, demanded=environment.demanded)
    return prefix if _is_made(prefix, state, cache) else None


def ready_environment(
    stored: StoredEnvironment, *, interpreter: Interpreter, cache: Path, progress: Progress, force: bool = False
) -> tuple[Path, bool]:
    """The prefix of an environment on this machine, and whether this call made it. It is made once below `cache`, and
    used in place from then on.

    Any number of processes may call this at once. A prefix that was made while the lock demanded no content is not
    used for a lock that does. `force` as in `Loading`; the other arguments and errors as for `hydrate`.
    """
    stored = msgspec.structs.replace(stored, text=stored.json)  # encoded once
    digest = sha256(stored.json)
    prefix = _ready_place(stored.record.environment, digest, interpreter, cache, stored.demanded)
    loading = Loading(force=force)
    made = hydrate(stored, prefix, interpreter=interpreter, cache=cache, progress=progress, loading=loading)
    return prefix, made


@contextmanager
def one_at_a_time(environment: Sha256, cache: Path) -> Iterator[None]:
    """Make other processes that need the same environment wait while the body runs. Without this lock, each of fifty
    processes would read the record, which takes a tenth of the time of making the environment. A process that gets the
    lock must check again whether the environment is ready. Raises Unwritable if the cache cannot be written.
    """
    from envc.system.locks import cache_lock

    with cache_lock(cache / "locks" / f"{environment}.lock"):
        yield


def _ready_place(
    environment: Sha256, record: Sha256, interpreter: Interpreter, cache: Path, demanded: Sha256 | None
) -> Path:
    # Short, because conda packages can hold a prefix of at most 255 characters, and the kernel reads even less of the
    # first line of a script. 96 bits are enough against collisions.
    key = [environment, record, interpreter.digest, demanded]
    if not isinstance(interpreter, HostPython) and interpreter.names_prefix:
        # One cache may have several paths: mount points of several machines, or links to it. An environment whose files
        # contain one of them serves no other, and a step may be running from it.
        key.append(os.fsencode(cache).hex())
    name = sha256(msgspec.json.encode(key))[:24]
    return cache / _ENVIRONMENTS / name


def ready_code(store: Blobs, pointer: StepPointer, *, cache: Path, progress: Progress) -> Path | None:
    """The folder of a step's bundled code, unpacked once below `cache`. None for a step without bundled code."""
    if pointer.code is None:
        return None
    from envc.shipping.prefix.code_cache import code_folder
    from envc.shipping.store.objects import bytes_reader, get_code

    def find() -> tuple[ObjectIndex, ReadRange]:
        found = get_code(store, pointer)
        if found is None:
            raise CorruptBlob(store.name, "contains a pointer that names code by only one of its two digests")
        return found[0], bytes_reader(found[1])

    return code_folder(pointer.code, find, cache=cache, progress=progress)


def ready_own_files(bundle: Ranges, own: ObjectIndex, *, cache: Path, progress: Progress) -> Path:
    """The folder of the own files of a bundle, which include the code, unpacked once below `cache`."""
    from envc.shipping.prefix.code_cache import code_folder
    from envc.shipping.store.keys import object_key
    from envc.shipping.store.objects import range_reader

    read_range = range_reader(bundle, object_key(own.layout, own.artifact))
    return code_folder(own.artifact, lambda: (own, read_range), cache=cache, progress=progress)


def used_files(prefix: Path, code: Path | None = None) -> tuple[Path, ...]:
    """The files that a command in an environment and a folder of code, as `ready_code` returns it, marks as in use."""
    if code is None:
        return (prefix / PREFIX,)
    from envc.shipping.prefix.code_cache import MEMBERS

    return prefix / PREFIX, code.parent / MEMBERS


def _own_part(store: Ranges, own: ObjectIndex, made: tuple[str, ...]) -> Part:
    """The environment object, except the placeholder files for paths that hydrate makes."""
    from envc.shipping.prefix.tree import Part
    from envc.shipping.store.keys import object_key
    from envc.shipping.store.objects import range_reader

    return Part(
        index=own,
        what=f"the environment's own files in {store.name}",
        read_range=range_reader(store, object_key(own.layout, own.artifact)),
        skipped=frozenset(made),
    )


def _parts(store: Ranges, record: Record, environment: Environment | None) -> list[Part]:
    """The objects of a record, without the members that lose to those of other objects."""
    from envc.shipping.prefix.tree import Part
    from envc.shipping.store.keys import object_key
    from envc.shipping.store.objects import range_reader

    members = environment.members if environment else ()
    demanded = {(member.sha256, member.layout) for member in members if member.content is not None}
    skipped = _losers(record)
    parts: list[Part] = []
    for item in record.objects:
        artifact, layout = item.index.artifact, item.index.layout
        contents = (artifact, layout) in demanded
        parts.append(
            Part(
                index=item.index,
                what=f"the object of {item.name} {item.version} in {store.name}",
                title=f"{item.name} {item.version}",
                read_range=range_reader(store, object_key(layout, artifact)),
                skipped=frozenset(skipped.get(artifact, ())),
                contents=contents,
                names=(item.content,) if contents else (bytes_digest(item.content, item.index.frames), item.content),
            )
        )
    return parts


def _losers(record: Record) -> dict[Sha256, list[str]]:
    """By artifact: its paths at which the member of another artifact is written."""
    skipped: dict[Sha256, list[str]] = {}
    if record.winners:
        for item in record.objects:
            artifact = item.index.artifact
            for member in item.index.members:
                if record.winners.get(member.path, artifact) != artifact:
                    skipped.setdefault(artifact, []).append(member.path)
    return skipped


def _state(
    record: Sha256,
    interpreter: Interpreter | None,
    prefix: Path,
    *,
    demanded: Sha256 | None,
    own: Sha256 | None = None,
    bytecode: bool = False,
) -> Prefix:
    """The state of an environment at `prefix`."""
    stated: HostPython | str | None
    if interpreter is None or isinstance(interpreter, HostPython):
        stated, place = interpreter, ""
    else:
        stated, place = interpreter.kind, str(prefix) if interpreter.names_prefix else ""
    return Prefix(record=record, interpreter=stated, place=place, own=own, bytecode=bytecode, demanded=demanded)


def _is_ours(prefix: Path) -> bool:
    """Whether envc made the prefix, so that it may be replaced.

    A checkout is never one: the author of a commit could add the state of a prefix to it, and `hydrate --prefix .`
    would then replace the user's work.
    """
    try:
        Beneath(prefix).status(PREFIX)
    except OSError:
        return False
    return not any(os.path.lexists(prefix / name) for name in _OF_CHECKOUTS)


def _is_made(prefix: Path, state: Prefix, cache: Path) -> bool:
    """Whether a prefix with that state exists. A prefix appears as a whole, so comparing its state is enough.

    The prefix of another user is not believed, since its files may have changed, except in a cache that this user
    shares with others. The folder and its state must both be of this user or root: another user could put a link to the
    state of a prefix of this user into a folder with files of their own.
    """
    below = Beneath(prefix)
    try:
        if msgspec.json.decode(below.read(PREFIX, POINTER_BYTES), type=Prefix) != state:
            return False
        owners = {prefix.lstat().st_uid, prefix.stat().st_uid, below.status(PREFIX).st_uid}
    except malformed(OSError):
        return False
    if os.name != "posix" or owners <= {os.geteuid(), 0}:
        return True
    others = owners - {os.geteuid(), 0, Path("/").stat().st_uid}
    if not others or not prefix.is_relative_to(cache):
        return not others
    shared = cache.stat()
    return others == {shared.st_uid} or bool(shared.st_mode & stat.S_IWGRP)
