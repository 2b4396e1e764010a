"""Writes lock files.

`dump` renders a lock graph as text, `load` parses the text, and `merge` joins two graphs.
"""

from __future__ import annotations

from pathlib import Path

from envc.errors import Unwritable
from envc.model.graph import LockGraph
from envc.system.user_file import FileChanged, replace_user_file


class LockChanged(FileChanged):
    """A lock file that changed while a command was working on it."""

    def data(self) -> dict[str, object]:
        return {"lock": str(self.path)}


def save(graph: LockGraph, path: Path) -> bool:
    """Write a lock file, whatever it contained before; see `save_text`."""
    from envc.locking.lockfile.dump import dumps

    return save_text(dumps(graph), path, before=_content(path))


def save_text(text: str, path: Path, *, before: bytes | None = None) -> bool:
    """Write the text of a lock file atomically, and only if it has changed. Returns whether it was written.

    `before` is the content of the file that the text was made from, None if there was no file. If the file has another
    content now, it is not overwritten, since a change of another program would be lost. Raises LockChanged, StrayLink
    and Unwritable.
    """
    data = text.encode()
    current = _content(path)
    if current == data:
        return False
    if current is not None and current != before:
        raise LockChanged(path)
    try:
        replace_user_file(path, data)
    except OSError as error:
        raise Unwritable(path, error, "check the permissions of the folder") from None
    return True


def _content(path: Path) -> bytes | None:
    """The content of a file; None if there is none, or if it cannot be read, which writing it reports."""
    try:
        return path.read_bytes()
    except OSError:
        return None
