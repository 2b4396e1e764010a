"""bundle: from local wheels to objects at level 9, compared with `zstd -9` on the same bytes and number of threads."""

from __future__ import annotations

import os
import shutil

from tests.benchmarks.measure import alternate, median, program, timed, versions
from tests.benchmarks.scene import Meter, options, peak, scene, tree_size


def main(arguments: list[str]) -> int:
    chosen = options("bundle", __doc__, runs=3).parse_args(arguments)
    with scene(chosen) as place:
        tree, tar, store = place.folder / "tree", place.folder / "tree.tar", place.folder / "another-store"
        shutil.rmtree(tree, ignore_errors=True)
        place.hydrate(tree, "--no-cache")
        timed(["tar", "-cf", str(tar), "-C", str(tree), "."], place.env, place.work)
        shutil.rmtree(tree)
        threads = os.cpu_count() or 1
        command = ["bundle", "-q", "--offline", "--store", str(store)]

        def envc() -> float:
            shutil.rmtree(store, ignore_errors=True)
            return place.envc(*command)

        def zstd() -> float:
            packed = ["zstd", "-q", "-9", f"-T{threads}", "-f", str(tar), "-o", f"{tar}.zst"]
            return timed(packed, place.env, place.work)

        print(versions("envc", "zstandard"))
        print(f"{chosen.set} on {chosen.target}: {len(place.wheels)} wheels, {tar.stat().st_size / 1e6:.0f} MB of tar")
        meters = Meter(envc), Meter(zstd)
        ours, theirs = alternate(chosen.runs, *meters)
        size, packed = tree_size(store)[1], (place.folder / "tree.tar.zst").stat().st_size
        print(
            f"{'envc bundle':26} {median(ours):7.3f} s   {size / 1e6:.0f} MB, median of {chosen.runs}, in alternation"
        )
        print(f"{'zstd -9':26} {median(theirs):7.3f} s   {packed / 1e6:.0f} MB; envc takes "
              f"{median(ours) / median(theirs):.2f} of the time, {size / packed:.2f} of the size")  # fmt: skip
        mine, other = (median(meter.cpu) for meter in meters)
        print(f"{'CPU':26} {mine:7.3f} s   zstd {other:.3f} s; envc takes {mine / other:.2f}")
        shutil.rmtree(store)
        print(f"{'peak memory':26} {peak([program('envc'), *command], place.env, place.work):7} MiB")
        shutil.rmtree(store)
        tar.unlink()
    return 0
