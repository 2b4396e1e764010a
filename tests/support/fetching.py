"""Fetch contexts for tests: real clients with short timeouts, over a separate cache folder."""

from __future__ import annotations

from pathlib import Path

from envc.fetch.context import FetchContext
from envc.fetch.net.credentials import Keyring
from envc.fetch.net.http import Client
from envc.fetch.net.settings import FetchSettings
from envc.model.progress import Progress, Silent
from envc.system.retries import RetryPolicy


def fetching(
    cache: Path | FetchSettings,
    progress: Progress | None = None,
    *,
    now: int,
    offline: bool = False,
    refresh: bool = False,
    keyring: Keyring | None = None,
) -> FetchContext:
    """Return a context for a cache folder, or for settings."""
    settings = cache if isinstance(cache, FetchSettings) else FetchSettings(cache=cache)
    keyring = keyring or settings.keyring()
    return FetchContext(
        settings=settings,
        keyring=keyring,
        client=Client(keyring, transport=settings.transport, read_timeout=60.0, retries=RetryPolicy(first=0.001)),
        progress=progress or Silent(),
        now=now,
        offline=offline,
        refresh=refresh,
    )
