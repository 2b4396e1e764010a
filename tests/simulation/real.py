"""The simulation beside real processes: clients of a small environment, each with an empty cache, on a limited store.

The environment is small, and the store slow, so that dozens of clients do not need more than the processors of this
machine. The requests of the model are those that the store saw from one real client.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import msgspec

from envc.pipeline.project import this_platform
from envc.shipping.store.backends.store_retries import PATIENCE
from tests.benchmarks.measure import clean_environment, program
from tests.simulation.model import Client, Limits, Outcome, Simulation
from tests.support.limited_store import LimitedStore
from tests.support.wheels import build_wheel

LIMITS = Limits(rate=50.0, bandwidth=200e6, connection=80e6, latency=0.02)
_WHEELS = 24
_START = 0.35  # seconds of processor time that a process needs beside its requests, on the machine of RESULTS.md


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """What real processes did."""

    codes: set[int]  # of their exits
    seconds: list[float]  # when each of them was done, sorted
    accepted: int
    rejected: int
    sizes: tuple[int, ...]  # of the accepted answers


class Place(msgspec.Struct, frozen=True):
    """A project of one step that is locked and bundled."""

    folder: Path

    @property
    def env(self) -> dict[str, str]:
        return clean_environment(ENVC_CACHE_DIR=str(self.folder / "cache"), ENVC_STORE=str(self.folder / "store"))

    def envc(self, *arguments: str) -> None:
        subprocess.run([program("envc"), *arguments], cwd=self.folder, env=self.env, check=True)


def prepare(folder: Path) -> Place:
    """A step with small wheels whose bytes cannot be compressed, locked and bundled to a folder."""
    (folder / "wheels").mkdir(parents=True)
    noise = random.Random(1)
    names = [f"package-{number}" for number in range(_WHEELS)]
    for name in names:
        module = name.replace("-", "_")
        files: dict[str, bytes | str] = {f"{module}.py": "x = 1\n", f"{module}.bin": noise.randbytes(200_000)}
        build_wheel(name, "1.0", files=files).write(folder / "wheels")
    wanted = ", ".join(f'"{name}"' for name in names)
    (folder / "manifest.toml").write_text(
        f'[project]\nname = "crowd"\nindexes = ["local"]\ntargets = ["{this_platform()}"]\n'
        f'python = "{sys.version_info[0]}.{sys.version_info[1]}"\n'
        '[sources.local]\nkind = "find-links"\nurl = "wheels"\n'
        f'[steps.main]\nrun = "python -c pass"\npypi = [{wanted}]\n'
    )
    place = Place(folder)
    place.envc("lock", "-q")
    place.envc("bundle", "-q")
    return place


def hydrate_at_once(place: Place, store: LimitedStore, clients: int) -> Measured:
    """Start that many clients at once, each with an empty cache of its own, and wait for all of them."""
    accepted, rejected, before = store.accepted, store.rejected, len(store.sizes)
    with tempfile.TemporaryDirectory(dir=place.folder) as folder:
        running: dict[subprocess.Popen[bytes], float | None] = {}
        begin = time.monotonic()
        for number in range(clients):
            command = [
                program("envc"),
                "hydrate",
                "main",
                "-q",
                "--store",
                store.url,
                "--prefix",
                f"{folder}/p{number}",
            ]
            env = place.env | {"ENVC_CACHE_DIR": f"{folder}/c{number}"}
            running[subprocess.Popen(command, cwd=place.folder, env=env, stdout=subprocess.DEVNULL)] = None
        while None in running.values():
            for process, done in running.items():
                if done is None and process.poll() is not None:
                    running[process] = time.monotonic() - begin
            time.sleep(0.01)
    return Measured(
        codes={process.returncode for process in running},
        seconds=sorted(done for done in running.values() if done is not None),
        accepted=store.accepted - accepted,
        rejected=store.rejected - rejected,
        sizes=tuple(store.sizes[before:]),
    )


def simulate(sizes: tuple[int, ...], clients: int) -> Outcome:
    """The same clients in the model. Processes start one after the other, as the processors of this machine allow."""
    client = Client(requests=sizes, policy=PATIENCE)
    spread = clients * _START / (os.cpu_count() or 1)
    return Simulation(client, LIMITS, clients=clients, spread=spread).run()


def compare(clients: int = 50) -> int:
    """Print what real processes did, and what the model says."""
    with tempfile.TemporaryDirectory() as folder:
        place = prepare(Path(folder) / "project")
        with LimitedStore(place.folder / "store", LIMITS) as store:
            one = hydrate_at_once(place, store, 1)
            time.sleep(1)  # until the store's bucket of requests is full again
            many = hydrate_at_once(place, store, clients)
    model = simulate(one.sizes, clients)
    print(f"{clients} clients, {len(one.sizes)} requests each, {LIMITS.rate:.0f} requests/s; limit {model.limit:.1f} s")
    middle, last = many.seconds[len(many.seconds) // 2], many.seconds[int(0.99 * len(many.seconds))]
    print(f"real:  exit codes {many.codes}, p50 {middle:.1f} s, p99 {last:.1f} s, {many.rejected:,} requests rejected")
    print(
        f"model: {model.failed} failed, p50 {model.percentile(0.5):.1f} s, p99 {model.percentile(0.99):.1f} s, "
        f"{model.rejected:,} requests rejected"
    )
    return 0 if many.codes == {0} else 1
