"""relock: `envc lock` after adding one dependency to one of ten steps, compared with a first lock of all ten."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from tests.benchmarks.measure import Run, alternate_runs, clean_environment, measured, program, verdict, versions
from tests.benchmarks.steps import manifest

SHARE = 0.2  # fraction of the full lock
START = 0.08  # seconds: allowance for the start of Python
ADDED = "rich"


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="relock", description=__doc__)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--set", default="web", help="a shared set; each step omits other requirements")
    chosen = parser.parse_args(arguments)
    print(versions("envc", "resolvelib"))
    missed = False
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        env = clean_environment(ENVC_CACHE_DIR=str(base / "cache"))
        path, lock = base / "manifest.toml", base / "manifest.lock"

        def run(targets: int, kept: bytes | None, *flags: str) -> Run:
            """Run one lock, after restoring the previous state."""
            path.write_text(manifest(10, targets, ADDED if kept is not None else None, chosen.set))
            lock.unlink(missing_ok=True)
            if kept is not None:
                lock.write_bytes(kept)
            return measured([program("envc"), "lock", "--quiet", *flags], env, base)

        for targets in (1, 4):
            run(targets, None)
            before = lock.read_bytes()
            run(targets, before)
            full, again = alternate_runs(
                chosen.runs,
                lambda targets=targets: run(targets, None, "--offline"),  # type: ignore[misc]
                lambda targets=targets, before=before: run(targets, before, "--offline"),  # type: ignore[misc]
            )
            budget = SHARE * full.seconds + START
            missed |= again.seconds > budget
            print(
                f"{chosen.set}, ten steps, {targets} target(s): full lock {full.seconds:.3f} s; "
                f"with one more dependency {verdict(again.seconds, budget)}; "
                f"CPU at least {full.cpu:.3f} and {again.cpu:.3f} s",
                flush=True,
            )
    return 1 if missed else 0
