"""A command runs in its environment, with the user's variables but without the user's own Python."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from envc.errors import EnvcError, UsageError
from envc.model.progress import Silent
from envc.shipping.deliver.hydrate import StoredEnvironment, hydrate
from envc.shipping.deliver.run import LEAKS, CommandNotFound, Launch, command_of, environment_variables, run
from tests.support.environments import HOST, record_of
from tests.support.stores import MemoryBlobs
from tests.support.wheels import build_wheel

TOOL = build_wheel(
    "tool",
    files={"tool.py": "import sys\ndef main():\n    print('tool', *sys.argv[1:])\n    return 5\n"},
    entry_points={"console_scripts": {"tool": "tool:main"}},
)


@pytest.fixture(scope="module")
def prefix(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    store = MemoryBlobs()
    record = record_of(store, folder, TOOL)
    hydrate(
        StoredEnvironment(store, record),
        folder / "pre fix",
        interpreter=HOST,
        cache=folder / "cache",
        progress=Silent(),
    )
    return folder / "pre fix"


RUN = """
import json, os, sys
from pathlib import Path
from envc.shipping.deliver.run import Launch, run
command, prefix, cwd, environ, replace = json.loads(sys.argv[1])
print("before", flush=False)  # must not be lost when another program takes this one's place
launch = Launch(command=tuple(command), prefix=Path(prefix), cwd=Path(cwd))
sys.exit(run(launch, {**os.environ, **environ}, replace=replace))
"""


def started(prefix: Path, cwd: Path, *command: str, replace: bool = True, **environ: str) -> subprocess.Popen[str]:
    """Start the command. `environ` adds variables to the caller's environment."""
    arguments = json.dumps([command, str(prefix), str(cwd), environ, replace])
    return subprocess.Popen(
        [sys.executable, "-c", RUN, arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def output(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=30)
    assert out.startswith("before\n")
    return process.returncode, out.removeprefix("before\n"), err


@pytest.mark.parametrize("replace", [True, False])
def test_exit_code_arguments_and_folder_pass_through(replace: bool, prefix: Path, tmp_path: Path) -> None:
    code = "import os, sys; print(os.getcwd(), sys.argv[1:]); sys.exit(7)"
    process = started(prefix, tmp_path, "python", "-c", code, "a b", "$HOME", replace=replace)
    assert output(process) == (7, f"{tmp_path} ['a b', '$HOME']\n", "")


@pytest.mark.parametrize("replace", [True, False])
def test_console_scripts_of_the_environment_come_first(replace: bool, prefix: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "bin"
    elsewhere.mkdir()
    (elsewhere / "tool").write_text("#!/bin/sh\necho wrong\n")
    (elsewhere / "tool").chmod(0o755)
    path = f"{elsewhere}{os.pathsep}{os.environ['PATH']}"
    assert output(started(prefix, tmp_path, "tool", "x", replace=replace, PATH=path)) == (5, "tool x\n", "")


def test_the_users_python_does_not_leak_in(prefix: Path, tmp_path: Path) -> None:
    trap = tmp_path / "trap"
    trap.mkdir()
    (trap / "tool.py").write_text("raise SystemExit('trapped')\n")
    (trap / "sitecustomize.py").write_text("raise SystemExit('trapped')\n")
    user = tmp_path / "user"
    site = user / f"lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages"
    site.mkdir(parents=True)
    (site / "usercustomize.py").write_text("raise SystemExit('trapped')\n")
    process = started(
        prefix,
        tmp_path,
        "python",
        "-c",
        "import sys, os, json; print(json.dumps([sys.path, sys.prefix, dict(os.environ)]))",
        PYTHONPATH=str(trap),
        PYTHONHOME=str(trap),
        PYTHONUSERBASE=str(user),
        PYTHONSTARTUP=str(trap / "tool.py"),
        PYTHONHASHSEED="42",
    )
    code, out, err = output(process)
    assert (code, err) == (0, "")
    path, found, variables = json.loads(out)
    assert found == str(prefix)
    assert not [entry for entry in path if str(trap) in entry or str(user) in entry]
    assert not set(LEAKS) & set(variables)
    assert variables["PYTHONNOUSERSITE"] == "1"
    assert variables["PYTHONHASHSEED"] == "42"
    assert variables["VIRTUAL_ENV"] == str(prefix)


def test_variables_are_layered(prefix: Path, tmp_path: Path) -> None:
    launch = Launch(command=("x",), prefix=prefix, cwd=tmp_path, env={"OWN": "step", "PYTHONPATH": "lib"})
    environ = {"OWN": "user", "KEPT": "1", "PATH": "/usr/bin", **dict.fromkeys(LEAKS, "leak")}
    assert environment_variables(launch, environ) == {
        "OWN": "step",
        "KEPT": "1",
        "PATH": f"{prefix / 'bin'}{os.pathsep}/usr/bin",
        "VIRTUAL_ENV": str(prefix),
        "PYTHONNOUSERSITE": "1",
        "PYTHONPATH": "lib",
    }


@pytest.mark.parametrize("replace", [True, False])
def test_signals_reach_the_command(replace: bool, prefix: Path, tmp_path: Path) -> None:
    code = (
        "import signal, sys\n"
        "signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})\n"  # it waits for the test, however late that is
        "print('ready', flush=True)\n"
        "sys.exit(9 if signal.sigwait({signal.SIGTERM}) == signal.SIGTERM else 1)\n"
    )
    process = started(prefix, tmp_path, "python", "-c", code, replace=replace)
    assert process.stdout is not None
    while process.stdout.readline() != "ready\n":
        pass
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=60)[1] == ""
    assert process.returncode == 9


def test_a_signal_before_the_child_starts_is_forwarded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    start = subprocess.Popen

    def slow_start(*args: Any, **kwargs: Any) -> subprocess.Popen[bytes]:
        os.kill(os.getpid(), signal.SIGTERM)
        return start(*args, **kwargs)

    (tmp_path / "bin").mkdir()
    monkeypatch.setattr(subprocess, "Popen", slow_start)
    handlers = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)]
    launch = Launch(command=("sleep", "60"), prefix=tmp_path, cwd=tmp_path)
    assert run(launch, os.environ, replace=False) == 128 + signal.SIGTERM
    assert handlers == [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)]
    assert signal.set_wakeup_fd(-1) == -1


