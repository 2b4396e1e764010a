"""Stores in folders that other users, other programs and other machines write to as well."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from email.utils import format_datetime, parsedate_to_datetime
from pathlib import Path
from types import FrameType

import fsspec
import pytest

from envc.errors import StoreError
from envc.model.digest import sha256
from envc.model.progress import Silent
from envc.shipping.deliver.hydrate import StoredEnvironment, hydrate
from envc.shipping.deliver.verify import verify_store
from envc.shipping.store.backends.folder import FolderBlobs, NotAStore
from envc.shipping.store.backends.fsspec import open_remote
from envc.shipping.store.blobs import Blobs
from envc.shipping.store.keys import DRAFTS, draft_key, is_own, lock_key, object_key, step_key, tag_key, unescape
from envc.shipping.store.open import open_store
from envc.shipping.store.own_blobs import OwnBlobs
from envc.shipping.store.tags import put_tag, tags
from envc.shipping.store.upkeep.collect import Collector
from envc.shipping.store.upkeep.leases import leased, read_leases
from envc.shipping.store.upkeep.notices import PublishedNotice, wait_for_collections
from envc.shipping.store.upkeep.store_clock import StoreClock
from tests.support.blob_servers import Proxy, S3Server
from tests.support.environments import HOST, bundle
from tests.support.stores import MemoryBlobs
from tests.support.wheels import build_wheel

posix = pytest.mark.skipif(os.name != "posix", reason="needs links and FIFOs")
DAY = 24 * 3600
ALPHA, BETA = build_wheel("alpha", "1.0"), build_wheel("beta", "1.0")
LOCK = sha256(b"the lock\n")  # the lock that `tests.support.environments.bundle` uses


def age(folder: Path, days: int = 400) -> None:
    """Make all files below a folder that old."""
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            os.utime(path, (time.time() - days * DAY,) * 2)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def collector(store: Blobs, progress: Silent | None = None) -> Collector:
    return Collector(store, now=StoreClock(store).now, recent=30 * DAY, progress=progress or Silent())


def collect(store: Blobs, progress: Silent | None = None) -> tuple[str, ...]:
    """Collect the garbage of a store. Returns the keys that were removed."""
    its = collector(store, progress)
    return tuple(listed.key for listed in its.remove(its.find()))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# folders that hold other files


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder of a user with a `tmp` of its own, whose files are old."""
    folder = tmp_path / "data"
    (folder / "tmp").mkdir(parents=True)
    for name in ("thesis.txt", "0123456789abcdef0123456789abcdef", "results"):
        (folder / "tmp" / name).write_text("precious")
    age(folder)
    return folder


def test_a_folder_with_files_of_others_is_refused_as_a_store(data: Path, tmp_path: Path) -> None:
    before = contents(data)
    store = open_store(data)
    for work in (
        lambda: bundle(store, tmp_path / "work", ALPHA),
        lambda: store.write("v1/tags/a/b.json", b""),
        lambda: put_tag(store, "demo", "v1", LOCK),
        lambda: StoreClock(store).now(),
    ):
        with pytest.raises(NotAStore, match="data: is not empty, and is no store of envc; nothing was") as caught:
            work()
        assert "--init-store" in (caught.value.hint or "")
    assert contents(data) == before
    assert names(data) == ["tmp"]


def test_a_store_among_files_of_others_never_touches_them(data: Path, tmp_path: Path) -> None:
    before = contents(data)
    for _ in range(2):
        bundle(open_store(data, init=True), tmp_path / "work", ALPHA)
    bundle(open_store(data), tmp_path / "work", BETA)
    age(data)
    collect(open_store(data))
    assert contents(data / "v1") == {}
    assert {f"tmp/{name}": text for name, text in contents(data / "tmp").items()} == before
    assert all(time.time() - path.stat().st_mtime > DAY for path in (data / "tmp").iterdir())


def test_the_folder_v1_of_another_program_is_no_store(tmp_path: Path) -> None:
    (tmp_path / "v1/objects").mkdir(parents=True)
    (tmp_path / "v1/objects/users.json").write_text("[]")
    with pytest.raises(NotAStore):
        open_store(tmp_path).write(lock_key(LOCK), b"")
    with pytest.raises(NotAStore):
        store = open_store(tmp_path)
        (tmp_path / "v1/locks").mkdir()
        (tmp_path / "v1/objects/users.json").rename(tmp_path / "v1/locks/users.json")
        store.write(lock_key(LOCK), b"")


