"""Leases, tags and garbage collection: everything still needed is kept, and the rest is removed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from envc.errors import EnvcError, StoreError, UsageError
from envc.model.digest import Sha256, sha256
from envc.model.progress import Silent, Task
from envc.shipping.deliver.pack import StepBundle
from envc.shipping.format.encode import Entry
from envc.shipping.format.errors import CorruptBlob
from envc.shipping.store.blobs import Blobs, Listed
from envc.shipping.store.keys import environment_key, notice_key, object_key, step_key
from envc.shipping.store.open import open_store
from envc.shipping.store.own_blobs import OwnBlobs
from envc.shipping.store.tags import delete_tag, is_bundled, put_tag, tags
from envc.shipping.store.upkeep.collect import Collector, Garbage
from envc.shipping.store.upkeep.leases import leased, read_leases
from envc.shipping.store.upkeep.notices import NOTICE_SECONDS, PublishedNotice, wait_for_collections
from tests.support.environments import HOST, bundle, environment
from tests.support.stores import MemoryBlobs
from tests.support.wheels import Distribution, build_wheel

DAY = 24 * 3600.0
ALPHA, BETA, GAMMA = (build_wheel(name, "1.0") for name in ("alpha", "beta", "gamma"))
LOCK = sha256(b"the lock\n")  # the lock that `tests.support.environments.bundle` uses


class BundledStore:
    """A store with several bundles of different ages, in days."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = MemoryBlobs()
        self.progress = Silent()
        self.now = time.time()

    def bundle(self, *wheels: Distribution, step: str = "step", days_ago: float = 0, code: str = "") -> None:
        before = dict(self.store.blobs)
        entries = (Entry(path="main.py", content=code.encode()),) if code else None
        steps = (StepBundle(step=step, target=HOST.platform, environment=environment(*wheels), code=entries),)
        bundle(self.store, self.folder, *wheels, steps=steps)
        for key in self.store.blobs:
            if key not in before or key == step_key("demo", LOCK, step, HOST.platform):
                self.store.times[key] = self.now - days_ago * DAY

    def collector(self, *, now: float | None = None, recent: float = 30 * DAY) -> Collector:
        moment = self.now if now is None else now
        return Collector(self.store, progress=self.progress, now=lambda: moment, recent=recent)

    def collect(self, **options: float) -> Garbage:
        collector = self.collector(**options)
        garbage = collector.find()
        collector.remove(garbage)
        return garbage

    def places(self) -> list[str]:
        """Return the content of the store, as the first part of each key."""
        return sorted(key.split("/")[1] for key in self.store.blobs)

    def objects(self) -> set[str]:
        return {key for key in self.store.blobs if key.startswith("v1/objects")}


@pytest.fixture
def bundled_store(tmp_path: Path) -> BundledStore:
    return BundledStore(tmp_path)


def key_of(wheel: Distribution) -> str:
    (member,) = environment(wheel).members
    return object_key(member.layout, Sha256(wheel.sha256))


# leases


def test_a_lease_lasts_while_its_work_is_running() -> None:
    store = MemoryBlobs()
    with leased(store, ["v1/b", "v1/a", "v1/b"]):
        assert read_leases(store, OwnBlobs(store), lambda: time.time()) == (frozenset({"v1/a", "v1/b"}), ())
    assert store.blobs == {}


def test_a_lease_ends_on_failure_but_not_on_a_kill() -> None:
    store = MemoryBlobs()
    with pytest.raises(LookupError), leased(store, ["v1/a"]):
        raise LookupError
    assert store.blobs == {}
    kept = leased(store, ["v1/a"])
    kept.__enter__()
    assert read_leases(store, OwnBlobs(store), lambda: time.time() + 23 * 3600)[0] == {"v1/a"}
    keys, expired = read_leases(store, OwnBlobs(store), lambda: time.time() + 25 * 3600)
    assert (keys, [listed.key for listed in expired]) == (frozenset(), list(store.blobs))


