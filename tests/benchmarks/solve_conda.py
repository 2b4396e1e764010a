"""solve-conda: `envc solve --conda` compared with the oracle, which uses another solver, each as a whole process."""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import msgspec

from tests.benchmarks.measure import clean_environment, median, program, versions
from tests.support.channels import SHARED
from tests.support.conda_queries import Query, shared_queries


class Run(msgspec.Struct, frozen=True):
    """The measurements of one whole process."""

    seconds: float
    cpu: float  # seconds, user and system: most reliable on a busy machine
    peak: float  # MiB of memory


def measured(command: list[str], env: dict[str, str], cwd: Path) -> Run:
    """Run a command whose exit code may mean that there is no solution."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        start = time.perf_counter()
        process = subprocess.Popen(command, env=env, cwd=cwd, stdout=out, stderr=err)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode not in (0, 1):
            err.seek(0)
            raise SystemExit(f"{command[0]} exited {process.returncode}:\n{err.read().decode()[-4000:]}")
    scale = 1 << 20 if sys.platform == "darwin" else 1 << 10
    return Run(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / scale)


def ours(query: Query, channels: Path) -> list[str]:
    command = [program("envc"), "solve", "--json", "--quiet", "--platform", query.platform]
    command += ["--channel-priority", query.channel_priority]
    for option, values in (
        ("--channel", [str(channels / channel) for channel in query.channels]),
        ("--virtual-package", query.virtual_packages),
        ("--conda", query.specs),
    ):
        command += [word for value in values for word in (option, value)]
    return command


def theirs(query: Query, channels: Path) -> list[str]:
    command = [sys.executable, str(SHARED / "oracle.py"), "--root", str(channels), "--platform", query.platform]
    command += ["--priority", query.channel_priority]
    for option, values in (("--channel", query.channels), ("--virtual", query.virtual_packages)):
        command += [word for value in values for word in (option, value)]
    return [*command, *query.specs]


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="solve-conda", description=__doc__)
    parser.add_argument("--query", action="append", help="only queries whose id starts with this")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--cold", action="store_true", help="with an empty cache each time")
    chosen = parser.parse_args(arguments)
    if not SHARED.exists():
        raise SystemExit("skipped: shared/conda is not beside this checkout")
    queries = [q for q in shared_queries() if not chosen.query or q.id.startswith(tuple(chosen.query))]
    print(versions("envc", "py-rattler", "msgspec"))
    print(f"{'query':26} {'envc s':>8} {'oracle s':>8} {'ratio':>6} {'of CPU':>6} {'MiB':>6} {'oracle':>6}")
    ratios, cpu_ratios, peaks = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        cache = Path(folder, "cache")
        env = clean_environment(ENVC_CACHE_DIR=str(cache))
        channels = SHARED / "channels"
        for query in queries:
            if not chosen.cold:
                measured(ours(query, channels), env, Path(folder))
            sides: tuple[list[Run], list[Run]] = ([], [])
            for _ in range(chosen.runs):
                if chosen.cold:
                    with contextlib.suppress(FileNotFoundError):
                        shutil.rmtree(cache)
                sides[0].append(measured(ours(query, channels), env, Path(folder)))
                sides[1].append(measured(theirs(query, channels), env, Path(folder)))
            mine, other = (median([run.seconds for run in side]) for side in sides)
            cpu, other_cpu = (min(run.cpu for run in side) for side in sides)
            memory, other_memory = (max(run.peak for run in side) for side in sides)
            ratios.append(mine / other)
            cpu_ratios.append(cpu / other_cpu)
            peaks.append(memory / other_memory)
            print(
                f"{query.id:26} {mine:8.3f} {other:8.3f} {ratios[-1]:6.2f} {cpu_ratios[-1]:6.2f} "
                f"{memory:6.0f} {other_memory:6.0f}",
                flush=True,
            )
    kind = "cold" if chosen.cold else "warm"
    print(
        f"{kind}: median {median(ratios):.2f}, worst {max(ratios):.2f}; "
        f"of CPU, minimum of the runs: median {median(cpu_ratios):.2f}, worst {max(cpu_ratios):.2f}; "
        f"memory: worst {max(peaks):.2f}"
    )
    return 0
