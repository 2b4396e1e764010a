"""S3 through both clients, against a real S3 server: the same bytes, few requests, and retries after faults."""

from __future__ import annotations

import importlib.util
import threading
import time
from pathlib import Path

import pytest

from envc.errors import StoreError
from envc.model.progress import Silent
from envc.shipping.deliver.hydrate import StoredEnvironment, hydrate
from envc.shipping.format.errors import NoSuchPlace
from envc.shipping.store.backends.fsspec import RemoteBlobs, open_remote
from envc.shipping.store.backends.s3 import BucketBlobs, open_bucket
from envc.shipping.store.blobs import Blobs
from envc.shipping.store.keys import step_key
from envc.shipping.store.open import open_store
from envc.shipping.store.records import get_pointer, get_record
from envc.shipping.store.upkeep.collect import Collector
from tests.support.blob_servers import Fault, Proxy, S3Server
from tests.support.environments import HOST, bundle
from tests.support.wheels import build_wheel

pytestmark = pytest.mark.slow

KEY = "v1/objects/any/aa/" + "a" * 64
WHEELS = [build_wheel(f"package-{number}", "1.0", files={f"m{number}.py": "x = 1\n" * 999}) for number in range(6)]
FAULTS: tuple[Fault, ...] = ("busy", "cut", "reset", "throttled")


@pytest.fixture(params=["s3fs", "obstore"])
def client(request: pytest.FixtureRequest) -> str:
    if importlib.util.find_spec(request.param) is None:
        pytest.skip(f"{request.param} is not installed")
    return str(request.param)


def open_with(client: str, url: str, server: S3Server, monkeypatch: pytest.MonkeyPatch, at: str | None = None) -> Blobs:
    """Return the store at that URL through one client, and through a proxy if there is one."""
    environ = server.environ(at)
    for key, value in environ.items():
        monkeypatch.setenv(key, value)
    if client == "s3fs":
        # fsspec caches instances by their arguments, which do not include a new endpoint in the environment.
        import s3fs

        s3fs.S3FileSystem.clear_instance_cache()
        return open_remote(url)
    store = open_bucket(url, environ)
    assert store is not None
    return store


