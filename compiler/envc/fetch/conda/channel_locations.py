"""The locations of the conda channels of a run: URL, folder and cache key. Credentials are kept separately."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import msgspec

from envc.context import refuse_misspelt_url, user_path
from envc.errors import UsageError
from envc.fetch.net.credentials import Keyring, split_credentials
from envc.fetch.net.urls import TOKEN_HINT, holds_token, is_local, redact
from envc.model.digest import short_digest

if TYPE_CHECKING:
    from envc.model.manifest import Source

CHANNELS_URL = "https://conda.anaconda.org"  # of public channels; every conda tool resolves channel names against it


class ChannelLocation(msgspec.Struct, frozen=True):
    """A channel with its URL."""

    name: str  # the only field that may be shown
    key: str  # in the cache: name and digest of the URL without credentials
    url: str  # without credentials and trailing slash
    folder: Path | None = None  # of a channel on disk
    missing: tuple[int, ...] = ()  # statuses that mean "does not have it", like 404


def resolve_channels(
    channels: Iterable[str],
    sources: Mapping[str, Source],
    keyring: Keyring,
    *,
    base: str = CHANNELS_URL,
    root: Path | None = None,
) -> dict[str, ChannelLocation]:
    """The locations of channels by name, in the given order. Their credentials are added to the keyring.

    A channel is the name of a source, a URL, a path, or the name of a public channel below `base`. A path is absolute,
    or starts with a dot and is relative to `root`, else to the working directory. Raises UsageError for any other text,
    and for two channels with the same name.
    """
    locations: dict[str, ChannelLocation] = {}
    for text in channels:
        source = sources.get(text)
        url = source.url if source is not None and source.url is not None else text
        # A source keeps its name from the manifest, and a public channel its own name. Any other channel is named by
        # the end of its URL or path.
        name = text if source is not None else ""
        folder = None
        if "://" not in url:
            refuse_misspelt_url(url, "the channel")
            if url is not text or url.startswith((".", "/", "~")) or Path(url).is_absolute():
                folder = Path(root or "", user_path(url, "the channel")).absolute()
                url = folder.as_uri()
            else:
                name, url = text, f"{base}/{url}"
        if not _is_usable(url):
            raise UsageError(f"channel {_shown(text)} cannot be used", "write a name, https://…, file://… or a path")
        if holds_token(url):
            raise UsageError(f"channel {redact(text)} holds a token", TOKEN_HINT)
        plain, login = split_credentials(url)
        plain = plain.partition("#")[0].partition("?")[0].rstrip("/")
        if folder is None and plain.startswith("file:"):
            from envc.fetch.net.urls import local_path

            folder = local_path(plain)
        name = name or plain.rpartition("/")[2]
        keyring.declare(name, plain, login)
        if name in locations and locations[name].url != plain:
            raise UsageError(f"two channels have the name {name}", "name them under [sources] in the manifest")
        missing = source.missing if source is not None else ()
        # With other statuses, cached answers have another meaning.
        key = "-".join((_safe(name), short_digest(plain), *map(str, missing)))
        locations[name] = ChannelLocation(name, key, plain, folder, missing)
    return locations


def known_channel(text: str, locations: Mapping[str, ChannelLocation]) -> str:
    """The name of the channel that a match spec gives by name or by URL.

    Raises UsageError if it is not one of those in use.
    """
    if text in locations:
        return text
    try:
        url = split_credentials(text)[0] if "://" in text else f"{CHANNELS_URL}/{text}"
    except ValueError:
        raise UsageError(f"channel {_shown(text)} is not a URL", f"the channels are: {', '.join(locations)}") from None
    for location in locations.values():
        if location.url == url.rstrip("/"):
            return location.name
    raise UsageError(f"channel {_shown(text)} is not in use", f"the channels are: {', '.join(locations)}")


def _is_usable(url: str) -> bool:
    try:
        url.encode()  # raises UnicodeEncodeError for half of a surrogate pair
        parts = urlsplit(url)
        parts.port  # noqa: B018 - raises ValueError if it is not a port
        return is_local(url) or (parts.scheme in ("http", "https") and bool(parts.hostname))
    except ValueError:
        return False


def _shown(text: str) -> str:
    """A channel as it was written, without anything that may be a password or a token."""
    shown = redact(text)
    scheme, _, rest = shown.rpartition("://")
    return f"{scheme}://…@{rest.rpartition('@')[2]}" if "@" in rest else shown


def _safe(name: str) -> str:
    return "".join(letter if letter.isalnum() and letter.isascii() else "_" for letter in name)[:40]
