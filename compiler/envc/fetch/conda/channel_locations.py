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
DEFAULTS = "defaults"  # conda's name for several channels
_ANACONDA_URL = "https://repo.anaconda.com"  # of these
_PKGS = "pkgs/"  # begins their names


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
    base: str = "",
    root: Path | None = None,
) -> dict[str, ChannelLocation]:
    """The locations of channels by name, in the given order. Their credentials are added to the keyring.

    A channel is the name of a source, a URL, a path, or the name of a public channel, which is below `base`. A path is
    absolute, or starts with a dot and is relative to `root`, else to the working directory. Raises UsageError for any
    other text, and for two channels with the same name.
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
            if url is not text or is_place(url):
                folder = Path(root or "", user_path(url, "the channel")).absolute()
                url = folder.as_uri()
            else:
                name, url = text, _public_url(url, base)
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
        key = f"{_safe(name)}-{short_digest(' '.join((plain, *map(str, missing))))}"
        locations[name] = ChannelLocation(name, key, plain, folder, missing)
    return locations


def is_place(text: str) -> bool:
    """Whether a channel is written as a path."""
    return text.startswith((".", "/", "~", "\\")) or Path(text).is_absolute() or text[1:2] == ":"


def default_channels(platforms: Iterable[str]) -> tuple[str, ...]:
    """The channels that conda means by ``defaults``."""
    has_windows = any(platform.startswith("win-") for platform in platforms)
    return (f"{_PKGS}main", f"{_PKGS}r", *((f"{_PKGS}msys2",) if has_windows else ()))


def public_name(text: str) -> str:
    """The name of a public channel that is given by its name or address; "" for any other channel."""
    if "://" not in text:
        return "" if is_place(text) else text
    plain = text.rstrip("/")
    if plain.startswith(f"{_ANACONDA_URL}/{_PKGS}"):
        return plain.removeprefix(f"{_ANACONDA_URL}/")
    return plain.removeprefix(f"{CHANNELS_URL}/") if plain.startswith(f"{CHANNELS_URL}/") else ""


def public_address(name: str) -> str:
    """The address under which every conda tool knows a public channel."""
    return _public_url(name, "")


def _public_url(name: str, base: str) -> str:
    return f"{base or (_ANACONDA_URL if name.startswith(_PKGS) else CHANNELS_URL)}/{name}"


def known_channel(text: str, locations: Mapping[str, ChannelLocation]) -> str:
    """The name of the channel that a match spec gives by name or by URL.

    Raises UsageError if it is not one of those in use.
    """
    if text in locations:
        return text
    try:
        url = split_credentials(text)[0] if "://" in text else public_address(text)
    except ValueError:
        raise UsageError(f"channel {_shown(text)} is not a URL", f"the channels are: {', '.join(locations)}") from None
    public = "pkgs/main" if text == DEFAULTS else public_name(url)
    for location in locations.values():
        if location.url == url.rstrip("/") or location.name == public:
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
