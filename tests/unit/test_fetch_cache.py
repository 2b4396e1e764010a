"""The cache: what goes in comes out, and nothing that happens to its file stops work."""

from __future__ import annotations

import multiprocessing
import os
import sqlite3
import threading
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings

from envc.fetch.cache import FILE, Broken, Cache, PageState
from envc.fetch.listing import ListedFile, Listing
from envc.model.progress import Silent
from envc_solvers.pypi.index import File, Release, View
from envc_solvers.pypi.markers import Answer
from envc_solvers.pypi.requirement import Metadata, parse
from tests.strategies import listings, metadatas, views

STATE = PageState("abc", '"etag"', "", 1_800_000_000, 600)
LISTED = ListedFile(File("demo-1.0-py3-none-any.whl", "0" * 64, 10, 5, ">=3.8", ""), "https://example.com/x", "yes")
VIEW = View("demo", "pypi", (Release("1.0", (LISTED.file,)),))


def reopen(cache: Cache, folder: Path) -> Cache:
    cache.close()
    return Cache(folder, Silent())


def test_pages_survive(tmp_path: Path) -> None:
    cache = Cache(tmp_path, Silent())
    cache.save_page("default", "demo", STATE, (LISTED,))
    cache.save_page("default", "gone", PageState("", "", "", 1, 2))
    cache = reopen(cache, tmp_path)
    assert cache.page("default", "demo") == STATE
    assert cache.listing("default", "demo") == (LISTED,)
    assert cache.page("default", "gone") == PageState("", "", "", 1, 2)
    assert cache.page("other", "demo") is None
    assert cache.listing("default", "gone") is None
    assert cache.projects() == ["demo"]
    cache.close()


def test_a_view_belongs_to_one_content_of_its_page(tmp_path: Path) -> None:
    cache = Cache(tmp_path, Silent())
    assert cache.view("default", "demo", "cp312") is None
    cache.save_page("default", "demo", STATE, (LISTED,))
    cache.save_view("default", "cp312", STATE.generation, VIEW)
    cache = reopen(cache, tmp_path)
    assert cache.view("default", "demo", "cp312") == (STATE, VIEW)
    assert cache.view("default", "demo", "cp311") == (STATE, None)
    newer = PageState("def", "", "", 1_900_000_000, 600)
    cache.save_page("default", "demo", newer, ())
    cache = reopen(cache, tmp_path)
    assert cache.view("default", "demo", "cp312") == (newer, None)
    cache.close()


def test_metadata_good_and_bad(tmp_path: Path) -> None:
    cache = Cache(tmp_path, Silent())
    metadata = Metadata("demo", "1.0", (parse("other>=1; os_name == 'nt'"),), ">=3.8", ("x",), "MIT")
    cache.save_metadata("a" * 64, metadata)
    cache.save_metadata("b" * 64, Broken("no name"))
    cache = reopen(cache, tmp_path)
    assert cache.metadata("a" * 64) == metadata
    assert cache.metadata("b" * 64) == Broken("no name")
    assert cache.metadata("c" * 64) is None
    cache.close()


def test_answers_add_up(tmp_path: Path) -> None:
    cache = Cache(tmp_path, Silent())
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
    cache = Cache(tmp_path, Silent())
    cache.save_digest("default", "demo", "f.whl", "abc", "0" * 64, 7)
    cache = reopen(cache, tmp_path)
    assert cache.digest("default", "demo", "f.whl", "abc") == ("0" * 64, 7)
    assert cache.digest("default", "demo", "f.whl", "def") is None
    cache.close()


@settings(max_examples=30, deadline=None)
@given(listing=listings(), view=views(), metadata=metadatas())
def test_what_goes_in_comes_out(listing: Listing, view: View, metadata: Metadata) -> None:
    with TemporaryDirectory() as folder:
        cache = Cache(Path(folder), Silent())
        cache.save_page("s", view.name, STATE, listing)
        cache.save_view("s", "tags", STATE.generation, view)
        cache.save_metadata("a", metadata)
        cache = reopen(cache, Path(folder))
        assert cache.listing("s", view.name) == listing
        assert cache.view("s", view.name, "tags") == (STATE, view)
        assert cache.metadata("a") == metadata
        cache.close()


# Trouble


@pytest.mark.parametrize("content", [b"", b"not a database" * 1000, b"SQLite format 3\0" + b"\xff" * 8176])
def test_a_file_that_is_no_database_is_set_aside(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE).write_bytes(content)
    progress = Silent()
    cache = Cache(tmp_path, progress)
    cache.save_page("default", "demo", STATE, (LISTED,))
    cache = reopen(cache, tmp_path)
    assert cache.page("default", "demo") == STATE
    assert len(progress.warnings) == (1 if content else 0)
    assert (tmp_path / f"{FILE}.broken").exists() == bool(content)
    cache.close()


