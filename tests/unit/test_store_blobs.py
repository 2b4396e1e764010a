"""The contract of all stores, then the cases that are specific to folders or to URLs."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import fsspec
import pytest

from envc.errors import StoreError
from envc.shipping.format.errors import CorruptBlob, MissingBlob
from envc.shipping.store.backends.folder import FolderBlobs
from envc.shipping.store.backends.fsspec import RemoteBlobs, open_remote
from envc.shipping.store.backends.s3 import BucketBlobs
from envc.shipping.store.backends.store_retries import Patience
from envc.shipping.store.blobs import Blobs, display_name
from envc.shipping.store.keys import draft_key
from envc.shipping.store.open import open_store
from envc.system.retries import RetryPolicy
from tests.support.imports import assert_importable
from tests.support.stores import MemoryBlobs

KEY = "v1/objects/any/aa/" + "a" * 64


def _slow(name: str) -> object:
    return pytest.param(name, marks=pytest.mark.slow)


@pytest.fixture(params=["folder", "memory url", "file-like url", "twin", _slow("s3fs"), _slow("obstore")])
def blobs(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Blobs]:
    if request.param == "folder":
        yield open_store(tmp_path / "store")
    elif request.param == "memory url":
        yield open_store("memory://bucket/team")
        fsspec.filesystem("memory").store.clear()
    elif request.param == "file-like url":
        yield RemoteBlobs(fsspec.filesystem("file"), str(tmp_path / "store"), "file-like", whole=False)
    elif request.param == "twin":
        yield MemoryBlobs()
    else:
        server = request.getfixturevalue("s3_server")
        for key, value in server.environ().items():
            monkeypatch.setenv(key, value)
        if request.param == "s3fs":
            # fsspec caches instances by their arguments, which do not include an endpoint in the environment.
            fsspec.get_filesystem_class("s3").clear_instance_cache()
            yield open_remote(server.bucket())
        else:
            pytest.importorskip("obstore", reason="obstore is not installed")
            store = open_store(server.bucket())
            assert isinstance(store, BucketBlobs)
            yield store


def test_written_values_are_read_back(blobs: Blobs) -> None:
    assert not blobs.exists(KEY)
    assert blobs.write_new(KEY, b"0123456789")
    assert blobs.exists(KEY)
    assert blobs.read(KEY, 10) == b"0123456789"
    assert blobs.read_range(KEY, 3, 4) == b"3456"
    assert blobs.read_range(KEY, 10, 0) == b""
    assert blobs.size(KEY) == 10
    with blobs.open(KEY) as stream:
        assert stream.read() == b"0123456789"


def test_the_first_writer_wins_and_a_pointer_is_replaced(blobs: Blobs) -> None:
    assert blobs.write_new(KEY, b"first")
    assert not blobs.write_new(KEY, b"second")
    assert not blobs.write_new(KEY, lambda out: out.write(b"third"))
    assert blobs.read(KEY, 100) == b"first"
    blobs.write(KEY, b"fourth")
    assert blobs.read(KEY, 100) == b"fourth"
    blobs.write("v1/new", b"fifth")
    assert blobs.read("v1/new", 100) == b"fifth"


@pytest.mark.parametrize("size", [0, 100, 40 << 20])
def test_a_blob_can_be_written_in_pieces(blobs: Blobs, size: int) -> None:
    def fill(out: BinaryIO) -> int:
        half = size // 2
        return out.write(b"a" * half) + out.write(b"b" * (size - half))

    assert blobs.write_new(KEY, fill)
    assert blobs.size(KEY) == size
    assert blobs.read(KEY, size).count(b"b") == size - size // 2


def test_a_failed_write_leaves_nothing(blobs: Blobs) -> None:
    def fill(out: BinaryIO) -> None:
        out.write(b"half")
        raise LookupError("the other half")

    with pytest.raises(LookupError, match="the other half"):
        blobs.write_new(KEY, fill)
    assert not blobs.exists(KEY)
    assert list(blobs.list("v1")) == []
    assert blobs.write_new(KEY, b"whole")


def test_a_missing_blob_is_reported_by_key(blobs: Blobs) -> None:
    for ask in (
        lambda: blobs.read(KEY, 10),
        lambda: blobs.read_range(KEY, 0, 1),
        lambda: blobs.size(KEY),
        lambda: blobs.open(KEY).read(),
    ):
        with pytest.raises(MissingBlob) as caught:
            ask()
        assert caught.value.key == KEY
        assert blobs.name in str(caught.value)
    blobs.delete(KEY)


def test_a_blob_that_ends_early_or_is_too_large_is_corrupt(blobs: Blobs) -> None:
    blobs.write_new(KEY, b"0123456789")
    with pytest.raises(CorruptBlob, match="ends before byte 12"):
        blobs.read_range(KEY, 8, 4)
    with pytest.raises(CorruptBlob, match="ends before"):
        blobs.read_range(KEY, 80, 4)
    with pytest.raises(CorruptBlob, match="larger than 9 bytes"):
        blobs.read(KEY, 9)


def test_listing_and_deleting(blobs: Blobs) -> None:
    for key in ("v1/b/2", "v1/a", "v1/b/1", "v1/bb"):
        blobs.write_new(key, b"")
    assert list(blobs.list("v1/b")) == ["v1/b/1", "v1/b/2"]
    assert list(blobs.list("v1")) == ["v1/a", "v1/b/1", "v1/b/2", "v1/bb"]
    assert list(blobs.list("v2")) == []
    blobs.write("v1/%2Ehidden/a%20b.json", b"0123")
    (listed,) = blobs.scan("v1/%2Ehidden")
    assert (listed.key, listed.size) == ("v1/%2Ehidden/a%20b.json", 4)
    assert abs(listed.modified - time.time()) < 60
    assert blobs.read(listed.key, 4) == b"0123"
    blobs.delete("v1/b/1")
    assert list(blobs.list("v1/b")) == ["v1/b/2"]


@pytest.mark.parametrize("key", ["../outside", "/etc/passwd", "v1/../../x", "v1\\x", ""])
def test_an_invalid_key_is_refused(blobs: Blobs, key: str) -> None:
    for ask in (
        lambda: blobs.read(key, 1),
        lambda: blobs.read_range(key, 0, 1),
        lambda: blobs.write(key, b""),
        lambda: blobs.write_new(key, b""),
        lambda: blobs.delete(key),
        lambda: blobs.exists(key),
        lambda: blobs.size(key),
        lambda: blobs.open(key),
        lambda: list(blobs.list(key)),
    ):
        with pytest.raises(ValueError, match="not a key"):
            ask()


def test_one_of_many_concurrent_writers_wins(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    for round_ in range(20):
        barrier = threading.Barrier(6)
        won: list[int] = []
        key = f"v1/{round_}"

        def write(number: int, barrier: threading.Barrier = barrier, key: str = key, won: list[int] = won) -> None:
            barrier.wait()
            if store.write_new(key, b"%d" % number * 10_000):
                won.append(number)

        threads = [threading.Thread(target=write, args=(number,)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(won) == 1
        assert store.read(key, 100_000) == b"%d" % won[0] * 10_000


def test_reads_during_replacement_see_the_old_or_the_new_blob(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    versions = [b"%d" % number * 50_000 for number in range(10)]
    store.write(KEY, versions[0])
    done = threading.Event()

    def replace() -> None:
        for _ in range(5):
            for version in versions:
                store.write(KEY, version)
        done.set()

    thread = threading.Thread(target=replace)
    thread.start()
    while not done.is_set():
        assert store.read(KEY, 100_000) in versions
    thread.join()


def test_a_folder_keeps_no_temporary_files_and_obeys_the_umask(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    store.write_new(KEY, b"x")
    store.write("v1/p", b"x")
    assert list((tmp_path / "v1/drafts").iterdir()) == []
    umask = os.umask(0)
    os.umask(umask)
    assert (tmp_path / KEY).stat().st_mode & 0o777 == 0o666 & ~umask


def test_leftovers_of_killed_writers_are_removed_after_a_day(tmp_path: Path) -> None:
    open_store(tmp_path).write_new(KEY, b"x")
    old, young, other = (tmp_path / draft_key() for _ in range(3))
    other = other.with_suffix(".txt")
    for path in (old, young, other):
        path.write_bytes(b"half")
    for path in (old, other):
        os.utime(path, (0, 0))
    open_store(tmp_path).write_new(f"{KEY[:-1]}b", b"x")
    assert not old.exists()
    assert young.exists()
    assert other.exists()


KILLED = """
import hashlib, os, sys
from pathlib import Path
from envc.shipping.store.backends.folder import FolderBlobs
store = FolderBlobs(Path(sys.argv[1]))
print("ready", flush=True)
while True:
    data = os.urandom(8) * 100_000
    key = "v1/objects/" + hashlib.sha256(data).hexdigest()
    store.write_new(key, lambda out: [out.write(data[:7]), out.write(data[7:])])
    store.write("v1/pointer", data)
