"""Everything a verb takes from outside its arguments."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from envc.errors import UsageError
from envc.model.progress import Progress


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """When a search for versions is stopped. No result depends on them, only whether there is one."""

    candidates: int = 200_000  # tried for one problem; the hardest benchmark sets need some thousands
    seconds: float = 900.0  # for one problem, fetching included

    def clock(self) -> Callable[[], bool]:
        """Says when a search that begins now has to stop."""
        end = time.monotonic() + self.seconds
        return lambda: time.monotonic() > end


class Surroundings(msgspec.Struct, frozen=True, kw_only=True):
    """The environment variables, the working directory, the clock, where to report, leave to use the network."""

    environ: Mapping[str, str]
    cwd: Path
    progress: Progress
    offline: bool = False
    refresh: bool = False
    force: bool = False  # also on a machine that lacks what an environment was solved for
    limits: Limits = Limits()

    @property
    def now(self) -> datetime:
        """``ENVC_NOW`` if set, else the clock; always aware."""
        text = self.environ.get("ENVC_NOW")
        if not text:
            return datetime.now(UTC)
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            raise UsageError(f"ENVC_NOW is {text!r}, which is not a time", "write 2026-11-01T00:00:00Z") from None
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)

    @property
    def cache(self) -> Path:
        from envc.fetch.settings import cache_folder

        return cache_folder(self.environ)
