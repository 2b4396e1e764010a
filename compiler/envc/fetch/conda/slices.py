"""A file of data with an index of names, memory-mapped and searched without being read.

It is made for channel data: thousands of names, and a run needs a few hundred of them. Opening it takes the same time
for any size, unlike a document or a database. The data stays as the channel wrote it, so making a file costs little
more than writing the data. Files are renamed to their name atomically, so no run leaves or finds a partial file::

    data
    a table of slices by columns, sorted by the first: u32 crc-32 of the name, u32 crc-32 of the slice,
      u32 offset of its name in the names, u64 start, u64 stop
    names, each followed by "\n", one for each slice
    note
    u64 number of slices, u64 lengths of data, names and note,
      u32 crc-32 of everything between data and this field, "ENVCSLC3"

A name may have several slices. Integers are in the byte order of this machine, since a cache belongs to one machine. On
another one the last eight bytes, which are read as a number, do not match.
"""

from __future__ import annotations

import mmap
import os
import struct
from array import array
from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import BinaryIO, Literal
from zlib import crc32

_MAGIC = int.from_bytes(b"ENVCSLC3", "little")
_COLUMNS: tuple[Literal["I", "Q"], ...] = (
    "I",
    "I",
    "I",
    "Q",
    "Q",
)  # names, slices, offsets, starts, stops: codes of `array` and `memoryview.cast`
_FOOTER = struct.Struct("=QQQQIQ")

Span = tuple[str, int, int]  # a name, and start and stop of one of its slices


class Damaged(Exception):
    """The content of the file has changed, or is incomplete."""


class Slices:
    """An open file. Thread-safe. It stays mapped as long as it is referenced."""

    def __init__(self, path: Path) -> None:
        """Raises FileNotFoundError, other OSErrors, and Damaged."""
        with path.open("rb") as file:
            try:
                self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            except ValueError:
                raise Damaged("it is empty") from None
        size = len(self._map) - _FOOTER.size
        if size < 0:
            raise Damaged("it is cut short")
        count, data, names, note, checksum, magic = _FOOTER.unpack_from(self._map, size)
        self._names = data + count * sum(map(struct.calcsize, _COLUMNS))
        if magic != _MAGIC or self._names + names + note != size:
            raise Damaged("it is cut short")
        view = memoryview(self._map)
        if crc32(view[data:size]) != checksum:
            raise Damaged("its index has changed")
        self._columns: list[memoryview[int]] = []
        for code in _COLUMNS:
            start, data = data, data + count * struct.calcsize(code)
            self._columns.append(view[start:data].cast(code))
        self._note = self._names + names
        self.note = self._map[self._note : size]

    def get(self, name: str) -> list[bytes]:
        """The slices of a name, in the order of the data; none for an unknown name. Raises Damaged."""
        text = name.encode() + b"\n"
        target = crc32(text)
        hashes, checksums, offsets, starts, stops = self._columns
        found = []
        for at in range(bisect_left(hashes, target), len(hashes)):
            if hashes[at] != target:
                break
            offset = self._names + offsets[at]
            if self._map[offset : offset + len(text)] != text:
                continue
            data = self._map[starts[at] : stops[at]]
            if crc32(data) != checksums[at]:
                raise Damaged("its data has changed")
            found.append(data)
        return found

    def names(self) -> frozenset[str]:
        """Every name."""
        return frozenset(self._map[self._names : self._note].decode().split("\n")[:-1])


def append_index(file: BinaryIO, spans: Sequence[Span], note: bytes) -> None:
    """Append the index to a file that holds the data. Raises OSError."""
    file.flush()
    length = file.seek(0, os.SEEK_END)
    # An empty file cannot be mapped. The mapping is closed with the last view of it.
    data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if length else b"")
    texts = [name.encode() + b"\n" for name, _, _ in spans]
    hashes = list(map(crc32, texts))
    order = sorted(range(len(spans)), key=hashes.__getitem__)
    columns: tuple[Sequence[int], ...] = (
        hashes,
        [crc32(data[start:stop]) for _, start, stop in spans],
        list(accumulate(map(len, texts), initial=0)),
        [start for _, start, _ in spans],
        [stop for _, _, stop in spans],
    )
    del data
    table = [array(code, [column[at] for at in order]) for code, column in zip(_COLUMNS, columns, strict=True)]
    names = b"".join(texts)
    index = b"".join([*table, names, note])
    file.write(index)
    file.write(_FOOTER.pack(len(order), length, len(names), len(note), crc32(index), _MAGIC))