def test_a_store_that_fails_at_the_end_does_not_fail_the_work(tmp_path: Path) -> None:
    with leased(open_store(tmp_path), ["v1/a"]):
        (lease,) = open_store(tmp_path).list("v1/leases")
        (tmp_path / lease).unlink()
        (tmp_path / lease).mkdir()
    assert (tmp_path / lease).is_dir()


# tags


def test_tags_are_names_for_locks() -> None:
    store = MemoryBlobs()
    one, other = sha256(b"one"), sha256(b"other")
    assert put_tag(store, "my project", "v1.0", one)
    assert put_tag(store, "my project", "v1.0", one)
    assert not put_tag(store, "my project", "v1.0", other)
    assert put_tag(store, "my project", "größe/2", other)
    assert put_tag(store, "alien", "v1.0", other)
    assert [(tag.project, tag.name, tag.lock) for tag in tags(store, OwnBlobs(store))] == [
        ("alien", "v1.0", other),
        ("my project", "größe/2", other),
        ("my project", "v1.0", one),
    ]
    assert put_tag(store, "my project", "v1.0", other, move=True)
    assert {tag.lock for tag in tags(store, OwnBlobs(store), "my project")} == {other}
    assert delete_tag(store, "my project", "v1.0")
    assert not delete_tag(store, "my project", "v1.0")
    assert [tag.name for tag in tags(store, OwnBlobs(store), "my project")] == ["größe/2"]


def test_a_tag_needs_a_name_and_must_be_readable() -> None:
    store = MemoryBlobs()
    with pytest.raises(UsageError, match="cannot name something"):
        put_tag(store, "project", "", LOCK)
    store.blobs["v1/tags/project/v1.json"] = b'{"format":1,"lock":"../../etc"}'
    with pytest.raises(CorruptBlob, match="not a sha256"):
        list(tags(store, OwnBlobs(store)))


def test_bundled_steps_of_a_lock_are_listed(bundled_store: BundledStore) -> None:
    assert not is_bundled(bundled_store.store, "demo", LOCK)
    bundled_store.bundle(ALPHA)
    assert is_bundled(bundled_store.store, "demo", LOCK)
    assert not is_bundled(bundled_store.store, "demo", sha256(b"another"))


# garbage


def test_recent_items_stay_and_old_items_are_removed(bundled_store: BundledStore) -> None:
    bundled_store.bundle(ALPHA, BETA, step="old", days_ago=40, code="print('old')")
    bundled_store.bundle(BETA, GAMMA, step="new", days_ago=20, code="print('new')")
    assert bundled_store.places() == sorted(["code", "environments", "objects", "steps"] * 2 + ["objects", "locks"])
    garbage = bundled_store.collect()
    assert [listed.key.split("/")[1] for listed in garbage.blobs] == ["steps", "environments", "code", "objects"]
    assert bundled_store.objects() == {key_of(BETA), key_of(GAMMA)}
    assert garbage.size == sum(listed.size for listed in garbage.blobs)
    assert (garbage.kept, garbage.kept_size) == (6, sum(map(len, bundled_store.store.blobs.values())))
    assert bundled_store.collect().blobs == ()


def test_a_dry_run_removes_nothing(bundled_store: BundledStore) -> None:
    bundled_store.bundle(ALPHA, days_ago=400)
    before = dict(bundled_store.store.blobs)
    assert len(bundled_store.collector().find().blobs) == len(before) == 4
    assert bundled_store.store.blobs == before


def test_the_caller_chooses_the_minimum_age_but_it_is_at_least_a_day(bundled_store: BundledStore) -> None:
    bundled_store.bundle(ALPHA, days_ago=20)
    assert not bundled_store.collector(recent=21 * DAY).find().blobs
    assert len(bundled_store.collector(recent=19 * DAY).find().blobs) == 4
    bundled_store.bundle(BETA, step="young", days_ago=0.9)
    assert key_of(BETA) not in {listed.key for listed in bundled_store.collector(recent=0).find().blobs}


