"""Kills bundle and hydrate at random moments: ``python -m tests.support.killing bundle|hydrate FOLDER SEED TIMES``.

Each attempt is a fork of a process that has imported everything, so the kills hit the work and not the imports. After
each attempt the state that other processes see is checked. Prints how many attempts were killed and how many finished.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from envc.errors import EnvcError
from envc.model.digest import sha256
from envc.model.progress import Silent
from envc.model.record import Record
from envc.shipping.deliver.hydrate import StoredEnvironment, hydrate
from envc.shipping.deliver.pack import Bundled
from envc.shipping.format.errors import MissingBlob
from envc.shipping.prefix import object_cache, tree  # noqa: F401 - imported before the clock runs
from envc.shipping.prefix.object_cache import ObjectCache
from envc.shipping.store.blobs import Blobs
from envc.shipping.store.keys import step_key
from envc.shipping.store.objects import get_object, verify_object
from envc.shipping.store.open import open_store
from envc.shipping.store.records import get_pointer, get_record
from envc.system import atomic_folder  # noqa: F401 - imported before the clock runs
from tests.support.environments import HOST, bundle, environment
from tests.support.wheels import build_wheel

Attempt = Callable[[], object]

SMALL = build_wheel("small", files={f"small/m{n}.py": f"number = {n}\n" * 40 for n in range(300)})
LARGE = build_wheel("large", files={"large.bin": random.Random(1).randbytes(12_000_000)}, compression=0)
OTHER = build_wheel("other")


def kill_at_random(attempt: Attempt, judge: Callable[[bool], None], seed: int, times: int) -> tuple[int, int]:
    """Make attempts until `times` of them were killed. Returns the numbers of killed and of finished attempts."""
    moments = random.Random(seed)
    killed = ended = 0
    longest = _seconds(attempt)
    judge(True)
    while killed < times:
        child = os.fork()
        if not child:
            os._exit(_attempt(attempt))
        time.sleep(moments.uniform(0, longest))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        code = os.waitstatus_to_exitcode(status)
        if code not in (0, -signal.SIGKILL):
            raise SystemExit(f"an attempt failed after {killed} kills")
        killed += code != 0
        ended += code == 0
        judge(code == 0)
    return killed, ended


def _seconds(attempt: Attempt) -> float:
    start = time.perf_counter()
    child = os.fork()
    if not child:
        os._exit(_attempt(attempt))
    _, status = os.waitpid(child, 0)
    if status:
        raise SystemExit("the first attempt failed")
    return time.perf_counter() - start


def _attempt(attempt: Attempt) -> int:
    try:
        attempt()
    except BaseException as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
        return 1
    return 0


def kill_bundles(folder: Path, seed: int, times: int) -> tuple[int, int]:
    """Every blob in the store is whole, and everything that a pointer refers to exists."""

    def attempt() -> Bundled:
        return bundle(open_store(folder / "store"), folder, SMALL, LARGE)[0]

    def judge(is_done: bool) -> None:
        store = open_store(folder / "store")
        for key in store.list("v1/objects"):
            layout, _, artifact = key.removeprefix("v1/objects/").split("/")
            verify_object(store, get_object(store, artifact=artifact, layout=layout))
        if not _judge_pointer(store) and is_done:
            raise SystemExit("a finished bundle left no pointer")
        if is_done:
            shutil.rmtree(folder / "store")
            shutil.rmtree(folder / "cache")

    result = kill_at_random(attempt, judge, seed, times)
    attempt()
    judge(True)
    return result


def _judge_pointer(store: Blobs) -> bool:
    try:
        pointer = get_pointer(store, step_key("demo", sha256(b"the lock\n"), "step", HOST.platform))
    except MissingBlob:
        return False
    record = get_record(store, pointer.environment, pointer.record)
    for item in record.objects:
        verify_object(store, get_object(store, artifact=item.index.artifact, layout=item.index.layout), item.content)
    return record.environment == environment(SMALL, LARGE).id


def kill_hydrates(folder: Path, seed: int, times: int) -> tuple[int, int]:
    """The prefix is whole or missing; the prefix that it replaced is removed; the cache corrupts no later prefix."""
    store = open_store(folder / "store")
    records = (
        bundle(store, folder / "one", SMALL, LARGE)[0].records[0],
        bundle(store, folder / "two", SMALL, OTHER)[0].records[0],
    )
    prefix, cache = folder / "place/prefix", folder / "cache"
    turn = 0

    def attempt() -> bool:
        made = hydrate(
            StoredEnvironment(store, records[turn % 2]), prefix, interpreter=HOST, cache=cache, progress=Silent()
        )
        for item in records[turn % 2].objects:
            if not ObjectCache(cache / "objects").holds(item.index.layout, item.index.bytes_digest):
                raise EnvcError(f"{item.name} was not kept")
        return made

    def judge(is_done: bool) -> None:
        nonlocal turn
        whole = [record for record in records if _is_whole(prefix, record)]
        if prefix.exists() != bool(whole):
            raise SystemExit("a prefix is incomplete")
        if is_done:
            if whole != [records[turn % 2]]:
                raise SystemExit("a finished hydrate made another prefix")
            if left := [path.name for path in prefix.parent.iterdir() if path != prefix]:
                raise SystemExit(f"it left {left}")
            # Some attempts replace a prefix, some find one object unpacked, and some find none.
            if turn % 3 == 0:
                shutil.rmtree(cache / "objects")
            if turn % 5 == 0:
                shutil.rmtree(prefix)
            turn += 1

    result = kill_at_random(attempt, judge, seed, times)
    attempt()
    judge(True)
    return result


def _is_whole(prefix: Path, record: Record) -> bool:
    """Whether the prefix claims to be the record's. If it does, its content must match."""
    from envc.shipping.deliver.hydrate import RECORD, record_digest

    try:
        if sha256((prefix / RECORD).read_bytes()) != record_digest(record):
            return False
    except FileNotFoundError:
        return False
    for item in record.objects:
        for member in item.index.members:
            if sha256((prefix / member.path).read_bytes()) != member.sha256:
                raise SystemExit(f"{member.path} does not match the record")
    return (prefix / "bin/python").exists() and (prefix / ".envc/prefix.json").is_file()


def main() -> None:
    what, folder, seed, times = sys.argv[1:]
    work = {"bundle": kill_bundles, "hydrate": kill_hydrates}[what]
    killed, ended = work(Path(folder), int(seed), int(times))
    print(f"{killed} killed, {ended} came to their end")


if __name__ == "__main__":
    main()
