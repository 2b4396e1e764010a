"""Writes entries as the bytes of an object, which depend only on the entries, the level and the version of libzstd."""

from __future__ import annotations

import hashlib
import io
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import BinaryIO, Self

import msgspec

from envc.errors import StoreError
from envc.model.digest import Sha256, sha256
from envc.model.record import MTIME, Frame, Member, ObjectIndex, content_digest
from envc.shipping.format.frames import compress
from envc.shipping.format.object_index import check_index, encode_trailer
from envc.shipping.format.paths import check_tree, rules
from envc.shipping.format.spans import Span, spans
from envc.shipping.format.tar import encode_header, padding
from envc.system.cores import usable_cores

LEVEL = 9  # `--fast` is 3, `--small` is 19
_CHUNK = 1 << 20  # bytes read at once from a content

Content = bytes | Path | Callable[[], BinaryIO]  # a callable opens the content; the stream is closed after reading


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A member to be written, and the source of its content."""

    path: str
    content: Content = b""
    size: int | None = None  # bytes; required for a callable, otherwise determined from the content
    executable: bool = False
    link: str = ""  # target of a symbolic link; "" for a file
    mtime: int = MTIME

    def member(self) -> Member:
        """The member without its digest. Raises OSError if the file of a Path does not exist."""
        if self.link:
            return Member(path=self.path, type="link", mode=0o777, link=self.link, mtime=self.mtime)
        size = self.size
        if size is None:
            if isinstance(self.content, bytes):
                size = len(self.content)
            elif isinstance(self.content, Path):
                size = self.content.stat().st_size
            else:
                raise TypeError(f"the size of {self.path!r} is not known")
        return Member(path=self.path, mode=0o755 if self.executable else 0o644, size=size, mtime=self.mtime)

    def open(self) -> BinaryIO:
        if isinstance(self.content, bytes):
            return io.BytesIO(self.content)
        return self.content.open("rb") if isinstance(self.content, Path) else self.content()


class Encoder:
    """A thread pool that compresses frames. Several objects may be written at once, each from its own thread.

    Memory is bounded, independent of the size and number of objects: at most ``2 * threads`` frames of tar, and as many
    compressed frames for each object that is being written.
    """

    def __init__(self, *, level: int = LEVEL, threads: int | None = None) -> None:
        self._level = level
        self._threads = threads or usable_cores()
        self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="envc-encode")
        self._budget = threading.BoundedSemaphore(2 * self._threads)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def write_object(
        self, entries: Iterable[Entry], out: BinaryIO, *, layout: str, artifact: Sha256 | None = None
    ) -> tuple[ObjectIndex, int]:
        """Write the object of these entries, given in any order. Returns its index and its size in bytes.

        Without an `artifact` (code, an environment's own files), the object is named by its content digest. Raises
        UnsafePath for a tree that must not be written, StoreError if a content does not have the announced length, and
        whatever reading the contents and writing to `out` raise.
        """
        ordered = sorted(entries, key=lambda entry: entry.path)
        members = [entry.member() for entry in ordered]
        check_tree(members, **rules(layout))
        digests: list[str] = []
        cut = spans(members)
        frames: list[Frame] = []
        raw = _frames_of(_tar(ordered, members, digests), cut)
        position = 0
        with closing(self._compressed(raw)) as compressed_frames:
            for span, (compressed, digest) in zip(cut, compressed_frames, strict=True):
                continued = members[span.first] if span.at else None
                frames.append(
                    Frame(
                        offset=position,
                        length=len(compressed),
                        raw=span.raw,
                        sha256=digest,
                        path=continued.path if continued else "",
                        at=span.at,
                        mode=continued.mode if continued else 0,
                    )
                )
                out.write(compressed)
                position += len(compressed)
        whole = tuple(
            msgspec.structs.replace(member, sha256=digest) for member, digest in zip(members, digests, strict=True)
        )
        index = ObjectIndex(
            artifact=artifact or content_digest(whole), layout=layout, frames=tuple(frames), members=whole
        )
        # The reader's checks run on what was written: a writer that disagrees with the reader must fail here, not
        # later.
        check_index(index, "the object being written", end=position)
        trailer = encode_trailer(index, position)
        out.write(trailer)
        return index, position + len(trailer)

    def _compressed(self, raw: Iterator[bytes]) -> Generator[tuple[bytes, Sha256], None, None]:
        """The compressed frames, in order, with their digests."""
        pending: deque[Future[tuple[bytes, Sha256]]] = deque()
        try:
            while True:
                self._budget.acquire()
                try:
                    frame = next(raw)
                    pending.append(self._pool.submit(self._compress, frame))
                except BaseException as stop:
                    self._budget.release()
                    if isinstance(stop, StopIteration):
                        break
                    raise
                while pending and (pending[0].done() or len(pending) > 2 * self._threads):
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                if future.cancel():
                    self._budget.release()

    def _compress(self, frame: bytes) -> tuple[bytes, Sha256]:
        try:
            compressed = compress(frame, self._level)
            return compressed, sha256(compressed)
        finally:
            self._budget.release()


def write_object(
    entries: Iterable[Entry],
    out: BinaryIO,
    *,
    layout: str,
    artifact: Sha256 | None = None,
    level: int = LEVEL,
    threads: int | None = None,
) -> tuple[ObjectIndex, int]:
    """`Encoder.write_object` for a single object."""
    with Encoder(level=level, threads=threads) as encoder:
        return encoder.write_object(entries, out, layout=layout, artifact=artifact)


def _tar(entries: list[Entry], members: list[Member], digests: list[str]) -> Iterator[bytes]:
    """The tar stream of the members, in pieces of about one mebibyte at most. A digest is added after each content."""
    for entry, member in zip(entries, members, strict=True):
        yield encode_header(member)
        if member.type == "link":
            digests.append("")
            continue
        running = hashlib.sha256()
        left = member.size
        with entry.open() as stream:
            while chunk := stream.read(min(left, _CHUNK)):
                running.update(chunk)
                left -= len(chunk)
                yield chunk
            if left or stream.read(1):
                raise StoreError(member.path, f"is not {member.size} bytes long, as announced")
        digests.append(running.hexdigest())
        yield bytes(padding(member.size))


def _frames_of(tar: Iterator[bytes], cut: list[Span]) -> Iterator[bytes]:
    """The tar stream, cut into frames of the sizes of the spans."""
    buffer = bytearray()
    for span in cut:
        while len(buffer) < span.raw:
            buffer += next(tar)
        frame = bytes(memoryview(buffer)[: span.raw])
        del buffer[: span.raw]
        yield frame
    for _ in tar:  # exhausts it: the last digest is added after the last byte
        pass
