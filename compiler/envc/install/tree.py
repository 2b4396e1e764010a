"""Objects into a folder, on as many threads as there are cores. Nothing but the folder is ever written to.

The folder is new and nobody else's. Members are written without following links, into folders that were made here, and
links come last, so that no write can pass through one (`envc.store.paths` says why the links themselves are harmless).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from functools import partial
from pathlib import Path

import msgspec

from envc.install.unpacked import Unpacked
from envc.model.digest import Sha256, sha256_file
from envc.model.progress import Task
from envc.model.record import Member
from envc.store.ahead import Ahead
from envc.store.decode import ObjectReader, Piece
from envc.store.encode import usable_cores
from envc.store.errors import CorruptBlob, MissingBlob
from envc.store.index import ReadRange

_WRITE = os.O_WRONLY | os.O_CREAT
for _flag in ("O_NOFOLLOW", "O_CLOEXEC", "O_BINARY"):  # each is missing on some system
    _WRITE |= getattr(os, _flag, 0)
_TIMES_BY_FILE = os.utime in os.supports_fd


class CorruptObject(CorruptBlob):
    """An object that the store does not hold as its index says, or not at all. `bundle` derives it again."""

    def __init__(self, what: str, reason: str, layout: str, artifact: Sha256) -> None:
        super().__init__(what, reason, "run `envc bundle`: it makes the object again from its artifact")
        self.layout = layout
        self.artifact = artifact

    def data(self) -> dict[str, object]:
        return {"layout": self.layout, "artifact": self.artifact}


class Part(msgspec.Struct, frozen=True):
    """One object to be written, but for some of its members."""

    reader: ObjectReader
    read_range: ReadRange
    skipped: frozenset[str] = frozenset()  # paths that belong to another object
    content: Sha256 | None = None  # content digest, by which the object is kept on this machine; None: it is not


def write_tree(
    root: Path,
    parts: Sequence[Part],
    task: Task,
    *,
    unpacked: Unpacked | None = None,
    threads: int | None = None,
    in_flight: int = 1,
) -> None:
    """Write the members of all parts below `root`, an empty folder. `task` advances by compressed bytes.

    Objects that are `unpacked` on this machine are shared from there, the others are kept there when all is written.
    `in_flight` frames are read ahead of the threads that write, for stores whose answers take their time.
    Raises CorruptObject for bytes that are not there or not what an index says; FileExistsError, IsADirectoryError or
    NotADirectoryError where two members want one place; other OSErrors for a disk that cannot take them. What was
    written until then stays.
    """
    _make_folders(root, parts)
    missing = [part for part in parts if not _place(root, part, unpacked, task)]
    frames = [(frame.length, part, number) for part in missing for number, frame in enumerate(part.reader.index.frames)]
    # Largest first: a long frame at the end would leave the other cores idle.
    frames.sort(key=lambda frame: -frame[0])
    with Ahead([_reading(part, number) for _, part, number in frames], min(in_flight, len(frames))) as ahead:
        writing = (
            (part, partial(_write_frame, root, part, number, partial(ahead.take, place), task))
            for place, (_, part, number) in enumerate(frames)
        )
        _run(writing, threads)
    sliced = [(part, member) for part in missing for member in _sliced(part)]
    _run(((part, partial(_check_sliced, root, part, member)) for part, member in sliced), threads)
    for part in parts:
        for member in _wanted(part):
            if member.type == "link":
                (root / member.path).symlink_to(member.link)
    for part in missing:
        if unpacked is not None and part.content is not None:
            unpacked.keep(root, part.reader.index, part.content, part.skipped)


def _place(root: Path, part: Part, unpacked: Unpacked | None, task: Task) -> bool:
    """Whether an object that was unpacked before has been put in place."""
    index = part.reader.index
    if unpacked is None or part.content is None or not unpacked.place(root, index, part.content, part.skipped):
        return False
    task.advance(sum(frame.length for frame in index.frames))
    return True


def _run(work: Iterable[tuple[Part, Callable[[], None]]], threads: int | None) -> None:
    """Do all of it; the first failure stops what has not begun."""
    with ThreadPoolExecutor(threads or usable_cores() + 1, thread_name_prefix="envc-write") as pool:
        futures = [pool.submit(_guard, part, each) for part, each in work]
        try:
            done, _ = wait(futures, return_when=FIRST_EXCEPTION)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
    for future in done:
        future.result()


def _guard(part: Part, each: Callable[[], None]) -> None:
    try:
        each()
    except (CorruptBlob, MissingBlob) as error:
        index = part.reader.index
        raise CorruptObject(part.reader.what, error.reason, index.layout, index.artifact) from None


def _wanted(part: Part) -> Iterable[Member]:
    return (member for member in part.reader.index.members if member.path not in part.skipped)


def _sliced(part: Part) -> list[Member]:
    """Members that are spread over several frames."""
    paths = {frame.path for frame in part.reader.index.frames if frame.at}
    return [member for member in _wanted(part) if member.path in paths] if paths else []


def _make_folders(root: Path, parts: Sequence[Part]) -> None:
    folders: set[str] = set()
    for part in parts:
        for member in _wanted(part):
            folder = member.path.rpartition("/")[0]
            while folder and folder not in folders:
                folders.add(folder)
                folder = folder.rpartition("/")[0]
    base = f"{root}/"
    for folder in sorted(folders):  # a folder stands before those in it
        os.mkdir(base + folder)  # noqa: PTH102 - thousands of Path objects cost more than the folders


def _reading(part: Part, number: int) -> Callable[[], bytes]:
    frame = part.reader.index.frames[number]
    return partial(part.read_range, frame.offset, frame.length)


def _write_frame(root: Path, part: Part, number: int, read: Callable[[], bytes], task: Task) -> None:
    frame = part.reader.index.frames[number]
    base = f"{root}/"
    for piece in part.reader.pieces(number, read()):
        if piece.member.type == "file" and piece.member.path not in part.skipped:
            _write_piece(base, piece)
    task.advance(frame.length)


def _write_piece(base: str, piece: Piece) -> None:
    # Slices of one member arrive in any order, so whichever comes first creates the file.
    flags = _WRITE | os.O_EXCL if piece.is_whole else _WRITE
    file = os.open(base + piece.member.path, flags, piece.member.mode)
    try:
        if piece.at:
            os.lseek(file, piece.at, os.SEEK_SET)
        rest = piece.data
        while rest:
            rest = rest[os.write(file, rest) :]
        if piece.is_whole and _TIMES_BY_FILE:
            os.utime(file, (piece.member.mtime, piece.member.mtime))
    finally:
        os.close(file)
    if piece.is_whole and not _TIMES_BY_FILE:
        os.utime(base + piece.member.path, (piece.member.mtime, piece.member.mtime))


def _check_sliced(root: Path, part: Part, member: Member) -> None:
    path = root / member.path
    if sha256_file(path) != member.sha256:
        raise CorruptBlob(part.reader.what, f"{member.path!r} does not match its digest")
    os.utime(path, (member.mtime, member.mtime))
