"""zstd frames (RFC 8878): compressed and decompressed in one call, checked and bounded.

Compressors and decompressors are kept per thread: they are expensive to create and must not be shared.
"""

from __future__ import annotations

import threading
from functools import lru_cache
from typing import TYPE_CHECKING

from envc.model.limits import DOCUMENT_FREE_BYTES, DOCUMENT_RATIO, ZSTD_WINDOW_BYTES
from envc.shipping.format.errors import CorruptBlob

if TYPE_CHECKING:
    import zstandard

Buffer = bytes | bytearray | memoryview

SKIPPABLE = 0x184D2A5E  # magic number of the skippable frames that contain an index
_DESCRIPTOR = 4  # offset of a frame's descriptor, after its magic number
_CHECKSUM_FLAG = 1 << 2  # in the descriptor
_CHECKSUM = 4  # bytes of a checksum, at the end of a frame


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

        self.codec = zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW_BYTES)


@lru_cache(maxsize=1)
def _decompressor() -> _Decompressor:
    return _Decompressor()


def compress(data: Buffer, level: int) -> bytes:
    """One frame with content size and checksum. Equal data, level and libzstd give equal bytes, in any thread."""
    return _compressors.at(level).compress(data)


def decompress(frame: Buffer, what: str, *, raw: int | None = None, limit: int, proven: bool = False) -> bytes:
    """The content of exactly one frame. It is compared with the frame's checksum unless its bytes are `proven` to be
    those that were written.

    Nothing is allocated unless the frame's header announces `raw` bytes (any number, if None) and at most `limit`. If
    `raw` is None, the content is a document with digests, which cannot be much larger than its frame. Raises
    CorruptBlob for anything else: a longer, shorter, broken, truncated or skippable frame, or trailing bytes.
    """
    import zstandard

    try:
        header = zstandard.get_frame_parameters(frame)
        announced = header.content_size
        # For an announced size of 0 the library returns without reading on, so envc never writes an empty content.
        if not 0 < announced <= limit or (raw is not None and announced != raw):
            raise CorruptBlob(what, f"a frame announces {announced} bytes instead of {raw or f'1 to {limit}'}")
        if raw is None and announced > max(DOCUMENT_FREE_BYTES, DOCUMENT_RATIO * len(frame)):
            raise CorruptBlob(what, f"a frame of {len(frame)} bytes announces {announced}")
        read = _decompress_without_checksum if proven and header.has_checksum else _decompress
        content = read(frame)
    except zstandard.ZstdError as error:
        raise CorruptBlob(what, f"a frame cannot be decompressed ({error})") from None
    if len(content) != announced:
        raise CorruptBlob(what, f"a frame announces {announced} bytes and contains {len(content)}")
    return content


def _decompress(frame: Buffer) -> bytes:
    return _decompressor().codec.decompress(frame, allow_extra_data=False)


def _decompress_without_checksum(frame: Buffer) -> bytes:
    """As `_decompress`, for a frame with a checksum, without computing it.

    The library has no option to skip the checksum, and computing it takes longer than even copying the bytes
    (`tests/benchmarks/NOTEBOOK.md`). So the library gets the bytes before the checksum, with a header that announces
    none (RFC 8878, 3.1.1 and 3.1.1.1.1).
    """
    bare = frame if isinstance(frame, bytearray) else bytearray(frame)
    bare[_DESCRIPTOR] &= ~_CHECKSUM_FLAG
    try:
        return _decompress(memoryview(bare)[:-_CHECKSUM])
    finally:
        bare[_DESCRIPTOR] |= _CHECKSUM_FLAG