"""


@pytest.mark.parametrize("milliseconds", [1, 7, 20, 45])
def test_a_killed_writer_leaves_only_whole_blobs(tmp_path: Path, milliseconds: int) -> None:
    with subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(milliseconds / 1000)
        process.kill()
    store = FolderBlobs(tmp_path)
    for key in store.list("v1/objects"):
        data = store.read(key, 1 << 20)
        assert key.endswith(hashlib.sha256(data).hexdigest())
    if store.exists("v1/pointer"):
        data = store.read("v1/pointer", 1 << 20)
        assert data == data[:8] * 100_000


@pytest.mark.skipif(sys.platform != "linux", reason="the effect of a limit on file sizes is specific to Linux")
def test_a_disk_error_during_a_write_is_a_store_error(tmp_path: Path) -> None:
    script = """
        import resource, sys
        from pathlib import Path
        from envc.errors import StoreError
        from envc.shipping.store.backends.folder import FolderBlobs
        store = FolderBlobs(Path(sys.argv[1]))
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        for data in (bytes(200_000), lambda out: [out.write(bytes(1000)) for _ in range(200)]):
            try:
                store.write_new("v1/large", data)
            except StoreError as error:
                print(error)
        print(store.exists("v1/large"), list((Path(sys.argv[1]) / "v1/drafts").iterdir()))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert done.stdout == f"{tmp_path}: cannot be written: File too large\n" * 2 + "False []\n"


