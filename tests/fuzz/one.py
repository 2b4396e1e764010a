"""Fuzzes one reader in this process, which atheris ends: `python -m tests.fuzz.one READER SEEDS ARTIFACTS SECONDS`."""

from __future__ import annotations

import contextlib
import os
import sys
import warnings
from pathlib import Path

import atheris

# Only the code of this repository guides the search. Other parsers would draw it into themselves.
with atheris.instrument_imports(include=["envc", "envc_solvers"]):
    from tests.fuzz.groups import BY_KEY

    READER = BY_KEY[sys.argv[1]]
    for sample in READER.samples():  # imports what is imported late
        with contextlib.suppress(Exception):
            READER.check(sample)

LONGEST = 1 << 14  # bytes of an input
SLOWEST = 20  # seconds for one input
MEMORY = 2048  # MiB


def main() -> None:
    _, _, seeds, artifacts, seconds = sys.argv
    warnings.simplefilter("error")  # as in the tests
    arguments = [
        sys.argv[0],
        seeds,
        f"-dict={Path(seeds).with_suffix('.dict')}",
        f"-max_total_time={seconds}",
        # In CI each run tries the same inputs, as far as its time goes, so that a result depends on the change alone.
        f"-seed={1 if os.environ.get('CI') else 0}",  # 0 is a random seed
        f"-max_len={LONGEST}",
        f"-timeout={SLOWEST}",
        f"-rss_limit_mb={MEMORY}",
        f"-artifact_prefix={artifacts}/",
        "-print_final_stats=1",
    ]
    atheris.Setup(arguments, READER.check)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
