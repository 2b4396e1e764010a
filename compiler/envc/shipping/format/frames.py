"""zstd frames: one-shot, checked, bounded. RFC 8878.

Compressors and decompressors are kept per thread: they are costly to make and must not be shared.
"""

from __future__ import annotations

import threading
from functools import lru_cache
from typing import TYPE_CHECKING

from envc.shipping.format.errors import CorruptBlob

if TYPE_CHECKING:
    import zstandard

Buffer = bytes | bytearray | memoryview

SKIPPABLE = 0x184D2A5E  # magic number of the skippable frames that hold an index
_DESCRIPTOR = 4  # offset of a frame's descriptor, behind its magic number
_CHECKSUM_FLAG = 1 << 2  # in the descriptor
_CHECKSUM = 4  # bytes of a checksum, the last ones of a frame
MAX_WINDOW = 1 << 27  # bytes; what `zstd -d` accepts without being told, and every level here stays below


class _Compressors(threading.local):
    def __init__(self) -> None:
        self.by_level: dict[int, zstandard.ZstdCompressor] = {}

    def at(self, level: int) -> zstandard.ZstdCompressor:
        if level not in self.by_level:
            import zstandard

            self.by_level[level] = zstandard.ZstdCompressor(level=level, write_checksum=True, write_content_size=True)
        return self.by_level[level]


_compressors = _Compressors()


class _Decompressor(threading.local):
    def __init__(self) -> None:
        import zstandard

        self.codec = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW)


@lru_cache(maxsize=1)
def _decompressor() -> _Decompressor:
    return _Decompressor()


def compress(data: Buffer, level: int) -> bytes:
    """One frame with content size and checksum. The same bytes for the same data, level and libzstd, in any thread."""
    return _compressors.at(level).compress(data)


def decompress(frame: Buffer, what: str, *, raw: int | None = None, limit: int, proven: bool = False) -> bytes:
    """The content of exactly one frame, compared with the frame's own checksum unless its bytes are `proven` to be
    those that were written.

    Nothing is allocated before the frame's own header has announced `raw` bytes (any number, if None), and at most
    `limit`. Raises CorruptBlob for anything else: a longer, shorter, broken, truncated or skippable frame, or bytes
    that follow it.
    """
    import zstandard

    try:
        header = zstandard.get_frame_parameters(frame)
        announced = header.content_size
        # The library answers an announced size of 0 without reading on, so an empty content is no frame of ours.
        if not 0 < announced <= limit or (raw is not None and announced != raw):
            raise CorruptBlob(what, f"a frame announces {announced} bytes where {raw or f'1 to {limit}'} belong")
        read = _decompress_unsummed if proven and header.has_checksum else _decompress
        content = read(frame)
    except zstandard.ZstdError as error:
        raise CorruptBlob(what, f"a frame cannot be decompressed ({error})") from None
    if len(content) != announced:
        raise CorruptBlob(what, f"a frame announces {announced} bytes and holds {len(content)}")
    return content


def _decompress(frame: Buffer) -> bytes:
    return _decompressor().codec.decompress(frame, allow_extra_data=False)


def _decompress_unsummed(frame: Buffer) -> bytes:
    """As `_decompress`, of a frame with a checksum, which is not computed.

    The library cannot be told to pass over one, and takes longer to compute it than even a copy does
    (`tests/benchmarks/NOTEBOOK.md`). So it gets the bytes before it, behind a header that announces none
    (RFC 8878, 3.1.1 and 3.1.1.1.1).
    """
    bare = frame if isinstance(frame, bytearray) else bytearray(frame)
    bare[_DESCRIPTOR] &= ~_CHECKSUM_FLAG
    try:
        return _decompress(memoryview(bare)[:-_CHECKSUM])
    finally:
        bare[_DESCRIPTOR] |= _CHECKSUM_FLAG
