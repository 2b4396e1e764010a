"""The keys of a store (compiler/FORMAT.md, section 6). Keys are relative, with ``/`` between parts."""

from __future__ import annotations

import os
import re

from envc.model.digest import Sha256
from envc.shipping.format.paths import check_layout, is_windows_device
from envc.system.drafts import is_hex
from envc_solvers.malformed import reason_of

_KEY = re.compile(r"[A-Za-z0-9_%+@=-][A-Za-z0-9._%+@=-]{0,254}")
_PLAIN = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-")
_DIGEST = 64  # hexadecimal digits
_RANDOM = 32  # hexadecimal digits of random names

OBJECTS = "v1/objects"
ENVIRONMENTS = "v1/environments"
CODE = "v1/code"
STEPS = "v1/steps"
LOCKS = "v1/locks"
TAGS = "v1/tags"
LEASES = "v1/leases"
NOTICES = "v1/notices"
DRAFTS = "v1/drafts"  # unfinished writes
PLACES = (LOCKS, ENVIRONMENTS, CODE, TAGS, STEPS, LEASES, NOTICES, DRAFTS, OBJECTS)


def check_key(key: str) -> str:
    """The key itself. Raises ValueError if it could name anything but a place below the root of the store."""
    if len(key) > 1024 or not all(_KEY.fullmatch(part) for part in key.split("/")):
        raise ValueError(f"{key[:200]!r} is not a key of a store")
    return key


def shown_key(key: str) -> str:
    """A key in one or two words, for users who wait for it: its place, and the start of its last part."""
    parts = key.split("/")
    return f"{parts[1] if len(parts) > 1 else ''} {parts[-1][:12]}".strip()


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


def lease_key() -> str:
    """A new key, at random."""
    return f"{LEASES}/{_random_name()}.json"


def notice_key() -> str:
    """A new key, at random."""
    return f"{NOTICES}/{_random_name()}.json"


def draft_key() -> str:
    """A new key, at random."""
    return f"{DRAFTS}/{_random_name()}"


def is_own(key: str) -> bool:
    """Whether a key has the form of those above. Anything else in a store belongs to other programs: upkeep neither
    reads nor removes it.
    """
    parts = key.split("/")
    if "/".join(parts[:2]) not in PLACES:
        return False
    match parts[1:]:
        case ["objects", layout, start, artifact]:
            return _is_layout(layout) and _is_digest(artifact) and start == artifact[:2]
        case ["environments", name]:
            return name.endswith(".json.zst") and _is_digest(name.removesuffix(".json.zst"))
        case ["code" | "locks", name]:
            return _is_digest(name)
        case ["steps", project, lock, step, target]:
            return _is_digest(lock) and all(map(_is_escaped, (project, step))) and _is_document(target)
        case ["tags", project, tag]:
            return _is_escaped(project) and _is_document(tag)
        case ["leases" | "notices", name]:
            return name.endswith(".json") and is_hex(name.removesuffix(".json"), _RANDOM)
        case ["drafts", name]:
            return is_hex(name, _RANDOM)
    return False


def unescape(part: str) -> str:
    """The name that `escape` turned into one part of a key."""
    from urllib.parse import unquote

    return unquote(part)


def escape(name: str) -> str:
    """A name as one part of a key. Characters other than ASCII letters, digits and ``._-`` become ``%XX`` for each byte
    of UTF-8, and so do a leading dot, a trailing dot and the first letter of a device name such as ``nul``, because
    Windows gives these names another meaning.

    Raises ValueError for an empty name, and for a name that is too long for a file name.
    """
    try:
        text = "".join(c if c in _PLAIN else _percent(c) for c in name)
    except UnicodeEncodeError as error:
        raise ValueError(f"{name[:80]!r} cannot name something in a store: {reason_of(error)}") from None
    if text.startswith(".") or is_windows_device(text):
        text = _percent(text[0]) + text[1:]
    if text.endswith("."):
        text = text[:-1] + _percent(".")
    if not 0 < len(text) <= 200:
        raise ValueError(f"{name[:80]!r} cannot name something in a store")
    return text


def _percent(character: str) -> str:
    return "".join(f"%{byte:02X}" for byte in character.encode())


def _random_name() -> str:
    return os.urandom(_RANDOM // 2).hex()


def _is_digest(text: str) -> bool:
    return is_hex(text, _DIGEST)


def _is_layout(text: str) -> bool:
    try:
        check_layout(text)
    except ValueError:
        return False
    return True


def _is_escaped(text: str) -> bool:
    """Whether `escape` may have made a text, in this version or an earlier one, which escaped fewer names."""
    return 0 < len(text) <= 200 and not text.startswith(".") and _PLAIN.issuperset(text.replace("%", ""))


def _is_document(text: str) -> bool:
    return text.endswith(".json") and _is_escaped(text.removesuffix(".json"))
