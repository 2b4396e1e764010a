"""A blob as a stream that is read by ranges. If a connection breaks, only the current range is requested again."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, BinaryIO, cast

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

    from envc.shipping.store.blobs import Ranges

_RANGE = 8 << 20  # bytes of a request


def open_ranges(blobs: Ranges, key: str, size: int) -> BinaryIO:
    """A stream over a blob of `size` bytes, which are requested as they are read."""
    return cast(BinaryIO, io.BufferedReader(_Ranges(blobs, key, size), _RANGE))


class _Ranges(io.RawIOBase):
    def __init__(self, blobs: Ranges, key: str, size: int) -> None:
        super().__init__()
        self._blobs = blobs
        self._key = key
        self._size = size  # bytes
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = max(0, base + offset)
        return self._position

    def tell(self) -> int:
        return self._position

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer).cast("B")
        length = max(0, min(len(view), self._size - self._position))
        if length:
            view[:length] = self._blobs.read_range(self._key, self._position, length)
            self._position += length
        return length