def test_a_tag_keeps_every_step_of_its_lock(bundled_store: BundledStore) -> None:
    bundled_store.bundle(ALPHA, step="one", days_ago=400, code="x")
    bundled_store.bundle(BETA, step="two", days_ago=500)
    put_tag(bundled_store.store, "demo", "v1", LOCK)
    before = dict(bundled_store.store.blobs)
    assert bundled_store.collect().blobs == ()
    assert bundled_store.store.blobs == before
    delete_tag(bundled_store.store, "demo", "v1")
    bundled_store.collect()
    assert bundled_store.store.blobs == {}


def test_a_tag_of_another_project_keeps_nothing_of_this_one(bundled_store: BundledStore) -> None:
    bundled_store.bundle(ALPHA, days_ago=400)
    put_tag(bundled_store.store, "other", "v1", LOCK)
    bundled_store.collect()
    assert bundled_store.places() == ["tags"]


def test_young_objects_stay_although_unreferenced(bundled_store: BundledStore) -> None:
    """A running bundle has written them, and writes its pointers last."""
    bundled_store.bundle(ALPHA, days_ago=0.5)
    for key in [key for key in bundled_store.store.blobs if not key.startswith("v1/objects")]:
        bundled_store.store.delete(key)
    assert bundled_store.collect().blobs == ()
    bundled_store.store.times[key_of(ALPHA)] = bundled_store.now - 1.5 * DAY
    assert [listed.key for listed in bundled_store.collect().blobs] == [key_of(ALPHA)]


def test_old_objects_stay_while_a_lease_names_them(bundled_store: BundledStore) -> None:
    """A running bundle has found them, and will not make them again."""
    bundled_store.bundle(ALPHA, BETA, days_ago=400)
    with leased(bundled_store.store, [key_of(ALPHA)]):
        bundled_store.collect()
        assert bundled_store.objects() == {key_of(ALPHA)}
    bundled_store.collect()
    assert bundled_store.store.blobs == {}


def test_a_leased_record_keeps_its_objects(bundled_store: BundledStore) -> None:
    bundled_store.bundle(ALPHA, BETA, days_ago=400)
    with leased(bundled_store.store, [environment_key(environment(ALPHA, BETA).id)]):
        bundled_store.collect()
        assert bundled_store.objects() == {key_of(ALPHA), key_of(BETA)}


def test_expired_leases_are_removed(bundled_store: BundledStore) -> None:
    bundled_store.bundle(ALPHA, days_ago=400)
    killed = leased(bundled_store.store, [key_of(ALPHA)])
    killed.__enter__()
    (lease,) = bundled_store.store.list("v1/leases")
    bundled_store.store.times[lease] = bundled_store.now - 2 * DAY
    bundled_store.collect()
    assert bundled_store.store.blobs == {}


def test_an_item_needed_again_before_its_removal_stays(bundled_store: BundledStore) -> None:
    bundled_store.bundle(ALPHA, days_ago=400)
    bundled_store.bundle(BETA, step="other", days_ago=400)
    collector = bundled_store.collector()
    garbage = collector.find()
    assert key_of(ALPHA) in {listed.key for listed in garbage.blobs}
    bundled_store.bundle(ALPHA, step="again")
    removed = collector.remove(garbage)
    assert key_of(ALPHA) not in {listed.key for listed in removed}
    assert bundled_store.objects() == {key_of(ALPHA)}
    assert bundled_store.store.exists(step_key("demo", LOCK, "again", HOST.platform))


class Hesitant(MemoryBlobs):
    """A store that calls a function before it first removes an object."""

    meanwhile: Callable[[], None] | None = None

    def delete(self, key: str) -> None:
        if self.meanwhile is not None and key.startswith("v1/objects"):
            meanwhile, self.meanwhile = self.meanwhile, None
            meanwhile()
        super().delete(key)


