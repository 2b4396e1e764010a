"""What the benchmarks share: whole-process timing in alternation, and the shared requirement sets."""

from __future__ import annotations

import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

SHARED = Path(__file__).resolve().parents[3] / "shared"
TARGETS = {
    "linux-x86_64": "linux-64",
    "macos-arm64": "osx-arm64",
    "win-amd64": "win-64",
    "linux-aarch64": "linux-aarch64",
}


def benchmark_sets() -> dict[str, Any]:
    """The shared requirement sets, or an exit that says what is missing."""
    path = SHARED / "pypi" / "benchmarks.json"
    if not path.exists():
        raise SystemExit(f"skipped: {path.parent.name}/{path.name} is not beside this checkout")
    loaded: dict[str, Any] = json.loads(path.read_text())
    return loaded


def program(name: str) -> str:
    """A program of this environment, or an exit that says what is missing."""
    beside = Path(sysconfig.get_path("scripts")) / name
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        raise SystemExit(f"skipped: {name} is not installed here (pip install -e '.[dev]')")
    return found


def clean_environment(**extra: str) -> dict[str, str]:
    """The environment without settings that would point a peer elsewhere."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("PIP_", "UV_", "ENVC_"))}
    return kept | extra


def timed(command: Sequence[str], env: dict[str, str], cwd: Path, expect: tuple[int, ...] = (0,)) -> float:
    """Seconds of one whole process. Raises SystemExit with its output when it ends otherwise than expected."""
    start = time.perf_counter()
    done = subprocess.run(command, env=env, cwd=cwd, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - start
    if done.returncode not in expect:
        raise SystemExit(f"{command[0]} exited {done.returncode}:\n{done.stdout[-2000:]}{done.stderr[-4000:]}")
    return seconds


def alternate(runs: int, *sides: Callable[[], float]) -> list[list[float]]:
    """The seconds of each side, measured A B A B …"""
    results: list[list[float]] = [[] for _ in sides]
    for _ in range(runs):
        for result, side in zip(results, sides, strict=True):
            result.append(side())
    return results


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


def versions(*packages: str) -> str:
    """One line for the results file: Python, machine and the versions that matter."""
    parts = [f"Python {platform.python_version()}", f"{os.cpu_count()} CPUs", sys.platform]
    parts += [f"{name} {metadata.version(name)}" for name in packages]
    return ", ".join(parts)
