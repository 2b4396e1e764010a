"""cutoff: a moment or a span of the manifest as the moment that a solver judges by."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Literal


def cutoff_timestamp(value: datetime | timedelta | Literal[False] | None, now: datetime) -> int | None:
    """Seconds since the epoch, UTC; a span counts back from `now`; None where there is no cut-off."""
    if isinstance(value, timedelta):
        value = now - value
    return int(value.timestamp()) if isinstance(value, datetime) else None
