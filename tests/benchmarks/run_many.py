"""run-many: fifty concurrent `envc run` of one environment compared with a single one, cold and warm."""

from __future__ import annotations

import shutil
import subprocess
import time

from tests.benchmarks.measure import alternate, median, program, versions
from tests.benchmarks.scene import Scene, options, scene

MANY = 50


def main(arguments: list[str]) -> int:
    chosen = options("run-many", __doc__, runs=3).parse_args(arguments)
    with scene(chosen) as place:
        print(versions("envc"))
        for what, cold in (("nothing made yet", True), ("environment ready", False)):
            one, many = alternate(chosen.runs, lambda cold=cold: _run(place, 1, cold=cold),  # type: ignore[misc]
                                  lambda cold=cold: _run(place, MANY, cold=cold))  # type: ignore[misc]  # fmt: skip
            print(f"{what:26} one {median(one):.3f} s, {MANY} at once {median(many):.3f} s: "
                  f"{median(many) / median(one):.2f} times one, {median(many) / MANY:.3f} s each")  # fmt: skip
    return 0


def _run(place: Scene, count: int, *, cold: bool) -> float:
    environments = place.cache / "envs"
    if cold:
        shutil.rmtree(environments, ignore_errors=True)
        shutil.rmtree(place.cache / "objects", ignore_errors=True)
    start = time.perf_counter()
    command = [program("envc"), "run", "-q", "all"]
    running = [subprocess.Popen(command, env=place.env, cwd=place.work) for _ in range(count)]
    codes = {process.wait() for process in running}
    seconds = time.perf_counter() - start
    if codes != {0} or len(list(environments.iterdir())) != 1:
        raise SystemExit(f"{count} runs ended with {codes} and {len(list(environments.iterdir()))} environments")
    return seconds
