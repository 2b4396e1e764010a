"""run: runs a command in a ready environment, isolated from the Python of the caller."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec

from envc.errors import EnvcError, UsageError
from envc.model.kinds import InterpreterKind

if TYPE_CHECKING:
    import subprocess

    from envc.model.digest import Sha256

T = TypeVar("T")

CONDA: Final = "conda"  # the kind of interpreter whose environments conda activates
# Variables that would add files of another Python, or run something before the step. The other PYTHON* variables (hash
# seed, buffering, warnings, UTF-8 mode) are settings of the user, and stay.
LEAKS = (
    "PYTHONPATH",
    "PYTHONHOME",
    "PYTHONSTARTUP",
    "PYTHONUSERBASE",
    "PYTHONEXECUTABLE",
    "PYTHONPLATLIBDIR",
    "__PYVENV_LAUNCHER__",
)
_TRIES = 10  # how often an environment is made ready, if another process removes it each time
# The signals that ask a process to end or to reload. Windows has none of them.
FORWARDED = tuple(
    getattr(signal, name) for name in ("SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2") if hasattr(signal, name)
)


class Launch(msgspec.Struct, frozen=True, kw_only=True):
    """A command to run, and where."""

    command: tuple[str, ...]  # program and arguments
    prefix: Path  # of a ready environment
    cwd: Path  # the folder of the manifest, or of the bundled code
    about: dict[str, str] = {}  # variables that name the step: the result of `step_variables`
    env: dict[str, str] = {}  # the variables of the step
    interpreter: InterpreterKind = "host"  # of the environment
    uses: tuple[Path, ...] = ()  # files that `system.locks.in_use` marks until the command ends


class CommandNotFound(EnvcError):
    """The program of a step is neither in its environment nor on PATH."""

    def __init__(self, program: str, prefix: Path) -> None:
        super().__init__(program, prefix)
        self.program = program
        self.hint = f"add the package that provides {program} to the step, or correct its `run`"

    def __str__(self) -> str:
        return f"there is no {self.program} in the environment or on PATH"


class CodeNotHere(EnvcError):
    """A command that starts a file of the project, in a folder without that file, as in a container."""

    def __init__(self, step: str, file: str, folder: Path) -> None:
        super().__init__(step, file, folder)
        self.step = step
        self.file = file
        self.folder = folder
        self.hint = f"run the bundled code of the step: `envc run --from-store {step}`"

    def __str__(self) -> str:
        return f"step {self.step} starts {self.file}, which is not in {self.folder}"


class EnvironmentRemoved(EnvcError):
    """Another process removed the environment or its code from the cache before the command was started."""

    hint = "run the same command again, and let `envc cache prune` end first"

    def __init__(self, file: Path) -> None:
        super().__init__(file)
        self.file = file

    def __str__(self) -> str:
        return f"{self.file} has been removed by another process"


def mark_used(files: Iterable[Path], marks: ExitStack) -> None:
    """Mark what these files stand for as in use until `marks` are closed. Raises EnvironmentRemoved."""
    from envc.system.locks import in_use

    for file in files:
        if not marks.enter_context(in_use(file)):
            raise EnvironmentRemoved(file)


def retried(start: Callable[[], T]) -> T:
    """The result of `start`, which makes an environment ready and marks it as used. It is called again if another
    process removes the environment in between. Raises EnvironmentRemoved if that happens every time.
    """
    for _ in range(_TRIES - 1):
        try:
            return start()
        except EnvironmentRemoved:
            pass
    return start()


def command_of(text: str, *, shell: bool) -> tuple[str, ...]:
    """The program and the arguments that run a step's command line. Raises UsageError."""
    from envc.model.command_line import BadCommandLine, read_words, shell_words

    if shell:
        return shell_words(text)
    try:
        return read_words(text)
    except BadCommandLine as error:
        raise UsageError(f"the command line {text!r}: {error}", error.suggestion) from None


_SHELLS = frozenset({"bash", "dash", "ksh", "sh", "zsh"})
_WITH_VALUE = frozenset({"-W", "-X", "-O", "-o", "--check-hash-based-pycs"})  # options with a separate value


def absent_file(folder: Path, command: tuple[str, ...]) -> str | None:
    """The file of the project that a command starts, if `folder` lacks it: its program, or the script of Python or a
    shell. None if the command does not say which file it starts.
    """
    program, *words = command
    if "/" in program:
        script: str | None = program
    else:
        name = program.removesuffix(".exe").rstrip("t").rstrip(".0123456789")
        script = _script(words) if name in ("python", "pypy") or program in _SHELLS else None
    if script is None or Path(script).is_absolute() or (folder / script).exists():
        return None
    return script


def _script(words: Iterable[str]) -> str | None:
    """The first argument of Python or a shell that is no option, unless code or the name of a module comes first."""
    is_value = False
    for word in words:
        if is_value:
            is_value = False
        elif not word.startswith(("-", "+")):
            return word
        elif word == "-" or (not word.startswith("--") and ("c" in word or "m" in word)):
            return None
        else:
            is_value = word in _WITH_VALUE
    return None


