"""hydrate-again: another prefix on a host that has unpacked everything before, compared with uv's warm hard links.

Also measures the time of `--bytecode`, and the time that it saves at the first import.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.benchmarks.measure import alternate, median, timed, versions
from tests.benchmarks.scene import Scene, options, removing, scene

IMPORTS = {"datascience": "import pandas, sklearn.ensemble, matplotlib.pyplot, statsmodels.api, seaborn, scipy.stats"}


def main(arguments: list[str]) -> int:
    parser = options("hydrate-again", __doc__)
    parser.add_argument("--bytecode", action="store_true", help="measure byte-code as well")
    chosen = parser.parse_args(arguments)
    with scene(chosen) as place:
        prefix, other = place.folder / "prefix", place.folder / "other"
        uv_prefix, uv_cache = place.folder / "uv", place.folder / "uv-cache"
        for path in (prefix, other, uv_prefix):
            shutil.rmtree(path, ignore_errors=True)
        place.hydrate(prefix)  # fills the cache
        place.uv_install(uv_prefix, "--link-mode", "hardlink", cache=uv_cache)
        print(versions("envc", "uv"))
        ours, theirs = alternate(
            chosen.runs,
            removing(other, lambda: place.hydrate(other)),
            removing(uv_prefix, lambda: place.uv_install(uv_prefix, "--link-mode", "hardlink", cache=uv_cache)),
        )
        print(f"{'envc hydrate, again':26} {median(ours):7.3f} s   median of {chosen.runs}, in alternation")
        print(f"{'uv, warm, hard links':26} {median(theirs):7.3f} s   envc takes {median(ours) / median(theirs):.2f}")
        if chosen.bytecode and chosen.set in IMPORTS:
            _bytecode(place, prefix, other, IMPORTS[chosen.set])
        for path in (prefix, other, uv_cache):
            shutil.rmtree(path, ignore_errors=True)
    return 0


def _bytecode(place: Scene, prefix: Path, other: Path, imports: str) -> None:
    print(f"{'envc hydrate --bytecode':26} {place.hydrate(other, '--bytecode'):7.3f} s")

    def start(folder: Path) -> float:
        return timed([str(folder / "bin/python"), "-I", "-c", imports], place.env, place.work)

    for what, folder in (("without byte-code", prefix), ("with --bytecode", other)):
        first, second = start(folder), start(folder)
        print(f"{what:26} {first:7.3f} s   first import, {second:.3f} s the second time: {imports}")
