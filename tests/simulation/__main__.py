"""What happens if a number of containers hydrate one environment at once: ``python -m tests.simulation``.

Prints a line for each number of clients: how many fail, when half of them and 99 % of them are done, the time that a
store which is never idle would need (`limit`), and what the store had to do.

    python -m tests.simulation                         # S3's published limits, the retries of this version
    python -m tests.simulation --clients 100000 --rack 100
    python -m tests.simulation --policy tries          # six tries without a pace, as for package indexes
    python -m tests.simulation --real                  # compared with real processes on this machine
"""

from __future__ import annotations

import argparse
import sys

from envc.shipping.store.backends.store_retries import PATIENCE
from envc.system.retries import RetryPolicy
from tests.simulation.model import Client, Limits, Outcome, Simulation

# The data-science set of the benchmarks: a pointer, a record, and 263 frames of 284 MB in all.
DATA_SCIENCE = (2_000, 1_130_000, *[284_000_000 // 263] * 263)


def line(name: str, outcome: Outcome) -> str:
    """One row of the table."""
    return (
        f"{name:>9} {outcome.failed:>7} {outcome.percentile(0.5):>8.1f} {outcome.percentile(0.99):>8.1f} "
        f"{outcome.limit:>8.1f} {outcome.requests:>10,} {outcome.rejected:>10,} {outcome.bytes / 1e9:>9.1f}"
    )


HEADING = (
    f"{'clients':>9} {'failed':>7} {'p50 s':>8} {'p99 s':>8} {'limit s':>8} {'requests':>10} {'rejected':>10} {'GB':>9}"
)


def main() -> int:
    parser = argparse.ArgumentParser(prog="simulation", description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--clients", type=int, nargs="*", default=[100, 300, 1_000, 10_000])
    parser.add_argument("--rate", type=float, default=Limits().rate, help="requests per second (default: %(default)s)")
    parser.add_argument("--bandwidth", type=float, default=Limits().bandwidth, help="bytes per second")
    parser.add_argument("--latency", type=float, default=Limits().latency, help="seconds")
    parser.add_argument("--requests", type=int, help="frames, of the same size in all (default: 263)")
    parser.add_argument("--rack", type=int, default=0, help="clients that share an HTTP cache (default: none)")
    parser.add_argument("--spread", type=float, default=0.0, help="seconds over which the clients start")
    parser.add_argument("--policy", choices=("patience", "tries"), default="patience")
    parser.add_argument("--real", action="store_true", help="compare with real processes on a limited local store")
    chosen = parser.parse_args()
    if chosen.real:
        from tests.simulation.real import compare

        return compare()
    sizes = DATA_SCIENCE
    if chosen.requests:
        sizes = (*DATA_SCIENCE[:2], *[sum(DATA_SCIENCE[2:]) // chosen.requests] * chosen.requests)
    patient = chosen.policy == "patience"
    client = Client(requests=sizes, policy=PATIENCE if patient else RetryPolicy(), paced=patient)
    limits = Limits(rate=chosen.rate, bandwidth=chosen.bandwidth, latency=chosen.latency)
    print(HEADING)
    for number in chosen.clients:
        outcome = Simulation(client, limits, clients=number, spread=chosen.spread, rack=chosen.rack).run()
        print(line(f"{number:,}", outcome), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
