"""Remote stores: the requests they get, and the effects of throttling, resets, cut answers, wrong data and absence."""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Iterator
from concurrent.futures import CancelledError
from functools import partial
from pathlib import Path
from typing import NamedTuple

import fsspec
import pytest

from envc.errors import DigestMismatch, StoreError, UsageError
from envc.model.progress import Silent
from envc.shipping.deliver.hydrate import StoredEnvironment, hydrate
from envc.shipping.deliver.pack import Bundled
from envc.shipping.format.errors import CorruptBlob, MissingBlob, StoreBusy
from envc.shipping.prefix.tree import CorruptObject
from envc.shipping.store.backends.store_retries import PATIENCE, Patience, read_patience, run
from envc.shipping.store.backends.web import WebBlobs
from envc.shipping.store.blobs import Blobs
from envc.shipping.store.keys import environment_key, object_key, step_key
from envc.shipping.store.open import open_store
from envc.shipping.store.records import get_pointer, get_record
from envc.system.pace import Pace
from envc.system.readahead import ReadAhead, Request
from envc.system.retries import Retries, RetryPolicy
from tests.support.blob_servers import Fault, FolderServer
from tests.support.environments import HOST, bundle
from tests.support.wheels import build_wheel

KEY = "v1/objects/any/aa/" + "a" * 64
QUICK = RetryPolicy(first=0.002, longest=0.01)
WHEELS = [build_wheel(f"package-{number}", "1.0", files={f"m{number}.py": "x = 1\n" * 999}) for number in range(12)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / KEY).parent.mkdir(parents=True)
    (tmp_path / "served" / KEY).write_bytes(b"0123456789")
    return tmp_path / "served"


@pytest.fixture
def server(folder: Path) -> Iterator[FolderServer]:
    with FolderServer(folder) as serving:
        assert isinstance(serving, FolderServer)
        yield serving


# retries


class Between(NamedTuple):
    low: float
    high: float

    def __contains__(self, value: object) -> bool:
        return isinstance(value, float) and self.low <= value <= self.high


class Flaky:
    """A request that fails a number of times before it succeeds."""

    def __init__(self, failures: int, **trouble: object) -> None:
        self.failures = failures
        self.trouble = trouble
        self.calls = 0

    def __call__(self) -> str:
        self.calls += 1
        if self.calls <= self.failures:
            raise StoreBusy("the store", "is busy", **self.trouble)  # type: ignore[arg-type]
        return "answer"


def test_temporary_failures_are_hidden() -> None:
    flaky = Flaky(5)
    assert run(Retries(QUICK), flaky) == "answer"
    assert flaky.calls == 6


def test_permanent_failures_are_reported_with_the_number_of_tries() -> None:
    flaky = Flaky(99)
    with pytest.raises(StoreError, match="the store: is busy, 6 times") as caught:
        run(Retries(QUICK), flaky)
    assert (flaky.calls, type(caught.value)) == (6, StoreError)


def test_some_failures_get_fewer_tries_and_another_error() -> None:
    flaky = Flaky(99, max_tries=2, final_error=CorruptBlob("the blob", "is short"))
    with pytest.raises(CorruptBlob, match="the blob: is short"):
        run(Retries(QUICK), flaky)
    assert flaky.calls == 2


def test_the_pause_requested_by_the_store_is_respected() -> None:
    start = time.monotonic()
    run(Retries(QUICK), Flaky(1, asked=0.15))
    assert time.monotonic() - start >= 0.15
    with pytest.raises(StoreError, match="it asks to wait for 3600 s"):
        run(Retries(QUICK), Flaky(1, asked=3600.0))


def test_patience_is_bounded_by_time_and_not_by_the_number_of_tries() -> None:
    policy = RetryPolicy(seconds=60.0, first=0.0005, longest=0.001, least=0.0)
    flaky = Flaky(200)
    assert run(Retries(policy), flaky) == "answer"
    assert flaky.calls == 201


def test_patience_ends_when_its_time_is_over() -> None:
    policy = RetryPolicy(seconds=0.2, first=0.01, longest=0.02, least=0.0)
    start = time.monotonic()
    with pytest.raises(StoreError, match=r"the store: is busy, \d+ times"):
        run(Retries(policy), Flaky(10_000))
    assert 0.1 < time.monotonic() - start < 5


