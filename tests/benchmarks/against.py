"""against: the envc of this environment compared with another installation of it, such as an earlier version.

``python -m tests.benchmarks against /path/to/other/bin/envc``. Each side has its own caches and stores. Ratios are of
CPU time, minimum of the runs, and of time, median; below 1 means that this version is faster.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from tests.benchmarks import lock_pypi, measure, solve_conda, steps
from tests.benchmarks.measure import (
    TARGETS,
    Run,
    alternate_runs,
    benchmark_sets,
    clean_environment,
    measured,
    memory_folder,
    program,
    versions,
)
from tests.support.conda_queries import shared_queries

MANY = 50  # concurrent runs
SET = "datascience"

Case = tuple[str, Callable[[], Run]]


class Side(msgspec.Struct, frozen=True):
    """One of the two installations, with a folder of its own."""

    envc: str
    folder: Path

    @property
    def env(self) -> dict[str, str]:
        """PYTHONDONTWRITEBYTECODE is not set: both sides have to load byte-code."""
        return clean_environment(ENVC_CACHE_DIR=str(self.folder / "cache"), ENVC_STORE=str(self.folder / "store"))

    def run(self, work: Path, *arguments: str, expect: tuple[int, ...] = (0,)) -> Run:
        return measured([self.envc, *arguments], self.env, work, expect)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="against", description=__doc__)
    parser.add_argument("other", help="the program of the other installation")
    parser.add_argument("--runs", type=int, default=9)
    parser.add_argument("--only", help="cases whose name contains this")
    chosen = parser.parse_args(arguments)
    print(versions("envc"))
    with tempfile.TemporaryDirectory(dir=memory_folder()) as folder:
        sides = []
        for name, envc in (("this", program("envc")), ("other", chosen.other)):
            (Path(folder) / name).mkdir()
            sides.append(Side(envc, Path(folder) / name))
        print(f"{'':28} {'this s':>8} {'other s':>8} {'ratio':>6}   {'CPU s':>8} {'CPU s':>8} {'ratio':>6}")
        for (name, ours), (_, theirs) in zip(*(_cases(side, chosen.only or "") for side in sides), strict=True):
            mine, other = alternate_runs(chosen.runs, ours, theirs)
            print(
                f"{name:28} {mine.seconds:8.3f} {other.seconds:8.3f} {mine.seconds / other.seconds:6.2f}"
                f"   {mine.cpu:8.3f} {other.cpu:8.3f} {mine.cpu / other.cpu:6.2f}",
                flush=True,
            )
    return 0


def _cases(side: Side, only: str) -> Iterator[Case]:
    """The cases in order. Each is prepared when it is reached, so nothing is prepared during a measurement."""
    for group in (_unchanged, _lock, _hydrate_and_run, _solve):
        for name, prepare in group(side):
            if only in name:
                yield name, prepare()


Prepared = Iterator[tuple[str, Callable[[], Callable[[], Run]]]]


def _unchanged(side: Side) -> Prepared:
    for count in (10, 1_000):
        work = side.folder / f"steps-{count}"

        def prepare(flag: str, work: Path = work, count: int = count) -> Callable[[], Run]:
            if not work.exists():
                work.mkdir()
                (work / "manifest.toml").write_text(steps.manifest(count, 4))
                side.run(work, "lock", "-q")
            return lambda: side.run(work, "lock", "-q", flag)

        for flag in ("--offline", "--check"):
            yield f"lock unchanged {count} {flag}", lambda flag=flag, prepare=prepare: prepare(flag)


def _lock(side: Side) -> Prepared:
    data = benchmark_sets()
    for name, content in data["sets"].items():
        for count in (1, 4):
            work = side.folder / name

            def prepare(
                name: str = name, content: dict[str, object] = content, count: int = count, work: Path = work
            ) -> Callable[[], Run]:
                scene = lock_pypi.Scene(
                    work=work,
                    env=side.env,
                    data=data,
                    requirements=content["requirements"],  # type: ignore[arg-type]
                    expect=(1,) if content.get("unsolvable", name == "unsat") else (0,),
                )
                work.mkdir(exist_ok=True)
                targets = list(TARGETS)[:count]

                def lock(*flags: str) -> Run:
                    with _program(side.envc):
                        return scene.envc(targets, *flags)

                lock()
                return lambda: lock("--offline")

            yield f"lock {name}, {count} target{'s' * (count > 1)}", prepare


@contextmanager
def _program(envc: str) -> Iterator[None]:
    """Let scenes of other benchmarks run this envc."""
    before = measure.PROGRAMS.get("envc")
    measure.PROGRAMS["envc"] = envc
    try:
        yield
    finally:
        if before is None:
            del measure.PROGRAMS["envc"]
        else:
            measure.PROGRAMS["envc"] = before


def _hydrate_and_run(side: Side) -> Prepared:
    work, prefix = side.folder / "pipeline", side.folder / "prefix"

    def bundled() -> None:
        if not work.exists():
            work.mkdir()
            data = benchmark_sets()
            text = lock_pypi.manifest(
                data["sets"][SET]["requirements"], ["linux-64"], data["python"], data["exclude_newer"]
            )
            (work / "manifest.toml").write_text(text + 'run = "python -c pass"\n')
            side.run(work, "lock", "-q")
            side.run(work, "bundle", "-q")
            side.run(work, "run", "-q", "all")

    def hydrate(*flags: str) -> Callable[[], Run]:
        bundled()

        def once() -> Run:
            shutil.rmtree(prefix, ignore_errors=True)
            done = side.run(work, "hydrate", "all", "-q", "--prefix", str(prefix), *flags)
            shutil.rmtree(prefix, ignore_errors=True)
            return done

        return once

    def ready() -> Callable[[], Run]:
        bundled()
        return lambda: side.run(work, "run", "-q", "all")

    def many() -> Callable[[], Run]:
        bundled()
        command = json.dumps([side.envc, "run", "-q", "all"])
        code = (
            f"import subprocess; runs = [subprocess.Popen({command}) for _ in range({MANY})]; "
            "assert not any(run.wait() for run in runs)"
        )
        return lambda: measured(["python3", "-c", code], side.env, work)

    yield "hydrate --no-cache", lambda: hydrate("--no-cache")
    yield "hydrate, cached objects", hydrate
    yield "run, ready", ready
    yield f"run, ready, {MANY} at once", many


def _solve(side: Side) -> Prepared:
    channels = solve_conda.SHARED / "channels"
    if not channels.exists():
        return
    queries = shared_queries()

    def prepare() -> Callable[[], Run]:
        def all_queries() -> Run:
            total = Run(0.0, 0.0, 0)
            with _program(side.envc):
                commands = [solve_conda.ours(query, channels) for query in queries]
            for command in commands:
                total += measured(command, side.env, side.folder, (0, 1))
            return total

        all_queries()
        return all_queries

    yield f"solve --conda, {len(queries)} queries", prepare
