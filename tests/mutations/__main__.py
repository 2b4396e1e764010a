"""Draw mutants and print which of them the tests beside their modules notice. See the docstring of the package."""

from __future__ import annotations

import argparse
import random
import sys
import threading
import tomllib
from pathlib import Path

from tests.mutations.modules import TESTS

try:
    from tests.mutations.operators import Mutant, mutants_of
    from tests.mutations.run import REPOSITORY, Verdict, check_unchanged, copies, run
except ModuleNotFoundError as error:
    if error.name is None or error.name.partition(".")[0] != "libcst":
        raise
    print("LibCST is not installed: run pip install -e '.[mutations]'", file=sys.stderr)
    sys.exit(2)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutations", description=__doc__)
    parser.add_argument("--sample", type=int, default=200, help="how many mutants to draw; 0 for all (default 200)")
    parser.add_argument("--seed", type=int, default=0, help="the same seed draws the same mutants of the same files")
    parser.add_argument("--module", nargs="+", default=sorted(TESTS), choices=sorted(TESTS), metavar="PATH")
    parser.add_argument("--jobs", type=int, default=1, choices=(1, 2), help="copies of the repository (default 1)")
    parser.add_argument("--limit", type=float, default=120, help="seconds for each mutant (default 120)")
    parser.add_argument("--list", action="store_true", help="print the sample and try nothing")
    options = parser.parse_args()

    pool = [each for module in sorted(options.module) for each in mutants_of(module, _source(module))]
    size = min(options.sample or len(pool), len(pool))
    drawn = random.Random(options.seed).sample(pool, size)
    equivalent = _equivalent()
    sample = [mutant for mutant in drawn if _identity(mutant) not in equivalent]
    print(f"{len(drawn)} of {len(pool)} mutants, seed {options.seed}, {len(drawn) - len(sample)} known as equivalent")
    for module, *_, after in sorted(equivalent - set(map(_identity, pool))):
        if module in options.module:
            print(f"equivalent.toml lists what is no mutant any more: {module}: {after}")
    if options.list:
        print(*sample, sep="\n")
        return 0

    verdicts: dict[Mutant, Verdict] = {}
    lock = threading.Lock()

    def report(mutant: Mutant, verdict: Verdict) -> None:
        with lock:
            verdicts[mutant] = verdict
            print(f"[{len(verdicts)}/{len(sample)}] {verdict} {mutant}", flush=True)

    with copies(options.jobs) as free:
        copy = free.get()
        check_unchanged(sorted({mutant.module for mutant in sample}), copy, options.limit)
        free.put(copy)
        run(sample, free, options.limit, report)

    survivors = [mutant for mutant in sample if verdicts[mutant] == "survived"]
    print("\nSurvived:" if survivors else "\nNone survived.", *sorted(map(str, survivors)), sep="\n")
    for module in sorted({mutant.module for mutant in sample}):
        own = [mutant for mutant in sample if mutant.module == module]
        print(f"{sum(verdicts[each] != 'survived' for each in own):4} of {len(own):4}  {module}")
    killed = len(sample) - len(survivors)
    print(f"killed {killed} of {len(sample)} ({100 * killed / max(1, len(sample)):.1f} %), seed {options.seed}")
    return 0


def _source(module: str) -> str:
    return (REPOSITORY / module).read_text()


def _identity(mutant: Mutant) -> tuple[str, str, str, str]:
    return mutant.module, mutant.where, mutant.before, mutant.after


def _equivalent() -> set[tuple[str, str, str, str]]:
    """The mutants of `equivalent.toml`, by what identifies them however the lines of the file move."""
    listed = tomllib.loads(Path(__file__).with_name("equivalent.toml").read_text()).get("mutant", [])
    return {(each["module"], each["where"], each["before"], each["after"]) for each in listed}


if __name__ == "__main__":
    sys.exit(main())
