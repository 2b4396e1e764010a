"""What in a store is envc's: the blobs under keys of its format. Everything else is passed over, with one warning.

Systems and users leave files in shared folders (``.DS_Store``, ``.nfs0123``, copies), and buckets may be shared with
other programs. Such files are neither read nor removed.
"""

from __future__ import annotations

from collections.abc import Iterator

from envc.model.progress import Progress
from envc.shipping.store.blobs import Blobs, Listed
from envc.shipping.store.keys import is_own

_SHOWN = 3  # names in the warning


class OwnBlobs:
    """Lists blobs of one store under keys of the format, and remembers the other names that it saw."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs
        self._foreign: set[str] = set()

    def scan(self, prefix: str) -> Iterator[Listed]:
        """As `Blobs.scan`, without foreign names."""
        for listed in self._blobs.scan(prefix):
            if is_own(listed.key):
                yield listed
            else:
                self._foreign.add(listed.key)

    def warn(self, progress: Progress) -> None:
        """Warn of the foreign names that were seen since the last warning, if any."""
        if not self._foreign:
            return
        names = sorted(self._foreign)
        self._foreign.clear()
        more = ", …" if len(names) > _SHOWN else ""
        what = f"{len(names)} files that are not envc's were" if len(names) > 1 else "a file that is not envc's was"
        progress.warn(f"{self._blobs.name}: {what} passed over: {', '.join(names[:_SHOWN])}{more}")
