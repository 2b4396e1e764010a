"""Helpers for tests of the store: an in-memory store that logs requests, and functions that make and read objects."""

from __future__ import annotations

import io
import time
from collections.abc import Iterable, Iterator
from typing import BinaryIO

from envc.model.digest import Sha256, sha256
from envc.model.record import ObjectIndex
from envc.shipping.format.decode import read_object
from envc.shipping.format.encode import Encoder, Entry
from envc.shipping.format.errors import CorruptBlob, MissingBlob
from envc.shipping.store.blobs import Listed, WriteTo
from envc.shipping.store.keys import check_key
from envc.shipping.store.objects import bytes_reader

ARTIFACT = sha256(b"an artifact")
LAYOUT = "py3.11-posix"


class MemoryBlobs:
    """The in-memory twin of a store. `requests` lists the requests, such as ``("read", key)``."""

    name = "memory"
    in_flight = 1

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}
        self.times: dict[str, float] = {}  # when blobs were written, in seconds since 1970
        self.requests: list[tuple[str, str]] = []

    def read(self, key: str, limit: int) -> bytes:
        data = self._get("read", key)
        if len(data) > limit:
            raise CorruptBlob(f"{self.name}: {key}", f"is larger than {limit} bytes")
        return data

    def read_range(self, key: str, offset: int, length: int) -> bytes:
        data = self._get("read_range", key)[offset : offset + length]
        if len(data) != length:
            raise CorruptBlob(f"{self.name}: {key}", f"ends before byte {offset + length}")
        return data

    def size(self, key: str) -> int:
        return len(self._get("size", key))

    def open(self, key: str) -> BinaryIO:
        return io.BytesIO(self._get("open", key))

    def write_new(self, key: str, data: bytes | WriteTo) -> bool:
        self.requests.append(("write_new", check_key(key)))
        if key in self.blobs:
            return False
        if callable(data):
            stream = io.BytesIO()
            data(stream)
            data = stream.getvalue()
        self.times.setdefault(key, time.time())
        return self.blobs.setdefault(key, data) is data

    def write(self, key: str, data: bytes) -> None:
        self.requests.append(("write", check_key(key)))
        self.blobs[key] = data
        self.times[key] = time.time()

    def exists(self, key: str) -> bool:
        self.requests.append(("exists", check_key(key)))
        return key in self.blobs

    def delete(self, key: str) -> None:
        self.requests.append(("delete", check_key(key)))
        self.blobs.pop(key, None)
        self.times.pop(key, None)

    def list(self, prefix: str) -> Iterator[str]:
        return (listed.key for listed in self.scan(prefix))

    def scan(self, prefix: str) -> Iterator[Listed]:
        self.requests.append(("list", check_key(prefix)))
        keys = sorted(key for key in self.blobs if key.startswith(prefix + "/"))
        # A test may add bytes without a time.
        return (Listed(key, len(self.blobs[key]), self.times.get(key, time.time())) for key in keys)

    def _get(self, request: str, key: str) -> bytes:
        self.requests.append((request, check_key(key)))
        if key not in self.blobs:
            raise MissingBlob(self.name, key)
        return self.blobs[key]


def encode(
    entries: Iterable[Entry],
    *,
    layout: str = LAYOUT,
    artifact: Sha256 | None = ARTIFACT,
    level: int = 1,
    threads: int = 1,
) -> tuple[bytes, ObjectIndex]:
    """Return an object's bytes and its index."""
    out = io.BytesIO()
    with Encoder(level=level, threads=threads) as encoder:
        index, size = encoder.write_object(entries, out, layout=layout, artifact=artifact)
    assert size == len(out.getvalue())
    return out.getvalue(), index


def tree(index: ObjectIndex, data: bytes) -> dict[str, tuple[int, int, str, bytes]]:
    """Return every member of the object's bytes: mode, time, link target, content."""
    found: dict[str, tuple[int, int, str, bytes]] = {}
    for piece in read_object(index, bytes_reader(data)):
        member = piece.member
        content = found[member.path][3] if member.path in found else b""
        assert len(content) == piece.at
        found[member.path] = (member.mode, member.mtime, member.link, content + bytes(piece.data))
    return found


def tree_of(entries: Iterable[Entry]) -> dict[str, tuple[int, int, str, bytes]]:
    """Return the expected result of `tree` for these entries."""
    found = {}
    for entry in entries:
        assert isinstance(entry.content, bytes)
        mode = 0o777 if entry.link else 0o755 if entry.executable else 0o644
        found[entry.path] = (mode, entry.mtime, entry.link, entry.content)
    return found
