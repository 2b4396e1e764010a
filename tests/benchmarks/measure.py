"""Helpers of the benchmarks: alternating measurements of whole processes, and the shared requirement sets."""

from __future__ import annotations

import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import msgspec
from platformdirs import user_cache_path

SHARED = Path(__file__).resolve().parents[3] / "shared"
HARD_SETS = Path(__file__).with_name("hard_sets.json")
TARGETS = {
    "linux-x86_64": "linux-64",
    "macos-arm64": "osx-arm64",
    "win-amd64": "win-64",
    "linux-aarch64": "linux-aarch64",
}


class Run(msgspec.Struct, frozen=True):
    """The measurements of one whole process, or the sums of several."""

    seconds: float  # wall-clock time
    cpu: float  # seconds, user and system
    peak: int  # bytes, peak resident set size

    def __add__(self, other: Run) -> Run:
        return Run(self.seconds + other.seconds, self.cpu + other.cpu, max(self.peak, other.peak))


class Runs:
    """Several runs of one side."""

    def __init__(self, runs: Sequence[Run]) -> None:
        self.seconds = statistics.median(run.seconds for run in runs)
        self.cpu = min(run.cpu for run in runs)  # on a busy machine the least disturbed run is the most reliable
        self.peak = max(run.peak for run in runs)


def verdict(value: float, budget: float) -> str:
    """``0.142 of 0.180 s: met``."""
    return f"{value:.3f} of {budget:.3f} s: {'met' if value <= budget else 'MISSED'}"


def benchmark_sets(*, hard: bool = False) -> dict[str, Any]:
    """Return the shared requirement sets or those beside this module, with targets, Python and cut-off.

    Exits with a message if they are missing.
    """
    path = SHARED / "pypi" / "benchmarks.json"
    if not path.exists():
        raise SystemExit(f"skipped: {path.parent.name}/{path.name} is not beside this checkout")
    loaded: dict[str, Any] = json.loads(path.read_text())
    if hard:
        loaded["sets"] = json.loads(HARD_SETS.read_text())["sets"]
    return loaded


def recording_folder() -> Path:
    """Return the folder for recorded answers of indexes, which are large and not part of the repository."""
    return user_cache_path("envc-benchmarks", appauthor=False) / "index"


def memory_folder() -> Path | None:
    """Return a folder in memory, if there is one: ext4 slows down for minutes after deleting and recreating trees."""
    place = Path("/dev/shm")
    return place if place.is_dir() else None


PROGRAMS: dict[str, str] = {}  # programs to use instead of those of this environment


def program(name: str) -> str:
    """Return the path of a program of this environment. Exits with a message if it is missing."""
    if name in PROGRAMS:
        return PROGRAMS[name]
    beside = Path(sysconfig.get_path("scripts")) / name
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        raise SystemExit(f"skipped: {name} is not installed here (pip install -e '.[dev]')")
    return found


def clean_environment(**extra: str) -> dict[str, str]:
    """Return the environment without settings that would redirect a peer or stop Python from storing byte-code."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("PIP_", "UV_", "ENVC_", "PYTHON"))}
    return kept | extra


def timed(command: Sequence[str], env: dict[str, str], cwd: Path, expect: tuple[int, ...] = (0,)) -> float:
    """Return the seconds of one whole process. Raises SystemExit with its output on an unexpected exit code."""
    start = time.perf_counter()
    done = subprocess.run(command, env=env, cwd=cwd, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - start
    if done.returncode not in expect:
        raise SystemExit(f"{command[0]} exited {done.returncode}:\n{done.stdout[-2000:]}{done.stderr[-4000:]}")
    return seconds


def measured(command: Sequence[str], env: dict[str, str], cwd: Path, expect: tuple[int, ...] = (0,)) -> Run:
    """Measure one whole process. Raises SystemExit with its errors on an unexpected exit code. POSIX."""
    with tempfile.TemporaryFile() as errors:
        start = time.perf_counter()
        process = subprocess.Popen(command, env=env, cwd=cwd, stdout=subprocess.DEVNULL, stderr=errors)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode not in expect:
            errors.seek(0)
            raise SystemExit(f"{command[0]} exited {process.returncode}:\n{errors.read()[-4000:].decode()}")
    unit = 1 if sys.platform == "darwin" else 1024
    return Run(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * unit)


def alternate_runs(runs: int, *sides: Callable[[], Run]) -> list[Runs]:
    """Measure each side in the order A B A B …"""
    results: list[list[Run]] = [[] for _ in sides]
    for _ in range(runs):
        for result, side in zip(results, sides, strict=True):
            result.append(side())
    return [Runs(result) for result in results]


def alternate(runs: int, *sides: Callable[[], float]) -> list[list[float]]:
    """Return the seconds of each side, measured in the order A B A B …"""
    results: list[list[float]] = [[] for _ in sides]
    for _ in range(runs):
        for result, side in zip(results, sides, strict=True):
            result.append(side())
    return results


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


def versions(*packages: str) -> str:
    """Return one line for the results file: Python, machine and relevant versions."""
    parts = [f"Python {platform.python_version()}", f"{os.cpu_count()} CPUs", sys.platform]
    parts += [f"{name} {metadata.version(name)}" for name in packages]
    return ", ".join(parts)
