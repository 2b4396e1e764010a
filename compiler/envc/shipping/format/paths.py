"""Which paths may stand in an object: the one place where a name from outside becomes a place on disk.

A tree that passes `check_tree` can be written below any folder in any order, by any number of threads, without a write
that leaves the folder: no member stands below another, and every link stays inside whatever links it passes through.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

from envc.model.record import Member
from envc.shipping.format.errors import UnsafePath

MAX_PART = 255  # bytes of UTF-8; what the usual file systems allow
MAX_PATH = 1024  # bytes of UTF-8; PATH_MAX of macOS, the smallest among the platforms
RESERVED = ".envc"  # folder of an environment's own files; only the environment object may hold it
ENVIRONMENT_LAYOUT = "environment"

_REFUSED = re.compile(r"[\x00-\x1f\x7f\\]")
_DRIVE = re.compile(r"[A-Za-z]:")
_WINDOWS_REFUSED = re.compile(r'[<>:"|?*]')
_WINDOWS_DEVICE = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³])\s*(\..*)?", re.IGNORECASE)
_NO_NAMES = frozenset(("", ".", ".."))
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*")  # a last part that is safe wherever its folder is


def check_path(path: str, *, windows: bool = False) -> None:
    """Raise UnsafePath unless `path` names a place below a folder on every system, by the same name.

    Refused: absolute, drive and UNC names, ``.``, ``..`` and empty parts, backslashes, control characters, text that
    is not Unicode, and over-long names. `windows` also refuses what Windows reads as something else: device names,
    streams, wildcards, parts that end in a dot or a space.
    """
    parts = path.split("/")
    if not _NO_NAMES.isdisjoint(parts):
        raise UnsafePath(path, "is not a plain relative path")
    if _REFUSED.search(path):
        raise UnsafePath(path, "holds a backslash or a control character")
    if _DRIVE.match(path):
        raise UnsafePath(path, "starts with a drive")
    if len(path) > MAX_PART or not path.isascii():
        _check_length(path, parts)
    if windows:
        for part in parts:
            if _WINDOWS_REFUSED.search(part) or part[-1] in ". " or _WINDOWS_DEVICE.fullmatch(part):
                raise UnsafePath(path, "is not a file name on Windows")


def _check_length(path: str, parts: list[str]) -> None:
    try:
        size = len(path.encode())
    except UnicodeEncodeError:
        raise UnsafePath(path, "is not Unicode text") from None
    if size > MAX_PATH or any(len(part.encode()) > MAX_PART for part in parts):
        raise UnsafePath(path, "is too long")


def check_link(path: str, target: str, *, windows: bool = False) -> None:
    """Raise UnsafePath unless the link at `path` leads to a place below the folder that holds the tree.

    The target is relative, and ``..`` stands only at its start: so every ``..`` climbs real folders, and what follows
    only descends, through links that obey the same rule. Counting parts lexically is not enough: ``a/b/x/..`` leaves
    the tree when ``x`` is a link to its root.
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
    """What a case-insensitive, normalising file system takes for the same name."""
    return (
        path.lower() if path.isascii() else unicodedata.normalize("NFC", unicodedata.normalize("NFC", path).casefold())
    )


def check_tree(members: Iterable[Member], *, windows: bool, fold_case: bool, reserved: bool = False) -> None:
    """Raise UnsafePath unless the members, in this order, are one tree that is safe to write.

    Strictly ascending by path; every path and link safe; no member below another; with `fold_case` no two paths that a
    case-insensitive file system would merge. `reserved` allows the folder ``.envc``.
    """
    previous = ""
    place = "/"  # the folder of the member before; no path has this one
    names: set[str] = set()
    folders: set[str] = set()
    for member in members:
        path = member.path
        folder, _, last = path.rpartition("/")
        is_neighbour = folder == place
        # Of a neighbour only the last part is new, and all but a few of those are plain.
        if windows or not is_neighbour or not _PLAIN_NAME.fullmatch(last) or len(path) > MAX_PART:
            check_path(path, windows=windows)
        if path <= previous:
            raise UnsafePath(path, "is out of order" if path != previous else "occurs twice")
        previous, place = path, folder
        if member.link:
            check_link(path, member.link, windows=windows)
        name = fold(path) if fold_case else path
        if name in names:
            raise UnsafePath(path, "differs from another path only in case")
        names.add(name)
        if is_neighbour and folder:
            continue
        if not reserved and (fold(path) + "/").startswith(RESERVED + "/"):
            raise UnsafePath(path, f"stands in the reserved folder {RESERVED}")
        while (name := name.rpartition("/")[0]) and name not in folders:
            folders.add(name)
    if not names.isdisjoint(folders):
        raise UnsafePath(min(names & folders), "is a member and a folder of other members")


def rules(layout: str) -> dict[str, bool]:
    """The arguments of `check_tree` for a layout.

    Windows layouts obey Windows' names. Conda packages (``any``) may differ in case, as terminfo's do; whoever writes
    one to a case-insensitive disk checks with `fold_case` again.
    """
    return {
        "windows": layout.startswith("nt"),
        "fold_case": layout != "any",
        "reserved": layout == ENVIRONMENT_LAYOUT,
    }


def check_layout(layout: str) -> str:
    """The layout itself. Raises ValueError if it is not a name that may stand in a key."""
    if not _LAYOUT.fullmatch(layout):
        raise ValueError(f"{layout[:80]!r} is not a layout")
    return layout


_LAYOUT = re.compile(r"[a-z0-9][a-z0-9.-]{0,63}")
