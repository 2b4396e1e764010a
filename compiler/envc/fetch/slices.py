"""A file of data with an index of names into it, mapped into memory and searched without being read.

It serves channel data: thousands of names, of which a run needs a few hundred. Opening one costs the same whatever its
size, which neither a document nor a database offers; and the data stays as the channel wrote it, so that making one
costs little more than writing the data down. It appears under its name all at once, so neither an interrupted nor a
concurrent run can leave or meet half of one::

    data
    hashes, ascending: for each slice the u32 crc-32 of its name
    entries, in the same order: u64 start and stop of the slice, u32 crc-32 of it, u32 place of its name in the names
    names, each followed by "\n"
    note
    u64 number of slices, u64 lengths of data, names and note, u32 crc-32 of all between data and here, "ENVCSLC2"

A name may have several slices. Integers are in the byte order of this machine, whose cache it is; to another one the
last eight bytes, which are read as a number, say nothing.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import struct
from array import array
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO
from zlib import crc32

_MAGIC = int.from_bytes(b"ENVCSLC2", "little")
_HASH = 4  # bytes
_ENTRY = struct.Struct("=QQII")
_FOOTER = struct.Struct("=QQQQIQ")

Span = tuple[str, int, int]  # a name, and where one of its slices starts and stops


class Damaged(Exception):
    """The file is not what was written."""


class Slices:
    """An open file. Thread-safe; the mapping lives as long as somebody holds it."""

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
        self._entries = data + count * _HASH
        self._names = self._entries + count * _ENTRY.size
        if magic != _MAGIC or self._names + names + note != size:
            raise Damaged("it is cut short")
        view = memoryview(self._map)
        if crc32(view[data:size]) != checksum:
            raise Damaged("its index has changed")
        self._hashes = view[data : self._entries].cast("I")
        self._note = self._names + names
        self.note = self._map[self._note : size]

    def get(self, name: str) -> list[bytes]:
        """The slices of a name, in the order of the data; none when it is not there. Raises Damaged."""
        text = name.encode() + b"\n"
        wanted = crc32(text)
        found = []
        for at in range(bisect_left(self._hashes, wanted), len(self._hashes)):
            if self._hashes[at] != wanted:
                break
            start, stop, checksum, place = _ENTRY.unpack_from(self._map, self._entries + at * _ENTRY.size)
            if self._map[self._names + place : self._names + place + len(text)] != text:
                continue
            data = self._map[start:stop]
            if crc32(data) != checksum:
                raise Damaged("its data has changed")
            found.append(data)
        return found

    def names(self) -> frozenset[str]:
        """Every name."""
        return frozenset(self._map[self._names : self._note].decode().split("\n")[:-1])


@contextlib.contextmanager
def appearing(path: Path) -> Iterator[BinaryIO]:
    """A file to write and read, which appears under `path` when the block ends well. Raises OSError."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{os.getpid()}.{os.urandom(4).hex()}.partial")
    try:
        with partial.open("w+b") as file:
            yield file
        partial.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise


def append_index(file: BinaryIO, spans: Sequence[Span], note: bytes) -> None:
    """Make a file that holds just the data into one of slices. Raises OSError."""
    file.flush()
    length = file.seek(0, os.SEEK_END)
    # An empty file cannot be mapped. The mapping is not closed by name: it goes with the last view of it.
    data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if length else b"")
    places: dict[str, tuple[int, int]] = {}  # name: its hash, its place among the names
    names = bytearray()
    entries = []
    for name, start, stop in spans:
        if name not in places:
            text = name.encode() + b"\n"
            places[name] = crc32(text), len(names)
            names += text
        key, place = places[name]
        entries.append((key, start, stop, crc32(data[start:stop]), place))
    del data
    entries.sort()
    index = array("I", [key for key, *_ in entries]).tobytes()
    index += b"".join([_ENTRY.pack(*entry) for _, *entry in entries])
    index += names + note
    file.write(index)
    file.write(_FOOTER.pack(len(entries), length, len(names), len(note), crc32(index), _MAGIC))
