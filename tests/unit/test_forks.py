"""Work shared with forked processes. Each test runs in a separate process: a process with threads cannot fork."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="envc forks only on Linux")

# `attend` pauses the parent until a child has started a piece of work, so that a child does work in every test.
START = """
import os, signal, sys, threading
from pathlib import Path
from envc.system.forks import run_in_forks

folder, here = Path(sys.argv[1]), os.getpid()
begun, begin = os.pipe()

def attend():
    if os.getpid() != here:
        os.write(begin, b"x")
        return False
    os.read(begun, 1)
    os.write(begin, b"x")
    return True

def check_no_children_left():
    try:
        os.waitpid(-1, 0)
    except ChildProcessError:
        return
    raise SystemExit("a child process is left")
"""


def run(folder: Path, program: str, *arguments: str) -> None:
    command = [sys.executable, "-W", "error", "-c", START + program, str(folder), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_every_piece_is_done_exactly_once(tmp_path: Path) -> None:
    """The program asserts it; `run` checks that the program ends without an error."""
    program = """
def work(number):
    attend()
    with (folder / str(number)).open("x") as stream:
        stream.write(str(os.getpid()))
    return True

assert run_in_forks(work, 40, forks=2) == [True] * 40
doers = [int(path.read_text()) for path in folder.iterdir()]
assert len(doers) == 40 and set(doers) - {here}
check_no_children_left()
"""
    run(tmp_path, program)


@pytest.mark.parametrize(
    "failure",
    ["return False", "raise OSError(28, 'full')", "raise KeyboardInterrupt"],
)
def test_a_piece_that_fails_in_a_fork_is_done_by_the_parent(tmp_path: Path, failure: str) -> None:
    """The program asserts it; `run` checks that the program ends without an error."""
    program = f"""
done = []

def work(number):
    if not attend():
        {failure}
    done.append(number)
    return number % 2 == 0

assert run_in_forks(work, 9, forks=1) == [number % 2 == 0 for number in range(9)]
assert sorted(done) == list(range(9))
check_no_children_left()
"""
    run(tmp_path, program)


def test_an_error_is_raised_in_the_parent_and_leaves_no_fork(tmp_path: Path) -> None:
    """The program asserts it; `run` checks that the program ends without an error."""
    program = """
def work(number):
    if attend():
        raise ValueError(number)
    signal.pause()

try:
    run_in_forks(work, 3, forks=2)
except ValueError:
    check_no_children_left()
else:
    raise SystemExit("no error")
"""
    run(tmp_path, program)


def test_a_killed_fork_is_an_error(tmp_path: Path) -> None:
    """A killed child may leave half of a piece behind, which would look like the work of another process."""
    program = """
def work(number):
    if not attend():
        os.kill(os.getpid(), signal.SIGKILL)
    return True

try:
    run_in_forks(work, 9, forks=2)
except OSError as error:
    assert "killed" in str(error)
    check_no_children_left()
else:
    raise SystemExit("no error")
"""
    run(tmp_path, program)


def test_after_a_failure_the_failed_piece_is_next(tmp_path: Path) -> None:
    """The program asserts it; `run` checks that the program ends without an error."""
    program = """
from contextlib import suppress

order, noted = [], []

def work(number):
    if not order and not attend():
        raise OSError(28, "full")
    if not order:
        with suppress(ChildProcessError):  # it may have ended before anything was begun here
            os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)
    order.append(number)
    return True

assert run_in_forks(work, 9, forks=1, done=noted.append) == [True] * 9
assert order == noted == [order[0], *(number for number in range(9) if number != order[0])]
"""
    run(tmp_path, program)


def test_the_parent_is_notified_of_every_finished_piece(tmp_path: Path) -> None:
    """The program asserts it; `run` checks that the program ends without an error."""
    program = """
noted = []

def work(number):
    attend()
    (folder / f"{number}-{os.getpid()}").touch()
    return True

assert run_in_forks(work, 40, forks=2, done=noted.append) == [True] * 40
assert sorted(noted) == list(range(40))
assert any(not path.name.endswith(f"-{here}") for path in folder.iterdir())
"""
    run(tmp_path, program)


def test_a_fork_finishes_its_current_piece_after_the_parent_dies(tmp_path: Path) -> None:
    program = """
import time

def work(number):
    if attend():
        os.kill(here, signal.SIGKILL)
    while os.getppid() == here:
        time.sleep(0.001)
    (folder / str(number)).touch()
    return True

run_in_forks(work, 9, forks=1)
"""
    with pytest.raises(AssertionError, match="-9"):
        run(tmp_path, program)
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    ("thread", "count", "copies"),
    [(True, 9, 2), (False, 9, 0), (False, 1, 2), (False, 2000, 2), (False, 0, 2)],
    ids=["another thread", "no forks requested", "one piece", "more pieces than a pipe takes", "nothing to do"],
)
def test_the_parent_does_everything_if_it_cannot_fork(tmp_path: Path, thread: bool, count: int, copies: int) -> None:
    """The program asserts it; `run` checks that the program ends without an error."""
    program = f"""
if {thread}:
    end = threading.Event()
    other = threading.Thread(target=end.wait)
    other.start()
doers = []

def work(number):
    doers.append(os.getpid())
    return True

assert run_in_forks(work, {count}, forks={copies}) == [True] * {count}
assert doers == [here] * {count}
if {thread}:
    end.set()
    other.join()
"""
    run(tmp_path, program)