@pytest.fixture
def old_store(tmp_path: Path) -> Path:
    """A store as earlier versions made it: without a marker, with drafts in `tmp`."""
    folder = tmp_path / "old"
    bundle(open_store(folder), tmp_path / "work", ALPHA)
    (folder / ".envc-store").unlink()
    (folder / DRAFTS).rmdir()
    (folder / "tmp").mkdir()
    for number in range(2):
        (folder / f"tmp/{number:032x}").write_bytes(b"half")
    os.utime(folder / f"tmp/{0:032x}", (0, 0))
    return folder


def test_a_store_of_an_earlier_version_is_recognised_and_its_old_drafts_go(old_store: Path, tmp_path: Path) -> None:
    (old_store / "of a user").write_text("x")
    bundle(open_store(old_store), tmp_path / "work", BETA)
    assert names(old_store) == [".envc-store", "of a user", "tmp", "v1"]
    assert names(old_store / "tmp") == [f"{1:032x}"]  # another run may still be writing it
    age(old_store / "tmp")
    bundle(open_store(old_store), tmp_path / "work", BETA)
    assert names(old_store / "tmp") == [f"{1:032x}"]  # it is a store with a marker now: `tmp` is no place of it


def test_drafts_of_an_earlier_version_stay_if_anything_else_is_beside_them(old_store: Path, tmp_path: Path) -> None:
    (old_store / "tmp/notes").write_text("precious")
    bundle(open_store(old_store), tmp_path / "work", BETA)
    assert len(names(old_store / "tmp")) == 3


def test_an_emptied_store_of_an_earlier_version_is_recognised(old_store: Path, tmp_path: Path) -> None:
    for path in old_store.rglob("*"):
        if path.is_file():
            path.unlink()
    bundle(open_store(old_store), tmp_path / "work", BETA)
    assert not (old_store / "tmp").exists()


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_store_whose_root_is_read_only_needs_no_marker(old_store: Path, tmp_path: Path) -> None:
    """The bundle would fail if the marker had to be written."""
    (old_store / DRAFTS).mkdir()
    old_store.chmod(0o555)
    try:
        bundle(open_store(old_store), tmp_path / "work", BETA)
    finally:
        old_store.chmod(0o755)


# links


@contextmanager
def deadline(seconds: int = 10) -> Iterator[None]:
    """Raise TimeoutError if the block takes longer, even if it waits for a FIFO."""

    def fail(number: int, frame: FrameType | None) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, fail)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def an_object(store: Path) -> str:
    """Return the key of an object of a store."""
    return next(name for name in contents(store) if name.startswith("v1/objects"))


def works(key: str, folder: Path) -> dict[str, Callable[[Blobs], object]]:
    """Everything that reads or changes a store, above all the blob under `key`."""
    return {
        "read": lambda store: store.read(key, 1 << 20),
        "read_range": lambda store: store.read_range(key, 0, 1),
        "size": lambda store: store.size(key),
        "open": lambda store: store.open(key).close(),
        "exists": lambda store: store.exists(key),
        "write": lambda store: store.write(key, b"overwritten"),
        "write_new": lambda store: store.write_new(key, b"overwritten"),
        "write another": lambda store: store.write_new(f"{key[:-1]}x", b"new"),
        "delete": lambda store: store.delete(key),
        "list": lambda store: list(store.list("v1")),
        "gc": lambda store: collect(store),
        "verify": lambda store: verify_store(store, Silent()),
        "bundle": lambda store: bundle(store, folder / "work", ALPHA),
    }


@posix
@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_no_folder_of_a_store_may_be_a_link(depth: int, tmp_path: Path) -> None:
    """`depth` counts from the root: v1, v1/objects, v1/objects/LAYOUT, v1/objects/LAYOUT/AA."""
    bundled, _ = bundle(open_store(tmp_path / "store"), tmp_path / "work", ALPHA)
    key = an_object(tmp_path / "store")
    name = "/".join(key.split("/")[:depth])
    victim = tmp_path / "victim"
    (tmp_path / "store" / name).rename(victim)  # so everything that a follower looks for is there
    (tmp_path / "store" / name).symlink_to(victim)
    age(victim)
    before = contents(victim)
    for title, work in works(key, tmp_path).items():
        with pytest.raises(StoreError, match=f"store: {name} is a link") as caught:
            work(open_store(tmp_path / "store"))
            pytest.fail(f"{title} follows the link")
        assert "follows no links" in (caught.value.hint or "")
    with pytest.raises(StoreError, match=f"{name} is a link"):
        hydrate(
            StoredEnvironment(open_store(tmp_path / "store"), bundled.records[0]),
            tmp_path / "prefix",
            interpreter=HOST,
            cache=tmp_path / "cache",
            progress=Silent(),
        )
    assert contents(victim) == before
    assert all(time.time() - path.stat().st_mtime > DAY for path in victim.rglob("*") if path.is_file())


