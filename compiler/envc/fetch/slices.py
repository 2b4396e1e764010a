"""A file of data with an index of names into it, mapped into memory and searched without being read.

It serves channel data: thousands of names, of which a run needs a few hundred. Opening one costs the same whatever its
size, which neither a document nor a database offers; and the data stays as the channel wrote it, so that making one
costs little more than writing the data down. It appears under its name all at once, so neither an interrupted nor a
concurrent run can leave or meet half of one::

    data
    entries, sorted: 8 bytes hash of a name, u64 position, u64 length, u32 crc-32 of that slice of the data
    names, separated by "\\n"
    note
    u64 lengths of data, entries, names and note, u32 crc-32 of entries and note, "ENVCSLC1"

A name may have several slices. All integers are little-endian; hashes are compared as bytes.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import struct
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import BinaryIO
from zlib import crc32

_MAGIC = b"ENVCSLC1"
_ENTRY = struct.Struct("<8sQQI")
_FOOTER = struct.Struct("<QQQQI8s")

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
        data, entries, names, note, checksum, magic = _FOOTER.unpack_from(self._map, size)
        if magic != _MAGIC or data + entries + names + note != size:
            raise Damaged("it is cut short")
        self._entries = data
        self._count: int = entries // _ENTRY.size
        self._names = data + entries, data + entries + names
        self.note: bytes = self._map[size - note : size]
        if crc32(self.note, crc32(memoryview(self._map)[data : data + entries])) != checksum:
            raise Damaged("its index has changed")

    def get(self, name: str) -> list[bytes]:
        """The slices of a name, in the order of the data; none when it is not there. Raises Damaged."""
        digest = _hash(name)
        at = bisect_left(_Hashes(self._map, self._entries, self._count), digest)
        found = []
        while at < self._count:
            key, position, length, checksum = _ENTRY.unpack_from(self._map, self._entries + at * _ENTRY.size)
            if key != digest:
                break
            data = self._map[position : position + length]
            if crc32(data) != checksum:
                raise Damaged("its data has changed")
            found.append(data)
            at += 1
        return found

    def names(self) -> frozenset[str]:
        """Every name. Raises Damaged."""
        start, stop = self._names
        try:
            return frozenset(self._map[start:stop].decode().split("\n")) if stop > start else frozenset()
        except UnicodeDecodeError:
            raise Damaged("its names have changed") from None


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
    entries = [(_hash(name), start, stop - start, crc32(data[start:stop])) for name, start, stop in spans]
    del data
    entries.sort()
    packed = b"".join([_ENTRY.pack(*entry) for entry in entries])
    names = "\n".join(dict.fromkeys(name for name, _, _ in spans)).encode()
    checksum = crc32(note, crc32(packed))
    file.write(packed + names + note)
    file.write(_FOOTER.pack(length, len(packed), len(names), len(note), checksum, _MAGIC))


class _Hashes(Sequence[bytes]):
    """The sorted hashes, for bisection."""

    def __init__(self, data: mmap.mmap, start: int, count: int) -> None:
        self._data = data
        self._start = start
        self._count = count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, at: int) -> bytes:  # type: ignore[override]
        start = self._start + at * _ENTRY.size
        return self._data[start : start + 8]


def _hash(name: str) -> bytes:
    return blake2b(name.encode(), digest_size=8).digest()
