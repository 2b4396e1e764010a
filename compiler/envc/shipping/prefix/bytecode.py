"""Byte-code beside the sources of a prefix, made by the interpreter that will load it (PEP 3147, PEP 552)."""

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
    """The interpreter could not compile what it is to run."""

    hint = "leave out --bytecode: Python compiles each module when it is first imported"

    def __init__(self, interpreter: str, reason: str) -> None:
        super().__init__(interpreter, reason)
        self.interpreter = interpreter
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.interpreter} made no byte-code: {self.reason}"


def is_module(path: str) -> bool:
    """Whether a member of an environment is a source that an import may reach."""
    return path.endswith(".py") and any(folder in f"/{path.lower()}" for folder in _FOLDERS)


def source_of(path: str) -> str:
    """The source that a member of an environment is the byte-code of; "" for anything else (PEP 3147)."""
    folder, _, name = path.rpartition("/__pycache__/")
    stem, _, suffix = name.partition(".")
    return f"{folder}/{stem}.py" if folder and suffix.endswith("pyc") else ""


def compile_tree(root: Path, paths: Iterable[str], python: Interpreter, *, workers: int | None = None) -> None:
    """Compile the sources at `paths` below `root`, on as many processes as there are cores, but for those whose
    byte-code is there: conda packages bring it along.

    The bytes depend on the sources, their paths in the prefix and the interpreter. Sources that it cannot read are left
    out. Raises NoBytecode when it does not come to its end.
    """
    known = set(paths)
    ordered = sorted({path for path in known if is_module(path)} - {source_of(path) for path in known})
    count = max(1, min(workers or usable_cores(), len(ordered)))
    # Neighbours go to different workers, for a package's sources are of a kind.
    # The draft of a prefix is not where its files say it is; its interpreter finds its libraries all the same.
    executable = root / python.executable
    found = {name: str(root / "lib") for name in _LIBRARIES} if isinstance(python, OwnPython) else {}
    with tempfile.TemporaryFile() as said, ExitStack() as stack:
        running = []
        for first in range(count):
            running.append(_start(root, ordered[first::count], str(executable), found, said))
            stack.callback(_end, running[-1])
        failures = [process.returncode for process in running if process.wait()]
        if failures:
            said.seek(0)
            lines = said.read().decode("utf-8", "replace").split("\n")
            told = next((line.strip() for line in reversed(lines) if line.strip()), "")
            raise NoBytecode(python.executable, f"it ended with {failures[0]}{told and f' and {told[:300]!r}'}")


def _end(process: subprocess.Popen[bytes]) -> None:
    """Let no process outlive an interrupted run."""
    process.kill()
    process.wait()


def _start(
    root: Path, paths: Sequence[str], executable: str, found: dict[str, str], said: IO[bytes]
) -> subprocess.Popen[bytes]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    environ = kept | found | {"PYTHONHASHSEED": "0"}  # sets of constants are written in the order of their hashes
    # Not -I: it would ignore the seed. No site, so that nothing of the host's packages is loaded.
    command = [executable, "-s", "-S", "-B", "-W", "ignore", str(_SCRIPT), str(root)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=said, env=environ)
    try:
        assert process.stdin is not None
        with process.stdin as stream:
            stream.write(b"".join(os.fsencode(path) + b"\n" for path in paths))
    except BrokenPipeError:
        pass  # it has ended already, and says with which code
    except BaseException:
        _end(process)
        raise
    return process
