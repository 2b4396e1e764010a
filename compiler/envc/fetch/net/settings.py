"""Fetch settings: the cache folder, the default index, credentials, and how servers are reached.

They come from environment variables and pip's configuration. pip's ``index-url`` is used, since it says *where* the
default index is. pip's ``extra-index-url`` and ``find-links`` would add candidates that the manifest does not name,
which is how dependency confusion starts. They are never used, and a warning names them, as it does ``no-index`` and
``trusted-host``. pip's ``cert``, ``client-cert``, ``proxy`` and ``keyring-provider`` are used if no variable is set.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from envc.context import NoHome, cache_folder, home_folder, user_path
from envc.errors import UsageError
from envc.fetch.net.credentials import Keyring, KeyringLookup, Login
from envc.fetch.net.urls import TOKEN_HINT, holds_token, is_local
from envc_solvers.malformed import FOREIGN, malformed

_LOGIN = r"ENVC_SOURCE_([A-Z0-9_]+)_(?:USERNAME|PASSWORD)"
_PIP_KEYS = (
    "index-url", "no-index", "extra-index-url", "find-links",
    "cert", "client-cert", "proxy", "keyring-provider", "trusted-host",
)  # fmt: skip
_YES = ("1", "y", "yes", "t", "true", "on")  # pip's strtobool
_SECTIONS = ("global", "download", "install")  # of pip's configuration, later ones win


class Transport(msgspec.Struct, frozen=True, kw_only=True):
    """How servers are reached, apart from the variables that Python's ssl module and urllib read themselves."""

    authorities: Path | None = None  # PEM file, or folder, that replaces the system's certificate authorities
    client_certificate: Path | None = None  # PEM file with a certificate and its key
    proxy: str | None = None  # used if no variable names a proxy. May hold credentials


class FetchSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of a run, read once."""

    cache: Path  # folder of everything that can be fetched again
    index_url: str | None = None  # of the default index; None: the public one. May hold credentials
    index_origin: str = "its URL"  # where the URL of the default index is set, as messages name it
    channel_alias: str = ""  # URL that public channels are below; "": their own. May hold credentials
    netrc: Path | None = None
    logins: dict[str, Login] = {}  # by `login_name` of a source
    lookup: KeyringLookup | None = None  # in the system's keyring, if the user has enabled it
    transport: Transport = Transport()
    warnings: tuple[str, ...] = ()  # shown when the network is used; without credentials

    def keyring(self) -> Keyring:
        """A keyring without sources. A run shares one, so that the user is prompted only once."""
        return Keyring(self.netrc, logins=self.logins, lookup=self.lookup)


def read_settings(environ: Mapping[str, str]) -> FetchSettings:
    """Read the settings from environment variables and pip's configuration files.

    ``ENVC_CACHE_DIR`` and ``ENVC_INDEX_URL`` take precedence. Raises UsageError for an invalid index URL.
    """
    pip = _pip_configuration(environ)
    origin, index_url = "ENVC_INDEX_URL", environ.get("ENVC_INDEX_URL")
    if not index_url:
        origin, index_url = "pip's index-url", pip.get("index-url")
    if index_url and not is_usable(index_url):
        raise UsageError(f"{origin} is not a URL of an index", hint="it must start with https://, http:// or file://")
    return FetchSettings(
        cache=_cache(environ),
        index_url=index_url or None,
        channel_alias=_channel_alias(environ),
        index_origin=origin,
        netrc=_netrc(environ),
        logins=_logins(environ),
        lookup=_keyring(environ, pip),
        transport=_transport(environ, pip),
        warnings=_ignored(pip),
    )


def channel_settings(environ: Mapping[str, str]) -> FetchSettings:
    """Settings of a run that uses conda channels only. pip's configuration does not apply to them, and is not read."""
    return FetchSettings(
        cache=_cache(environ),
        channel_alias=_channel_alias(environ),
        netrc=_netrc(environ),
        logins=_logins(environ),
        lookup=_keyring(environ, {}),
        transport=_transport(environ, {}),
    )


def _channel_alias(environ: Mapping[str, str]) -> str:
    """Raises UsageError."""
    alias = environ.get("ENVC_CHANNEL_ALIAS", "").rstrip("/")
    if alias and not is_usable(alias):
        raise UsageError("ENVC_CHANNEL_ALIAS is not a URL", "it must start with https://, http:// or file://")
    if holds_token(alias):
        raise UsageError("ENVC_CHANNEL_ALIAS holds a token", TOKEN_HINT)
    return alias


def _cache(environ: Mapping[str, str]) -> Path:
    try:
        return cache_folder(environ)
    except NoHome:
        return Path()  # `fetch_context` replaces it by the folder that is used instead


def read_transport(environ: Mapping[str, str]) -> Transport:
    """The transport for a store behind a web server, which is configured as for indexes."""
    return _transport(environ, _pip_configuration(environ))


