"""What is said about a request that a server refused: which login it got, from where, and where to put another.

Passwords are never shown, and neither are users that may be tokens.
"""

from __future__ import annotations

import re

from envc.fetch.net.credentials import Keyring, Login, login_name
from envc.model.kinds import may_mean_missing

# Hosts that take a token as the user want one of these as the password, or none.
_NO_PASSWORDS = frozenset({"", "x", "x-oauth-basic", "nopass"})
_USER = re.compile(r"[^\s@:/]{1,32}|[^\s@:/]{1,32}@[^\s@:/]{1,64}")


def refused(status: int, keyring: Keyring, source: str, url: str, login: Login | None) -> tuple[str, str]:
    """The reason and the hint for an answer of 401 or 403. `login` was sent with the request."""
    if login is None:
        fault = f"; {keyring.netrc_fault}" if keyring.netrc_fault else ""
        asks = "it asks for a login" if status == 401 else "it refused a request without a login"
        return f"HTTP {status}: {asks}, and there is none for it{fault}", _where(keyring, source)
    origin = keyring.origin(url, login)
    user = f" for user {login.user}" if _is_name(login) else ""
    if not login.password and _USER.fullmatch(login.user):
        return f"HTTP {status}: {origin} has a user for it, but there is no password", _where(keyring, source)
    if status == 403:
        return (
            f"HTTP 403: the login from {origin}{user} does not allow it",
            f"check what this user may read, or give another login: {_where(keyring, source)}",
        )
    return f"HTTP 401: it refused the login from {origin}{user}", f"correct it there, or {_where(keyring, source)}"


def with_missing(hint: str, status: int, source: str, *, projects: bool = False) -> str:
    """The hint for a refused page or repodata, with what to do if the source answers so for what it does not have."""
    if not may_mean_missing(status):
        return hint
    listed = "list what comes from it in `projects`, or " if projects else ""
    both = ", both" if projects else ""
    return (
        f"{hint}; if {source} answers {status} for what it does not have, {listed}write missing = [{status}]{both} "
        f"under [sources.{source}]"
    )


def _is_name(login: Login) -> bool:
    return login.password.lower() not in _NO_PASSWORDS and _USER.fullmatch(login.user) is not None


def _where(keyring: Keyring, source: str) -> str:
    """Where a login for a source is looked up."""
    places = "put the user and password for that host into a netrc file (NETRC, or .netrc in your home directory)"
    if not keyring.has(source):
        return places
    name = login_name(source)
    places += f", or into ENVC_SOURCE_{name}_USERNAME and ENVC_SOURCE_{name}_PASSWORD"
    return places if keyring.looks_up else f"{places}; ENVC_KEYRING_PROVIDER=subprocess queries a keyring"