def test_patience_waits_as_long_as_the_store_asks_unless_that_is_beyond_its_end() -> None:
    assert PATIENCE.wait(1, 0.0, asked=300.0) in Between(300.0, 308.0)
    assert PATIENCE.wait(1, 700.0, asked=300.0) is None
    with pytest.raises(StoreError, match="it asks to wait for 3600 s"):
        run(Retries(PATIENCE), Flaky(1, asked=3600.0))


def test_the_jitter_of_patience_is_full_so_that_clients_spread_over_the_whole_wait() -> None:
    waits = [PATIENCE.delay(9) for _ in range(300)]
    assert min(waits) < 1.0
    assert max(waits) > 7.0


def test_a_host_that_never_answered_is_given_up_soon() -> None:
    flaky = Flaky(99, is_unreachable=True)
    with pytest.raises(StoreError, match="is busy, 3 times"):
        run(Retries(RetryPolicy(seconds=900.0, first=0.001)), flaky)


def test_a_host_that_refuses_connections_after_it_answered_is_overloaded() -> None:
    retries = Retries(RetryPolicy(seconds=900.0, first=0.001, longest=0.002))
    assert run(retries, Flaky(0)) == "answer"
    assert run(retries, Flaky(30, is_unreachable=True)) == "answer"


def test_a_long_wait_is_told_with_the_setting_that_bounds_it() -> None:
    told: list[str] = []
    retries = Retries(RetryPolicy(seconds=900.0, first=0.001, longest=0.002), name="s3://bucket", tell=told.append)
    assert run(retries, Flaky(20)) == "answer"
    assert told == []  # it took milliseconds
    with pytest.raises(TimeoutError):
        retries.run(Flaky(1, asked=7.0), _stop)
    assert told == ["s3://bucket is busy (is busy); envc tries again for up to 15 min (ENVC_STORE_PATIENCE)"]


def _stop(seconds: float) -> None:
    raise TimeoutError(seconds)


@pytest.mark.parametrize(("text", "seconds"), [("", 900.0), ("0", 0.0), ("3600", 3600.0)])
def test_the_patience_is_a_setting(text: str, seconds: float) -> None:
    assert read_patience({"ENVC_STORE_PATIENCE": text}).policy.seconds == seconds


@pytest.mark.parametrize("text", ["soon", "-1", "1e3", "9999999", "15 min", "\u0663"])
def test_a_patience_that_is_no_number_of_seconds_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"ENVC_STORE_PATIENCE is .*not a number of seconds"):
        read_patience({"ENVC_STORE_PATIENCE": text})


# the pace of a process


def test_requests_are_sent_at_once_until_the_store_rejects_one() -> None:
    pace = Pace()
    assert [pace.reserve(0.01 * number) for number in range(500)] == [0.0] * 500
    assert pace.rate is None


def test_the_rate_is_cut_once_a_second_and_grows_with_accepted_requests() -> None:
    pace = Pace()
    for number in range(100):
        pace.reserve(number / 100)
    pace.throttled(1.0)
    first = pace.rate
    assert first is not None
    assert 50 < first < 100
    for number in range(20):  # the other requests in flight are rejected as well
        pace.throttled(1.0 + number / 100)
    assert pace.rate == first
    pace.accepted(3.0)
    assert pace.rate > first


def test_requests_of_a_throttled_process_are_spaced() -> None:
    pace = Pace()
    pace.rate = 10.0
    waits = [pace.reserve(5.0) for _ in range(30)]
    assert waits == pytest.approx([number / 10 for number in range(30)])


def test_the_rate_never_falls_to_zero() -> None:
    pace = Pace()
    for second in range(1000):
        pace.reserve(2.0 * second)
        pace.throttled(2.0 * second)
    assert pace.rate is not None
    assert pace.rate >= 2.0


def test_other_errors_are_raised_at_once() -> None:
    def fail() -> None:
        raise MissingBlob("the store", KEY)

    with pytest.raises(MissingBlob):
        run(Retries(QUICK), fail)


# a web server