def test_a_bundle_waits_for_the_collection_of_objects_it_would_reuse(bundled_store: BundledStore) -> None:
    """A lookup in the middle of the collection would find one of the two objects, which would then be removed."""
    bundled_store.store = store = Hesitant()
    bundled_store.bundle(ALPHA, BETA, days_ago=31)
    bundling = threading.Thread(target=bundled_store.bundle, args=(ALPHA, BETA))
    waited: list[bool] = []

    def meanwhile() -> None:
        bundling.start()
        bundling.join(0.3)
        waited.append(bundling.is_alive())

    store.meanwhile = meanwhile
    bundled_store.collect()
    bundling.join(10)
    assert waited == [True]
    assert {key_of(ALPHA), key_of(BETA)} <= bundled_store.objects()
    assert bundled_store.places() == ["environments", "locks", "objects", "objects", "steps"]


def test_a_collection_keeps_items_leased_after_its_scan(bundled_store: BundledStore) -> None:
    bundled_store.bundle(ALPHA, days_ago=31)
    collector = bundled_store.collector()
    garbage = collector.find()
    with leased(bundled_store.store, [key_of(ALPHA)]):
        assert key_of(ALPHA) not in {listed.key for listed in collector.remove(garbage)}
    assert key_of(ALPHA) in bundled_store.objects()


def test_a_notice_blocks_only_bundles_that_use_the_listed_items() -> None:
    store = MemoryBlobs()
    with PublishedNotice(store, ["v1/b", "v1/a"]) as notice:
        wait_for_collections(store, ["v1/c"])
        waiting = threading.Thread(target=wait_for_collections, args=(store, ["v1/a"]))
        waiting.start()
        waiting.join(0.1)
        assert waiting.is_alive()
        notice.remove("v1/a")
    waiting.join(5)
    assert not waiting.is_alive()
    assert store.blobs == {}


def test_a_notice_is_renewed_and_not_trusted_when_it_is_old(monkeypatch: pytest.MonkeyPatch) -> None:
    store = MemoryBlobs()
    clock = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    with PublishedNotice(store, ["v1/a"]) as notice:
        for clock[0] in (10.0, 70.0, 80.0):
            notice.remove("v1/a")
        assert [request for request, _ in store.requests].count("write") == 2
        clock[0] = 1000.0
        with pytest.raises(StoreError, match="too slowly"):
            notice.remove("v1/a")


def test_notices_of_a_killed_collection_expire_soon_and_are_removed(bundled_store: BundledStore) -> None:
    notice = PublishedNotice(bundled_store.store, ["v1/a"])
    notice.__enter__()
    (key,) = bundled_store.store.blobs
    bundled_store.store.times[key] = bundled_store.now - NOTICE_SECONDS - 1
    wait_for_collections(bundled_store.store, ["v1/a"])
    bundled_store.collect()
    assert bundled_store.store.blobs == {}


def test_readers_never_see_dangling_pointers(bundled_store: BundledStore) -> None:
    bundled_store.bundle(ALPHA, days_ago=400, code="x")
    bundled_store.store.requests.clear()
    bundled_store.collect()
    deleted = [key.split("/")[1] for request, key in bundled_store.store.requests if request == "delete"]
    assert deleted == ["steps", "environments", "code", "locks", "objects", "notices"]


@pytest.mark.parametrize("place", ["steps", "environments", "tags", "leases"])
def test_nothing_is_removed_if_a_pointer_or_record_is_unreadable(bundled_store: BundledStore, place: str) -> None:
    bundled_store.bundle(ALPHA, days_ago=400)
    bundled_store.bundle(BETA, step="new")
    put_tag(bundled_store.store, "demo", "v1", sha256(b"another lock"))
    with leased(bundled_store.store, []):
        broken = [key for key in bundled_store.store.blobs if key.startswith(f"v1/{place}/")][-1]
        bundled_store.store.blobs[broken] = b"{}"
        count = len(bundled_store.store.blobs)
        with pytest.raises(EnvcError, match=broken):
            bundled_store.collect()
        assert len(bundled_store.store.blobs) == count


def test_a_missing_record_is_named_and_does_not_stop_the_rest(bundled_store: BundledStore) -> None:
    bundled_store.bundle(ALPHA)
    bundled_store.store.delete(environment_key(environment(ALPHA).id))
    bundled_store.bundle(BETA, step="old", days_ago=400)
    bundled_store.collect()
    assert bundled_store.objects() == {key_of(ALPHA)}
    assert "is missing, although a step refers to it" in bundled_store.progress.warnings[0]