def test_the_exit_code_of_a_command_ended_by_a_signal(prefix: Path, tmp_path: Path) -> None:
    code = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    assert output(started(prefix, tmp_path, "python", "-c", code, replace=False))[0] == 128 + 9
    assert output(started(prefix, tmp_path, "python", "-c", code))[0] == -9


def test_a_closed_pipe_ends_the_command_quietly(prefix: Path, tmp_path: Path) -> None:
    """Python ignores SIGPIPE, and the program that replaces it must not inherit that."""
    process = started(prefix, tmp_path, "sh", "-c", "while :; do echo x; done")
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(timeout=60) == -signal.SIGPIPE
    assert process.stderr is not None
    process.stderr.close()


def test_a_program_by_path_is_relative_to_the_folder(prefix: Path, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/hello").write_text("#!/bin/sh\necho hello\n")
    (tmp_path / "bin/hello").chmod(0o755)
    assert output(started(prefix, tmp_path, "bin/hello")) == (0, "hello\n", "")


@pytest.mark.parametrize("program", ["no-such-program", "./no-such-program"])
def test_a_missing_program_is_reported(program: str, prefix: Path, tmp_path: Path) -> None:
    with pytest.raises(CommandNotFound, match="no-such-program"):
        run(Launch(command=(program,), prefix=prefix, cwd=tmp_path), os.environ, replace=False)


def test_a_program_that_cannot_be_started_is_reported(prefix: Path, tmp_path: Path) -> None:
    (tmp_path / "garbage").write_bytes(b"\x7fELF garbage")
    (tmp_path / "garbage").chmod(0o755)
    with pytest.raises(EnvcError, match=r"\./garbage cannot be started"):
        run(Launch(command=("./garbage",), prefix=prefix, cwd=tmp_path), os.environ, replace=False)


def test_the_command_line_of_an_old_bundle_is_read_by_the_rules_of_today() -> None:
    assert command_of("python -c 'print(1)' \"a b\"", shell=False) == ("python", "-c", "print(1)", "a b")
    assert command_of("python $X > y", shell=True) == ("/bin/sh", "-c", "python $X > y")
    for text in ("", "  ", "'unclosed", "python $X > y"):
        with pytest.raises(UsageError, match="command line"):
            command_of(text, shell=False)


def test_a_shell_finds_the_programs_of_the_environment(prefix: Path, tmp_path: Path) -> None:
    launch = Launch(
        command=command_of("tool one | tr a-z A-Z > out.txt; tool $X", shell=True), prefix=prefix, cwd=tmp_path
    )
    assert run(launch, os.environ | {"X": "two"}, replace=False) == 5
    assert (tmp_path / "out.txt").read_text() == "TOOL ONE\n"
