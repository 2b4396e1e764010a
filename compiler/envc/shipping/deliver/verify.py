"""verify: checks stores and prefixes. Everything is read; nothing is changed or trusted."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path

import msgspec

from envc.errors import EnvcError, StoreError
from envc.model.digest import parse_sha256, sha256, sha256_file
from envc.model.limits import CODE_BYTES, POINTER_BYTES, RECORD_BYTES
from envc.model.progress import Progress
from envc.model.record import Member, Record, RecordObject, StepPointer
from envc.shipping.deliver.hydrate import PREFIX, RECORD, Prefix, record_python
from envc.shipping.deliver.made_bytecode import FindPython, Folder, bytecode_differences, judge_of, unchecked_bytecode
from envc.shipping.deliver.made_files import (
    Difference,
    conda_differences,
    state_fits,
    unpacked_differences,
    venv_differences,
)
from envc.shipping.format.documents import decode_json
from envc.shipping.format.errors import CorruptBlob
from envc.shipping.format.record_rules import check_record
from envc.shipping.machine.interpreter import HostPython
from envc.shipping.prefix.conda_prefix import original_digest, rewritten_entries
from envc.shipping.store.blobs import Blobs
from envc.shipping.store.keys import CODE, ENVIRONMENTS, LOCKS, OBJECTS, STEPS, code_key, object_key
from envc.shipping.store.objects import get_code, get_object, read_code, verify_object
from envc.shipping.store.own_blobs import OwnBlobs
from envc.shipping.store.records import get_lock, get_pointer, get_record
from envc.shipping.unpack.conda_meta import InstalledPath, is_meta
from envc.system.beneath import Beneath
from envc.system.cores import usable_cores
from envc_solvers.malformed import malformed

Check = Callable[[], object]


class Problem(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """One thing that is not as it should be."""

    where: str  # key in the store, path in the prefix, or step and target
    reason: str


class Verified(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a verification."""

    checked: int  # blobs or files
    problems: tuple[Problem, ...]  # sorted


class NotAPrefix(EnvcError):
    """A folder without a record of what it should contain."""

    hint = "name a folder that `envc hydrate --prefix` made"

    def __init__(self, prefix: Path, reason: str) -> None:
        super().__init__(prefix, reason)
        self.prefix = prefix
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.prefix} cannot be verified: {self.reason}"


def verify_environments(
    store: Blobs, environments: Iterable[tuple[Record, StepPointer]], progress: Progress
) -> Verified:
    """Read and verify all objects and code packages that these records and pointers refer to, each once."""
    checks: dict[str, Check] = {}
    for record, pointer in environments:
        for item in record.objects:
            key = object_key(item.index.layout, item.index.artifact)
            checks[f"{key} {item.content}"] = _object_check(store, key, item)
        if pointer.code is not None:
            checks[code_key(pointer.code)] = _code_check(store, pointer)
    return _run(store, [(key.partition(" ")[0], check) for key, check in checks.items()], progress)


def verify_store(store: Blobs, progress: Progress) -> Verified:
    """Read and verify everything that a store contains under a key of its format. Warns of other files."""
    own = OwnBlobs(store)
    checks = list(_store_checks(store, own))
    own.warn(progress)
    return _run(store, checks, progress)


