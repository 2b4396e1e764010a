"""The keys of a store (compiler/FORMAT.md, section 6). Keys are relative, with ``/`` between parts."""

from __future__ import annotations

import re

from envc.model.digest import Sha256
from envc.shipping.format.paths import check_layout

_KEY = re.compile(r"[A-Za-z0-9_%+@=-][A-Za-z0-9._%+@=-]{0,254}")
_PLAIN = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-")

OBJECTS = "v1/objects"
ENVIRONMENTS = "v1/environments"
CODE = "v1/code"
STEPS = "v1/steps"
LOCKS = "v1/locks"
TAGS = "v1/tags"
LEASES = "v1/leases"
NOTICES = "v1/notices"


def check_key(key: str) -> str:
    """The key itself. Raises ValueError if it could name anything but a place below the root of the store."""
    if len(key) > 1024 or not all(_KEY.fullmatch(part) for part in key.split("/")):
        raise ValueError(f"{key[:200]!r} is not a key of a store")
    return key


def object_key(layout: str, artifact: Sha256) -> str:
    return f"{OBJECTS}/{check_layout(layout)}/{artifact[:2]}/{artifact}"


def environment_key(environment: Sha256) -> str:
    return f"{ENVIRONMENTS}/{environment}.json.zst"


def code_key(content: Sha256) -> str:
    return f"{CODE}/{content}"


def step_key(project: str, lock: Sha256, step: str, target: str) -> str:
    """`lock` is the sha256 of the bytes of the lock file. Names that users choose are escaped."""
    return f"{STEPS}/{escape(project)}/{lock}/{escape(step)}/{escape(target)}.json"


def lock_key(lock: Sha256) -> str:
    return f"{LOCKS}/{lock}"


def tag_key(project: str, tag: str) -> str:
    return f"{TAGS}/{escape(project)}/{escape(tag)}.json"


def lease_key(name: str) -> str:
    """`name` is unique; the writer chooses it at random."""
    return f"{LEASES}/{name}.json"


def notice_key(name: str) -> str:
    """`name` is unique; the collection chooses it at random."""
    return f"{NOTICES}/{name}.json"


def unescape(part: str) -> str:
    """The name that `escape` turned into one part of a key."""
    from urllib.parse import unquote

    return unquote(part)


def escape(name: str) -> str:
    """A name as one part of a key. Characters other than ASCII letters, digits and ``._-``, and a leading dot, become
    ``%XX`` for each byte of UTF-8.

    Raises ValueError for an empty name, and for a name that is too long for a file name.
    """
    text = "".join(c if c in _PLAIN else "".join(f"%{byte:02X}" for byte in c.encode()) for c in name)
    if text.startswith("."):
        text = "%2E" + text[1:]
    if not 0 < len(text) <= 200:
        raise ValueError(f"{name[:80]!r} cannot name something in a store")
    return text
