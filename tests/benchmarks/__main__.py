"""Run a benchmark by name: ``python -m tests.benchmarks NAME [options]``.

Each prints a ratio to a named peer. Both are measured alternately in one run, and medians are compared.
"""

from __future__ import annotations

import importlib
import sys

BENCHMARKS = {
    "lock-pypi": (
        "tests.benchmarks.lock_pypi",
        "envc lock against uv pip compile, one target and four; --cold, --hard",
    ),
    "lock-unchanged": (
        "tests.benchmarks.lock_unchanged",
        "a lock that needs no work, 10 and 1,000 steps; uv lock --check",
    ),
    "relock": ("tests.benchmarks.relock", "one more dependency in one of ten steps, against the full lock"),
    "solve-conda": (
        "tests.benchmarks.solve_conda",
        "envc solve --conda against py-rattler, whole processes",
    ),
    "bundle": ("tests.benchmarks.bundle", "envc bundle against zstd -9 on the same bytes, and peak memory"),
    "hydrate": ("tests.benchmarks.hydrate", "envc hydrate against uv cold, tar --zstd and cp -r"),
    "hydrate-again": ("tests.benchmarks.hydrate_again", "a second prefix against uv with warm hard links; --bytecode"),
    "hydrate-conda": ("tests.benchmarks.hydrate_conda", "a conda environment against py-rattler, cold and warm cache"),
    "run-many": ("tests.benchmarks.run_many", "fifty envc run of one environment at once against one"),
    "solve-conda-large": ("tests.benchmarks.solve_conda_large", "the same on a channel of 18 times the size"),
    "against": ("tests.benchmarks.against", "the main verbs against another installation of envc: against PROGRAM"),
    "alignment": ("tests.benchmarks.alignment", "packages with several versions, compared with independent solves"),
    "wheels": ("tests.benchmarks.wheels", "published wheels read as by other programs; downloads 2 GB"),
    "versions": ("tests.benchmarks.versions", "versions that envc solve and uv pip compile choose, set by set"),
    "sdists": (
        "tests.benchmarks.sdists",
        "the sdists of sdists.txt, read and compared with what pip and tars unpack",
    ),
    "conda-packages": (
        "tests.benchmarks.conda_packages",
        "packages made by every conda builder at hand, read and compared with what py-rattler unpacks",
    ),
}


def main() -> int:
    if len(sys.argv) < 2 or sys.argv[1] not in BENCHMARKS:
        for name, (_, text) in BENCHMARKS.items():
            print(f"{name:14} {text}")
        return 2
    module = importlib.import_module(BENCHMARKS[sys.argv[1]][0])
    return int(module.main(sys.argv[2:]))


if __name__ == "__main__":
    sys.exit(main())