def verify_prefix(prefix: Path, progress: Progress, find_python: FindPython = lambda _python: None) -> Verified:
    """Compare the files of a prefix with the record that it was made from. The state of the prefix names its digest.

    Paths that hydrate made are compared with what it would make now (`made_files`, `made_bytecode`). Bytecode that
    Python wrote, and the folder ``.envc``, may differ or be added. `find_python` finds an interpreter of this machine
    that compiles. Any other additional file is a problem, since Python would import it. Files that contain
    the path of the prefix are compared in their original form. Raises NotAPrefix if there is no such record.
    """
    state, record = _prefix_state(prefix)
    python = record_python(record)
    if not state_fits(state.interpreter, state.place, record, python):
        raise NotAPrefix(prefix, f"its {PREFIX} names an interpreter that its {RECORD} does not allow")
    if state.place and Path(state.place).resolve() != prefix.resolve():
        raise NotAPrefix(prefix, f"its files contain the path {state.place}, where it was made")
    members = {
        member.path: member
        for item in record.objects
        for member in item.index.members
        if record.winners.get(member.path, item.index.artifact) == item.index.artifact
    }
    rewritten = rewritten_entries(prefix, record) if state.place else {}
    task = progress.task("files", len(members))

    def check(member: Member) -> Problem | None:
        reason = None
        if member.path in rewritten:
            reason = _rewritten_difference(prefix, rewritten[member.path], member, state.place, record.platform)
        elif not (state.place and is_meta(member.path)):
            reason = _difference(prefix / member.path, member)
        task.advance()
        return Problem(where=member.path, reason=reason) if reason else None

    with ThreadPoolExecutor(usable_cores(), thread_name_prefix="envc-verify") as pool:
        problems = [problem for problem in pool.map(check, members.values()) if problem]
    task.done()
    known = members.keys() | set(record.made)
    folders = list(os.walk(prefix))
    problems += [Problem(where=path, reason="was added") for path in _files(prefix, folders) if path not in known]
    if isinstance(state.interpreter, HostPython):
        differences = venv_differences(prefix, state.interpreter, record, python)
    elif state.interpreter is None:
        differences = unpacked_differences(prefix, record, members)
    else:
        differences = conda_differences(prefix, record, members)
    bytecode: Iterable[Difference] = ()
    if state.bytecode:
        bytecode = bytecode_differences(
            prefix, members, lambda: judge_of(state.interpreter, record, python, find_python, progress)
        )
    unchecked = unchecked_bytecode(prefix, folders, members, is_compiled=state.bytecode)
    problems += [Problem(where=path, reason=reason) for path, reason in chain(differences, bytecode, unchecked)]
    return Verified(checked=len(members), problems=tuple(sorted(problems)))


def _object_check(store: Blobs, key: str, item: RecordObject) -> Check:
    def check() -> None:
        stored = get_object(store, artifact=item.index.artifact, layout=item.index.layout)
        if stored.index != item.index or stored.size != item.size:
            raise CorruptBlob(f"{store.name}: {key}", "is not the object that the record describes")
        verify_object(store, stored, item.content)

    return check


def _code_check(store: Blobs, pointer: StepPointer) -> Check:
    return lambda: get_code(store, pointer)


def _store_checks(store: Blobs, own: OwnBlobs) -> Iterator[tuple[str, Check]]:
    """A check for each blob of envc's."""
    for listed in own.scan("v1"):
        place, _, rest = listed.key.removeprefix("v1/").partition("/")
        check = _CHECKS.get(f"v1/{place}")
        if check is not None:
            yield listed.key, lambda check=check, key=listed.key, rest=rest: check(store, key, rest)  # type: ignore[misc]


def _check_object(store: Blobs, key: str, rest: str) -> None:
    layout, _, place = rest.partition("/")
    artifact = parse_sha256(place.rpartition("/")[2])
    if object_key(layout, artifact) != key:
        raise ValueError("is stored under a key that does not match it")
    verify_object(store, get_object(store, artifact=artifact, layout=layout))


def _check_record(store: Blobs, key: str, rest: str) -> None:
    get_record(store, parse_sha256(rest.removesuffix(".json.zst")))


def _check_code(store: Blobs, key: str, rest: str) -> None:
    read_code(store.read(key, CODE_BYTES), f"{store.name}: {key}", parse_sha256(rest))


def _check_pointer(store: Blobs, key: str, rest: str) -> None:
    pointer = get_pointer(store, key)
    get_record(store, pointer.environment, pointer.record)
    get_code(store, pointer)


def _check_lock(store: Blobs, key: str, rest: str) -> None:
    get_lock(store, parse_sha256(rest))


_CHECKS: dict[str, Callable[[Blobs, str, str], None]] = {
    OBJECTS: _check_object,
    ENVIRONMENTS: _check_record,
    CODE: _check_code,
    STEPS: _check_pointer,
    LOCKS: _check_lock,
}