def test_a_web_server_is_read_like_any_store(server: FolderServer) -> None:
    store = open_store(f"{server.url}/")
    assert isinstance(store, WebBlobs)
    assert store.read(KEY, 10) == b"0123456789"
    assert store.read_range(KEY, 3, 4) == b"3456"
    assert store.read_range(KEY, 3, 0) == b""
    assert store.size(KEY) == 10
    assert store.exists(KEY)
    assert not store.exists(KEY[:-1])
    with store.open(KEY) as stream:
        assert stream.read(4) == b"0123"
        stream.seek(-2, 2)
        assert stream.read() == b"89"
    for ask in (lambda: store.read("v1/other", 1), lambda: store.read_range("v1/other", 0, 1)):
        with pytest.raises(MissingBlob):
            ask()
    with pytest.raises(CorruptBlob, match="larger than 9 bytes"):
        store.read(KEY, 9)
    for offset in (8, 80):
        with pytest.raises(CorruptBlob, match="ends before byte"):
            store.read_range(KEY, offset, 4)


def test_a_server_without_ranges_works(folder: Path) -> None:
    (folder / KEY).write_bytes(bytes(range(256)) * 1000)
    with FolderServer(folder, ranges=False) as server:
        store = WebBlobs(server.url)
        assert store.read_range(KEY, 200_000, 1000) == (bytes(range(256)) * 1000)[200_000:201_000]
        with pytest.raises(CorruptBlob):
            store.read_range(KEY, 255_999, 2)


def test_a_web_server_can_only_be_read(server: FolderServer) -> None:
    store = WebBlobs(server.url)
    for ask in (lambda: store.write(KEY, b""), lambda: store.write_new(KEY, b""), lambda: store.delete(KEY)):
        with pytest.raises(StoreError, match="can only be read") as caught:
            ask()
        assert "folder or the bucket" in (caught.value.hint or "")
    with pytest.raises(StoreError, match="cannot be listed"):
        store.list("v1")
    assert server.log == []


@pytest.mark.parametrize("key", ["../outside", "/etc/passwd", "v1/../../x", "v1/a b", ""])
def test_an_invalid_key_is_never_sent(server: FolderServer, key: str) -> None:
    store = WebBlobs(server.url)
    for ask in (lambda: store.read(key, 1), lambda: store.read_range(key, 0, 1), lambda: store.exists(key)):
        with pytest.raises(ValueError, match="not a key"):
            ask()
    assert server.log == []


def test_credentials_in_the_url_are_sent_and_never_shown(folder: Path) -> None:
    basic = "Basic " + base64.b64encode(b"me@here:hunter2").decode()
    with FolderServer(folder, auth=basic) as server:
        place = server.url.replace("://", "://me%40here:hunter2@") + "?sig=hunter2"
        store = open_store(place)
        assert store.read(KEY, 10) == b"0123456789"
        assert server.log[0].path.endswith("?sig=hunter2")
        with pytest.raises(StoreError) as missing:
            store.read("v1/other", 1)
        with pytest.raises(StoreError, match=r"does not allow access .*HTTP 401") as refused:
            open_store(server.url).read(KEY, 10)
    for error in (missing.value, refused.value):
        assert "hunter2" not in f"{error} {error.hint} {store.name}"


def test_keys_with_special_characters_reach_their_file(folder: Path) -> None:
    key = step_key("my project", "0" * 64, "größe", "gpu")  # type: ignore[arg-type]
    (folder / key).parent.mkdir(parents=True)
    (folder / key).write_bytes(b"{}")
    with FolderServer(folder) as server:
        assert WebBlobs(server.url).read(key, 2) == b"{}"


@pytest.mark.parametrize("fault", ["busy", "throttled", "reset", "cut"])
def test_reading_succeeds_if_every_second_request_fails(folder: Path, fault: Fault) -> None:
    with FolderServer(folder, every=2, faults=(fault,)) as server:
        store = WebBlobs(server.url, patience=Patience(policy=QUICK))
        for _ in range(10):
            assert store.read(KEY, 10) == b"0123456789"
            assert store.read_range(KEY, 2, 8) == b"23456789"
        assert sum(request.outcome == fault for request in server.log) >= 19


@pytest.mark.parametrize(
    ("fault", "says"), [("busy", "HTTP 503, 6 times"), ("reset", "broke off, 6 times"), ("throttled", "HTTP 429")]
)
def test_a_store_that_never_recovers_is_named(folder: Path, fault: Fault, says: str) -> None:
    with FolderServer(folder, every=1, faults=(fault,)) as server:
        with pytest.raises(StoreError, match=says):
            WebBlobs(server.url, patience=Patience(policy=QUICK)).read_range(KEY, 0, 4)
        assert len(server.log) == 6


