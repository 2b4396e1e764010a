"""URLs that a manifest, a page or a server may name.

A manifest may contain only well-formed URLs without secrets, because manifests are committed. A document from elsewhere
may name only places that are at least as far away as itself (`named_by`).
"""

from __future__ import annotations

import re
from pathlib import Path

# Matches more than RFC 3986 allows, up to the last "@" before the path, so that no part of a password remains.
_USER_INFO = r"(?<=://)[^/\s\"']*@"
_SCP_LIKE = r"[A-Za-z0-9_][\w.-]*@[A-Za-z0-9][\w.-]*:(?!//)[^\s]+"  # git@host:team/project.git
GIT_SCHEMES = frozenset({"https", "http", "ssh", "git", "file"})


# A channel URL with a token: https://conda.anaconda.org/t/<TOKEN>/<CHANNEL> (conda and Anaconda docs), or
# t/<TOKEN>/<CHANNEL> alone.
_TOKEN = r"((?:https?://[^\s\"']*?/|(?<![^\s\"'])(?=t/[^/\s\"']+/))t/)[^/\s\"']+"
TOKEN_HINT = (
    "leave out `/t/` and the token; envc logs in by variables, netrc or a keyring, and sends no token in a path"
)


def redact(text: str) -> str:
    """The text without user names and passwords in URLs, and without the tokens of channels."""
    if "t/" in text:
        text = re.sub(_TOKEN, r"\1***", text)
    return re.sub(_USER_INFO, "***@", text) if "@" in text else text


def holds_token(url: str) -> bool:
    """Whether the URL of a channel has a token in its path."""
    return "t/" in url and re.match(_TOKEN, url) is not None


def url_mistake(url: str, schemes: frozenset[str] | None = None) -> tuple[str, str | None] | None:
    """The mistake in a URL and how to correct it; None if there is none. `schemes` are the allowed schemes."""
    scheme, separator, _ = url.partition("://")
    if not separator or not re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*", scheme):
        return f"{url!r} is not a URL", None
    if any(ord(character) <= 32 or ord(character) == 127 for character in url):
        return f"{url!r} contains white space or control characters", None
    if schemes is not None and scheme.lower() not in schemes:
        return f"{url!r} cannot be used here", f"use {', '.join(sorted(schemes))}"
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - raises ValueError if it is not a port
        secret = parts.password is not None or (parts.username is not None and "ssh" not in scheme)
    except ValueError as error:
        return f"{url!r} is not a URL: {error}", None
    if secret:
        return (
            "holds a user name or password, which a manifest must not",
            "remove it; envc finds logins in a netrc file, a keyring or environment variables",
        )
    if parts.scheme == "file" and not is_local(url):
        return f"{url!r} is not a file of this machine", "write file:///…; a share of another host has to be mounted"
    return None


def git_mistake(url: str) -> tuple[str, str | None] | None:
    """As `url_mistake`, for the URL of a git repository, which may also be written ``git@host:path``."""
    return None if re.fullmatch(_SCP_LIKE, url) else url_mistake(url, GIT_SCHEMES)


def named_by(document: str, reference: str) -> str | None:
    """The absolute URL that a document means by a reference, without login and fragment; None if it may not name that.

    `document` is the URL of a page, of repodata, or of a request that is redirected. A document from the web may name
    only places on the web; one of this machine may name files of this machine as well. This is the only function that
    resolves references from outside.
    """
    from urllib.parse import urljoin, urlsplit

    from envc.fetch.net.credentials import split_credentials

    try:
        url = urljoin(document, reference).partition("#")[0]
        parts = urlsplit(url)
        if parts.scheme in ("http", "https"):
            return split_credentials(url)[0] if parts.hostname else None
        is_allowed = document.startswith("file:") and not parts.netloc and is_local(url)
        return url if is_allowed else None
    except ValueError:
        return None


def is_local(url: str) -> bool:
    """Whether a URL names a file of this machine, and not a share of another host.

    Windows opens ``file://host/share``, ``file:////host/share`` and ``\\\\host\\share`` over the network, and logs in
    to the host as the user. Raises ValueError for a malformed URL.
    """
    from urllib.parse import unquote, urlsplit

    parts = urlsplit(url)
    path = unquote(parts.path)
    return (
        parts.scheme == "file"
        and parts.netloc in ("", "localhost")
        and "\\" not in parts.path  # a path of this machine has it escaped
        and "\0" not in path
        and not path.replace("\\", "/").startswith(("//", "/??/"))
    )


def local_path(url: str) -> Path:
    """The path that a file URL names."""
    from urllib.parse import urlsplit
    from urllib.request import url2pathname

    return Path(url2pathname(urlsplit(url).path))
