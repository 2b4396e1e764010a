"""Try mutants: each is written into a temporary copy of the repository, where the tests beside its module run."""

from __future__ import annotations

import os
import queue
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from tests.mutations.modules import TESTS
from tests.mutations.operators import Mutant

REPOSITORY = Path(__file__).resolve().parents[2]
_MEMORY = 4 << 30  # bytes of address space: a mutant may loop while a list grows
_SKIPPED = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info")

Verdict = Literal["killed", "survived", "timeout"]  # a mutant that exceeds its time limit counts as killed


class Copy:
    """A copy of the repository in which one mutant at a time is tried."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._written = int(time.time()) - (1 << 20)
        shutil.copytree(REPOSITORY, folder, ignore=_SKIPPED)
        found = self._python("-c", "import envc, envc_solvers; print(envc.__path__[0], envc_solvers.__path__[0])")
        if any(not Path(each).is_relative_to(folder) for each in found.split()):
            raise RuntimeError(f"the tests would import {found.strip()}, and not the copy in {folder}")

    def verdict(self, mutant: Mutant, limit: float) -> Verdict:
        """Run the tests beside the module with the mutant in its place. `limit` in seconds."""
        file = self._folder / mutant.module
        original = file.read_text()
        try:
            self._write(file, mutant.source)
            return self.test(mutant.module, limit)
        finally:
            self._write(file, original)

    def test(self, module: str, limit: float) -> Verdict:
        """Run the tests beside a module as it stands in the copy."""
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider"),
                *("-p", "tests.mutations.profile", "--hypothesis-profile=mutations"),
                *(f"tests/{file}" for file in TESTS[module]),
            ],
            cwd=self._folder,
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=_limit_memory,
        )
        try:
            return "survived" if process.wait(limit) == 0 else "killed"
        except subprocess.TimeoutExpired:
            return "timeout"
        finally:
            # The tests may have started processes of their own.
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            process.wait()

    def _write(self, file: Path, source: str) -> None:
        # Python takes bytecode for current when size and modification time, in whole seconds, are those of the source.
        file.write_text(source)
        self._written += 2
        os.utime(file, (self._written, self._written))

    def _environment(self) -> dict[str, str]:
        paths = (self._folder / "compiler", self._folder / "solvers", self._folder)
        return {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths))}

    def _python(self, *arguments: str) -> str:
        command = [sys.executable, *arguments]
        return subprocess.run(
            command, cwd=self._folder, env=self._environment(), check=True, capture_output=True, text=True
        ).stdout


def _limit_memory() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))


@contextmanager
def copies(number: int) -> Iterator[queue.SimpleQueue[Copy]]:
    """Some copies of the repository, for as long as the body runs."""
    with tempfile.TemporaryDirectory(prefix="envc-mutations-") as folder:
        free: queue.SimpleQueue[Copy] = queue.SimpleQueue()
        for each in range(number):
            free.put(Copy(Path(folder, str(each)).resolve()))
        yield free


def run(
    mutants: Iterable[Mutant], free: queue.SimpleQueue[Copy], limit: float, report: Callable[[Mutant, Verdict], None]
) -> None:
    """Try mutants, one at a time in each copy, and report each as soon as its verdict is known."""

    def attempt(mutant: Mutant) -> None:
        copy = free.get()
        try:
            report(mutant, copy.verdict(mutant, limit))
        finally:
            free.put(copy)

    with ThreadPoolExecutor(free.qsize()) as pool:
        for _ in pool.map(attempt, mutants):
            pass


def check_unchanged(modules: Iterable[str], copy: Copy, limit: float) -> None:
    """Raise RuntimeError unless the tests beside each module pass within the limit when nothing is changed."""
    for module in modules:
        if copy.test(module, limit) != "survived":
            files = " ".join(f"tests/{file}" for file in TESTS[module])
            raise RuntimeError(f"unchanged, this does not pass within {limit:g} seconds: pytest {files}")