def test_both_clients_use_the_same_keys(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    url = s3_server.bucket()
    pytest.importorskip("obstore", reason="obstore is not installed")
    one = open_with("s3fs", url, s3_server, monkeypatch)
    other = open_with("obstore", url, s3_server, monkeypatch)
    assert (type(one), type(other)) == (RemoteBlobs, BucketBlobs)
    key = step_key("my project", "0" * 64, "größe 100%", ".hidden")  # type: ignore[arg-type]
    for writer, reader, text in ((one, other, b"one"), (other, one, b"other")):
        writer.write(key, text)
        assert reader.read(key, 10) == text
        assert list(reader.list("v1/steps")) == [key]
        assert not reader.write_new(key, b"third")
        reader.delete(key)
        assert not writer.exists(key)


def test_obstore_is_not_used_with_incomplete_settings(s3_server: S3Server) -> None:
    pytest.importorskip("obstore", reason="obstore is not installed")
    url, environ = s3_server.bucket(), s3_server.environ()
    assert isinstance(open_bucket(url, environ), BucketBlobs)
    for incomplete in (
        {},
        {key: value for key, value in environ.items() if key != "AWS_ACCESS_KEY_ID"},
        {key: value for key, value in environ.items() if key not in ("AWS_REGION", "AWS_ENDPOINT_URL")},
        environ | {"AWS_PROFILE": "work"},
    ):
        assert open_bucket(url, incomplete) is None


def test_one_of_many_concurrent_writers_wins(client: str, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_with(client, s3_server.bucket(), s3_server, monkeypatch)
    barrier = threading.Barrier(5)
    won: list[int] = []

    def write(number: int) -> None:
        barrier.wait()
        if store.write_new(KEY, b"%d" % number * 10_000):
            won.append(number)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert store.read(KEY, 100_000) == b"%d" % won[0] * 10_000


def test_bundle_and_hydrate_through_a_third_of_faults(
    client: str, s3_server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = s3_server.bucket()
    with Proxy(s3_server.url, every=3, faults=FAULTS) as proxy:
        store = open_with(client, url, s3_server, monkeypatch, proxy.url)
        bundled, _ = bundle(store, tmp_path, *WHEELS)
        record = get_record(store, bundled.records[0].environment)
        hydrate(
            StoredEnvironment(store, record),
            tmp_path / "prefix",
            interpreter=HOST,
            cache=tmp_path / "cache",
            progress=Silent(),
        )
        assert {request.outcome for request in proxy.log} > {"busy", "reset"}
    for number, _ in enumerate(WHEELS):
        assert list((tmp_path / "prefix").rglob(f"m{number}.py"))
    # The faults leave no traces: the same bundle without faults leaves the same keys.
    clean = open_with(client, s3_server.bucket(), s3_server, monkeypatch)
    bundle(clean, tmp_path / "again", *WHEELS)
    there = open_with(client, url, s3_server, monkeypatch)
    assert list(there.list("v1")) == list(clean.list("v1"))


def test_a_write_whose_answer_is_lost_is_detected(
    client: str, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Proxy(s3_server.url, every=2, faults=("lost",)) as proxy:
        store = open_with(client, s3_server.bucket(), s3_server, monkeypatch, proxy.url)
        for number in range(4):
            store.write(f"v1/{number}", b"%d" % number)
            store.write_new(f"v1/new/{number}", b"%d" % number)  # False is a correct answer here
        for number in range(4):
            assert store.read(f"v1/{number}", 9) == store.read(f"v1/new/{number}", 9) == b"%d" % number


def test_large_uploads_are_split_and_resumed_after_faults(
    client: str, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = 70 << 20
    with Proxy(s3_server.url, every=4, faults=("busy",)) as proxy:
        store = open_with(client, s3_server.bucket(), s3_server, monkeypatch, proxy.url)
        assert store.write_new(KEY, lambda out: [out.write(bytes([n]) * (1 << 20)) for n in range(70)])
        parts = [request for request in proxy.log if "partNumber=" in request.path]
        assert len([request for request in parts if request.outcome == "200"]) == 5
        assert store.size(KEY) == size
        assert store.read_range(KEY, (1 << 20) - 1, 2) == b"\x00\x01"
        assert store.read_range(KEY, size - 1, 1) == b"\x45"


def test_hydrate_requests_only_two_blobs_and_ranges(
    client: str, s3_server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = s3_server.bucket()
    bundled, _ = bundle(open_with(client, url, s3_server, monkeypatch), tmp_path, *WHEELS)
    with Proxy(s3_server.url) as proxy:
        store = open_with(client, url, s3_server, monkeypatch, proxy.url)
        pointer = get_pointer(store, step_key("demo", bundled.lock, "step", HOST.platform))
        record = get_record(store, pointer.environment, pointer.record)
        hydrate(
            StoredEnvironment(store, record),
            tmp_path / "prefix",
            interpreter=HOST,
            cache=tmp_path / "cache",
            progress=Silent(),
        )
        frames = sum(len(item.index.frames) for item in record.objects)
        assert proxy.methods() == ["GET"] * (2 + frames)
        assert not [request for request in proxy.log if "list-type" in request.path or "range" not in request.headers]


def test_garbage_collection_works_on_s3(
    client: str, s3_server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_with(client, s3_server.bucket(), s3_server, monkeypatch)
    bundle(store, tmp_path, *WHEELS[:2])
    day = 24 * 3600.0
    for later, garbage in ((0, 0), (29 * day, 0), (31 * day, 5)):
        collector = Collector(store, now=lambda late=later: time.time() + late, recent=30 * day, progress=Silent())
        found = collector.find()
        assert len(found.blobs) == garbage
    collector.remove(found)
    assert list(store.list("v1")) == []


def test_a_missing_bucket_is_reported(client: str, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_with(client, "s3://no-such-bucket/team", s3_server, monkeypatch)
    for write in (lambda: store.write("v1/x", b""), lambda: store.write_new("v1/x", b"")):
        with pytest.raises(StoreError, match="s3://no-such-bucket/team: does not exist") as caught:
            write()
        assert "create the bucket" in (caught.value.hint or "")
    with pytest.raises(NoSuchPlace):  # a blob in it is not missing: nothing could be made there
        store.read("v1/x", 1)


def test_no_error_shows_keys_or_addresses(client: str, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(store: Blobs) -> str:
        with pytest.raises(StoreError) as caught:
            store.read("v1/x", 1)
        return f"{caught.value} {caught.value.hint}"

    class Refusing(Proxy):
        def answer(
            self, method: str, path: str, headers: dict[str, str], body: bytes
        ) -> tuple[int, dict[str, str], bytes]:
            return 403, {}, b"<Error><Code>SignatureDoesNotMatch</Code><Message>secret</Message></Error>"

    with Refusing(s3_server.url) as proxy:
        text = refuse(open_with(client, "s3://bucket/team", s3_server, monkeypatch, proxy.url))
    assert "refused the request for v1/x: SignatureDoesNotMatch" in text
    assert "secret" not in text and "127.0.0.1" not in text


def test_a_url_opens_the_faster_client(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("obstore", reason="obstore is not installed")
    for key, value in s3_server.environ().items():
        monkeypatch.setenv(key, value)
    assert isinstance(open_store(s3_server.bucket()), BucketBlobs)