def test_an_unreachable_server_is_reported(folder: Path) -> None:
    with FolderServer(folder) as server:
        store = WebBlobs(server.url, patience=Patience(policy=QUICK))
    with pytest.raises(StoreError, match="connection refused, 3 times"):
        store.read(KEY, 1)


def test_an_answer_for_another_range_is_refused(folder: Path) -> None:
    class Lying(FolderServer):
        def answer(
            self, method: str, path: str, headers: dict[str, str], body: bytes
        ) -> tuple[int, dict[str, str], bytes]:
            return 206, {"Content-Range": "bytes 0-3/10"}, b"0123"

    with Lying(folder) as server, pytest.raises(StoreError, match="different range"):
        WebBlobs(server.url, patience=Patience(policy=QUICK)).read_range(KEY, 4, 4)


# the requests of hydrate to a remote store


class RemoteEnvironments:
    """Environments in a folder behind a web server."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bundled: Bundled = bundle(open_store(folder / "store"), folder, *WHEELS)[0]
        (self.pointer,) = self.bundled.pointers.values()
        self.pointer_key = step_key("demo", self.bundled.lock, "step", HOST.platform)

    def hydrate(self, store: Blobs) -> Path:
        """Pointer, record, frames, as `envc hydrate` reads them."""
        pointer = get_pointer(store, self.pointer_key)
        record = get_record(store, pointer.environment, pointer.record)
        prefix = self.folder / f"prefix-{time.monotonic_ns()}"
        hydrate(
            StoredEnvironment(store, record),
            prefix,
            interpreter=HOST,
            cache=self.folder / f"{prefix.name}-cache",
            progress=Silent(),
        )
        return prefix


@pytest.fixture(scope="module")
def remote(tmp_path_factory: pytest.TempPathFactory) -> RemoteEnvironments:
    return RemoteEnvironments(tmp_path_factory.mktemp("distant"))


def test_hydrate_requests_only_two_blobs_and_ranges(remote: RemoteEnvironments) -> None:
    with FolderServer(remote.folder / "store") as server:
        remote.hydrate(WebBlobs(server.url))
        frames = sum(len(item.index.frames) for item in remote.bundled.records[0].objects)
        assert server.methods() == ["GET"] * (2 + frames)
        assert [request.path.split("/")[2] for request in server.log[:2]] == ["steps", "environments"]
        assert all(request.headers["range"] for request in server.log[2:])
        assert len({(request.path, request.headers["range"]) for request in server.log[2:]}) == frames


def test_a_memory_store_works_with_the_python_api(tmp_path: Path) -> None:
    store = open_store("memory://bucket/team")
    bundled, _ = bundle(store, tmp_path, *WHEELS[:2])
    hydrate(
        StoredEnvironment(open_store("memory://bucket/team"), bundled.records[0]),
        tmp_path / "prefix",
        interpreter=HOST,
        cache=tmp_path / "cache",
        progress=Silent(),
    )
    assert list((tmp_path / "prefix").rglob("m1.py"))
    fsspec.filesystem("memory").store.clear()


def test_hydrate_succeeds_if_a_third_of_the_requests_fail(remote: RemoteEnvironments) -> None:
    faults: tuple[Fault, ...] = ("busy", "cut", "reset")
    with FolderServer(remote.folder / "store", every=3, faults=faults) as server:
        prefix = remote.hydrate(WebBlobs(server.url, patience=Patience(policy=QUICK)))
        assert {request.outcome for request in server.log} > set(faults)
    for number, _ in enumerate(WHEELS):
        assert list(prefix.rglob(f"m{number}.py"))


def test_ranges_are_read_ahead_within_a_bound(remote: RemoteEnvironments) -> None:
    class Slow(FolderServer):
        busy = most = 0
        counting = threading.Lock()

        def answer(
            self, method: str, path: str, headers: dict[str, str], body: bytes
        ) -> tuple[int, dict[str, str], bytes]:
            with self.counting:
                self.busy += 1
                self.most = max(self.most, self.busy)
            time.sleep(0.05)
            with self.counting:
                self.busy -= 1
            return super().answer(method, path, headers, body)

    with Slow(remote.folder / "store") as server:
        remote.hydrate(WebBlobs(server.url))
        assert isinstance(server, Slow)
        assert 8 <= server.most <= WebBlobs.in_flight


def test_an_outdated_record_is_refused(remote: RemoteEnvironments) -> None:
    """A cache in between answers with an older version of the record."""
    (record,) = remote.bundled.records
    key = environment_key(record.environment)
    other = bundle(open_store(remote.folder / "other"), remote.folder / "else", *WHEELS[:3])[0].records[0]
    with FolderServer(remote.folder / "store") as server:
        assert isinstance(server, FolderServer)
        server.replaced[key] = (remote.folder / "other" / environment_key(other.environment)).read_bytes()
        with pytest.raises(DigestMismatch):
            remote.hydrate(WebBlobs(server.url))


@pytest.mark.parametrize("kept", [0, 10, -60])
def test_a_truncated_object_is_refused_by_name(remote: RemoteEnvironments, kept: int) -> None:
    item = remote.bundled.records[0].objects[0]
    key = object_key(item.index.layout, item.index.artifact)
    data = (remote.folder / "store" / key).read_bytes()
    part = data[:kept] if kept >= 0 else data[: item.index.frames[0].length + kept]
    with FolderServer(remote.folder / "store") as server:
        assert isinstance(server, FolderServer)
        server.replaced[key] = part
        with pytest.raises(CorruptObject, match="ends before byte"):
            remote.hydrate(WebBlobs(server.url, patience=Patience(policy=QUICK)))
    assert not [path for path in remote.folder.iterdir() if ".envc-" in path.name]


# read-ahead


def test_every_request_is_made_once_and_can_be_taken_in_any_order() -> None:
    requested: list[int] = []

    def request(number: int) -> bytes:
        requested.append(number)
        return b"%d" % number

    with ReadAhead(8) as ahead:
        answers = [ahead.add(partial(request, number)) for number in range(50)]
        order = [*range(1, 50, 2), *range(0, 50, 2)]
        assert [answers[number]() for number in order] == [b"%d" % number for number in order]
    assert sorted(requested) == list(range(50))


def test_the_window_limits_the_started_requests() -> None:
    begun: list[int] = []

    def request(number: int) -> bytes:
        begun.append(number)
        return b""

    with ReadAhead(8) as ahead:
        answers = [ahead.add(partial(request, number)) for number in range(50)]
        assert begun == []
        answers[0]()
        time.sleep(0.05)
        assert max(begun) < 8
        answers[1]()
        time.sleep(0.05)
        assert max(begun) < 9


def test_requests_added_later_are_started_too() -> None:
    with ReadAhead(4) as ahead:
        for number in range(20):
            first = ahead.add(lambda number=number: b"%d" % number)  # type: ignore[misc]
            second = ahead.add(lambda number=number: b"%d again" % number)  # type: ignore[misc]
            assert (first(), second()) == (b"%d" % number, b"%d again" % number)


def test_without_a_window_the_taker_makes_the_request() -> None:
    seen: list[str] = []
    with ReadAhead(1) as ahead:
        assert ahead.add(lambda: seen.append(threading.current_thread().name) or b"x")() == b"x"  # type: ignore[func-returns-value]
    assert seen == [threading.current_thread().name]


def test_an_error_of_a_request_is_raised_where_it_is_taken() -> None:
    def fail() -> bytes:
        raise LookupError("no such range")

    with ReadAhead(2) as ahead:
        first, second = ahead.add(fail), ahead.add(lambda: b"fine")
        assert second() == b"fine"
        with pytest.raises(LookupError, match="no such range"):
            first()


def test_cancelled_requests_are_not_waited_for() -> None:
    """A stalled store must not delay Ctrl-C: neither leaving the block, nor taking an answer, nor Python's exit."""
    begun, go = threading.Event(), threading.Event()
    cancelled: list[BaseException] = []

    def stall() -> bytes:
        begun.set()
        go.wait(60)
        return b"late"

    def take(answer: Request) -> None:
        try:
            answer()
        except CancelledError as error:
            cancelled.append(error)

    with ReadAhead(2) as ahead:
        taker = threading.Thread(target=take, args=[ahead.add(stall)])
        taker.start()
        assert begun.wait(60)
        readers = [thread for thread in threading.enumerate() if thread.name.startswith("envc-read")]
    taker.join(60)
    assert len(cancelled) == 1
    assert readers and all(thread.is_alive() and thread.daemon for thread in readers)
    go.set()
    for thread in readers:
        thread.join(60)