def test_an_unwritable_folder_is_reported_with_a_hint(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreError, match=r"file.*cannot be written"):
        open_store(tmp_path / "file").write_new(KEY, b"x")
    with pytest.raises(MissingBlob):
        open_store(tmp_path / "file").read(KEY, 1)


@pytest.mark.skipif(sys.platform != "linux", reason="/sys is a file system that not even root may write to")
def test_the_error_for_an_unwritable_store_says_how_to_choose_another() -> None:
    with pytest.raises(StoreError, match="/sys/envc: cannot be written to") as caught:
        open_store("/sys/envc").write_new(KEY, b"x")
    assert "ENVC_STORE" in (caught.value.hint or "")


def test_locations_are_folders_or_urls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert open_store("store").name == str(tmp_path / "store")
    assert open_store((tmp_path / "a b").as_uri()).name == str(tmp_path / "a b")
    assert isinstance(open_store(tmp_path), FolderBlobs)
    assert open_store("memory://bucket/x").name == "memory://bucket/x"


def test_an_unknown_kind_of_url_is_reported_with_the_known_ones() -> None:
    message = r"^nosuch://host/x: is of a kind that neither envc nor fsspec supports$"
    with pytest.raises(StoreError, match=message) as caught:
        open_store("nosuch://host/x")
    assert "s3://" in str(caught.value.hint)


def test_no_error_shows_credentials() -> None:
    for url in ("nosuch://user:hunter2@host/x?token=hunter2", "https://user:hunter2@127.0.0.1:1/x?sig=hunter2"):
        assert "hunter2" not in display_name(url)
        with pytest.raises(StoreError) as caught:
            open_store(url).read(KEY, 1)
        assert "hunter2" not in f"{caught.value} {caught.value.hint}"
        assert caught.value.__cause__ is None
        assert caught.value.__context__ is None or caught.value.__suppress_context__


class Failing:
    """A backend that fails like network libraries, with the URL in the error text."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def __getattr__(self, name: str) -> object:
        def fail(*_: object, **__: object) -> object:
            raise self.error

        return fail


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (PermissionError("https://user:hunter2@host"), "does not allow access"),
        (TimeoutError(110, "Connection timed out", "https://user:hunter2@host"), "Connection timed out"),
        (RuntimeError("https://user:hunter2@host"), "RuntimeError"),
        (
            type("NoCredentialsError", (Exception,), {})(),
            "^s3://bucket: requires a login, and this machine has no credentials",
        ),
    ],
)
def test_every_error_of_a_backend_becomes_a_store_error(error: Exception, says: str) -> None:
    patience = Patience(policy=RetryPolicy(tries=2, first=0.001))
    store = RemoteBlobs(Failing(error), "bucket", "s3://bucket", whole=True, patience=patience)
    for ask in (
        lambda: store.read(KEY, 1),
        lambda: store.write(KEY, b""),
        lambda: store.write_new(KEY, b""),
        lambda: store.delete(KEY),
        lambda: store.open(KEY),
        lambda: list(store.list("v1")),
    ):
        with pytest.raises(StoreError, match=says) as caught:
            ask()
        assert "hunter2" not in str(caught.value)


def test_a_writer_that_loses_the_race_at_a_url_is_notified() -> None:
    class Raced(Failing):
        def exists(self, path: str) -> bool:
            return False

    store = RemoteBlobs(Raced(FileExistsError()), "bucket", "s3://bucket", whole=True)
    assert not store.write_new(KEY, b"x")


def test_opening_a_folder_store_imports_no_other_backend_and_no_network_code() -> None:
    heavy = {"fsspec", "zstandard", "concurrent", "urllib3", "ssl", "envc.fetch.net.http", "envc.fetch.net.settings"}
    assert_importable(heavy)
    script = (
        "import sys; from envc.shipping.store.open import open_store; open_store('/x');"
        "import envc.shipping.store.objects, envc.shipping.store.records;"
        f"print({heavy!r} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
