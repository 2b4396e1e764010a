"""Room for what is written once and read back: the folder for temporary files, which may be a small disk in memory."""

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
    """The folder for temporary files cannot take what has to pass through it."""

    hint = "make room there, or name another folder in TMPDIR"

    def __init__(self, folder: str, reason: str) -> None:
        super().__init__(folder, reason)
        self.folder = folder
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.folder}, the folder for temporary files, cannot be written: {self.reason}"


class ScratchFile(io.FileIO):
    """A new file there. What its disk refuses is NoScratch, unlike what reading a content may raise meanwhile."""

    def write(self, data: ReadableBuffer) -> int:
        with writing_scratch():
            return super().write(data)


@contextmanager
def writing_scratch() -> Iterator[None]:
    """Whatever the disk refuses in this block is NoScratch, and not the fault of what was being read."""
    try:
        yield
    except OSError as error:
        raise NoScratch(_folder(), error.strerror or type(error).__name__) from None


def _folder() -> str:
    try:
        return tempfile.gettempdir()
    except OSError:  # Python has tried them all
        return "TMPDIR"
