"""The index cache returns what was saved, and no damage to its file stops a run."""

from __future__ import annotations

import multiprocessing
import os
import sqlite3
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings

from envc.fetch.cache.database import Database
from envc.fetch.cache.eviction import CacheUsage
from envc.fetch.cache.index_cache import DAY, FILE, Broken, Cache, PageState, Proof
from envc.fetch.pypi.listing import Hashes, Listing, PageEntry
from envc.model.progress import Silent
from envc_solvers.pypi.language.index import File, Release, View
from envc_solvers.pypi.language.markers import Answer
from envc_solvers.pypi.language.requirement import Metadata, parse
from tests.support.strategies import listings, metadatas, views

NOW = 1_800_000_000
STATE = PageState("abc", '"etag"', "", 1_800_000_000, 600)
LISTED = PageEntry(
    "demo-1.0-py3-none-any.whl", "x", Hashes("0" * 64), ">=3.8", 10, "1970-01-01T00:00:05Z", True, {"sha256": "1" * 64}
)
PAGE = Listing("https://example.com/simple/demo/", (LISTED,))
FILE_OF_IT = File("demo-1.0-py3-none-any.whl", "0" * 64, 10, 5, ">=3.8", "")
VIEW = View("demo", "pypi", (Release.of("1.0", (FILE_OF_IT,)),))


def proof(digest: str) -> Proof:
    return Proof("artifact", "f.whl", digest)


def many(files: int) -> Listing:
    return Listing(PAGE.url, (LISTED,) * files)


def reopen(cache: Cache, folder: Path) -> Cache:
    cache.close()
    return Cache(folder, Silent(), now=NOW)


def test_pages_are_kept(tmp_path: Path) -> None:
    cache = Cache(tmp_path, Silent(), now=NOW)
    cache.save_page("default", "demo", STATE, PAGE)
    cache.save_page("default", "gone", PageState("", "", "", 1, 2))
    cache = reopen(cache, tmp_path)
    assert cache.page("default", "demo") == STATE
    assert cache.listing("default", "demo") == PAGE
    assert cache.page("default", "gone") == PageState("", "", "", 1, 2)
    assert cache.page("other", "demo") is None
    assert cache.listing("default", "gone") is None
    assert cache.projects(["default"]) == ["demo"]
    cache.close()


def test_a_view_belongs_to_one_content_of_its_page(tmp_path: Path) -> None:
    cache = Cache(tmp_path, Silent(), now=NOW)
    assert cache.view("default", "demo", "cp312") is None
    cache.save_page("default", "demo", STATE, PAGE)
    cache.save_view("default", "cp312", STATE.generation, VIEW)
    cache = reopen(cache, tmp_path)
    assert cache.view("default", "demo", "cp312") == (STATE, VIEW)
    assert cache.view("default", "demo", "cp311") == (STATE, None)
    newer = PageState("def", "", "", 1_900_000_000, 600)
    cache.save_page("default", "demo", newer, Listing("", ()))
    cache = reopen(cache, tmp_path)
    assert cache.view("default", "demo", "cp312") == (newer, None)
    cache.close()


def test_valid_and_broken_metadata_is_kept(tmp_path: Path) -> None:
    cache = Cache(tmp_path, Silent(), now=NOW)
    metadata = Metadata("demo", "1.0", (parse("other>=1; os_name == 'nt'"),), ">=3.8", ("x",), "MIT")
    cache.save_metadata(proof("a" * 64), metadata)
    cache.save_metadata(proof("b" * 64), Broken("no name"))
    cache = reopen(cache, tmp_path)
    assert cache.metadata(proof("a" * 64)) == metadata
    assert cache.metadata(proof("b" * 64)) == Broken("no name")
    assert cache.metadata(proof("c" * 64)) is None
    cache.close()


def test_answers_accumulate(tmp_path: Path) -> None:
    cache = Cache(tmp_path, Silent(), now=NOW)
    cache.save_answers("env", {"a": Answer(True)})
    cache = reopen(cache, tmp_path)
    cache.save_answers("env", {"b": Answer(False, ("x",))})
    cache = reopen(cache, tmp_path)
    assert cache.answers("env") == {"a": Answer(True), "b": Answer(False, ("x",))}
    assert cache.answers("other") == {}
    cache.save_answers("env", {"c": Answer(True)}, replace=True)
    cache = reopen(cache, tmp_path)
    assert cache.answers("env") == {"c": Answer(True)}
    cache.close()


