"""Work shared with copies of the process. Each test is a process of its own, since other threads forbid copies."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere no copies are made")

# `attend` holds this process back until a copy has begun a piece of work, so that each test has one that did.
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

def check_that_nobody_is_left():
    try:
        os.waitpid(-1, 0)
    except ChildProcessError:
        return
    raise SystemExit("a copy is left")
"""


def run(folder: Path, program: str, *arguments: str) -> None:
    command = [sys.executable, "-W", "error", "-c", START + program, str(folder), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_every_number_is_done_once_by_someone(tmp_path: Path) -> None:
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
check_that_nobody_is_left()
"""
    run(tmp_path, program)


@pytest.mark.parametrize(
    "failure",
    ["return False", "raise OSError(28, 'full')", "raise KeyboardInterrupt"],
)
def test_what_fails_in_a_copy_is_done_here(tmp_path: Path, failure: str) -> None:
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
check_that_nobody_is_left()
"""
    run(tmp_path, program)


def test_an_error_is_raised_here_and_leaves_no_copy(tmp_path: Path) -> None:
    """The program asserts it; `run` checks that the program ends without an error."""
    program = """
def work(number):
    if attend():
        raise ValueError(number)
    signal.pause()

try:
    run_in_forks(work, 3, forks=2)
except ValueError:
    check_that_nobody_is_left()
else:
    raise SystemExit("no error")
"""
    run(tmp_path, program)


def test_a_copy_that_was_killed_is_an_error(tmp_path: Path) -> None:
    """It may have left half of a piece behind, which would look like somebody else's work."""
    program = """
def work(number):
    if not attend():
        os.kill(os.getpid(), signal.SIGKILL)
    return True

try:
    run_in_forks(work, 9, forks=2)
except OSError as error:
    assert "killed" in str(error)
    check_that_nobody_is_left()
else:
    raise SystemExit("no error")
"""
    run(tmp_path, program)


def test_after_a_failure_the_piece_that_failed_comes_next(tmp_path: Path) -> None:
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


def test_what_is_done_anywhere_is_noted_here(tmp_path: Path) -> None:
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


def test_a_copy_outlives_its_process_by_one_piece(tmp_path: Path) -> None:
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
    ids=["another thread", "no copies wanted", "one piece", "more pieces than a pipe takes", "nothing to do"],
)
def test_everything_is_done_here(tmp_path: Path, thread: bool, count: int, copies: int) -> None:
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