@posix
@pytest.mark.parametrize("place", ["locks", "leases", "notices", "tags", "steps", "drafts", "code", "environments"])
def test_a_link_in_any_place_of_a_store_is_named(place: str, tmp_path: Path) -> None:
    store = open_store(tmp_path / "store")
    bundle(store, tmp_path / "work", ALPHA)
    victim, folder = tmp_path / "victim", tmp_path / f"store/v1/{place}"
    if folder.exists():
        folder.rename(victim)
    else:
        victim.mkdir()
    (victim / "0123456789abcdef0123456789abcdef").write_text("precious")
    age(victim)
    before = contents(victim)
    folder.symlink_to(victim)
    with pytest.raises(StoreError, match=f"v1/{place} is a link"):
        collect(open_store(tmp_path / "store"))
    if place not in ("tags", "code"):  # these, a bundle without code does not need
        with pytest.raises(StoreError, match=f"v1/{place} is a link"):
            bundle(open_store(tmp_path / "store"), tmp_path / "work", BETA)
    assert contents(victim) == before


@posix
def test_a_blob_that_is_a_link_is_neither_read_nor_written_through(tmp_path: Path) -> None:
    store = open_store(tmp_path / "store")
    bundle(store, tmp_path / "work", ALPHA)
    key = an_object(tmp_path / "store")
    todo = works(key, tmp_path)
    blob, victim = tmp_path / "store" / key, tmp_path / "victim"
    blob.rename(victim)
    blob.symlink_to(victim)
    before = victim.read_bytes()
    del todo["write another"], todo["write"]
    for title, work in todo.items():
        with pytest.raises(StoreError, match="is a link"):
            work(store)
            pytest.fail(f"{title} follows the link")
    store.write(key, b"in place of the link")
    assert not blob.is_symlink()
    assert victim.read_bytes() == before


@posix
def test_the_store_itself_may_be_reached_by_a_link(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "store").symlink_to(tmp_path / "disk")
    bundle(open_store(tmp_path / "store"), tmp_path / "work", ALPHA)
    assert verify_store(open_store(tmp_path / "store"), Silent()).problems == ()


@posix
def test_a_folder_replaced_by_a_link_while_a_run_uses_it_is_noticed(tmp_path: Path) -> None:
    store = FolderBlobs(tmp_path / "store")
    key = object_key("any", LOCK)
    store.write_new(key, b"real")
    assert store.read(key, 10) == b"real"
    objects = tmp_path / "store/v1/objects"
    objects.rename(tmp_path / "moved")
    evil = tmp_path / "evil" / key.removeprefix("v1/objects/")
    evil.parent.mkdir(parents=True)
    evil.write_bytes(b"evil")
    objects.symlink_to(tmp_path / "evil")
    with pytest.raises(StoreError, match="v1/objects is a link"):
        store.read(key, 10)
    objects.unlink()
    assert not store.exists(key)
    store.write_new(key, b"again")
    assert store.read(key, 10) == b"again"
    assert evil.read_bytes() == b"evil"


# files that are not regular


@posix
def test_a_fifo_in_a_store_blocks_nothing(tmp_path: Path) -> None:
    bundle(open_store(tmp_path / "store"), tmp_path / "work", ALPHA)
    key = an_object(tmp_path / "store")
    todo = works(key, tmp_path)
    (tmp_path / "store" / key).unlink()
    os.mkfifo(tmp_path / "store" / key)
    del todo["write another"], todo["write"]
    for title, work in todo.items():
        with deadline(), pytest.raises(StoreError, match=f"{key} is not a regular file"):
            work(open_store(tmp_path / "store"))
            pytest.fail(f"{title} takes the FIFO for a blob")


@posix
def test_a_fifo_as_marker_or_old_draft_blocks_nothing(old_store: Path, tmp_path: Path) -> None:
    os.mkfifo(old_store / ".envc-store")
    os.mkfifo(old_store / f"tmp/{2:032x}")
    with deadline():
        bundle(open_store(old_store), tmp_path / "work", BETA)
    assert len(names(old_store / "tmp")) == 3