def test_digests_belong_to_one_content_of_the_page(tmp_path: Path) -> None:
    cache = Cache(tmp_path, Silent(), now=NOW)
    cache.save_digest("default", "demo", "f.whl", "abc", "0" * 64, 7)
    cache = reopen(cache, tmp_path)
    assert cache.digest("default", "demo", "f.whl", "abc") == ("0" * 64, 7)
    assert cache.digest("default", "demo", "f.whl", "def") is None
    cache.close()


@settings(max_examples=30, deadline=None)
@given(listing=listings(), view=views(), metadata=metadatas())
def test_saved_values_are_found(listing: Listing, view: View, metadata: Metadata) -> None:
    with TemporaryDirectory() as folder:
        cache = Cache(Path(folder), Silent(), now=NOW)
        cache.save_page("s", view.name, STATE, listing)
        cache.save_view("s", "tags", STATE.generation, view)
        cache.save_metadata(proof("a"), metadata)
        cache = reopen(cache, Path(folder))
        assert cache.listing("s", view.name) == listing
        assert cache.view("s", view.name, "tags") == (STATE, view)
        assert cache.metadata(proof("a")) == metadata
        cache.close()


# Damage and errors


@pytest.mark.parametrize("content", [b"", b"not a database" * 1000, b"SQLite format 3\0" + b"\xff" * 8176])
def test_a_file_that_is_not_a_database_is_set_aside(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE).write_bytes(content)
    progress = Silent()
    cache = Cache(tmp_path, progress, now=NOW)
    cache.save_page("default", "demo", STATE, PAGE)
    cache = reopen(cache, tmp_path)
    assert cache.page("default", "demo") == STATE
    assert len(progress.warnings) == (1 if content else 0)
    assert (tmp_path / f"{FILE}.broken").exists() == bool(content)
    cache.close()


def test_damage_found_during_a_run_is_set_aside(tmp_path: Path) -> None:
    cache = Cache(tmp_path, Silent(), now=NOW)
    for number in range(200):
        cache.save_page("default", f"demo{number}", STATE, many(50))
    cache.close()
    path = tmp_path / FILE
    data = bytearray(path.read_bytes())
    data[8192:] = b"\xa5" * (len(data) - 8192)
    path.write_bytes(data)
    progress = Silent()
    cache = Cache(tmp_path, progress, now=NOW)
    assert cache.page("default", "demo7") is None
    cache.save_page("default", "demo", STATE, PAGE)
    cache = reopen(cache, tmp_path)
    assert cache.listing("default", "demo") == PAGE
    assert progress.warnings == [f"the cache in {tmp_path} was damaged and has been replaced"]
    cache.close()


def test_values_that_cannot_be_decoded_count_as_absent(tmp_path: Path) -> None:
    Cache(tmp_path, Silent(), now=NOW).close()
    connection = sqlite3.connect(tmp_path / FILE)
    rows = [b"\xff\xff", b"\x91\x01", "text", 7, None]
    for number, row in enumerate(rows):
        connection.execute("INSERT INTO pages VALUES ('s', ?, 'g', '', '', 1, 1, 1)", (f"p{number}",))
        connection.execute("INSERT INTO listings VALUES ('s', ?, ?)", (f"p{number}", row))
        connection.execute("INSERT INTO views VALUES ('s', ?, 't', 'g', ?)", (f"p{number}", row))
        connection.execute("INSERT INTO metadata VALUES (?, 'f.whl', 'artifact', ?, NULL, 1)", (f"p{number}", row))
        connection.execute("INSERT INTO answers VALUES (?, ?)", (f"p{number}", row))
    connection.commit()
    connection.close()
    cache = Cache(tmp_path, Silent(), now=NOW)
    for number in range(len(rows)):
        name = f"p{number}"
        assert cache.listing("s", name) is None
        found = cache.view("s", name, "t")
        assert found is not None and found[1] is None
        assert cache.metadata(proof(name)) is None
        assert cache.answers(name) == {}
    cache.close()


