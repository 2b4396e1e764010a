"""Which folders envc may change: recognised by a marker before anything is removed, and checked for their owners.

A folder that envc makes gets a marker: a file ``.envc-KIND``. envc writes into a folder only if it has the marker, is
empty, has the layout that earlier versions made without a marker, or is given to envc explicitly. The caller decides
what is removed from it, by the names that the kind defines, never by age alone.

`beneath` reaches files without following links, and `drafts` has the names of what envc has not finished.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Literal, NamedTuple

from envc.errors import EnvcError
from envc.system.beneath import Beneath

Kind = Literal["store", "cache"]
State = Literal["missing", "empty", "marked", "unmarked", "foreign"]
HasLayout = Callable[[Beneath], bool]  # whether a folder without a marker was made by an earlier version of envc

# What systems put into every volume or folder by themselves, and what keeps an empty folder in a repository. A folder
# with nothing else is empty.
_OF_SYSTEMS = frozenset(
    {
        "lost+found", ".DS_Store", ".localized", ".fseventsd", ".Spotlight-V100", ".TemporaryItems", ".Trashes",
        ".snapshot", ".zfs", "Thumbs.db", "desktop.ini", "System Volume Information", "$RECYCLE.BIN",
        ".gitignore", ".gitkeep", ".keep",
    }
)  # fmt: skip
_STARTS_OF_SYSTEMS = (".nfs", ".Trash-")


class ForeignFolder(EnvcError):
    """A folder that envc did not make and that is not empty. Nothing is written to it or removed from it."""

    def __init__(self, folder: Path, kind: Kind, hint: str | None = None) -> None:
        super().__init__(folder, kind)
        self.folder = folder
        self.kind = kind
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.folder} is not empty, and is no {self.kind} of envc"

    def data(self) -> dict[str, object]:
        return {"folder": str(self.folder), "kind": self.kind}


def marker_name(kind: Kind) -> str:
    return f".envc-{kind}"


def recognise(folder: Path, kind: Kind, has_layout: HasLayout) -> State:
    """What a folder is to envc: ``marked`` by it, ``unmarked`` but with the layout of an earlier version, or neither.

    A folder may be of several kinds at once. A marker counts only if it is a regular file. Raises
    NotADirectoryError for a file, and OSError if the folder cannot be listed.
    """
    below = Beneath(folder)
    if _has_marker(below, kind):
        return "marked"
    try:
        names = {found.path for found in below.entries()}
    except FileNotFoundError:
        return "missing"
    if all(name in _OF_SYSTEMS or name.startswith(_STARTS_OF_SYSTEMS) for name in names):
        return "empty"
    if has_layout(below):
        return "unmarked"
    # The entries may be those of another process that has marked the folder in the meantime.
    return "marked" if _has_marker(below, kind) else "foreign"


def _has_marker(below: Beneath, kind: Kind) -> bool:
    try:
        below.status(marker_name(kind))
    except OSError:
        return False  # no marker; whether the folder can be listed is another question
    return True


def claim(folder: Path, kind: Kind, has_layout: HasLayout, *, force: bool = False) -> State:
    """Make a folder one of envc's, before anything is written to it or removed from it. Returns its state before.

    Missing and empty folders, and those of earlier versions, get a marker; with `force`, any folder does. Raises
    ForeignFolder for others, and OSError if the folder cannot be made, listed or marked. A folder of an earlier version
    that cannot be marked is used as it is.
    """
    state = recognise(folder, kind, has_layout)
    if state == "foreign" and not force:
        raise ForeignFolder(folder, kind)
    if state != "marked":
        try:
            _mark(folder, kind)
        except OSError:
            if state != "unmarked":
                raise
    return state


def _mark(folder: Path, kind: Kind) -> None:
    text = f"This folder is a {kind} of envc. envc writes and removes files only in folders with such a marker.\n"
    try:
        fd = Beneath(folder).create(marker_name(kind))
    except FileExistsError:  # another process has just marked it
        return
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)


# owners


class Distrust(NamedTuple):
    """Why other users may have written to a folder."""

    path: Path  # the folder, or a folder above it
    reason: str  # "belongs to user 1001", "may be written by every user (mode 0777)"

    def __str__(self) -> str:
        return f"{self.path} {self.reason}"


_GONE = "is missing after it was made"


def distrust(
    folder: Path,
    *,
    group: bool = True,
    parents: bool = True,
    owner: Literal["user", "root", "any"] = "user",
    exists: bool = False,
) -> Distrust | None:
    """Why another user than this one and root may have put files into a folder; None if none may have.

    The rules are those of pip (`check_path_owner`) and ssh (`safe_path`, StrictModes): the folder belongs to this user,
    the folders above it to this user or root, and none may be written by others. So root under ``sudo`` does not use
    folders of the user. With another `owner`, the folder itself may also belong to root, or to any user. Without
    `group`, the group may not write either, unless it is the user's own or that of root, as in Debian's ssh. A folder
    above with the sticky bit, such as /tmp, may be written by all. If the folder does not exist, only the folders above
    it are checked; if it `exists`, because it was there just now, others have removed it. The owner of ``/`` counts as
    root, because in a user namespace the root of the machine has another number. Links are resolved first. Nothing is
    checked on Windows, which has other rights. Raises OSError.
    """
    if not hasattr(os, "geteuid"):
        return None
    user = os.geteuid()
    root = {0, Path("/").stat().st_uid}
    real = os.path.realpath(folder)
    path = Path(real)
    while not os.path.lexists(path):
        if exists:
            return Distrust(folder, _GONE)
        path = path.parent
    for each in (path, *path.parents) if parents else (path,):
        is_itself = str(each) == real
        try:
            status = each.lstat()
        except FileNotFoundError:
            if exists and is_itself:
                return Distrust(folder, _GONE)
            raise
        trusted = {user} if is_itself and owner == "user" else {user, *root}
        if status.st_uid not in trusted and not (is_itself and owner == "any"):
            return Distrust(each, f"belongs to {_user_name(status.st_uid)}")
        open_to = status.st_mode & (stat.S_IWOTH if group else stat.S_IWOTH | stat.S_IWGRP)
        if open_to == stat.S_IWGRP and _is_own_group(status.st_gid):
            continue
        if open_to and (is_itself or not status.st_mode & stat.S_ISVTX):
            who = "every user" if open_to & stat.S_IWOTH else "its group"
            return Distrust(each, f"may be written by {who} (mode {stat.S_IMODE(status.st_mode):04o})")
    return None


def _is_own_group(number: int) -> bool:
    """Whether a group is root's, or the private group of this user: of the same name, and without other members."""
    if number == 0:
        return True
    import grp
    import pwd

    with suppress(KeyError):
        group, name = grp.getgrgid(number), pwd.getpwuid(os.geteuid()).pw_name
        return group.gr_name == name and set(group.gr_mem) <= {name}
    return False


def _user_name(number: int) -> str:
    with suppress(ImportError, KeyError):
        import pwd

        return f"user {pwd.getpwuid(number).pw_name}"
    return f"user {number}"
