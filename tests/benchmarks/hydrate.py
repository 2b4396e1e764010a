"""hydrate: from a store to a prefix on tmpfs, compared with uv with an empty cache, `tar --zstd` and `cp -r`."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.benchmarks.measure import alternate, median, program, timed, versions
from tests.benchmarks.scene import Meter, Scene, options, peak, removing, scene, tree_size


def main(arguments: list[str]) -> int:
    chosen = options("hydrate", __doc__).parse_args(arguments)
    with scene(chosen) as place:
        prefix, tree, unpacked = place.folder / "prefix", place.folder / "tree", place.folder / "unpacked"
        uv_prefix, uv_cache = place.folder / "uv", place.folder / "uv-cache"
        shutil.rmtree(tree, ignore_errors=True)
        place.hydrate(tree, "--no-cache")
        archive = _archive(place, tree)
        files, size = tree_size(tree)
        print(versions("envc", "uv", "zstandard"))
        print(f"{chosen.set} on {chosen.target}: {len(place.wheels)} wheels, {files} files, {size / 1e6:.0f} MB")

        def uv_cold() -> float:
            shutil.rmtree(uv_cache, ignore_errors=True)
            return place.uv_install(uv_prefix, "--link-mode", "copy", cache=uv_cache)

        def tar() -> float:
            unpacked.mkdir()
            return timed(["tar", "--zstd", "-xf", str(archive), "-C", str(unpacked)], place.env, place.work)

        peers = {
            "cp -r": removing(unpacked, lambda: timed(["cp", "-r", str(tree), str(unpacked)], place.env, place.work)),
            "tar --zstd": removing(unpacked, tar),
        }
        if place.target == "linux-64":
            peers["uv, cold, copies"] = removing(uv_prefix, uv_cold)
        sides = {"envc hydrate --no-cache": removing(prefix, lambda: place.hydrate(prefix, "--no-cache"))} | peers
        meters = [Meter(side) for side in sides.values()]
        ours, *_ = results = alternate(chosen.runs, *meters)
        print(f"{'':26} {'clock s':>8} {'CPU s':>8}   envc takes of it; medians of {chosen.runs}, in alternation")
        for name, seconds, meter in zip(sides, results, meters, strict=True):
            clock, cpu = median(ours) / median(seconds), median(meters[0].cpu) / median(meter.cpu)
            print(f"{name:26} {median(seconds):8.3f} {median(meter.cpu):8.3f}   {clock:.2f} clock, {cpu:.2f} CPU")
        command = [program("envc"), "hydrate", "all", "-q", "--target", place.target, "--no-cache", "--prefix"]
        print(f"{'peak memory':26} {peak([*command, str(prefix)], place.env, place.work):7} MiB")
        for path in (prefix, tree, uv_cache):
            shutil.rmtree(path, ignore_errors=True)
    return 0


def _archive(place: Scene, tree: Path) -> Path:
    """Write the tree with `tar` and `zstd -9`."""
    archive = place.folder / "tree.tar.zst"
    archive.unlink(missing_ok=True)
    env = place.env | {"ZSTD_CLEVEL": "9", "ZSTD_NBTHREADS": "2"}
    timed(["tar", "--zstd", "-cf", str(archive), "-C", str(tree), "."], env, place.work)
    return archive