def test_a_folder_that_cannot_be_created_gives_one_warning(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    progress = Silent()
    cache = Cache(tmp_path / "file" / "cache", progress, now=NOW)
    cache.save_page("default", "demo", STATE, PAGE)
    cache.flush()
    assert cache.page("default", "demo") is None
    assert cache.projects(["default"]) == []
    cache.close()
    [warning] = progress.warnings
    assert "cannot be used" in warning and "continuing without it" in warning


def test_a_failed_write_is_reported_once_and_reading_continues(tmp_path: Path) -> None:
    cache = Cache(tmp_path, Silent(), now=NOW)
    cache.save_page("default", "demo", STATE, PAGE)
    cache.close()
    blocker = sqlite3.connect(tmp_path / FILE)
    blocker.execute("CREATE TRIGGER full BEFORE INSERT ON metadata BEGIN SELECT RAISE(FAIL, 'disk is full'); END")
    blocker.close()
    progress = Silent()
    cache = Cache(tmp_path, progress, now=NOW)
    for artifact in ("a", "b"):
        cache.save_metadata(proof(artifact), Broken("x"))
        cache.flush()
    assert cache.page("default", "demo") == STATE
    cache.close()
    assert progress.warnings == [f"the cache in {tmp_path} cannot be written (disk is full); continuing without it"]


def test_after_closing_reads_find_nothing_and_nothing_fails(tmp_path: Path) -> None:
    cache = Cache(tmp_path, Silent(), now=NOW)
    cache.save_page("default", "demo", STATE)
    cache.close()
    cache.close()
    cache.save_page("default", "late", STATE)
    cache.flush()
    assert cache.page("default", "demo") is None
    assert cache.metadata(proof("x")) is None


# Concurrency


def test_closing_waits_for_a_writer_that_is_about_to_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread is paused between creating the writer and starting it, until a closing thread has to wait or fails."""
    start, lock, held, closes = threading.Thread.start, threading.Lock(), threading.Event(), threading.Event()

    class Watched:
        def __enter__(self) -> None:
            if held.is_set():
                closes.set()
            lock.acquire()

        def __exit__(self, *_: object) -> None:
            lock.release()

    def start_later(thread: threading.Thread) -> None:
        if thread.name == "cache":
            held.set()
            closes.wait()
        start(thread)

    with monkeypatch.context() as patch:
        patch.setattr("envc.fetch.cache.database.threading.Lock", Watched)
        database = Database(tmp_path / "cache", "create table kept (it)", 1, Silent(), lambda _: None)
    monkeypatch.setattr(threading.Thread, "start", start_later)
    with ThreadPoolExecutor(2) as pool:
        writes = pool.submit(database.write, ("insert into kept values (?)", (7,)))
        held.wait()
        closing_it = pool.submit(database.close)
        closing_it.add_done_callback(lambda _: closes.set())
        closing_it.result()
        writes.result()
    with closing(sqlite3.connect(tmp_path / "cache")) as connection:
        assert connection.execute("select it from kept").fetchall() == [(7,)]


def test_threads_write_and_read_concurrently(tmp_path: Path) -> None:
    cache = Cache(tmp_path, Silent(), now=NOW)

    def work(worker: int) -> None:
        for number in range(50):
            cache.save_page("default", f"demo{worker}-{number}", STATE, PAGE)
            cache.page("default", f"demo{worker}-{number}")

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(cache.projects(["default"])) == 400
    cache.close()


def _fill(folder: str, worker: int) -> None:
    progress = Silent()
    cache = Cache(Path(folder), progress, now=NOW)
    for number in range(40):
        cache.save_page("default", f"demo{worker}-{number}", STATE, PAGE)
    cache.close()
    os._exit(len(progress.warnings))


def test_processes_create_and_fill_one_cache_concurrently(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_fill, args=(str(tmp_path), worker)) for worker in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 4
    cache = Cache(tmp_path, Silent(), now=NOW)
    assert len(cache.projects(["default"])) == 160
    cache.close()


def _fill_and_tidy(folder: str, worker: int, rounds: int) -> None:
    progress = Silent()
    for turn in range(rounds):
        cache = Cache(Path(folder), progress, now=NOW + turn * DAY, largest=300_000)
        for number in range(20):
            cache.save_page("default", f"demo{worker}-{turn}-{number}", STATE, many(40))
            cache.save_metadata(proof(f"{worker}-{turn}-{number}"), Metadata("demo", "1.0"))
        cache.close()
    os._exit(len(progress.warnings))


def check_whole(folder: Path) -> None:
    """The file is intact, and every known page has its files."""
    with closing(sqlite3.connect(folder / FILE)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        pages, listings = (
            set(connection.execute(f"SELECT source, project FROM {table}")) for table in ("pages", "listings")
        )
        assert pages == listings


def test_processes_fill_and_shrink_one_cache_concurrently(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_fill_and_tidy, args=(str(tmp_path), worker, 5)) for worker in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 3
    check_whole(tmp_path)
    assert (tmp_path / FILE).stat().st_size <= 300_000


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs signals that cannot be caught")
def test_a_process_killed_while_writing_leaves_an_intact_file(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    for turn in range(4):
        process = context.Process(target=_fill_and_tidy, args=(str(tmp_path), turn, 10_000))
        process.start()
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and not _has_pages(tmp_path, f"demo{turn}-"):
            time.sleep(0.01)
        time.sleep(0.02 * turn)
        process.kill()
        process.join()
        check_whole(tmp_path)
        progress = Silent()
        cache = Cache(tmp_path, progress, now=NOW)
        cache.save_page("default", f"after{turn}", STATE, PAGE)
        cache = reopen(cache, tmp_path)
        assert cache.page("default", f"after{turn}") == STATE
        assert progress.warnings == []
        cache.close()


def _has_pages(folder: Path, prefix: str) -> bool:
    if not (folder / FILE).exists():
        return False
    cache = Cache(folder, Silent(), now=NOW)
    try:
        return any(name.startswith(prefix) for name in cache.projects(["default"]))
    finally:
        cache.close()


# Eviction


def fill(cache: Cache, name: str, files: int = 100) -> None:
    cache.save_page("default", name, STATE, many(files))
    cache.save_view("default", "cp312", STATE.generation, View(name, "pypi", VIEW.releases * files))


def test_beyond_the_maximum_size_the_least_recently_used_is_evicted(tmp_path: Path) -> None:
    for day in range(30):
        cache = Cache(tmp_path, Silent(), now=NOW + day * DAY, largest=400_000)
        assert cache.page("default", "day0") == (STATE if day else None)
        fill(cache, f"day{day}")
        cache.save_metadata(proof(f"artifact{day}"), Metadata("demo", "1.0"))
        cache.close()
        assert (tmp_path / FILE).stat().st_size <= 400_000
    cache = Cache(tmp_path, Silent(), now=NOW, largest=400_000)
    kept = [day for day in range(30) if cache.listing("default", f"day{day}") is not None]
    assert kept[0] == 0, "requested every day"
    assert kept[1:] == list(range(kept[1], 30)) and 8 < kept[1] < 29
    known = [day for day in range(30) if cache.metadata(proof(f"artifact{day}"))]
    assert known in (kept[1:], kept[2:]), "of the same day, metadata is evicted before projects"
    assert cache.view("default", "day0", "cp312") is not None
    assert cache.view("default", "day1", "cp312") is None
    cache.close()


def test_most_runs_only_read(tmp_path: Path) -> None:
    cache = Cache(tmp_path, Silent(), now=NOW)
    fill(cache, "demo")
    cache.save_metadata(proof("a"), Metadata("demo", "1.0"))
    cache.close()
    before = (tmp_path / FILE).read_bytes()
    for moment in (NOW, NOW + 60):
        cache = Cache(tmp_path, Silent(), now=moment)
        assert cache.view("default", "demo", "cp312") and cache.page("default", "demo") and cache.metadata(proof("a"))
        cache.close()
        assert (tmp_path / FILE).read_bytes() == before


def test_removed_rows_make_the_file_smaller(tmp_path: Path) -> None:
    cache = Cache(tmp_path, Silent(), now=NOW)
    for number in range(30):
        fill(cache, f"demo{number}")
    cache.save_digest("default", "demo1", "f.whl", "abc", "0" * 64, 7)
    cache = reopen(cache, tmp_path)
    size = (tmp_path / FILE).stat().st_size
    held = cache.usage()
    assert (held.projects, held.artifacts) == (30, 0)
    assert cache.evict(NOW, dry_run=True) == cache.evict(NOW - DAY) == CacheUsage()
    would = cache.evict(NOW + DAY, dry_run=True)
    assert would.projects == 30 and cache.usage() == held
    assert cache.evict(NOW + DAY) == would
    assert cache.usage().projects == 0
    assert cache.digest("default", "demo1", "f.whl", "abc") is None
    cache.close()
    assert (tmp_path / FILE).stat().st_size < size / 4