def is_usable(url: str) -> bool:
    """Whether envc can read from this URL: its scheme is supported, and it has a valid host and port."""
    try:
        url.encode()  # raises UnicodeEncodeError for half of a surrogate pair
        parts = urlsplit(url)
        if parts.scheme == "file":
            return is_local(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def redact(url: str) -> str:
    """The URL as it may be shown. If it has credentials, a query or a channel token, only scheme and host remain."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "…"
    if parts.username is None and parts.password is None and not parts.query and not holds_token(url):
        return url
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}/…"


def _logins(environ: Mapping[str, str]) -> dict[str, Login]:
    """``ENVC_SOURCE_<NAME>_USERNAME`` and ``…_PASSWORD``. The URL, netrc or a keyring may supply the other one."""
    keys = [key for key in environ if key.startswith("ENVC_SOURCE_")]  # usually none: no pattern has to be compiled
    names = {match[1] for key in keys if (match := re.fullmatch(_LOGIN, key)) is not None}
    return {
        name: Login(
            environ.get(f"ENVC_SOURCE_{name}_USERNAME", ""),
            environ.get(f"ENVC_SOURCE_{name}_PASSWORD", ""),
        )
        for name in names
    }


def _keyring(environ: Mapping[str, str], pip: Mapping[str, str]) -> KeyringLookup | None:
    """``ENVC_KEYRING_PROVIDER``, else pip's ``keyring-provider``. The command is run for "subprocess" only."""
    provider = environ.get("ENVC_KEYRING_PROVIDER")
    if provider not in (None, "", "disabled", "subprocess"):
        raise UsageError(f"ENVC_KEYRING_PROVIDER is {provider!r}", "it must be `subprocess` or `disabled`")
    if (provider or pip.get("keyring-provider")) != "subprocess":
        return None
    from envc.fetch.net.keyring_command import query_keyring

    return lambda services, user: query_keyring(services, user, environ)


def _transport(environ: Mapping[str, str], pip: Mapping[str, str]) -> Transport:
    """The standard variables come first, then pip's configuration, then ``REQUESTS_CA_BUNDLE``, as in pip.

    ``SSL_CERT_FILE``, ``SSL_CERT_DIR`` and the proxy variables are read by the ssl module and urllib themselves.
    """
    own = environ.get("SSL_CERT_FILE") or environ.get("SSL_CERT_DIR")
    authorities = None if own else pip.get("cert") or environ.get("REQUESTS_CA_BUNDLE")
    certificate = environ.get("SSL_CLIENT_CERT") or pip.get("client-cert")
    return Transport(
        authorities=user_path(authorities, "the file of authorities") if authorities else None,
        client_certificate=user_path(certificate, "the client certificate") if certificate else None,
        proxy=pip.get("proxy") or None,
    )


def _ignored(pip: Mapping[str, str]) -> tuple[str, ...]:
    """Warnings about options of pip that envc does not use."""
    candidates = [
        f"{key} ({', '.join(redact(url) for url in pip[key].split())})"
        for key in ("extra-index-url", "find-links")
        if pip.get(key, "").strip()
    ]
    warnings = []
    if candidates:
        hint = "declare these locations under [sources] in the manifest"
        warnings.append(f"pip's {' and '.join(candidates)} are ignored; {hint}")
    if pip.get("no-index", "").strip().lower() in _YES:
        warnings.append(
            "pip's no-index is ignored; --offline forbids network access, and `indexes` in [project] names the indexes"
        )
    if pip.get("trusted-host", "").strip():
        warnings.append("pip's trusted-host is ignored; name your authority's certificate in SSL_CERT_FILE")
    return tuple(warnings)


def _pip_configuration(environ: Mapping[str, str]) -> dict[str, str]:
    """pip's index options: from its files, the most general first, then from PIP_* variables."""
    found: dict[str, str] = {}
    for path in _pip_files(environ):
        try:
            text = path.read_text(encoding="utf-8")
        except malformed(OSError):
            continue
        # Imported here: most machines have no such file, and a run without fetching should not pay for the import.
        import configparser

        parser = configparser.RawConfigParser()
        try:
            parser.read_string(text)
        except malformed(*FOREIGN):
            continue  # pip itself reports it
        for section in _SECTIONS:
            if parser.has_section(section):
                found.update(parser.items(section))
    for key in _PIP_KEYS:
        value = environ.get("PIP_" + key.upper().replace("-", "_"))
        if value is not None:
            found[key] = value
    return found


def _pip_files(environ: Mapping[str, str]) -> list[Path]:
    """The files that pip reads, in its order (pip documentation, "Location" of configuration files)."""
    chosen = environ.get("PIP_CONFIG_FILE")
    if chosen in (os.devnull, "/dev/null"):
        return []
    home = home_folder(environ)
    name = "pip.ini" if sys.platform == "win32" else "pip.conf"
    if sys.platform == "win32":
        shared = [Path(environ.get("PROGRAMDATA", r"C:\ProgramData")) / "pip" / name]
        user = [home / "pip" / name, Path(environ.get("APPDATA", home)) / "pip" / name]
    else:
        dirs = environ.get("XDG_CONFIG_DIRS") or "/etc/xdg"
        shared = [Path(folder) / "pip" / name for folder in dirs.split(":") if folder] + [Path("/etc") / name]
        config = Path(environ.get("XDG_CONFIG_HOME") or home / ".config")
        user = [home / ".pip" / name, config / "pip" / name]
        if sys.platform == "darwin":
            shared.insert(0, Path("/Library/Application Support/pip") / name)
            user.append(home / "Library/Application Support/pip" / name)
    site = [Path(sys.prefix) / name]
    return [*shared, *user, *site, *([Path(chosen)] if chosen else [])]


def _netrc(environ: Mapping[str, str]) -> Path | None:
    if environ.get("NETRC"):
        return Path(environ["NETRC"])
    home = home_folder(environ)
    for name in (".netrc", "_netrc"):
        if (home / name).is_file():
            return home / name
    return None