# files of systems and other programs


def test_files_that_systems_leave_in_folders_stop_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    bundle(open_store(folder), tmp_path / "work", ALPHA)
    put_tag(open_store(folder), "demo", "v1", LOCK)
    with leased(open_store(folder), ["v1/a"]):
        pass
    for place in [folder, *(path for path in folder.rglob("*") if path.is_dir())]:
        for name in (".DS_Store", ".nfs00000000012345", "._x.json", "Thumbs.db", "a b (1).json", "x.json~"):
            (place / name).write_bytes(b"\0")
    age(folder)
    strangers = {name: data for name, data in contents(folder).items() if data == b"\0"}
    store, progress = open_store(folder), Silent()
    bundle(store, tmp_path / "work", BETA)
    assert [tag.name for tag in tags(store, OwnBlobs(store))] == ["v1"]
    assert verify_store(store, progress).problems == ()
    assert all(map(is_own, collect(store, progress)))
    assert all("files that are not envc's were passed over: v1/" in text for text in progress.warnings)
    assert len(progress.warnings) == 2
    assert strangers.items() <= contents(folder).items()


@pytest.mark.skipif(sys.platform != "linux", reason="other systems allow no such names")
def test_names_that_no_system_would_leave_stop_nothing_either(tmp_path: Path) -> None:
    store, progress = open_store(tmp_path / "store"), Silent()
    bundle(store, tmp_path / "work", ALPHA)
    locks = os.fsencode(tmp_path / "store/v1/locks")
    for name in (b"\xff\xfe", b"a\nerror: b", b"\x1b[31m", b"x" * 255, LOCK[:-1].encode() + "\u0660".encode()):
        with open(os.path.join(locks, name), "wb"):  # noqa: PTH118, PTH123 - a name of bytes
            pass
    deep = tmp_path / "store/v1/code/deep"
    try:
        subprocess.run(["mkdir", "-p", deep / "/".join("d" * 1500)], check=True)
        assert collect(store, progress) == ()
        assert verify_store(store, progress).problems == ()
        bundle(store, tmp_path / "work", BETA)
    finally:
        subprocess.run(["rm", "-rf", deep], check=True)  # too deep for shutil.rmtree
    (warning,) = progress.warnings
    assert "6 files that are not envc's were passed over: v1/code/deep/d/d/d" in warning


def test_a_name_of_a_project_or_step_is_no_other_file_on_any_system(tmp_path: Path) -> None:
    for name in ("nul", "AUX", "com1.txt", "con.", "x.", "...", "..", "a:b", "a/b", "NUL ", "\u200b", "é", "a\\b", "~"):
        key = step_key(name, LOCK, name, name)
        parts = key.split("/")
        assert len(parts) == 6
        assert [unescape(part.removesuffix(".json")) for part in (parts[2], parts[4], parts[5])] == [name] * 3
        for part in parts:
            assert not part.endswith((".", " "))
            assert part.split(".")[0].lower() not in ("nul", "aux", "com1", "con", "")
        assert is_own(key)
        assert is_own(tag_key(name, name))
    assert is_own(f"v1/steps/nul/{LOCK}/aux/linux-64.json")  # as earlier versions wrote it


# clocks


class SkewedBlobs(MemoryBlobs):
    """A store whose clock differs from that of this machine."""

    def __init__(self, skew: float) -> None:
        super().__init__()
        self.skew = skew  # seconds

    def write_new(self, key: str, data: object) -> bool:
        done = super().write_new(key, data)  # type: ignore[arg-type]
        if done:
            self.times[key] = time.time() + self.skew
        return done

    def write(self, key: str, data: bytes) -> None:
        super().write(key, data)
        self.times[key] = time.time() + self.skew


@pytest.mark.parametrize("skew", [-400 * DAY, -2 * DAY, 2 * DAY, 400 * DAY])
def test_ages_do_not_depend_on_the_clocks_of_machines(skew: float, tmp_path: Path) -> None:
    store = SkewedBlobs(skew)
    bundle(store, tmp_path / "work", ALPHA)
    assert collector(store).find().blobs == ()
    garbage = object_key("any", LOCK)
    store.write_new(garbage, b"x")
    store.times[garbage] -= 2 * DAY
    with leased(store, [garbage]):
        assert collector(store).find().blobs == ()
    (found,) = collector(store).find().blobs
    assert found.key == garbage
    store.times[next(key for key in store.blobs if key.startswith("v1/steps"))] -= 29 * DAY
    assert len(collector(store).find().blobs) == 1
    store.times[next(key for key in store.blobs if key.startswith("v1/steps"))] -= 2 * DAY
    assert len(collector(store).find().blobs) == 2  # what the pointer refers to is not a day old


