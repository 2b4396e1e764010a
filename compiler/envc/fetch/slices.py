"""A file of named byte strings that is written once, mapped into memory, and searched without being read.

It serves channel data: thousands of names, of which a run needs a few hundred. Opening one costs the same whatever its
size, which neither a document nor a database offers. It appears under its name all at once, so neither an
interrupted nor a concurrent run can leave or meet half of one::

    "ENVCSLC1"  u64 count of names  u64 length of this file  u64 length of the note  u32 crc-32 of the index
    count times: (8 bytes: hash of the name, u64 position, u64 length, u32 crc-32 of the bytes), sorted
    count times: (name, "\\0", the bytes)  note

All integers are little-endian; the hash is compared as bytes.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import struct
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b
from pathlib import Path
from zlib import crc32

import msgspec

_MAGIC = b"ENVCSLC1"
_HEADER = struct.Struct("<8sQQQI")
_ENTRY = struct.Struct("<8sQQI")


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
        if len(self._map) < _HEADER.size:
            raise Damaged("it is cut short")
        magic, count, length, note, checksum = _HEADER.unpack_from(self._map)
        end = _HEADER.size + count * _ENTRY.size
        if magic != _MAGIC or length != len(self._map) or end + note > length:
            raise Damaged("it is cut short")
        if crc32(memoryview(self._map)[_HEADER.size : end]) != checksum:
            raise Damaged("its index has changed")
        self._count: int = count
        self.note: bytes = self._map[length - note :]

    def get(self, name: str) -> bytes | None:
        """The bytes of a name; None when it has none. Raises Damaged."""
        key = name.encode()
        digest = _hash(key)
        at = bisect_left(_Hashes(self._map, self._count), digest)
        while at < self._count:
            found, position, length, checksum = _ENTRY.unpack_from(self._map, _HEADER.size + at * _ENTRY.size)
            if found != digest:
                return None
            start = position + len(key) + 1
            if self._map[position:start] == key + b"\0":
                data = self._map[start : start + length]
                if len(data) != length or crc32(data) != checksum:
                    raise Damaged("its bytes have changed")
                return data
            at += 1  # another name of the same hash
        return None

    def names(self) -> Iterator[str]:
        """Every name, in no order that means anything. Raises Damaged."""
        for at in range(self._count):
            _, position, _, _ = _ENTRY.unpack_from(self._map, _HEADER.size + at * _ENTRY.size)
            end = self._map.find(b"\0", position)
            try:
                yield self._map[position:end].decode()
            except UnicodeDecodeError:
                raise Damaged("a name in it is none") from None


def write_slices(path: Path, items: Iterable[tuple[str, Sequence[bytes | msgspec.Raw]]], note: bytes = b"") -> None:
    """Write the bytes of each name, given in pieces, and let the file appear under `path`. Raises OSError."""
    index: list[tuple[bytes, int, int, int]] = []
    listed = list(items)
    position = _HEADER.size + len(listed) * _ENTRY.size
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{os.getpid()}.{os.urandom(4).hex()}.partial")
    try:
        with partial.open("wb", buffering=1 << 20) as file:
            file.seek(position)
            for name, pieces in listed:
                key = name.encode()
                data = b"".join(pieces)
                index.append((_hash(key), position, len(data), crc32(data)))
                file.write(key + b"\0")
                file.write(data)
                position += len(key) + 1 + len(data)
            file.write(note)
            index.sort()
            file.seek(0)
            entries = b"".join(_ENTRY.pack(*entry) for entry in index)
            file.write(_HEADER.pack(_MAGIC, len(index), position + len(note), len(note), crc32(entries)))
            file.write(entries)
        partial.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise


class _Hashes(Sequence[bytes]):
    """The sorted hashes, for bisection."""

    def __init__(self, data: mmap.mmap, count: int) -> None:
        self._data = data
        self._count = count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, at: int) -> bytes:  # type: ignore[override]
        start = _HEADER.size + at * _ENTRY.size
        return self._data[start : start + 8]


def _hash(key: bytes) -> bytes:
    return blake2b(key, digest_size=8).digest()
