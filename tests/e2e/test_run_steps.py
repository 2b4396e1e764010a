"""`envc run --needs` and `envc run --all` through the installed command."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.command import ENVC, HOST_PYTHON, Workplace, host_platform
from tests.support.servers import IndexServer

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the steps need a POSIX shell")

HEAD = f"""\
[project]
name = "several"
targets = ["{host_platform()}"]
python = "{HOST_PYTHON}"

"""


def step(name: str, run: str | None, *needs: str) -> str:
    command = f"run = '''{run}'''\nshell = true\n" if run else ""
    return f"[steps.{name}]\nneeds = {list(needs)}\n{command}\n"


# Both middle steps wait for each other, so they end only if they run at the same time.
_MEETING = (
    "echo {0} >> log; touch {0}.here; n=0; while [ ! -e {1}.here ] && [ $n -lt 100 ]; do sleep 0.1; n=$((n+1)); done"
)
DIAMOND = (
    step("last", "echo last >> log; cat log | wc -l", "left", "right")
    + step("left", _MEETING.format("left", "right"), "first")
    + step("right", _MEETING.format("right", "left"), "through")
    + step("through", None, "first")
    + step("first", "echo first >> log; echo out; echo err >&2")
    + step("other", "echo other >> log")
)


@pytest.fixture
def place(workplace: Workplace) -> Workplace:
    workplace.write(HEAD + DIAMOND)
    return workplace


def log(place: Workplace) -> list[str]:
    return (place.checkout / "log").read_text().split()


def test_what_a_step_needs_runs_first_in_order_and_at_the_same_time_where_needs_allows(place: Workplace) -> None:
    done = place.ok("run", "--needs", "last", "--jobs", "2")
    assert log(place)[0] == "first"
    assert sorted(log(place)[1:3]) == ["left", "right"]
    assert log(place)[3:] == ["last"]
    # Each line has the name of its step, on the stream that the step wrote it to.
    assert done.out == "first   | out\nlast    | 4\n"
    assert "first   | err\n" in done.err


def test_all_steps_run(place: Workplace) -> None:
    place.ok("run", "--all", "-j", "3")
    assert sorted(log(place)) == ["first", "last", "left", "other", "right"]


def test_one_step_alone_runs_without_what_it_needs(place: Workplace) -> None:
    assert place.ok("run", "last").out.strip() == "1"


def test_a_command_after_the_dashes_replaces_that_of_the_wanted_step_alone(place: Workplace) -> None:
    done = place.ok("run", "--needs", "through", "--", "echo", "$HOME")
    assert done.out == "first   | out\nthrough | $HOME\n"


def test_the_exit_code_is_that_of_the_first_failure_and_nothing_else_starts(workplace: Workplace) -> None:
    workplace.write(
        HEAD
        + step("bad", "exit 7")
        + step("after", "echo after", "bad")
        + step("missing", "nowhere-to-be-found", "fine")
        + step("fine", "echo fine")
    )
    done = workplace.fails(7, "run", "--all", "--jobs", "1")
    assert done.out == ""
    assert "step bad failed with exit code 7" in done.err
    assert "not run because of that: after, missing, fine" in done.err
    done = workplace.fails(7, "run", "--all", "--jobs", "1", "--keep-going")
    assert done.out == "fine    | fine\n"
    assert "step missing failed with exit code 127" in done.err
    assert "not run because of that: after\n" in done.err


def test_a_step_whose_program_does_not_exist_has_failed(workplace: Workplace) -> None:
    workplace.write(f'{HEAD}[steps.one]\nrun = "nowhere-to-be-found"\n[steps.two]\nrun = "echo two"\n')
    done = workplace.fails(1, "run", "--all", "-k")
    assert "step one failed: there is no nowhere-to-be-found in the environment or on PATH" in done.err
    assert done.out == "two | two\n"


def test_environments_are_made_for_all_steps_before_the_first_starts(workplace: Workplace, index: IndexServer) -> None:
    """The manifest of the other tests: no lock, no store and no cache yet."""
    done = workplace.ok("run", "--needs", "train")
    assert done.out == "prepare | step prepare alpha 1.1 \ntrain   | step train alpha 1.1 hello there\n"
    again = workplace.ok("run", "--needs", "train", ENVC_OFFLINE="1")
    assert again.out == done.out


def test_a_step_knows_its_name_target_and_lock(workplace: Workplace) -> None:
    command = 'echo "$ENVC_STEP $ENVC_TARGET $ENVC_LOCK $OWN"'
    workplace.write(HEAD + step("one", command) + 'env = { OWN = "own" }\n')
    expected = workplace.ok("run", "one").out
    bundled = workplace.ok("bundle", "--output", "one.tar.zst", "--json").json
    assert expected == f"one {host_platform()} {bundled['lock']} own\n"
    assert workplace.ok("run", "--all").out == f"one | {expected}"
    assert workplace.ok("run", "./one.tar.zst").out == expected


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--all", "first"], "--all runs every step, and first is named"),
        (["first", "--jobs", "2"], "--jobs and --keep-going are for several steps"),
        (["first", "-k"], "--jobs and --keep-going are for several steps"),
        (["--needs", "frist"], "did you mean first?"),
        (["--needs", "through"], "step through has no `run`"),
        (["--needs", "./a.tar.zst"], "--needs cannot be used with ./a.tar.zst"),
        (["--all", "--jobs", "0"], "--jobs"),
        (["--all", "--target", "win-64"], "the manifest has no target for win-64"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_runs(place: Workplace, options: list[str], reason: str) -> None:
    assert reason in place.fails(2, "run", *options).err
    assert not (place.checkout / "log").exists()
    assert not place.lock.exists()


def test_a_manifest_without_steps_has_nothing_to_run(workplace: Workplace) -> None:
    workplace.write(HEAD)
    assert "the manifest has no steps" in workplace.fails(2, "run", "--all").err
    assert workplace.fails(2, "run").out == ""


def test_without_a_step_the_steps_are_listed(workplace: Workplace) -> None:
    done = workplace.fails(2, "run")
    assert done.out == ("prepare  python main.py prepare\ntrain    python main.py train  (needs prepare)\nreport   -\n")
    assert "name a step: `envc run STEP`" in done.err
    listed = workplace.ok("run", "--json").json["steps"]
    assert listed[1] == {"step": "train", "run": "python main.py train", "shell": False, "needs": ["prepare"]}
    assert "--json lists the steps" in workplace.fails(2, "run", "train", "--json").err


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads the processes of Linux")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_an_interrupted_run_leaves_no_process(workplace: Workplace, number: int, code: int) -> None:
    """One step starts a process that ignores Ctrl-C, as every background process of a shell does."""
    workplace.write(
        HEAD
        + step("one", "echo $$ > one.pid; sleep 1000 & echo $! > deep.pid; wait")
        + step("two", "echo $$ > two.pid; exec sleep 1000")
        + step("never", "touch never.pid", "one")
    )
    child = subprocess.Popen(
        [ENVC, "run", "--all", "-j", "2"], cwd=workplace.checkout, env=workplace.env, stderr=subprocess.PIPE, text=True
    )
    files = [workplace.checkout / f"{name}.pid" for name in ("one", "deep", "two")]
    _until(lambda: all(file.exists() and file.read_text().strip() for file in files))
    pids = [int(file.read_text()) for file in files]
    assert all(map(_alive, pids))
    child.send_signal(number)
    _, err = child.communicate(timeout=20)
    assert child.returncode == code
    assert "Traceback" not in err
    _until(lambda: not any(map(_alive, pids)), 2)
    assert not (workplace.checkout / "never.pid").exists()


def test_a_step_that_ignores_requests_to_end_is_killed(workplace: Workplace) -> None:
    workplace.write(HEAD + step("stubborn", "trap '' INT TERM HUP; echo $$ > pid; while :; do sleep 0.1; done"))
    child = subprocess.Popen(
        [ENVC, "run", "--all"], cwd=workplace.checkout, env=workplace.env, stderr=subprocess.PIPE, text=True
    )
    file = workplace.checkout / "pid"
    _until(lambda: file.exists() and bool(file.read_text().strip()))
    for _ in range(3):  # each Ctrl-C ends one period of waiting
        child.send_signal(signal.SIGINT)
        time.sleep(0.3)
    child.communicate(timeout=20)
    assert child.returncode == 130
    _until(lambda: not _alive(int(file.read_text())), 2)


def test_the_steps_end_if_their_output_is_not_read(workplace: Workplace) -> None:
    workplace.write(HEAD + step("endless", "echo $$ > pid; while echo line; do :; done; sleep 1000"))
    child = subprocess.Popen(
        [ENVC, "run", "--all"],
        cwd=workplace.checkout,
        env=workplace.env,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == b"endless | line\n"
    child.stdout.close()
    assert child.wait(timeout=20) != 0
    _until(lambda: not _alive(int((workplace.checkout / "pid").read_text())), 2)
