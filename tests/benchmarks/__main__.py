"""Run a benchmark by name: ``python -m tests.benchmarks NAME [options]``.

Each prints a ratio against a named peer, both measured alternately in one run, with medians.
"""

from __future__ import annotations

import importlib
import sys

BENCHMARKS = {
    "lock-pypi": ("tests.benchmarks.lock_pypi", "envc lock against uv pip compile, warm, one target and four"),
    "versions": ("tests.benchmarks.versions", "versions that envc solve and uv pip compile choose, set by set"),
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
