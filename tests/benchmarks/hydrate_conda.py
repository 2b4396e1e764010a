"""hydrate-conda: a conda environment from a store, compared with py-rattler from a channel, cold and warm, on tmpfs."""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

from tests.benchmarks.measure import alternate, benchmark_sets, clean_environment, median, program, timed, versions
from tests.benchmarks.scene import Meter, Scene, options, peak, removing, scene, tree_size
from tests.support import conda_real
from tests.support.manifests import host_conda_manifest

ROOT = Path(__file__).resolve().parents[2]


def of_conda_packages(folder: Path, chosen: argparse.Namespace) -> Scene:
    """Lock and bundle a channel of the running interpreter and the set's wheels for this machine."""
    env = clean_environment(ENVC_CACHE_DIR=str(folder / "cache"), ENVC_STORE=str(folder / "store"))
    place = Scene(folder, env, "here")
    if (place.work / "done").exists():
        return place
    place.work.mkdir(parents=True, exist_ok=True)
    made = conda_real.make_channel(place.work / "channel", benchmark_sets()["sets"][chosen.set]["requirements"])
    names = [package.index["name"] for package in made]
    (place.work / "manifest.toml").write_text(host_conda_manifest("channel", *names, step="all"))
    place.envc("lock", "-q")
    place.envc("bundle", "-q")
    (place.work / "done").touch()
    return place


def main(arguments: list[str]) -> int:
    chosen = options("hydrate-conda", __doc__).parse_args(arguments)
    if conda_real.missing():
        raise SystemExit(f"skipped: {conda_real.missing()}")
    with scene(chosen, of_conda_packages) as place:
        lock, channel = place.work / "manifest.lock", place.work / "channel"
        prefix, theirs, their_cache = place.folder / "prefix", place.folder / "rattler", place.folder / "rattler-cache"
        shutil.rmtree(prefix, ignore_errors=True)
        place.hydrate(prefix)
        files, size = tree_size(prefix)
        shutil.rmtree(prefix)
        print(versions("envc", "py-rattler", "zstandard"))
        print(f"{chosen.set}: {len(list(channel.glob('*/*.conda')))} packages, {files} files, {size / 1e6:.0f} MB")

        def rattler() -> float:
            command = [sys.executable, "-m", "tests.support.rattler_install"]
            return timed([*command, str(channel), str(lock), str(theirs), str(their_cache)], place.env, ROOT)

        def cold() -> float:
            shutil.rmtree(place.cache, ignore_errors=True)
            return place.hydrate(prefix)

        def rattler_cold() -> float:
            shutil.rmtree(their_cache, ignore_errors=True)
            return rattler()

        def warm() -> float:
            return place.hydrate(prefix)

        for name, budget, ours, peer in (("cold", 0.7, cold, rattler_cold), ("warm", 1.0, warm, rattler)):
            meters = [Meter(removing(prefix, ours)), Meter(removing(theirs, peer))]
            clocks = alternate(chosen.runs, *meters)
            print(f"{name} cache, medians of {chosen.runs}, in alternation")
            for side, seconds, meter in zip(("envc hydrate", "py-rattler"), clocks, meters, strict=True):
                used = f"{median(meter.cpu):7.3f} s CPU, least {min(meter.cpu):.3f}"
                print(f"  {side:12} {median(seconds):7.3f} s clock {used}")
            clock, cpu = median(clocks[0]) / median(clocks[1]), median(meters[0].cpu) / median(meters[1].cpu)
            print(f"  {'ratio':12} {clock:7.2f}   clock {cpu:7.2f}   CPU; budget {budget}")
        command = [program("envc"), "hydrate", "all", "-q", "--target", place.target, "--no-cache", "--prefix"]
        print(f"peak memory, no cache: {peak([*command, str(prefix)], place.env, place.work)} MiB")
        shutil.rmtree(prefix, ignore_errors=True)
    return 0
