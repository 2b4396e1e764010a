"""Opens the cache folder for a command: checks that other users cannot change it, marks it, and locks it.

A cache that another user may write to would let that user choose what this user runs. Such a cache is not used, as in
pip; a private one takes its place, with a warning. A group may share a cache on purpose (`SHARED`).
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from envc.context import NoHome, cache_folder, user_folder
from envc.errors import Unwritable
from envc.model.progress import Progress

if TYPE_CHECKING:
    from envc.system.beneath import Beneath

SHARED = "ENVC_CACHE_SHARED"  # set to 1: the cache may belong to another user, and its group may write to it
MARKER = ".envc-cache"  # `owned_folders.marker_name`
LOCKS = "locks"  # locks of folders that are being made; removing one would let two processes work at once
USE = "locks/cache.lock"  # shared by the commands that use the cache
_INDEX = r"index-v\d+\.sqlite"
_ENTRIES = {  # patterns by folder, of what the first command of an earlier version may have left alone in a cache
    "locks": r"[0-9a-f]{64}\.lock",
    "artifacts": "[0-9a-f]{2}|partial",
    "envs": "[0-9a-f]{24}",
    "repodata": r"shards(-2)?|[^/]+-[0-9a-f]{16}",
    "objects": r"any|(py|pypy)3\.\d+t?-posix|nt(-own)?(-arm64|-x86)?",
    "interpreters": r"[0-9a-f]{64}\.(json|choice)",
    "code": "[0-9a-f]{64}",
    "git": "[0-9a-f]{32}",
}


def cache_opener(environ: Mapping[str, str], progress: Progress, *, is_used: bool = True) -> Callable[[], Path]:
    """A function that returns the cache folder, and opens it in its first call.

    With `is_used`, the folder is created and marked, and a lock that `cache prune` respects is held until the process
    ends or is replaced (exec). The function raises ForeignFolder for a folder with files of the user, and Unwritable if
    no private folder can be made instead of one that other users may change.
    """
    opened: list[Path] = []
    held = ExitStack()

    def find() -> Path:
        if not opened:
            folder = _chosen(environ, progress)
            if not is_private_cache(folder):
                is_shared = environ.get(SHARED, "") not in ("", "0", "false")
                if not os.path.lexists(folder):
                    folder = _new_place(folder, environ, progress)
                first = folder = _trusted(folder, progress, is_shared=is_shared)
                exists = _recognise(folder, is_used=is_used, is_shared=is_shared)
                # In a place like /tmp, another user may have been faster in making it.
                folder = _trusted(folder, progress, is_shared=is_shared, exists=exists)
                if folder != first:
                    _recognise(folder, is_used=is_used, is_shared=is_shared)
            if is_used:
                from envc.system.locks import shared_lock  # late: `lock --check` only looks at the cache

                reason = held.enter_context(shared_lock(folder / USE))
                if reason is not None:
                    progress.warn(
                        f"{folder} is on a file system without locks ({reason}): files take their place, and nothing "
                        "in the cache that may be in use is removed or replaced. A cache on a local disk is better"
                    )
            opened.append(folder)
        return opened[0]

    return find


def default_store(environ: Mapping[str, str], progress: Progress) -> Path:
    """The folder of the store that is used if none is named. A user without a home folder, or with one in which nothing
    can be made, gets a private one among the temporary files, with a warning. Raises Unwritable if that is impossible.
    """
    return _or_private(lambda: user_folder("data", environ) / "store", "-store", progress)


def _chosen(environ: Mapping[str, str], progress: Progress) -> Path:
    """The cache folder that the environment variables name, else a private one, as for `default_store`."""
    if environ.get("ENVC_CACHE_DIR"):
        return cache_folder(environ)
    return _or_private(lambda: cache_folder(environ), "", progress)


def _or_private(find: Callable[[], Path], ending: str, progress: Progress) -> Path:
    try:
        folder = find()
    except NoHome:
        private = private_folder(ending)
        reason = "this user has no home folder"
    else:
        if os.path.lexists(folder) or _can_make(folder):
            return folder
        try:
            private = private_folder(ending)
        except Unwritable:
            return folder  # what needs the folder says so, or works without it
        reason = "nothing can be made in the home folder of this user"
    progress.warn(
        f"{reason}, so the cache, and the store if none is named, are private folders in {private.parent}, which may "
        "not last; set HOME, or ENVC_CACHE_DIR and ENVC_STORE, to a folder"
    )
    return private


def _can_make(folder: Path) -> bool:
    if os.name != "posix":
        return True
    above = next((path for path in folder.parents if path.exists()), folder)
    return os.access(above, os.W_OK | os.X_OK)


def make_folder(folder: Path) -> None:
    """Create a folder of the cache, with its parents, that only this user can read; below a folder that a group shares
    (setgid bit, writable by the group), one that the group can use. Raises OSError.
    """
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o777 if is_shared_folder(folder.parent) else 0o700, exist_ok=True)


def is_shared_folder(folder: Path) -> bool:
    """Whether a group shares a folder on purpose. The umask of its members decides what they may do. Raises OSError."""
    shared = stat.S_ISGID | stat.S_IWGRP
    return folder.stat().st_mode & shared == shared


def has_layout(below: Beneath) -> bool:
    """Whether a folder without a marker is a cache of an earlier version: it has an index, or entries of a cache."""
    import re

    found = below.entries()
    if any(re.fullmatch(_INDEX, each.path) and not each.is_folder for each in found):
        return True
    return any(
        re.fullmatch(_ENTRIES[folder.path], each.path.rpartition("/")[2])
        for folder in found
        if folder.is_folder and folder.path in _ENTRIES
        for each in below.entries(folder.path)
    )


def is_private_cache(folder: Path) -> bool:
    """Whether a folder is a marked cache of this user or root that no other user can write to.

    This is the usual case, decided by a few calls of the system. `_trusted` and `_recognise` decide the others.
    """
    if os.name != "posix":
        return False
    try:
        status, marker = folder.stat(), (folder / MARKER).lstat()
    except OSError:
        return False
    is_private = status.st_uid in (os.geteuid(), 0) and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    return is_private and stat.S_ISREG(marker.st_mode) and (folder / LOCKS).is_dir()


def _recognise(folder: Path, *, is_used: bool, is_shared: bool) -> bool:
    """Raise ForeignFolder unless the folder is a cache, or can become one. With `is_used`, it does. Returns whether it
    has existed just now.

    Unless it is shared, only this user can write to a new folder, whatever the umask and the folder above, so that
    later runs trust it. Others can read it, such as the users of an image that root has filled, unless the umask would
    let them write to the folders in it.
    """
    from envc.system.owned_folders import ForeignFolder, claim, recognise

    try:
        if is_used:
            if not is_shared:
                folder.parent.mkdir(parents=True, exist_ok=True)
                mask = os.umask(0o077)  # it can only be read by setting it
                os.umask(mask)
                with suppress(FileExistsError):
                    folder.mkdir(mode=0o755 if mask & 0o022 == 0o022 else 0o700)
            claim(folder, "cache", has_layout)
            (folder / LOCKS).mkdir(exist_ok=True)
            return True
        if recognise(folder, "cache", has_layout) == "foreign":
            raise ForeignFolder(folder, "cache")
    except ForeignFolder as error:
        error.hint = f"set ENVC_CACHE_DIR to an empty folder, such as {folder / 'envc-cache'}"
        raise
    except FileNotFoundError:
        return True  # another process removed it while it was made
    except OSError:
        pass  # it cannot be written: what needs the cache says so, or works without it
    return False


def _trusted(folder: Path, progress: Progress, *, is_shared: bool, exists: bool = False) -> Path:
    """The folder, or a private one if other users may change it. If it existed just now and is missing, they can."""
    from envc.system.owned_folders import distrust

    try:
        found = distrust(folder, group=is_shared, parents=False, owner="any" if is_shared else "root", exists=exists)
        if found is None or not (exists or os.path.lexists(folder)):
            return folder
        can_share = not exists and not folder.stat().st_mode & stat.S_IWOTH and os.access(folder, os.W_OK)
    except OSError:
        return folder
    private = private_folder()
    way_out = f", or {SHARED}=1 if these users may choose what you run" if can_share else ""
    progress.warn(
        f"the cache {found}, so other users could change what you run; {private} is used instead. "
        f"Correct its owner and mode, or set ENVC_CACHE_DIR to a folder of your own{way_out}"
    )
    return private


def _new_place(folder: Path, environ: Mapping[str, str], progress: Progress) -> Path:
    """The missing folder, or a private one if root under ``sudo`` would make it in a folder of the user who called
    sudo, as with ``sudo -E``. That user could not write to it afterwards, and could exchange it meanwhile.
    """
    user = environ.get("SUDO_UID", "0")
    if user == "0" or not hasattr(os, "geteuid") or os.geteuid() != 0:
        return folder
    above = next(path for path in folder.absolute().parents if path.exists())
    if str(above.stat().st_uid) != user:
        return folder
    private = private_folder()
    progress.warn(
        f"{above} belongs to the user who called sudo, so root makes no cache there; {private} is used instead. "
        "Set ENVC_CACHE_DIR to a folder of root"
    )
    return private


def private_folder(ending: str = "") -> Path:
    """A folder among the temporary files that only this user can read and write; the same one in every run.

    Another user may have taken its name. Then the folder gets a random one, by which later runs find it again. Raises
    Unwritable.
    """
    import tempfile

    place = Path("/tmp")
    try:
        place = _temporary()
        folder = place / f"{_name()}{ending}"
        with suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        if _is_private(folder):
            return folder
        earlier = (Path(entry.path) for entry in os.scandir(place) if entry.name.startswith(f"{folder.name}-random-"))
        found = min(filter(_is_private, earlier), default=None)
        return found or Path(tempfile.mkdtemp(prefix=f"{folder.name}-random-", dir=place))
    except OSError as error:
        raise Unwritable(place, error, "set ENVC_CACHE_DIR to a folder of your own") from None


def _temporary() -> Path:
    """The folder for temporary files. Raises OSError if there is none."""
    import tempfile

    return Path(tempfile.gettempdir())


def _name() -> str:
    return f"envc-{os.geteuid() if hasattr(os, 'geteuid') else 'user'}"


def _is_private(folder: Path) -> bool:
    """Whether a path is a folder of this user that no other user can read or write."""
    try:
        status = folder.lstat()
    except OSError:
        return False
    if os.name != "posix":
        return stat.S_ISDIR(status.st_mode)
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid() and not status.st_mode & 0o077
