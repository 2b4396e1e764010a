"""coherent: remembers in the cache which locks agreed with themselves, so that the next command need not compare again.

What `locking.plan.coherence` finds depends only on the text of the manifest, the bytes of the lock and its own code. If
none of them has changed, the result is the same. Nothing depends on the entry: without it, or without a cache, the lock
is compared again.

An entry is believed only in a cache that no other user can write to. A user who can write there can replace the
environments that a step runs in as well.
"""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from envc.model.digest import Sha256, joint_digest, short_digest
from envc.system.cache_folder import is_private_cache

FOLDER = "coherent"  # of the cache
EVERY_STEP = "*"  # not the name of a step

_LARGEST = 1 << 20  # bytes of an entry
# The files whose code decides. Another version of envc has other files, or files of another time.
_CODE = ("coherence.py", "pypi_coherence.py", "conda_coherence.py", "artifact_names.py", "closure.py")
_PLAN = Path(__file__).parent.parent / "plan"


class CoherentLock:
    """Whether a lock is known to agree with itself and with its manifest, for some of its steps or all of them."""

    def __init__(self, cache: Path | None, place: Path, manifest: str, lock: bytes) -> None:
        """`place` is the path of the lock, `cache` the folder of the cache, which need not exist."""
        self._digest: Sha256 | None = None  # None if there is no cache that can be used
        self._steps: frozenset[str] = frozenset()
        if cache is None or not is_private_cache(cache):
            return
        self._path = cache / FOLDER / short_digest(str(place.absolute()))
        with suppress(OSError):
            self._digest = joint_digest(_code(), manifest.encode(), lock)
            with self._path.open("rb") as file:
                known, *steps = file.read(_LARGEST).decode("utf-8", "replace").split("\n")
            if known == self._digest:
                self._steps = frozenset(steps)

    def includes(self, steps: Collection[str] | None) -> bool:
        """Whether the packages of these steps are known to agree; for None, those of all steps and all entries."""
        return EVERY_STEP in self._steps or (steps is not None and self._steps.issuperset(steps))

    def add(self, steps: Collection[str] | None) -> None:
        """Remember that the packages of these steps agree; see `includes`. A cache that is full or gone is no error."""
        if self._digest is None:
            return
        from envc.system.atomic_file import write_file  # late: most locks are known

        known = {EVERY_STEP} if steps is None else {*self._steps, *steps}
        with suppress(OSError):
            self._path.parent.mkdir(exist_ok=True)
            write_file(self._path, "\n".join([self._digest, *sorted(known)]).encode())


def _code() -> bytes:
    """What identifies the code of the comparison without reading it. Raises OSError if it has no files of its own."""
    found = [(_PLAN / name).stat() for name in _CODE]
    return repr((str(_PLAN), [(each.st_size, each.st_mtime_ns) for each in found])).encode()
