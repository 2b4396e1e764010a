"""Compiles the sources of a prefix to bytecode, with the interpreter that will load it (PEP 3147, PEP 552)."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO

from envc.errors import EnvcError
from envc.shipping.machine.interpreter import Interpreter, OwnPython
from envc.system.cores import usable_cores

_SCRIPT = Path(__file__).with_name("pyc.py")
_LIBRARIES = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
_FOLDERS = ("/site-packages/", "/dist-packages/")


class NoBytecode(EnvcError):
    """The interpreter could not compile the sources."""

    hint = "leave out --bytecode: Python compiles each module when it is first imported"

    def __init__(self, interpreter: str, reason: str) -> None:
        super().__init__(interpreter, reason)
        self.interpreter = interpreter
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.interpreter} made no bytecode: {self.reason}"


def is_module(path: str) -> bool:
    """Whether a member of an environment is a source that can be imported."""
    return path.endswith(".py") and any(folder in f"/{path.lower()}" for folder in _FOLDERS)


def source_of(path: str) -> str:
    """The path of the source that a bytecode member was compiled from; "" for other members (PEP 3147)."""
    folder, _, name = path.rpartition("/__pycache__/")
    stem, _, suffix = name.partition(".")
    return f"{folder}/{stem}.py" if folder and suffix.endswith("pyc") else ""


def compiled_sources(paths: Iterable[str]) -> list[str]:
    """The sources among the paths of an environment that `compile_tree` compiles, sorted."""
    known = set(paths)
    return sorted({path for path in known if is_module(path)} - {source_of(path) for path in known})


def compile_tree(root: Path, paths: Iterable[str], python: Interpreter, *, workers: int | None = None) -> None:
    """Compile the sources at `paths` below `root`, with as many processes as there are cores. Sources with bytecode in
    `paths` are skipped, since conda packages may contain bytecode.

    The bytes depend on the sources, their paths in the prefix, and the interpreter. Sources that it cannot parse are
    skipped. Raises NoBytecode if the interpreter fails.
    """
    ordered = compiled_sources(paths)
    count = max(1, min(workers or usable_cores(), len(ordered)))
    # Neighbouring sources go to different workers, because the sources of a package are of similar size.
    # The prefix is still a draft at another path, so its own interpreter needs the path of its libraries.
    executable = root / python.executable
    libraries = {name: str(root / "lib") for name in _LIBRARIES} if isinstance(python, OwnPython) else {}
    with tempfile.TemporaryFile() as output, ExitStack() as stack:
        running = []
        for first in range(count):
            running.append(_start(root, ordered[first::count], str(executable), libraries, output))
            stack.callback(_end, running[-1])
        failures = [process.returncode for process in running if process.wait()]
        if failures:
            output.seek(0)
            lines = output.read().decode("utf-8", "replace").split("\n")
            last = next((line.strip() for line in reversed(lines) if line.strip()), "")
            raise NoBytecode(python.executable, f"it ended with {failures[0]}{last and f' and {last[:300]!r}'}")


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill a process, so that it does not outlive an interrupted run."""
    process.kill()
    process.wait()


def _start(
    root: Path, paths: Sequence[str], executable: str, libraries: dict[str, str], output: IO[bytes]
) -> subprocess.Popen[bytes]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    environ = kept | libraries | {"PYTHONHASHSEED": "0"}  # the order of set constants depends on hashes
    # Not -I, which would ignore the seed. -S, so that no packages of the host are loaded.
    command = [executable, "-s", "-S", "-B", "-W", "ignore", str(_SCRIPT), str(root)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=output, env=environ)
    try:
        assert process.stdin is not None
        with process.stdin as stream:
            stream.write(b"".join(os.fsencode(path) + b"\n" for path in paths))
    except BrokenPipeError:
        pass  # it has already ended, and its exit code is checked
    except BaseException:
        _end(process)
        raise
    return process