def test_ages_are_exact_to_the_second(bundled_store: BundledStore) -> None:
    bundled_store.bundle(ALPHA)
    pointer = step_key("demo", LOCK, "step", HOST.platform)
    bundled_store.store.times[pointer] = bundled_store.now - 30 * DAY + 1
    assert bundled_store.collector().find().blobs == ()
    bundled_store.store.times[pointer] = bundled_store.now - 30 * DAY
    assert [listed.key for listed in bundled_store.collector().find().blobs] == [pointer]
    bundled_store.store.times[key_of(ALPHA)] = bundled_store.now - 86_399
    assert [listed.key for listed in bundled_store.collector().find().blobs] == [pointer]
    bundled_store.store.times[key_of(ALPHA)] = bundled_store.now - 86_400
    assert [listed.key for listed in bundled_store.collector().find().blobs] == [pointer, key_of(ALPHA)]


def test_a_notice_expires_when_it_is_older_than_it_may_be(bundled_store: BundledStore) -> None:
    notice = notice_key()
    bundled_store.store.blobs[notice] = b"{}"
    bundled_store.store.times[notice] = bundled_store.now - NOTICE_SECONDS
    assert bundled_store.collector().find().blobs == ()
    bundled_store.store.times[notice] -= 1
    assert [listed.key for listed in bundled_store.collector().find().blobs] == [notice]


def test_an_object_that_two_kept_steps_share_is_kept_and_counted_once(bundled_store: BundledStore) -> None:
    bundled_store.bundle(ALPHA, step="one")
    bundled_store.bundle(ALPHA, step="two")
    garbage = bundled_store.collector().find()
    assert (garbage.blobs, garbage.size) == ((), 0)
    assert (garbage.kept, garbage.kept_size) == (5, sum(map(len, bundled_store.store.blobs.values())))


STRAYS = (
    "v1/.DS_Store",
    "v1/steps/stray",
    f"v1/steps/demo/{LOCK}",
    f"v1/steps/demo/{LOCK}/step/.nfs000000000001",
    f"v1/objects/any/aa/{LOCK}",
    f"v1/objects/any/{LOCK[:2]}/{LOCK}.bak",
    "v1/objects/any/",
    "v1/leases/another.json",
    "v1/notices/._0123456789abcdef0123456789abcdef.json",
    "v1/tags/demo/Thumbs.db",
    f"v1/locks/{LOCK} (1)",
    f"v1/environments/{LOCK}.json.zst~",
    "v1/drafts/readme",
)


def test_files_of_other_programs_stay_and_stop_nothing(bundled_store: BundledStore) -> None:
    bundled_store.bundle(ALPHA, days_ago=400)
    bundled_store.bundle(BETA, step="new")
    put_tag(bundled_store.store, "demo", "v1", LOCK)
    for key in STRAYS:
        bundled_store.store.blobs[key] = b"anything"
        bundled_store.store.times[key] = 0
    before = set(bundled_store.store.blobs)
    garbage = bundled_store.collect()
    assert garbage.blobs == ()
    assert set(bundled_store.store.blobs) == before
    (warning,) = bundled_store.progress.warnings
    assert "12 files that are not envc's were passed over: v1/drafts/readme, " in warning
    assert "\n" not in warning
    own = OwnBlobs(bundled_store.store)
    assert [tag.name for tag in tags(bundled_store.store, own)] == ["v1"]
    bundled_store.bundle(GAMMA, step="other")


def test_one_stray_file_is_named_and_a_clean_store_causes_no_warning(bundled_store: BundledStore) -> None:
    bundled_store.bundle(ALPHA)
    bundled_store.collect()
    assert bundled_store.progress.warnings == []
    bundled_store.store.blobs["v1/locks/.DS_Store"] = b""
    bundled_store.collect()
    assert bundled_store.progress.warnings == ["memory: a file that is not envc's was passed over: v1/locks/.DS_Store"]


