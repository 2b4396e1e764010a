"""Writes lock files.

`dump` renders a lock graph as text, `load` parses the text, and `merge` joins two graphs.
"""

from __future__ import annotations

import os
from pathlib import Path

from envc.errors import Unwritable
from envc.model.graph import LockGraph


def save(graph: LockGraph, path: Path) -> bool:
    """Write a lock file; see `save_text`."""
    from envc.locking.lockfile.dump import dumps

    return save_text(dumps(graph), path)


def save_text(text: str, path: Path) -> bool:
    """Write the text of a lock file atomically, and only if it has changed. Returns whether it was written.

    Raises Unwritable.
    """
    data = text.encode()
    try:
        if path.read_bytes() == data:
            return False
    except OSError:
        pass  # there is no file yet, or it cannot be read: writing it reports that
    try:
        replace_file(path, data)
    except OSError as error:
        raise Unwritable(path, error, "check the permissions of the folder") from None
    return True


def replace_file(path: Path, data: bytes) -> None:
    """Write a file atomically, and remove what killed runs left beside it. Keeps its mode and follows links.

    Raises OSError.
    """
    from envc.system.atomic_file import atomic_file
    from envc.system.drafts import remove_leftovers

    # The target of a symbolic link is replaced, not the link.
    path = Path(os.path.realpath(path))
    remove_leftovers(path)
    with atomic_file(path, durable=True) as stream:
        stream.write(data)
        if path.exists():
            Path(stream.name).chmod(path.stat().st_mode & 0o7777)
