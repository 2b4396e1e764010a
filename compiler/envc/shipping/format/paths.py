"""Which paths an object may contain: the only place where an untrusted name becomes a path on disk.

A tree that passes `check_tree` can be written below any folder, in any order and by any number of threads, and no write
leaves the folder: no member is below another member, and every link stays inside, whatever links it passes through.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

from envc.model.record import Member
from envc.shipping.format.errors import UnsafePath

MAX_PART = 255  # bytes of UTF-8; the limit of common file systems
MAX_PATH = 1024  # bytes of UTF-8; PATH_MAX of macOS, the smallest among the platforms
RESERVED = ".envc"  # folder of an environment's own files; only the environment object may contain it
ENVIRONMENT_LAYOUT = "environment"

_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f\\]")
_DRIVE = re.compile(r"[A-Za-z]:")
_WINDOWS_FORBIDDEN = re.compile(r'[<>:"|?*]')
_WINDOWS_DEVICE = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³])\s*(\..*)?", re.IGNORECASE)
_NO_NAMES = frozenset(("", ".", ".."))
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*")  # a last part that is safe in every folder


def check_path(path: str, *, windows: bool = False) -> None:
    """Raise UnsafePath unless `path` names a place below a folder on every system, with the same name.

    Rejected: absolute, drive and UNC names; ``.``, ``..`` and empty parts; backslashes; control characters; text that
    is not Unicode; names that are too long. `windows` also rejects names that Windows interprets differently: device
    names, streams, wildcards, and parts that end in a dot or a space.
    """
    parts = path.split("/")
    if not _NO_NAMES.isdisjoint(parts):
        raise UnsafePath(path, "is not a plain relative path")
    if _FORBIDDEN.search(path):
        raise UnsafePath(path, "contains a backslash or a control character")
    if _DRIVE.match(path):
        raise UnsafePath(path, "starts with a drive")
    if len(path) > MAX_PART or not path.isascii():
        _check_length(path, parts)
    if windows:
        for part in parts:
            if _WINDOWS_FORBIDDEN.search(part) or part[-1] in ". " or is_windows_device(part):
                raise UnsafePath(path, "is not a valid file name on Windows")


def is_windows_device(name: str) -> bool:
    """Whether Windows takes a file name for a device, such as ``nul`` or ``aux.json``."""
    return _WINDOWS_DEVICE.fullmatch(name) is not None


def _check_length(path: str, parts: list[str]) -> None:
    try:
        size = len(path.encode())
    except UnicodeEncodeError:
        raise UnsafePath(path, "is not Unicode text") from None
    if size > MAX_PATH or any(len(part.encode()) > MAX_PART for part in parts):
        raise UnsafePath(path, "is too long")


def check_link(path: str, target: str, *, windows: bool = False) -> None:
    """Raise UnsafePath unless the link at `path` points to a place below the root of the tree.

    The target must be relative, with ``..`` only at its start. So every ``..`` climbs real folders, and the rest only
    descends, through links that obey the same rule. Counting parts lexically is not enough: ``a/b/x/..`` leaves the
    tree if ``x`` is a link to its root.
    """
    parts = target.split("/")
    up = 0
    while up < len(parts) and parts[up] == "..":
        up += 1
    if up > path.count("/"):
        raise UnsafePath(path, f"is a link that leaves the tree: {target[:200]!r}")
    if up < len(parts):
        try:
            check_path("/".join(parts[up:]), windows=windows)
        except UnsafePath as error:
            raise UnsafePath(path, f"is a link to {target[:200]!r}, which {error.reason}") from None


def fold(path: str) -> str:
    """A key that is equal for names that a case-insensitive, normalising file system treats as the same."""
    return (
        path.lower() if path.isascii() else unicodedata.normalize("NFC", unicodedata.normalize("NFC", path).casefold())
    )


def check_tree(members: Iterable[Member], *, windows: bool, fold_case: bool, reserved: bool = False) -> None:
    """Raise UnsafePath unless the members, in this order, form one tree that is safe to write.

    Paths must be strictly ascending, every path and link safe, and no member below another. With `fold_case`, a
    case-insensitive file system must not merge any two paths. `reserved` allows the folder ``.envc``.
    """
    previous = ""
    previous_folder = "/"  # of the previous member; no path has this folder
    names: set[str] = set()
    folders: set[str] = set()
    for member in members:
        path = member.path
        folder, _, last = path.rpartition("/")
        is_neighbour = folder == previous_folder
        # Only the last part of a neighbour is new, and nearly all of these are plain.
        if windows or not is_neighbour or not _PLAIN_NAME.fullmatch(last) or len(path) > MAX_PART:
            check_path(path, windows=windows)
        if path <= previous:
            raise UnsafePath(path, "is out of order" if path != previous else "occurs twice")
        previous, previous_folder = path, folder
        if member.link:
            check_link(path, member.link, windows=windows)
        name = fold(path) if fold_case else path
        if name in names:
            raise UnsafePath(path, "differs from another path only in case")
        names.add(name)
        if is_neighbour and folder:
            continue
        if not reserved and (fold(path) + "/").startswith(RESERVED + "/"):
            raise UnsafePath(path, f"is in the reserved folder {RESERVED}")
        while (name := name.rpartition("/")[0]) and name not in folders:
            folders.add(name)
    if not names.isdisjoint(folders):
        raise UnsafePath(min(names & folders), "is both a member and a folder of other members")


def rules(layout: str) -> dict[str, bool]:
    """The arguments of `check_tree` for a layout.

    Windows layouts follow the rules for Windows names. Paths of conda packages (``any``) may differ only in case, as
    terminfo's do; code that writes one to a case-insensitive disk must check again with `fold_case`.
    """
    return {
        "windows": layout.startswith("nt"),
        "fold_case": layout != "any",
        "reserved": layout == ENVIRONMENT_LAYOUT,
    }


def check_layout(layout: str) -> str:
    """The layout itself. Raises ValueError if a key must not contain it."""
    if not _LAYOUT.fullmatch(layout):
        raise ValueError(f"{layout[:80]!r} is not a layout")
    return layout


_LAYOUT = re.compile(r"[a-z0-9][a-z0-9.-]{0,63}")
