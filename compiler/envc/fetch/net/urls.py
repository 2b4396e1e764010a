"""URLs that a manifest may contain: well-formed and without secrets, because manifests are committed."""

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
    return None


def git_mistake(url: str) -> tuple[str, str | None] | None:
    """As `url_mistake`, for the URL of a git repository, which may also be written ``git@host:path``."""
    return None if re.fullmatch(_SCP_LIKE, url) else url_mistake(url, GIT_SCHEMES)


def local_path(url: str) -> Path:
    """The path that a file URL names."""
    from urllib.parse import urlsplit
    from urllib.request import url2pathname

    return Path(url2pathname(urlsplit(url).path))