class Hasty(MemoryBlobs):
    """A store in which another collection removes pointers after they were listed."""

    def scan(self, prefix: str) -> Iterator[Listed]:
        found = list(super().scan(prefix))
        if prefix == "v1/steps":
            for listed in found:
                self.blobs.pop(listed.key, None)
        return iter(found)


def test_a_pointer_removed_by_another_collection_is_ignored(bundled_store: BundledStore) -> None:
    bundled_store.store = Hasty()
    bundled_store.bundle(ALPHA, days_ago=2)
    assert [listed.key.split("/")[1] for listed in bundled_store.collector().find().blobs] == [
        "environments",
        "locks",
        "objects",
    ]


class Counting(Silent):
    """A progress reporter that records the announced work, the work done, and whether the task was ended."""

    def __init__(self) -> None:
        super().__init__()
        self.totals: list[tuple[str, int | None]] = []
        self.advanced = 0
        self.ended = 0

    def task(self, label: str, total: int | None = None, unit: str = "") -> Task:
        self.totals.append((label, total))
        return self

    def advance(self, amount: int = 1) -> None:
        self.advanced += amount

    def grow(self, amount: int) -> None:
        raise AssertionError("the amount is known before")

    def done(self) -> None:
        self.ended += 1


def test_progress_counts_what_is_removed(bundled_store: BundledStore) -> None:
    bundled_store.progress = progress = Counting()
    bundled_store.bundle(ALPHA, days_ago=400, code="x")
    bundled_store.collect()
    assert (progress.totals, progress.advanced, progress.ended) == ([("garbage", 5)], 5, 1)


def test_a_record_is_read_only_once(bundled_store: BundledStore) -> None:
    bundled_store.bundle(ALPHA)
    bundled_store.bundle(BETA, step="old", days_ago=400)
    bundled_store.store.requests.clear()
    bundled_store.collect()
    record = environment_key(environment(ALPHA).id)
    assert bundled_store.store.requests.count(("read", record)) == 1


class Meeting(MemoryBlobs):
    """A store whose first removals wait for each other. It records how many run at once, and in which threads."""

    def __init__(self, in_flight: int, expected: int) -> None:
        super().__init__()
        self.in_flight = in_flight
        self.expected = expected  # removals at once
        self.most = self.active = 0
        self.threads: set[str] = set()
        self.lock = threading.Lock()
        self.met = threading.Event()

    def delete(self, key: str) -> None:
        with self.lock:
            self.threads.add(threading.current_thread().name.partition("_")[0])
            self.active += 1
            self.most = max(self.most, self.active)
        if self.active == self.expected and not self.met.is_set():
            time.sleep(0.05)  # wait for another removal, if there is one
            self.met.set()
        self.met.wait(5)
        super().delete(key)
        with self.lock:
            self.active -= 1


@pytest.mark.parametrize(
    ("in_flight", "objects", "most"),
    [(64, 40, 16), (5, 40, 5), (64, 3, 3), (2, 3, 2), (1, 3, 1), (64, 1, 1)],
)
def test_blobs_are_removed_by_as_many_threads_as_the_store_allows(
    bundled_store: BundledStore, in_flight: int, objects: int, most: int
) -> None:
    bundled_store.store = store = Meeting(in_flight, most)
    for number in range(objects):
        key = object_key("any", sha256(b"%d" % number))
        store.blobs[key] = b"object"
        store.times[key] = bundled_store.now - 2 * DAY
    garbage = bundled_store.collect()
    assert store.blobs == {}
    assert len(garbage.blobs) == objects
    assert store.most == most
    assert ("envc-gc" in store.threads) is (most > 1)


def test_a_folder_and_a_url_are_collected_alike(tmp_path: Path) -> None:
    places: list[Blobs] = [open_store(tmp_path / "store"), open_store("memory://upkeep")]
    for store in places:
        bundle(store, tmp_path / "work", ALPHA, BETA)
        later = Collector(store, now=lambda: time.time() + 31 * DAY, recent=30 * DAY, progress=Silent())
        garbage = later.find()
        assert len(garbage.blobs) == 5
        later.remove(garbage)
        assert list(store.list("v1")) == []
