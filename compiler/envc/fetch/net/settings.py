"""Where fetching happens: the cache folder, the default index, and what pip's own configuration says of them.

pip's ``index-url`` says *where* the default index lives, so it is honoured. Its ``extra-index-url`` and ``find-links``
would add candidates that the manifest does not name, which is how dependency confusion starts; they are named in a
warning and never used, as are its ``no-index`` and ``trusted-host``. Its ``cert``, ``client-cert``, ``proxy`` and
``keyring-provider`` say how servers are reached, and are honoured where no variable says it.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from envc.context import cache_folder
from envc.errors import UsageError
from envc.fetch.net.credentials import Keyring, KeyringLookup, Login
from envc.fetch.net.urls import holds_token

_LOGIN = r"ENVC_SOURCE_([A-Z0-9_]+)_(?:USERNAME|PASSWORD)"
_PIP_KEYS = (
    "index-url", "no-index", "extra-index-url", "find-links",
    "cert", "client-cert", "proxy", "keyring-provider", "trusted-host",
)  # fmt: skip
_YES = ("1", "y", "yes", "t", "true", "on")  # pip's strtobool
_SECTIONS = ("global", "download", "install")  # of pip's configuration, later ones win


class Transport(msgspec.Struct, frozen=True, kw_only=True):
    """How servers are reached, besides what Python's ssl module and urllib read off the environment themselves."""

    authorities: Path | None = None  # PEM file, or folder, that replaces the system's certificate authorities
    client_certificate: Path | None = None  # PEM file with a certificate and its key
    proxy: str | None = None  # where no variable names one. May hold credentials


class FetchSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The surroundings that fetching depends on, read once."""

    cache: Path  # folder for everything that can be fetched again
    index_url: str | None = None  # replaces the default index; None: the ecosystem's own. May hold credentials
    netrc: Path | None = None
    logins: dict[str, Login] = {}  # by `login_name` of a source
    lookup: KeyringLookup | None = None  # a keyring, where the user wants it to be asked
    transport: Transport = Transport()
    warnings: tuple[str, ...] = ()  # to be shown when the network is used; free of credentials

    def keyring(self) -> Keyring:
        """A keyring that knows no source yet. One is enough for a run, so that nobody is asked twice."""
        return Keyring(self.netrc, logins=self.logins, lookup=self.lookup)


def read_settings(environ: Mapping[str, str]) -> FetchSettings:
    """Read the settings from environment variables and pip's configuration files.

    ``ENVC_CACHE_DIR`` and ``ENVC_INDEX_URL`` win over everything else. Raises UsageError for an index URL that is none.
    """
    pip = _pip_configuration(environ)
    origin, index_url = "ENVC_INDEX_URL", environ.get("ENVC_INDEX_URL")
    if not index_url:
        origin, index_url = "pip's index-url", pip.get("index-url")
    if index_url and not is_usable(index_url):
        raise UsageError(f"{origin} is not a URL of an index", hint="it must start with https://, http:// or file://")
    return FetchSettings(
        cache=cache_folder(environ),
        index_url=index_url or None,
        netrc=_netrc(environ),
        logins=_logins(environ),
        lookup=_keyring(environ, pip),
        transport=_transport(environ, pip),
        warnings=_ignored(pip),
    )


def channel_settings(environ: Mapping[str, str]) -> FetchSettings:
    """The same for runs that ask conda channels only: pip's configuration says nothing of them, and is not read."""
    return FetchSettings(
        cache=cache_folder(environ),
        netrc=_netrc(environ),
        logins=_logins(environ),
        lookup=_keyring(environ, {}),
        transport=_transport(environ, {}),
    )


def read_transport(environ: Mapping[str, str]) -> Transport:
    """How to reach servers that are neither indexes nor channels: as indexes are reached."""
    return _transport(environ, _pip_configuration(environ))


def is_usable(url: str) -> bool:
    """Whether a URL is one that envc can read from, with a host and a port that can be meant."""
    try:
        parts = urlsplit(url)
        return parts.scheme == "file" or (
            parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        )
    except ValueError:
        return False


def redact(url: str) -> str:
    """A URL that may be shown: of one with credentials, or with what may be a token, only scheme and host."""
    parts = urlsplit(url)
    if parts.username is None and parts.password is None and not parts.query and not holds_token(url):
        return url
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}/…"


