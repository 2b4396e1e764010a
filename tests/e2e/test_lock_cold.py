"""`envc lock` with an empty cache, against a recorded index that counts requests."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from envc.fetch.cache.index_cache import FILE
from tests.e2e.command import ENVC, HOST_PYTHON, Workplace
from tests.support.manifests import project_table
from tests.support.replay import Replay
from tests.support.servers import Behaviour, IndexServer
from tests.support.wheels import build_wheel

WIDTH = 90  # projects that one project requires
# Concurrent requests: the workers of `envc.fetch.pypi.indexes`, and the search, which asks itself for what it needs
# before a worker has begun with it.
MOST = 24 + 1
MANIFEST = f"""\
{project_table("linux-64", "osx-arm64", "win-64", python=HOST_PYTHON)}
[steps.one]
pypi = ["wide", "leaf-3<2"]

[steps.two]
pypi = ["wide; sys_platform == 'linux'", "leaf-5"]
"""


@pytest.fixture
def upstream() -> Iterator[IndexServer]:
    """One project that requires many, each of which requires the next. Every other one advertises no metadata."""
    names = [f"leaf-{number}" for number in range(WIDTH)]
    with IndexServer(behaviour=Behaviour(metadata="present", etag=False, cache_control=None)) as server:
        server.add(build_wheel("wide", "1.0", names))
        for number, name in enumerate(names):
            for version in ("1.0", "2.0"):
                server.add(build_wheel(name, version, names[number + 1 : number + 2]))
        yield server


@pytest.fixture
def recorded(tmp_path: Path, upstream: IndexServer) -> Iterator[tuple[Replay, Workplace]]:
    """A frozen recording of all that a lock requests, and a workplace with an empty cache."""
    with Replay(tmp_path / "recording", upstream.url, latency=0.01) as index:
        place = Workplace(tmp_path, index.url)
        place.write(MANIFEST)
        place.ok("lock")
        index.freeze()
        index.forget()
        upstream.stop()
        place.lock.unlink()
        place.cache.rename(tmp_path / "warm")
        yield index, place


def test_nothing_is_requested_twice_and_few_requests_are_concurrent(recorded: tuple[Replay, Workplace]) -> None:
    index, place = recorded
    place.ok("lock")
    pages = [count.path for count in index.log if count.path.startswith("/simple/")]
    assert len(pages) == len(set(pages)) == WIDTH + 1
    assert index.doubled == []
    assert index.unrecorded == []
    assert 1 < index.most_in_flight <= MOST


def test_a_page_is_not_requested_again_while_it_is_fresh(recorded: tuple[Replay, Workplace]) -> None:
    index, place = recorded
    place.ok("lock")
    text = place.lock.read_text()
    place.lock.unlink()
    index.forget()
    place.ok("lock", ENVC_NOW="2026-06-01T00:09:00Z")
    assert index.log == [], "the pages state that they are good for ten minutes"
    assert place.lock.read_text() == text


def test_a_page_that_has_not_changed_is_not_sent_again(recorded: tuple[Replay, Workplace]) -> None:
    index, place = recorded
    place.ok("lock")
    text = place.lock.read_text()
    place.lock.unlink()
    for later in (("--refresh", "2026-06-01T00:00:00Z"), ("--upgrade", "2026-06-01T00:11:00Z")):
        index.forget()
        place.ok("lock", "--upgrade", later[0], ENVC_NOW=later[1])
        pages = [request for request in index.log if request.path.startswith("/simple/")]
        assert index.unchanged == len(pages) == WIDTH + 1
        # These pages state no digests of metadata, so a refresh asks again for what the index claims.
        claims = [request for request in index.log if request not in pages]
        assert all(request.path.endswith(".whl") and request.range for request in claims)
        assert bool(claims) == (later[0] == "--refresh")
        assert place.lock.read_text() == text


def test_a_recording_is_served_again_from_its_folder(recorded: tuple[Replay, Workplace], tmp_path: Path) -> None:
    index, place = recorded
    place.ok("lock")
    text = place.lock.read_text()
    index.stop()
    place.lock.unlink()
    place.cache.rename(tmp_path / "warm again")
    with Replay(index.folder) as again:
        assert again.url == index.url
        place.ok("lock")
        assert again.unrecorded == []
    assert place.lock.read_text() == text


def test_concurrent_locks_share_one_cache(recorded: tuple[Replay, Workplace], tmp_path: Path) -> None:
    index, place = recorded
    others = [Workplace(tmp_path / f"other{number}", index.url) for number in range(4)]
    for other in others:
        other.write(MANIFEST)
        other.env["ENVC_CACHE_DIR"] = str(place.cache)
    with ThreadPoolExecutor(len(others)) as pool:
        done = list(pool.map(lambda other: other.run("lock"), others))
    assert [(one.code, "warning" in one.err) for one in done] == [(0, False)] * len(others)
    assert len({other.lock.read_bytes() for other in others}) == 1
    index.stop()
    place.ok("lock", "--offline")
    assert place.lock.read_bytes() == others[0].lock.read_bytes()


@pytest.mark.skipif(sys.platform == "win32", reason="needs signals that cannot be caught")
def test_a_killed_lock_leaves_a_usable_cache(recorded: tuple[Replay, Workplace]) -> None:
    index, place = recorded
    for count in (20, 90, 150):
        killed = subprocess.Popen([ENVC, "lock"], cwd=place.checkout, env=place.env, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 30
        while len(index.log) < count and killed.poll() is None and time.monotonic() < deadline:
            time.sleep(0.002)
        killed.kill()
        killed.wait()
        with closing(sqlite3.connect(place.cache / FILE)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert "warning" not in place.ok("lock").err
    assert place.ok("lock", "--check")
