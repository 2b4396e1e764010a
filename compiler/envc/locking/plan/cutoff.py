"""cutoff: a cut-off of the manifest, a moment or a span, as the timestamp that a solver compares with."""

from __future__ import annotations

from datetime import datetime, timedelta

from envc.model.kinds import PackageCutoff


def cutoff_timestamp(value: PackageCutoff | None, now: datetime) -> int | None:
    """Seconds since the epoch, UTC. A span counts back from `now`. None if there is no cut-off."""
    if isinstance(value, timedelta):
        value = now - value
    return int(value.timestamp()) if isinstance(value, datetime) else None
