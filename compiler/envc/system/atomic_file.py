"""A file that appears complete under its name, or not at all, even if the run that writes it is killed.

It is written to a temporary file in the same folder, which is then renamed. A killed run leaves this temporary file
behind. `drafts` has its name, and removes it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from envc.system.drafts import file_draft, lock_draft


@contextmanager
def atomic_file(path: Path, *, durable: bool = False) -> Iterator[BinaryIO]:
    """A file to write and read that replaces `path` when the block ends without an exception.

    The folder must exist. With `durable`, the content is on disk before the rename, so that a power failure leaves
    either the old or the new content. Raises OSError.
    """
    with unnamed_file(path.parent, name=path.name, durable=durable) as (file, publish):
        yield file
        publish(path)


@contextmanager
def unnamed_file(
    folder: Path, *, name: str = "", durable: bool = False
) -> Iterator[tuple[BinaryIO, Callable[[Path], None]]]:
    """A file in `folder` to write and read, and a function that closes it and renames it to a path on the same disk.

    If the function is not called, the file is deleted. `name` is part of the temporary name. `durable` and errors as
    for `atomic_file`.
    """
    draft = folder / file_draft(name)
    is_published = False
    try:
        with _create(draft) as file:

            def publish(path: Path) -> None:
                nonlocal is_published
                if durable:
                    file.flush()
                    os.fsync(file.fileno())
                file.close()
                draft.replace(path)
                is_published = True

            yield file, publish
    finally:
        if not is_published:
            with suppress(OSError):
                draft.unlink()


def _create(draft: Path) -> BinaryIO:
    while True:
        file = draft.open("x+b")
        if lock_draft(file.fileno()):
            return file
        file.close()


def write_file(path: Path, data: bytes, *, durable: bool = False) -> None:
    """Replace the content of `path` atomically. As `atomic_file`."""
    with atomic_file(path, durable=durable) as file:
        file.write(data)
