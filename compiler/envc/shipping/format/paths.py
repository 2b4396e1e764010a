"""Which paths an object may contain: the only place where an untrusted name becomes a path on disk.

A tree that passes `check_tree` can be written below any folder, in any order and by any number of threads, and no write
leaves the folder: no member is below another member, and every link stays inside, whatever links it passes through.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from functools import cache

from envc.model.record import Member
from envc.shipping.format.errors import UnsafePath
from envc_solvers.target import Family

MAX_PART = 255  # bytes of UTF-8; the limit of common file systems
MAX_PATH = 1024  # bytes of UTF-8; PATH_MAX of macOS, the smallest among the platforms
RESERVED = ".envc"  # folder of an environment's own files; only the environment object may contain it
ENVIRONMENT_LAYOUT = "environment"

_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f\\]")
_DRIVE = re.compile(r"[A-Za-z]:")
_WINDOWS_FORBIDDEN = r'[<>:"|?*]'
_WINDOWS_DEVICE = r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³])\s*(\..*)?"
_NO_NAMES = frozenset(("", ".", ".."))
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*")  # a last part that is safe in every folder


# These are compiled when they are first used. Most runs on Linux need none of them, and they take half a millisecond.
@cache
def _windows_short() -> re.Pattern[str]:
    """A short name (8.3)."""
    return re.compile(r"[^.]{1,6}~[0-9]{1,6}(\.[^.]{0,3})?")


@cache
def _windows_suspect() -> re.Pattern[str]:
    """What may be odd on Windows in a list of paths, one a line."""
    return re.compile(
        r'[<>:"|?*~]|[. ](?:/|$)|(?:^|/)(?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9¹²³])\s*(?:[./]|$)',
        re.IGNORECASE | re.MULTILINE,
    )


@cache
def _invisible() -> re.Pattern[str]:
    """Characters that HFS+ ignores in names (those up to U+FEFF: Apple's TN1150; git refuses them, too), or that
    nothing shows.
    """
    return re.compile("[\u200c-\u200f\u202a-\u202e\u206a-\u206f\ufeff\u200b\u2060-\u2064]")


def check_path(path: str, *, windows: bool = False) -> None:
    """Raise UnsafePath unless `path` names a place below a folder on every system, with the same name.

    Rejected: absolute, drive and UNC names; ``.``, ``..`` and empty parts; backslashes; control characters; text that
    is not Unicode; names that are too long. `windows` also rejects names that Windows interprets differently: device
    names, streams, wildcards, parts that end in a dot or a space, and short names of other files (``CONDA-~1``).
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
            is_special = is_windows_device(part) or _windows_short().fullmatch(part)
            if is_special or part[-1] in ". " or re.search(_WINDOWS_FORBIDDEN, part):
                raise UnsafePath(path, "is not a valid file name on Windows")


def is_windows_device(name: str) -> bool:
    """Whether Windows takes a file name for a device, such as ``nul`` or ``aux.json``."""
    return re.fullmatch(_WINDOWS_DEVICE, name, re.IGNORECASE) is not None


def _check_length(path: str, parts: list[str]) -> None:
    try:
        size = len(path.encode())
    except UnicodeEncodeError:
        raise UnsafePath(path, "is not Unicode text") from None
    if size > MAX_PATH or any(len(part.encode()) > MAX_PART for part in parts):
        raise UnsafePath(path, "is too long")


def check_link(path: str, target: str, *, windows: bool = False) -> None:
    """Raise UnsafePath unless the link at `path` points to a place below the root of the tree.

    The target must be relative, with ``..`` only at its start, or ``.``, which is the folder of the link. So every
    ``..`` climbs real folders, and the rest only descends, through links that obey the same rule. Counting parts
    lexically is not enough: ``a/b/x/..`` leaves the tree if ``x`` is a link to its root.
    """
    if target == ".":
        return
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
    """A key that is equal for names that a file system may treat as the same, because it ignores case, normal form, or
    invisible characters.
    """
    if path.isascii():
        return path.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", visible(path)).casefold())


def visible(path: str) -> str:
    """A path without invisible characters: no two paths may look the same."""
    return path if path.isascii() else _invisible().sub("", path)


def check_names(members: Iterable[Member], family: Family) -> None:
    """Raise UnsafePath for a path or link target that is another name on systems of that family.

    Layouts such as ``any`` and ``py3.12-posix`` reach several families, so each environment is checked for its own.
    """
    if family == "linux":
        return
    tree = list(members)
    together = "\n".join([text for member in tree for text in (member.path, member.link) if text])
    if family == "macos":
        found = None if together.isascii() else _invisible().search(together)
        if found:
            path = next(member.path for member in tree if _invisible().search(f"{member.path}{member.link}"))
            raise UnsafePath(path, "contains a character that macOS ignores in names, or that nothing shows")
    elif _windows_suspect().search(together):
        for member in tree:
            check_path(member.path, windows=True)
            if member.link:
                check_link(member.path, member.link, windows=True)


def ignores_case(family: Family) -> bool:
    """Whether file systems of these systems usually take two names that differ only in case for one."""
    return family != "linux"


def check_case(members: Iterable[Member], layout: str, family: Family) -> None:
    """Raise UnsafePath for two paths that are one on systems of that family, or of which one is below the other.

    Conda's own packages (the layout ``any``) may have such paths, and conda installs the last of them.
    """
    if layout == "any" or not ignores_case(family):
        return
    tree = list(members)
    folded = {fold(member.path): member.path for member in tree}
    if len(folded) < len(tree):
        path = next(member.path for member in tree if folded[fold(member.path)] != member.path)
        raise UnsafePath(path, f"differs from {folded[fold(path)][:200]!r} only in case")
    seen: set[str] = set()
    for key in folded:
        while (key := key.rpartition("/")[0]) and key not in seen:
            seen.add(key)
    if not seen.isdisjoint(folded):
        path = folded[min(seen & folded.keys())]
        raise UnsafePath(path, "differs only in case from a folder of other members")


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
        name = fold(path) if fold_case else visible(path)
        if name in names:
            raise UnsafePath(path, f"differs from another path only in {'case' if fold_case else 'what nothing shows'}")
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

    Windows layouts follow the rules for Windows names. Paths of wheels for POSIX, and of conda packages (``any``), may
    differ only in case, as terminfo's do. `check_case` and `record_rules.winners` decide what that means on a platform.
    """
    return {
        "windows": layout.startswith("nt"),
        "fold_case": layout != "any" and not layout.partition("--")[0].endswith("-posix"),
        "reserved": layout == ENVIRONMENT_LAYOUT,
    }


def check_layout(layout: str) -> str:
    """The layout itself. Raises ValueError if a key must not contain it."""
    if not _LAYOUT.fullmatch(layout):
        raise ValueError(f"{layout[:80]!r} is not a layout")
    return layout


_LAYOUT = re.compile(r"[a-z0-9][a-z0-9.-]{0,63}")