def _run(store: Blobs, checks: list[tuple[str, Check]], progress: Progress) -> Verified:
    task = progress.task("blobs", len(checks))

    def run(item: tuple[str, Check]) -> Problem | None:
        key, check = item
        try:
            check()
        except StoreError as error:
            return Problem(where=key, reason=error.reason)
        except (EnvcError, ValueError) as error:
            return Problem(where=key, reason=str(error))
        finally:
            task.advance()
        return None

    threads = max(usable_cores(), min(8, store.in_flight))
    with ThreadPoolExecutor(threads, thread_name_prefix="envc-verify") as pool:
        found = tuple(sorted(problem for problem in pool.map(run, checks) if problem))
    task.done()
    return Verified(checked=len(checks), problems=found)


def _prefix_state(prefix: Path) -> tuple[Prefix, Record]:
    try:
        below = Beneath(prefix)
        state = msgspec.json.decode(below.read(PREFIX, POINTER_BYTES), type=Prefix)
        text = below.read(RECORD, RECORD_BYTES)
    except FileNotFoundError:
        raise NotAPrefix(prefix, "envc did not make it") from None
    except OSError as error:
        raise NotAPrefix(prefix, error.strerror or "it cannot be read") from None
    except malformed():
        raise NotAPrefix(prefix, f"its {PREFIX} is damaged") from None
    if sha256(text) != state.record:
        raise NotAPrefix(prefix, f"its {RECORD} is not the record that it was made from")
    record = decode_json(text, Record, str(prefix / RECORD))
    check_record(record, str(prefix / RECORD))
    return state, record


def _rewritten_difference(prefix: Path, entry: InstalledPath, member: Member, place: str, platform: str) -> str | None:
    """What is wrong with a file that contains the path of the prefix, if anything.

    It is compared in its original form. If that cannot be determined, it is compared with the digest in its prefix
    record.
    """
    path = prefix / member.path
    try:
        if not stat.S_ISREG(path.lstat().st_mode):
            return "is not the plain file that it was"
        digest = original_digest(path, entry, place, platform)
        is_same = sha256_file(path) == entry.sha256_in_prefix if digest is None else digest == member.sha256
        return _mode_difference(path.lstat(), member) if is_same else "has other content"
    except FileNotFoundError:
        return "is missing"
    except OSError as error:
        return f"cannot be read: {error.strerror}"


def _difference(path: Path, member: Member) -> str | None:
    """What is wrong with a file, if anything."""
    try:
        status = path.lstat()
        if member.type == "link":
            if not stat.S_ISLNK(status.st_mode):
                return "is not the link that it was"
            return None if path.readlink().as_posix() == member.link else "points elsewhere"
        if not stat.S_ISREG(status.st_mode):
            return "is not the plain file that it was"
        if status.st_size != member.size or sha256_file(path) != member.sha256:
            return "has other content"
        return _mode_difference(status, member)
    except FileNotFoundError:
        return "is missing"
    except OSError as error:
        return f"cannot be read: {error.strerror}"


def _mode_difference(status: os.stat_result, member: Member) -> str | None:
    if os.name == "posix" and bool(status.st_mode & 0o100) != bool(member.mode & 0o100):
        return "is executable" if status.st_mode & 0o100 else "is not executable any more"
    return None


def _files(prefix: Path, folders: Iterable[Folder]) -> Iterator[str]:
    """Files and links below a prefix, without ``.envc`` and bytecode in its folders (PEP 3147)."""
    for place, below, files in folders:
        base = Path(place).relative_to(prefix).as_posix()
        base = "" if base == "." else f"{base}/"
        if base.startswith(".envc/"):
            continue
        links = [name for name in below if Path(place, name).is_symlink()]
        yield from (f"{base}{name}" for name in links if base or name != ".envc")
        is_bytecode = base.endswith("__pycache__/")
        yield from (f"{base}{name}" for name in files if not (is_bytecode and ".pyc" in name))