def _logins(environ: Mapping[str, str]) -> dict[str, Login]:
    """``ENVC_SOURCE_<NAME>_USERNAME`` and ``…_PASSWORD``; either may be left to the URL, netrc or a keyring."""
    named = [key for key in environ if key.startswith("ENVC_SOURCE_")]  # mostly none, and no pattern has to be made
    names = {match[1] for key in named if (match := re.fullmatch(_LOGIN, key)) is not None}
    return {
        name: Login(
            environ.get(f"ENVC_SOURCE_{name}_USERNAME", ""),
            environ.get(f"ENVC_SOURCE_{name}_PASSWORD", ""),
        )
        for name in names
    }


def _keyring(environ: Mapping[str, str], pip: Mapping[str, str]) -> KeyringLookup | None:
    """``ENVC_KEYRING_PROVIDER``, else pip's ``keyring-provider``: only "subprocess" lets the command be started."""
    provider = environ.get("ENVC_KEYRING_PROVIDER")
    if provider not in (None, "", "disabled", "subprocess"):
        raise UsageError(f"ENVC_KEYRING_PROVIDER is {provider!r}", "it is `subprocess` or `disabled`")
    if (provider or pip.get("keyring-provider")) != "subprocess":
        return None
    from envc.fetch.net.keyring_command import ask_keyring

    return lambda services, user: ask_keyring(services, user, environ)


def _transport(environ: Mapping[str, str], pip: Mapping[str, str]) -> Transport:
    """The standard variables come first, then pip's configuration, then ``REQUESTS_CA_BUNDLE``, as in pip.

    ``SSL_CERT_FILE``, ``SSL_CERT_DIR`` and the proxy variables are read by the ssl module and urllib themselves.
    """
    own = environ.get("SSL_CERT_FILE") or environ.get("SSL_CERT_DIR")
    authorities = None if own else pip.get("cert") or environ.get("REQUESTS_CA_BUNDLE")
    certificate = environ.get("SSL_CLIENT_CERT") or pip.get("client-cert")
    return Transport(
        authorities=Path(authorities).expanduser() if authorities else None,
        client_certificate=Path(certificate).expanduser() if certificate else None,
        proxy=pip.get("proxy") or None,
    )


def _ignored(pip: Mapping[str, str]) -> tuple[str, ...]:
    named = [
        f"{key} ({', '.join(redact(url) for url in pip[key].split())})"
        for key in ("extra-index-url", "find-links")
        if pip.get(key, "").strip()
    ]
    warnings = []
    if named:
        where = "declare such places under [sources] in the manifest"
        warnings.append(f"pip's {' and '.join(named)} add no candidates here; {where}")
    if pip.get("no-index", "").strip().lower() in _YES:
        warnings.append(
            "pip's no-index does not count here; --offline keeps off the network, [project] indexes says who is asked"
        )
    if pip.get("trusted-host", "").strip():
        warnings.append("pip's trusted-host does not count here; name your authority's certificate in SSL_CERT_FILE")
    return tuple(warnings)


def _pip_configuration(environ: Mapping[str, str]) -> dict[str, str]:
    """pip's index options: files from the most general to the most special, then PIP_* variables."""
    found: dict[str, str] = {}
    for path in _pip_files(environ):
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            continue
        # Imported late: most machines have no such file, and the warm path should not pay for it.
        import configparser

        parser = configparser.RawConfigParser()
        try:
            parser.read_string(text)
        except configparser.Error:
            continue  # pip itself will complain
        for section in _SECTIONS:
            if parser.has_section(section):
                found.update(parser.items(section))
    for key in _PIP_KEYS:
        value = environ.get("PIP_" + key.upper().replace("-", "_"))
        if value is not None:
            found[key] = value
    return found


def _pip_files(environ: Mapping[str, str]) -> list[Path]:
    """Where pip looks, in its order (pip documentation, "Location" of configuration files)."""
    special = environ.get("PIP_CONFIG_FILE")
    if special in (os.devnull, "/dev/null"):
        return []
    home = Path(environ.get("HOME") or environ.get("USERPROFILE") or Path.home())
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
    return [*shared, *user, *site, *([Path(special)] if special else [])]


def _netrc(environ: Mapping[str, str]) -> Path | None:
    if environ.get("NETRC"):
        return Path(environ["NETRC"])
    home = Path(environ.get("HOME") or environ.get("USERPROFILE") or Path.home())
    for name in (".netrc", "_netrc"):
        if (home / name).is_file():
            return home / name
    return None
