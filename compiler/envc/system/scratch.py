"""Temporary files that are written once and read back. Their folder may be a small disk in memory."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from envc.errors import EnvcError

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


class NoScratch(EnvcError):
    """A temporary file cannot be written to its folder."""

    hint = "free some space there, or set TMPDIR to another folder"

    def __init__(self, folder: str, reason: str) -> None:
        super().__init__(folder, reason)
        self.folder = folder
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.folder}, the folder for temporary files, cannot be written: {self.reason}"


class ScratchFile(io.FileIO):
    """A new temporary file. Write errors are raised as NoScratch, to tell them apart from errors of the content."""

    def write(self, data: ReadableBuffer) -> int:
        with writing_scratch():
            return super().write(data)


@contextmanager
def writing_scratch() -> Iterator[None]:
    """Turn OSErrors of this block into NoScratch: they are write errors of the disk, not errors of reading the
    content.
    """
    try:
        yield
    except OSError as error:
        raise NoScratch(_folder(), error.strerror or type(error).__name__) from None


def _folder() -> str:
    try:
        return tempfile.gettempdir()
    except OSError:  # Python has tried all candidates
        return "TMPDIR"
