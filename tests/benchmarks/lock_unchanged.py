"""lock-unchanged: `envc lock` and `--check` without changes, compared with `uv lock --check` on the same groups."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from tests.benchmarks.measure import (
    alternate_runs,
    benchmark_sets,
    clean_environment,
    measured,
    program,
    verdict,
    versions,
)
from tests.benchmarks.steps import manifest, uv_project

BUDGETS = {10: 0.15, 1_000: 0.25}  # seconds by number of steps


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="lock-unchanged", description=__doc__)
    parser.add_argument("--runs", type=int, default=9)
    parser.add_argument("--targets", type=int, default=4, choices=range(1, 5))
    chosen = parser.parse_args(arguments)
    print(versions("envc", "uv"))
    missed = False
    cutoff = benchmark_sets()["exclude_newer"]
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        env = clean_environment(
            ENVC_CACHE_DIR=str(base / "envc"), UV_CACHE_DIR=str(base / "uv"), UV_EXCLUDE_NEWER=cutoff
        )
        for steps, budget in BUDGETS.items():
            work = base / str(steps)
            work.mkdir()
            (work / "manifest.toml").write_text(manifest(steps, chosen.targets))
            (work / "pyproject.toml").write_text(uv_project(steps))
            lock = [program("envc"), "lock", "--quiet", "manifest.toml"]
            uv = [program("uv"), "lock", "--quiet", "--no-config", "--no-build"]
            measured(lock, env, work)
            measured(uv, env, work)
            again, check, theirs = alternate_runs(
                chosen.runs,
                lambda lock=lock, work=work: measured([*lock, "--offline"], env, work),  # type: ignore[misc]
                lambda lock=lock, work=work: measured([*lock, "--check"], env, work),  # type: ignore[misc]
                lambda uv=uv, work=work: measured([*uv, "--check", "--offline"], env, work),  # type: ignore[misc]
            )
            size = (work / "manifest.lock").stat().st_size // 1000
            print(f"{steps} steps on {chosen.targets} targets, a lock of {size} kB; uv lock --check: "
                  f"{theirs.seconds:.3f} s, CPU at least {theirs.cpu:.3f} s, {theirs.peak / 1e6:.0f} MB")  # fmt: skip
            for name, ours in (("lock", again), ("lock --check", check)):
                print(f"  envc {name:13} {verdict(ours.seconds, budget)}; "
                      f"CPU at least {ours.cpu:.3f} s, {ours.peak / 1e6:.0f} MB", flush=True)  # fmt: skip
                missed |= ours.seconds > budget
    return 1 if missed else 0