@pytest.mark.parametrize("days", [-2, 2])
def test_a_lease_is_kept_by_a_collection_on_a_machine_with_a_wrong_clock(
    days: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(tmp_path / "store")
    garbage = object_key("any", LOCK)
    store.write_new(garbage, b"x")
    age(tmp_path / "store", 2)
    real = time.time
    with leased(store, [garbage]):
        monkeypatch.setattr(time, "time", lambda: real() + days * DAY)
        assert collect(open_store(tmp_path / "store")) == ()
        assert read_leases(store, OwnBlobs(store), StoreClock(store).now)[0] == {garbage}
    assert collect(open_store(tmp_path / "store")) == (garbage,)


@pytest.mark.parametrize("days", [-2, 2])
def test_a_bundle_on_a_machine_with_a_wrong_clock_waits_for_a_collection(
    days: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(tmp_path / "store")
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + days * DAY)
    ended = threading.Event()

    def wait() -> None:
        wait_for_collections(store, ["v1/a"])
        ended.set()

    with PublishedNotice(store, ["v1/a"]):
        thread = threading.Thread(target=wait)
        thread.start()
        assert not ended.wait(1)
    thread.join(10)
    assert ended.is_set()


class SkewedServer(Proxy):
    """Forwards requests to an S3 server, and states all times as if the clock of the server were wrong."""

    def __init__(self, target: str, days: int) -> None:
        super().__init__(target)
        self._shift = timedelta(days=days)

    def answer(self, method: str, path: str, headers: dict[str, str], body: bytes) -> tuple[int, dict[str, str], bytes]:
        status, stated, data = super().answer(method, path, headers, body)
        for name in [name for name in stated if name.lower() == "last-modified"]:
            stated[name] = format_datetime(parsedate_to_datetime(stated[name]) + self._shift, usegmt=True)

        def shifted(found: re.Match[bytes]) -> bytes:
            moment = datetime.fromisoformat(found[1].decode()) + self._shift
            return f"<LastModified>{moment:%Y-%m-%dT%H:%M:%S.000Z}</LastModified>".encode()

        return status, stated, re.sub(rb"<LastModified>(.*?)</LastModified>", shifted, data)


@pytest.mark.slow
@pytest.mark.parametrize("days", [-2, 2])
@pytest.mark.parametrize("client", ["obstore", "s3fs"])
def test_ages_in_a_bucket_are_those_of_its_server(
    client: str, days: int, s3_server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = s3_server.bucket()
    with SkewedServer(s3_server.url, days) as server:
        for key, value in s3_server.environ(server.url).items():
            monkeypatch.setenv(key, value)
        fsspec.get_filesystem_class("s3").clear_instance_cache()
        store = open_store(url) if client == "obstore" else open_remote(url)
        assert type(store).__name__ == ("BucketBlobs" if client == "obstore" else "RemoteBlobs")
        assert abs(StoreClock(store).now() - time.time() - days * DAY) < 60
        bundle(store, tmp_path / "work", ALPHA)
        with leased(store, [object_key("any", LOCK)]):
            assert collect(store) == ()
            assert read_leases(store, OwnBlobs(store), StoreClock(store).now)[0] == {object_key("any", LOCK)}
        assert list(store.list(DRAFTS)) == []
        fsspec.get_filesystem_class("s3").clear_instance_cache()


def test_a_draft_of_a_machine_with_another_clock_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store(tmp_path / "store")
    store.write(lock_key(LOCK), b"")
    draft = tmp_path / "store" / draft_key()
    draft.write_bytes(b"half")
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + 2 * DAY)
    open_store(tmp_path / "store").write(lock_key(LOCK), b"")
    assert draft.exists()


def test_leftovers_of_killed_writers_are_collected_from_stores_at_urls() -> None:
    store = MemoryBlobs()
    old, new, other = draft_key(), draft_key(), f"{DRAFTS}/readme"
    for key in (old, new, other):
        store.blobs[key] = b"half"
        store.times[key] = time.time() - (0 if key == new else 2 * DAY)
    assert collect(store) == (old,)
    assert set(store.blobs) == {new, other}
