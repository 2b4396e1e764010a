"""Drafts: unfinished files and folders beside the ones that they will become, and how leftovers of killed runs go.

The names of drafts are random and are recognised exactly, so nothing else is ever removed as a leftover. A file is
locked while it is written; the system releases the lock of a killed run.
"""

from __future__ import annotations

import os
import stat
import time
from contextlib import suppress
from pathlib import Path

PARTIAL = ".partial"  # the end of the names of unfinished files
_FOLDER = ".envc-"  # in the names of unfinished and replaced folders
_REPLACED = "old-"  # in the names of replaced folders
_RANDOM = 16  # hexadecimal digits
_NAME_LENGTH = 50  # characters of the final name in that of a draft: at most 200 of the 255 bytes of a file name
_ABANDONED = 24 * 3600  # seconds after which a draft that cannot be locked here is a leftover


def file_draft(name: str) -> str:
    """A new name for an unfinished file that will be called `name`."""
    return f".{name[:_NAME_LENGTH]}.{os.urandom(_RANDOM // 2).hex()}{PARTIAL}"


def is_file_draft(entry: str, name: str) -> bool:
    """Whether `file_draft` may have made `entry` for `name`, or for a name that begins with the same 50 characters."""
    start = f".{name[:_NAME_LENGTH]}."
    middle = entry[len(start) : -len(PARTIAL)]
    return entry.startswith(start) and entry.endswith(PARTIAL) and is_hex(middle, _RANDOM)


def is_any_file_draft(entry: str) -> bool:
    """Whether `file_draft` may have made `entry`, for any name."""
    start, end = entry[: -len(PARTIAL) - _RANDOM], entry[-len(PARTIAL) - _RANDOM :]
    return start.startswith(".") and start[1:].endswith(".") and is_file_draft(f"..{end}", "")


def folder_draft(name: str, *, replaced: bool = False) -> str:
    """A new name beside the folder `name`: for the unfinished folder or, with `replaced`, for the one that it
    replaces.
    """
    return f".{name}{_FOLDER}{_REPLACED if replaced else ''}{os.urandom(_RANDOM // 2).hex()}"


def is_folder_draft(entry: str, name: str) -> bool:
    """Whether `folder_draft` may have made `entry` for `name`, replaced or not."""
    return drafted_folder(entry) == name


def is_replaced_folder(entry: str) -> bool:
    """Whether a name that `folder_draft` made is that of a folder that was being replaced."""
    return entry[:-_RANDOM].endswith(_FOLDER + _REPLACED)


def drafted_folder(entry: str) -> str | None:
    """The name that `folder_draft` made `entry` for. None if it has not made it."""
    start = entry[:-_RANDOM].removesuffix(_REPLACED)
    if not (is_hex(entry[-_RANDOM:], _RANDOM) and start.startswith(".") and start.endswith(_FOLDER)):
        return None
    return start[1 : -len(_FOLDER)] or None


def is_hex(text: str, length: int) -> bool:
    """Whether a text is exactly that many lower-case hexadecimal digits, as random names and digests are."""
    return len(text) == length and not text.strip("0123456789abcdef")


def lock_draft(fd: int) -> bool:
    """Mark an open draft as being written, until it is closed. Returns False if another process has just removed it.

    Does nothing where files cannot be locked.
    """
    try:
        from fcntl import LOCK_EX, LOCK_NB, flock
    except ImportError:  # Windows does not remove open files
        return True
    with suppress(OSError):
        flock(fd, LOCK_EX | LOCK_NB)
    return os.fstat(fd).st_nlink > 0


def remove_leftovers(path: Path) -> None:
    """Remove the drafts of `path` that killed runs of this user have left. Drafts that are being written stay, and so
    does everything that is not a regular file with the name of a draft. Nothing is raised.
    """
    with suppress(OSError):
        for entry in list(os.scandir(path.parent)):
            if is_file_draft(entry.name, path.name):
                with suppress(OSError):
                    _remove_leftover(Path(entry.path))


def _remove_leftover(draft: Path) -> None:
    # For writing, since NFS locks nothing else.
    fd = os.open(draft, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode) or (hasattr(os, "geteuid") and status.st_uid != os.geteuid()):
            return
        try:
            from fcntl import LOCK_EX, LOCK_NB, flock
        except ImportError:
            pass
        else:
            try:
                flock(fd, LOCK_EX | LOCK_NB)
            except BlockingIOError:
                return
            except OSError:  # this disk has no locks
                if time.time() - status.st_mtime < _ABANDONED:
                    return
            draft.unlink()
            return
    finally:
        os.close(fd)
    draft.unlink()  # on Windows, fails while the draft is open in another process
