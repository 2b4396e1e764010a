"""Decompression of files that consist of exactly one compressed stream.

Readers disagree about everything else. Of two concatenated gzip members, bzip2 streams or zstd frames, some read both
and some read only the first. Bytes after the stream are an error for some, and ignored by others.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import BinaryIO, Literal

from envc.model.limits import ZSTD_WINDOW_BYTES

Compression = Literal["gz", "bz2", "zst"]

_CHUNK = 1 << 20  # bytes; the largest chunk of output
_INPUT = 1 << 16  # bytes
_GZIP_HEADER = 10  # bytes
_GZIP_MAGIC = b"\x1f\x8b\x08"  # with the only method, deflate
_GZIP_UNUSUAL = 0xE2  # flags: a checksum of the header, which not every reader checks, and reserved bits
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_ZSTD_DICTIONARY = (0, 1, 2, 4)  # bytes of the dictionary ID, by the bits of the descriptor
_ZSTD_SIZE = (0, 2, 4, 8)  # bytes of the content size
_ZSTD_CHECKSUM = 4  # bytes
_ZSTD_RUN = 1  # a block of one repeated byte
_ZSTD_RESERVED = 3


def decompress(stream: BinaryIO, compression: Compression) -> Iterator[bytes]:
    """The content in chunks of at most 1 MiB. Raises ValueError unless `stream` is exactly one valid stream.

    The formats are RFC 1952 (gzip), bzip2 and RFC 8878 (zstd).
    """
    if compression == "gz":
        return _gzip(stream)
    if compression == "bz2":
        return _bzip2(stream)
    return _zstd(stream)


def _gzip(stream: BinaryIO) -> Iterator[bytes]:
    header = _exactly(stream, _GZIP_HEADER)
    if not header.startswith(_GZIP_MAGIC) or header[3] & _GZIP_UNUSUAL:
        raise ValueError("it has no gzip header of the usual kind")
    codec = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
    data = header
    try:
        while not codec.eof:
            if not data:
                raise ValueError("it is cut off")
            if chunk := codec.decompress(data, _CHUNK):
                yield chunk
            data = codec.unconsumed_tail or (b"" if codec.eof else stream.read(_INPUT))
    except zlib.error as error:
        raise ValueError(f"its gzip stream is damaged ({error})") from None
    _check_end(codec.unused_data, stream)


def _bzip2(stream: BinaryIO) -> Iterator[bytes]:
    import bz2

    codec = bz2.BZ2Decompressor()
    try:
        while not codec.eof:
            data = stream.read(_INPUT) if codec.needs_input else b""
            if codec.needs_input and not data:
                raise ValueError("it is cut off")
            if chunk := codec.decompress(data, _CHUNK):
                yield chunk
    except OSError as error:
        raise ValueError(f"its bzip2 stream is damaged ({error})") from None
    _check_end(codec.unused_data, stream)


def _zstd(stream: BinaryIO) -> Iterator[bytes]:
    import zstandard

    frame = _ZstdFrame(stream)
    codec = zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW_BYTES)
    try:
        with codec.stream_reader(frame, closefd=False) as reader:  # type: ignore[arg-type]  # it only calls `read`
            while chunk := reader.read(_CHUNK):
                yield chunk
    except zstandard.ZstdError as error:
        raise ValueError(f"its zstd frame is damaged ({error})") from None
    frame.check_end()


class _ZstdFrame:
    """A file-like object that ends where the first frame of `stream` ends (RFC 8878, 3.1.1)."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        start = _exactly(stream, len(_ZSTD_MAGIC) + 1)
        if not start.startswith(_ZSTD_MAGIC):
            raise ValueError("it does not start with a zstd frame")
        descriptor = start[-1]
        is_single = descriptor >> 5 & 1  # a segment, so no window is stated
        size = _ZSTD_SIZE[descriptor >> 6] or is_single
        rest = (not is_single) + _ZSTD_DICTIONARY[descriptor & 3] + size
        self._checksum = _ZSTD_CHECKSUM if descriptor >> 2 & 1 else 0
        self._header = start + _exactly(stream, rest)
        self._ended = False

    def read(self, _size: int) -> bytes:
        """The header, then one block in each call."""
        if self._header:
            header, self._header = self._header, b""
            return header
        if self._ended:
            return b""
        head = _exactly(self._stream, 3)
        number = int.from_bytes(head, "little")
        kind, size = number >> 1 & 3, number >> 3
        if kind == _ZSTD_RESERVED:
            raise ValueError("its zstd frame is damaged (a block of the reserved kind)")
        self._ended = bool(number & 1)
        rest = (1 if kind == _ZSTD_RUN else size) + (self._checksum if self._ended else 0)
        return head + _exactly(self._stream, rest)

    def check_end(self) -> None:
        if not self._ended:
            raise ValueError("it is cut off")
        _check_end(b"", self._stream)


def _exactly(stream: BinaryIO, size: int) -> bytes:
    data = stream.read(size)
    if len(data) != size:
        raise ValueError("it is cut off")
    return data


def _check_end(unused: bytes, stream: BinaryIO) -> None:
    if unused or stream.read(1):
        raise ValueError("bytes follow its compressed stream, which not every reader reads")
