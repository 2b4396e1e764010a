"""File locks: one holder at a time, whichever way the lock is taken."""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path

import pytest
from filelock import FileLock, Timeout

from envc.system.locks import file_lock
from envc.system.waits import active


@pytest.fixture(params=["the system's own lock", "the library's"])
def file(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    if request.param == "the library's":
        monkeypatch.setitem(sys.modules, "fcntl", None)
    return tmp_path / "one.lock"


def test_without_waiting_a_held_lock_yields_false(file: Path) -> None:
    with file_lock(file) as first:
        with file_lock(file, wait=False) as second:
            assert (first, second) == (True, False)
        with file_lock(file, wait=False) as third:
            assert not third
    with file_lock(file, wait=False) as fourth:
        assert fourth


def test_an_error_releases_the_lock(file: Path) -> None:
    with pytest.raises(ValueError, match="halfway"), file_lock(file):
        raise ValueError("halfway")
    with file_lock(file, wait=False) as mine:
        assert mine


def test_both_kinds_of_lock_exclude_each_other(tmp_path: Path) -> None:
    """Older versions of envc lock with the `filelock` library."""
    file = tmp_path / "one.lock"
    with file_lock(file), pytest.raises(Timeout):
        FileLock(file, timeout=0).acquire()
    with FileLock(file), file_lock(file, wait=False) as mine:
        assert not mine
    with file_lock(file, wait=False) as mine:
        assert mine


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError), file_lock(tmp_path / "file/one.lock"):
        raise AssertionError


@pytest.mark.skipif(sys.platform == "win32", reason="a locked file cannot be deleted there")
def test_the_lock_of_a_deleted_file_is_replaced_by_one_of_the_new_file(tmp_path: Path) -> None:
    """`Artifacts` deletes its lock files, perhaps while another process waits for the lock."""
    file = tmp_path / "one.lock"
    is_held, may_end = threading.Event(), threading.Event()

    def hold() -> None:
        with file_lock(file):
            is_held.set()
            may_end.wait(30)

    thread = threading.Thread(target=hold, daemon=True)
    with file_lock(file):
        thread.start()
        time.sleep(0.2)  # until the thread waits for the file that exists now
        file.unlink()
    assert is_held.wait(30)
    with file_lock(file, wait=False) as mine:
        assert not mine
    may_end.set()
    thread.join(30)


def test_a_thread_that_waits_for_a_lock_says_so(file: Path) -> None:
    shown: list[tuple[str, str]] = []

    def wait() -> None:
        with file_lock(file):
            pass

    with file_lock(file):
        waiter = threading.Thread(target=wait)
        waiter.start()
        end = time.monotonic() + 10
        while not shown and time.monotonic() < end:
            shown = [(one.place, one.what) for one in active()]
            time.sleep(0.01)
    waiter.join()
    assert shown == [("another process", "one.lock")]
    assert active() == []
