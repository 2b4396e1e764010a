"""The context that all fetches of a run share."""

from __future__ import annotations

from pathlib import Path

import msgspec

from envc.context import Context
from envc.fetch.net.credentials import Keyring
from envc.fetch.net.http import Client
from envc.fetch.net.settings import FetchSettings
from envc.model.progress import Progress


class FetchContext(msgspec.Struct, frozen=True, kw_only=True):
    """Settings, credentials, connections and the clock of everything that a run fetches."""

    settings: FetchSettings
    keyring: Keyring
    client: Client
    progress: Progress
    now: int  # seconds since the epoch
    offline: bool = False  # send no requests
    refresh: bool = False  # request every page and subdir again

    @property
    def cache(self) -> Path:
        return self.settings.cache


def fetch_context(
    settings: FetchSettings, context: Context, keyring: Keyring | None = None, client: Client | None = None
) -> FetchContext:
    """The fetch context of a run. By default, `keyring` and `client` are created from the settings.

    The caller has to close the client. Closing an `Indexes` with this context does so.
    """
    keyring = keyring or settings.keyring()
    return FetchContext(
        settings=msgspec.structs.replace(settings, cache=context.cache),
        keyring=keyring,
        client=client or Client(keyring, transport=settings.transport),
        progress=context.progress,
        now=int(context.now.timestamp()),
        offline=context.offline,
        refresh=context.refresh,
    )
