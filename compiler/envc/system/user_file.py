"""Files that envc writes into the user's own folders: the lock, the manifest and single-file bundles.

These folders are often checkouts, whose content another person may have committed. So a link is followed only to a file
in the same folder or below it.
"""

from __future__ import annotations

import os
from pathlib import Path

from envc.errors import EnvcError
from envc.system.atomic_file import atomic_file
from envc.system.drafts import remove_leftovers


class StrayLink(EnvcError):
    """A link in place of a file that envc would write, which leads out of its folder or nowhere."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason
        self.hint = f"replace the link {path.name} by a file, or remove it"

    def __str__(self) -> str:
        return f"{self.path} is a link {self.reason}; envc does not write through it"

    def data(self) -> dict[str, object]:
        return {"path": str(self.path)}


class FileChanged(EnvcError):
    """A file of the user that changed while a command was working on it."""

    hint = "run the same command again"

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.path = path

    def __str__(self) -> str:
        return f"{self.path.name} was changed by another program in the meantime; it was not overwritten"


def written_path(path: Path) -> Path:
    """The file that is written for `path`: itself, or the file in its folder that a link leads to. Raises StrayLink."""
    if not path.is_symlink():
        return path
    real, folder = Path(os.path.realpath(path)), Path(os.path.realpath(path.parent))
    if not real.is_relative_to(folder):
        raise StrayLink(path, f"that leads out of its folder, to {str(real)!r}")
    if not real.is_file():
        raise StrayLink(path, f"to {str(real)!r}, which is no file")
    return real


def replace_user_file(path: Path, data: bytes) -> None:
    """Write a file atomically, and remove what killed runs left beside it. Keeps its mode.

    Raises StrayLink and OSError.
    """
    path = written_path(path)
    remove_leftovers(path)
    with atomic_file(path, durable=True) as stream:
        stream.write(data)
        if path.exists():
            Path(stream.name).chmod(path.stat().st_mode & 0o7777)