def step_variables(step: str, target: str, lock: Sha256) -> dict[str, str]:
    """The variables that tell a command which step it is, on which target, and the digest of its lock."""
    return {"ENVC_STEP": step, "ENVC_TARGET": target, "ENVC_LOCK": lock}


def environment_variables(launch: Launch, environ: Mapping[str, str]) -> dict[str, str]:
    """The variables of the child: those of the caller except LEAKS, overridden by those of the environment, then the
    step.
    """
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
            folders.insert(0, str(launch.prefix))  # the folder of the environment's own interpreter
    path = environ.get("PATH") or os.defpath
    result.update(PATH=os.pathsep.join([*folders, path]), PYTHONNOUSERSITE="1")
    result.update(launch.about)
    result.update(launch.env)
    return result


def run(launch: Launch, environ: Mapping[str, str], *, replace: bool = True) -> int:
    """Run the command. Returns its exit code, or 128 plus the number of the signal that ended it.

    On POSIX and with `replace`, the command replaces this process (exec), and the call does not return. Otherwise, the
    signals in FORWARDED are forwarded. Raises EnvironmentRemoved, CommandNotFound, and EnvcError if the program cannot
    be started.
    """
    with ExitStack() as marks:
        mark_used(launch.uses, marks)
        return _run(launch, environ, replace=replace)


def _run(launch: Launch, environ: Mapping[str, str], *, replace: bool) -> int:
    variables = environment_variables(launch, environ)
    program, command, variables = _command(launch, variables)
    # Earlier output must not appear after the output of the command.
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        if replace and os.name == "posix":
            os.chdir(launch.cwd)
            # Python ignores these signals, and exec would keep them ignored in the program.
            for name in ("SIGPIPE", "SIGXFSZ"):
                if hasattr(signal, name):
                    signal.signal(getattr(signal, name), signal.SIG_DFL)
            os.execve(program, command, variables)
        return _run_child(_for_windows([program, *command[1:]]), launch.cwd, variables)
    except OSError as error:
        raise EnvcError(f"{launch.command[0]} cannot be started: {error.strerror}") from None


def process_arguments(launch: Launch, environ: Mapping[str, str]) -> tuple[list[str] | str, dict[str, str]]:
    """The arguments of a child that runs the command, and its variables. Raises CommandNotFound."""
    variables = environment_variables(launch, environ)
    program, command, variables = _command(launch, variables)
    return _for_windows([program, *command[1:]]), variables


def _command(launch: Launch, variables: dict[str, str]) -> tuple[str, tuple[str, ...], dict[str, str]]:
    """The program to start, its argument vector, and its variables."""
    if launch.interpreter == CONDA:
        from envc.shipping.prefix.activate import through_scripts

        wrapped = through_scripts(launch.prefix, launch.command, launch.env, variables)
        if wrapped is not None:
            command, seen = wrapped
            return command[0], command, seen
    return _find_program(launch, variables), launch.command, variables


def _find_program(launch: Launch, variables: Mapping[str, str]) -> str:
    """The path of the program. A name with a separator is relative to the folder in which the command runs."""
    program = launch.command[0]
    is_path = "/" in program or os.sep in program
    found = shutil.which(launch.cwd / program if is_path else program, path=variables["PATH"])
    if found is None:
        raise CommandNotFound(program, launch.prefix)
    # A relative folder on PATH refers to the current folder, but the child runs in another one.
    return str(Path(found).absolute())


def _run_child(command: list[str] | str, cwd: Path, variables: Mapping[str, str]) -> int:
    """Start a child and wait for its end. SIGINT is not forwarded, because a terminal sends it to both processes."""
    import subprocess

    before = {signal.SIGINT: signal.signal(signal.SIGINT, lambda *_: None)}
    try:
        if os.name == "nt":
            code = subprocess.Popen(command, cwd=cwd, env=variables).wait()  # without signals
        else:
            code = _forwarding_signals(lambda: subprocess.Popen(command, cwd=cwd, env=variables), before)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return 128 - code if code < 0 else code


def _for_windows(command: list[str]) -> list[str] | str:
    """The argument vector, or the command line for cmd, which reads no quoting of arguments (see `shell_words`)."""
    return " ".join([f'"{command[0]}"', *command[1:]]) if command[1:4] == ["/d", "/s", "/c"] else command


def _forwarding_signals(start: Callable[[], subprocess.Popen[bytes]], before: dict[signal.Signals, Any]) -> int:
    """The exit code of a child to which signals are forwarded. Replaced handlers are added to `before`.

    Handlers only record a signal. The loop forwards it, and sleeps in a read from the pipe that Python's C handler
    writes to. So no signal is lost, neither before the child has started nor just before the sleep.
    """
    received: list[int] = []
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    old_wakeup = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    try:
        for number in FORWARDED:
            before[number] = signal.signal(number, lambda got, _: received.append(got))
        before[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, lambda *_: None)
        child = start()
        while (code := child.poll()) is None:
            while received:
                child.send_signal(received.pop(0))
            os.read(reader, 512)
        return code
    finally:
        signal.set_wakeup_fd(old_wakeup)
        os.close(reader)
        os.close(writer)


def _scripts(prefix: Path) -> Path:
    return prefix / ("Scripts" if os.name == "nt" else "bin")