def test_damage_that_shows_while_working_is_set_aside(tmp_path: Path) -> None:
    cache = Cache(tmp_path, Silent())
    for number in range(200):
        cache.save_page("default", f"demo{number}", STATE, (LISTED,) * 50)
    cache.close()
    path = tmp_path / FILE
    data = bytearray(path.read_bytes())
    data[8192:] = b"\xa5" * (len(data) - 8192)
    path.write_bytes(data)
    progress = Silent()
    cache = Cache(tmp_path, progress)
    assert cache.page("default", "demo7") is None
    cache.save_page("default", "demo", STATE, (LISTED,))
    cache = reopen(cache, tmp_path)
    assert cache.listing("default", "demo") == (LISTED,)
    assert progress.warnings == [f"the cache in {tmp_path} was damaged and is made anew"]
    cache.close()


def test_values_that_are_not_what_they_should_be_are_absent(tmp_path: Path) -> None:
    Cache(tmp_path, Silent()).close()
    connection = sqlite3.connect(tmp_path / FILE)
    rows = [b"\xff\xff", b"\x91\x01", "text", 7, None]
    for number, row in enumerate(rows):
        connection.execute("INSERT INTO pages VALUES ('s', ?, 'g', '', '', 1, 1)", (f"p{number}",))
        connection.execute("INSERT INTO listings VALUES ('s', ?, ?)", (f"p{number}", row))
        connection.execute("INSERT INTO views VALUES ('s', ?, 't', 'g', ?)", (f"p{number}", row))
        connection.execute("INSERT INTO metadata VALUES (?, ?, NULL)", (f"p{number}", row))
        connection.execute("INSERT INTO answers VALUES (?, ?)", (f"p{number}", row))
    connection.commit()
    connection.close()
    cache = Cache(tmp_path, Silent())
    for number in range(len(rows)):
        name = f"p{number}"
        assert cache.listing("s", name) is None
        found = cache.view("s", name, "t")
        assert found is not None and found[1] is None
        assert cache.metadata(name) is None
        assert cache.answers(name) == {}
    cache.close()


def test_a_folder_that_cannot_be_made_costs_one_warning(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    progress = Silent()
    cache = Cache(tmp_path / "file" / "cache", progress)
    cache.save_page("default", "demo", STATE, (LISTED,))
    cache.flush()
    assert cache.page("default", "demo") is None
    assert cache.projects() == []
    cache.close()
    [warning] = progress.warnings
    assert "cannot be used" in warning and "this run goes without it" in warning


def test_a_write_that_fails_is_reported_once_and_reading_goes_on(tmp_path: Path) -> None:
    cache = Cache(tmp_path, Silent())
    cache.save_page("default", "demo", STATE, (LISTED,))
    cache.close()
    blocker = sqlite3.connect(tmp_path / FILE)
    blocker.execute("CREATE TRIGGER full BEFORE INSERT ON metadata BEGIN SELECT RAISE(FAIL, 'disk is full'); END")
    blocker.close()
    progress = Silent()
    cache = Cache(tmp_path, progress)
    for artifact in ("a", "b"):
        cache.save_metadata(artifact, Broken("x"))
        cache.flush()
    assert cache.page("default", "demo") == STATE
    cache.close()
    assert progress.warnings == [f"the cache in {tmp_path} cannot be written (disk is full); going on without it"]


def test_after_closing_nothing_is_found_and_nothing_fails(tmp_path: Path) -> None:
    cache = Cache(tmp_path, Silent())
    cache.save_page("default", "demo", STATE)
    cache.close()
    cache.close()
    cache.save_page("default", "late", STATE)
    cache.flush()
    assert cache.page("default", "demo") is None
    assert cache.metadata("x") is None


# Company


def test_threads_write_and_read_at_once(tmp_path: Path) -> None:
    cache = Cache(tmp_path, Silent())

    def work(worker: int) -> None:
        for number in range(50):
            cache.save_page("default", f"demo{worker}-{number}", STATE, (LISTED,))
            cache.page("default", f"demo{worker}-{number}")

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(cache.projects()) == 400
    cache.close()


def _fill(folder: str, worker: int) -> None:
    progress = Silent()
    cache = Cache(Path(folder), progress)
    for number in range(40):
        cache.save_page("default", f"demo{worker}-{number}", STATE, (LISTED,))
    cache.close()
    os._exit(len(progress.warnings))


def test_processes_begin_and_fill_one_cache_at_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_fill, args=(str(tmp_path), worker)) for worker in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 4
    cache = Cache(tmp_path, Silent())
    assert len(cache.projects()) == 160
    cache.close()
