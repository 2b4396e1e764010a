"""run: a command in a ready environment, and nothing of the caller's own Python with it."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from envc.errors import EnvcError, UsageError

if TYPE_CHECKING:
    import subprocess

CONDA = "conda"  # the kind of interpreter whose environments conda activates
# What would let another Python's files in, or start something before the step. The rest of PYTHON* (hash seed,
# buffering, warnings, UTF-8 mode) is how a user wants Python to behave, and stays.
LEAKS = (
    "PYTHONPATH",
    "PYTHONHOME",
    "PYTHONSTARTUP",
    "PYTHONUSERBASE",
    "PYTHONEXECUTABLE",
    "PYTHONPLATLIBDIR",
    "__PYVENV_LAUNCHER__",
)
# The signals by which others ask a process to end or to look up; Windows has none of them.
HANDED_ON = tuple(
    getattr(signal, name) for name in ("SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2") if hasattr(signal, name)
)


class Launch(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be run, and where."""

    command: tuple[str, ...]  # program and arguments
    prefix: Path  # of a ready environment
    cwd: Path  # the folder of the manifest, or of the bundled code
    env: dict[str, str] = {}  # the step's own
    interpreter: str = "host"  # the kind that the environment has


class CommandNotFound(EnvcError):
    """The program of a step is neither in its environment nor on PATH."""

    def __init__(self, program: str, prefix: Path) -> None:
        super().__init__(program, prefix)
        self.program = program
        self.hint = f"add the package that provides {program} to the step, or correct its `run`"

    def __str__(self) -> str:
        return f"there is no {self.program} in the environment or on PATH"


def split_command(text: str) -> tuple[str, ...]:
    """A step's command line as program and arguments, quoted as in a POSIX shell; no shell ever sees it."""
    try:
        words = tuple(shlex.split(text))
    except ValueError as error:
        raise UsageError(f"the command line {text!r} cannot be read: {error}") from None
    if not words:
        raise UsageError("the command line is empty")
    return words


def environment_variables(launch: Launch, environ: Mapping[str, str]) -> dict[str, str]:
    """The variables of the child: the caller's, cleaned; the environment's on top; the step's own above all."""
    result = {key: value for key, value in environ.items() if key not in LEAKS}
    folders = [str(_scripts(launch.prefix))]
    if launch.interpreter == CONDA:
        from envc.shipping.prefix import activate

        folders = activate.folders(launch.prefix)
        result.pop("VIRTUAL_ENV", None)
        result.update(activate.variables(launch.prefix))
    else:
        result["VIRTUAL_ENV"] = str(launch.prefix)
        if os.name == "nt" and launch.interpreter != "host":
            folders.insert(0, str(launch.prefix))  # where an interpreter stands that is the environment's own
    path = environ.get("PATH") or os.defpath
    result.update(PATH=os.pathsep.join([*folders, path]), PYTHONNOUSERSITE="1")
    result.update(launch.env)
    return result


def run(launch: Launch, environ: Mapping[str, str], *, replace: bool = True) -> int:
    """Run the command to its end; answer with its exit code, or 128 and the number of the signal that ended it.

    On POSIX and with `replace`, the command takes this process's place and the call does not return. Else the signals
    that ask a process to end are handed on. Raises CommandNotFound, and EnvcError when the program cannot be started.
    """
    variables = environment_variables(launch, environ)
    program, command = _command(launch, variables)
    # What was said before the command must not come after what it says.
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        if replace and os.name == "posix":
            os.chdir(launch.cwd)
            # Python ignores these, and what is ignored stays ignored in the program that takes our place.
            for name in ("SIGPIPE", "SIGXFSZ"):
                if hasattr(signal, name):
                    signal.signal(getattr(signal, name), signal.SIG_DFL)
            os.execve(program, command, variables)
        return _run_child([program, *command[1:]], launch.cwd, variables)
    except OSError as error:
        raise EnvcError(f"{launch.command[0]} cannot be started: {error.strerror}") from None


def _command(launch: Launch, variables: Mapping[str, str]) -> tuple[str, tuple[str, ...]]:
    """What is started, and all of its words."""
    if launch.interpreter == CONDA:
        from envc.shipping.prefix.activate import through_scripts

        wrapped = through_scripts(launch.prefix, launch.command, launch.env, variables["PATH"])
        if wrapped is not None:
            return wrapped[0], wrapped
    return _find(launch, variables), launch.command


def _find(launch: Launch, variables: Mapping[str, str]) -> str:
    """The program as a path. A name with a separator is relative to the folder that the command runs in."""
    program = launch.command[0]
    is_path = "/" in program or os.sep in program
    found = shutil.which(launch.cwd / program if is_path else program, path=variables["PATH"])
    if found is None:
        raise CommandNotFound(program, launch.prefix)
    # A relative folder on PATH counts from where we are, and the child will be elsewhere.
    return str(Path(found).absolute())


def _run_child(command: list[str], cwd: Path, variables: Mapping[str, str]) -> int:
    """Start a child and wait for its end. SIGINT is not handed on: a terminal sends it to both."""
    import subprocess

    before = {signal.SIGINT: signal.signal(signal.SIGINT, lambda *_: None)}
    try:
        if os.name == "nt":
            code = subprocess.Popen(command, cwd=cwd, env=variables).wait()  # no other signal reaches a process there
        else:
            code = _handing_on(lambda: subprocess.Popen(command, cwd=cwd, env=variables), before)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return 128 - code if code < 0 else code


def _handing_on(start: Callable[[], subprocess.Popen[bytes]], before: dict[signal.Signals, Any]) -> int:
    """The code of a child that gets our signals; what handled them is added to `before`.

    Handlers only note a signal. The loop hands it on, and sleeps in a read of the pipe that Python's C handler fills:
    so no signal is lost, neither one before the child has started nor one just before the sleep.
    """
    noted: list[int] = []
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    woken_before = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    try:
        for number in HANDED_ON:
            before[number] = signal.signal(number, lambda got, _: noted.append(got))
        before[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, lambda *_: None)
        child = start()
        while (code := child.poll()) is None:
            while noted:
                child.send_signal(noted.pop(0))
            os.read(reader, 512)
        return code
    finally:
        signal.set_wakeup_fd(woken_before)
        os.close(reader)
        os.close(writer)


def _scripts(prefix: Path) -> Path:
    return prefix / ("Scripts" if os.name == "nt" else "bin")
