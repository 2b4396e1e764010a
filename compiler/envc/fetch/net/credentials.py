"""Credentials: removed from URLs as soon as they are read, and sent only to the server they belong to.

They are never shown: after `split_credentials`, no other module holds a URL with a user in it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

import msgspec

from envc_solvers.malformed import FOREIGN, malformed

_DEFAULT_PORTS = {"http": 80, "https": 443}


class Login(msgspec.Struct, frozen=True):
    """A user and a password, for HTTP basic authentication (RFC 7617)."""

    user: str
    password: str

    @property
    def authorization(self) -> str:
        from base64 import b64encode

        return "Basic " + b64encode(f"{self.user}:{self.password}".encode()).decode("ascii")

    def __repr__(self) -> str:
        return "Login(…)"


def split_credentials(url: str) -> tuple[str, Login | None]:
    """The URL without user and password, and the two as a login."""
    parts = urlsplit(url)
    userinfo, at, host = parts.netloc.rpartition("@")
    if not at:
        return url, None
    user, _, password = userinfo.partition(":")
    return urlunsplit(parts._replace(netloc=host)), Login(unquote(user), unquote(password))


KeyringLookup = Callable[[tuple[str, ...], str], tuple[str, str] | None]  # (services, user) → (user, password)


class Keyring:
    """Logins of sources by server (scheme, host and port), and of a netrc file by host. Thread-safe.

    `login` alone decides which login goes with a request. A login is for one server, so none follows a redirect or a
    link to another one. A netrc file names hosts without a scheme: its logins go to https, and to http only for servers
    that the manifest, the user or the environment names with http. A page cannot have one sent in the clear.

    The ``default`` entry of a netrc file is ignored: it would be sent to every host that a page names.
    """

    def __init__(
        self,
        netrc: Path | None = None,
        *,
        logins: Mapping[str, Login] | None = None,
        lookup: KeyringLookup | None = None,
    ) -> None:
        """`logins` are keyed by the `login_name` of a source. `lookup` is called for declared sources only."""
        self._netrc = netrc
        self._logins = logins or {}
        self._lookup = lookup
        self._by_host: dict[str, Login] | None = None
        self._by_server: dict[tuple[str, str, int], Login] = {}
        self._services: dict[tuple[str, str, int], str] = {}  # URLs of declared sources
        self._plain: set[tuple[str, str, int]] = set()  # servers that are named with http, not by a page
        self._looked_up: dict[tuple[str, str, int], Login | None] = {}  # results of `lookup`
        self._names: set[str] = set()  # of declared sources
        self._origins: dict[tuple[str, str, int], str] = {}  # where the login of a server comes from
        self.netrc_fault = ""  # why the netrc file cannot be read, without its contents
        self._lock = threading.Lock()

    @property
    def looks_up(self) -> bool:
        """Whether the system's keyring is queried."""
        return self._lookup is not None

    def has(self, name: str) -> bool:
        """Whether a source of that name is declared, so that variables are named after it."""
        return name in self._names

    def declare(self, name: str, url: str, login: Login | None = None, *, origin: str = "its URL") -> None:
        """Declare a source. `url` has no credentials; `login` is what its URL contained, and `origin` says where that
        URL is written.
        """
        self._names.add(name)
        given = self._logins.get(login_name(name), Login("", ""))
        user = given.user or (login.user if login else "")
        password = given.password or (login.password if login and login.user == user else "")
        if user or password:
            self.add(url, Login(user, password))
            variable = f"ENVC_SOURCE_{login_name(name)}_{'PASSWORD' if given.password else 'USERNAME'}"
            is_given = bool(given.password or (given.user and not password))
            self._origins[_server(url)] = variable if is_given else origin
        self._services[_server(url)] = url
        self.allow_plain(url)

    def add(self, url: str, login: Login) -> None:
        """Use this login for requests to the scheme, host and port of `url`."""
        self._by_server[_server(url)] = login

    def origin(self, url: str, login: Login) -> str:
        """Where a login comes from that `login` returned for this URL, as messages name it."""
        server = _server(url)
        if self._looked_up.get(server) is login:
            return "the keyring"
        return self._origins.get(server, "its URL") if self._by_server.get(server) is login else "netrc"

    def allow_plain(self, url: str) -> None:
        """Allow logins of the netrc file for the server of this URL over http. The URL must not come from a page."""
        self._plain.add(_server(url))

    def login(self, url: str) -> Login | None:
        """The login for a request, or None. Raises ValueError for a URL with an invalid port."""
        server = _server(url)
        known = self._by_server.get(server)  # for exactly this scheme
        if known is not None and known.password:
            return known
        with self._lock:
            if self._by_host is None:
                self._by_host, self.netrc_fault = _read_netrc(self._netrc)
        found = self._by_host.get(server[1]) if server[0] == "https" or server in self._plain else None
        if known is None or (found is not None and found.user == known.user):
            return found
        return self.login_after_refusal(url) or known

    def login_after_refusal(self, url: str) -> Login | None:
        """Another login for a server that refused a request, or whose password is unknown; None if there is none.

        The system's keyring is queried once for each server, and concurrent requests share the result. Raises
        UsageError if it cannot be queried.
        """
        if self._lookup is None:
            return None
        server = _server(url)
        with self._lock:
            service = self._services.get(server)
            if service is not None and server not in self._looked_up:
                known = self._by_server.get(server)
                found = self._lookup((service, urlsplit(service).netloc), known.user if known else "")
                answer = self._looked_up[server] = Login(*found) if found is not None else None
                if answer is not None:
                    self._by_server[server] = answer
            return self._looked_up.get(server)


def login_name(source: str) -> str:
    """The name of a source in environment variables: ``ACME_MODELS`` for ``acme-models``."""
    return "".join(letter.upper() if letter.isalnum() and letter.isascii() else "_" for letter in source)


def _server(url: str) -> tuple[str, str, int]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or _DEFAULT_PORTS.get(parts.scheme, 0)


def _read_netrc(path: Path | None) -> tuple[dict[str, Login], str]:
    """Logins by host, and why the file cannot be read, or "". That ends no run: it may be meant for other programs.

    The parser's own message may quote a password, so only its line is named.
    """
    if path is None:
        return {}, ""
    import netrc

    try:
        hosts = netrc.netrc(path).hosts
    except netrc.NetrcParseError as error:
        return {}, f"{path.name} cannot be read" + (f", line {error.lineno}" if error.lineno else "")
    except malformed(OSError, *FOREIGN) as error:
        is_absent = isinstance(error, FileNotFoundError)
        return {}, "there is no file that NETRC names" if is_absent else f"{path.name} cannot be read"
    return {
        host: Login(user or "", password or "") for host, (user, _, password) in hosts.items() if host != "default"
    }, ""
