"""Objects into a folder, on all cores. Nothing but the folder is ever written to.

The folder is new and nobody else's. Members are written without following links, into folders that were made here, and
links come last, so that no write can pass through one (`envc.store.paths` says why the links themselves are harmless).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from envc.model.digest import Sha256, sha256_file
from envc.model.progress import Task
from envc.model.record import Member, ObjectIndex
from envc.shipping.format.decode import ObjectReader, Piece
from envc.shipping.format.errors import CorruptBlob, MissingBlob
from envc.shipping.format.object_index import ReadRange
from envc.shipping.prefix.object_cache import Unpacked
from envc.system.buffers import write_all
from envc.system.cores import usable_cores
from envc.system.forks import can_fork, run_in_forks

if TYPE_CHECKING:
    from concurrent.futures import Future

    from envc.system.buffers import Owned

_WRITE = os.O_WRONLY | os.O_CREAT
for _flag in ("O_NOFOLLOW", "O_CLOEXEC", "O_BINARY"):  # each is missing on some system
    _WRITE |= getattr(os, _flag, 0)
_TIMES_BY_FILE = os.utime in os.supports_fd
_BYTES_FOR_A_COPY = 8 << 20  # of frames, which then take ten times as long as to make a copy of this process
_RUNS_FOR_EACH = 5  # pieces of work for each process, if all were of one size: the last ones are small
_FILES_FOR_A_COPY = 4000  # to make a copy of this process takes as long as to share some hundreds of files


class CorruptObject(CorruptBlob):
    """An object that the store does not hold as its index says, or not at all. `bundle` derives it again."""

    def __init__(self, what: str, reason: str, layout: str, artifact: Sha256) -> None:
        super().__init__(what, reason, "run `envc bundle`: it makes the object again from its artifact")
        self.layout = layout
        self.artifact = artifact

    def data(self) -> dict[str, object]:
        return {"layout": self.layout, "artifact": self.artifact}


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One object to be written, but for some of its members."""

    index: ObjectIndex  # checked before it is used
    what: str  # for people
    read_range: ReadRange
    skipped: frozenset[str] = frozenset()  # paths that belong to another object
    contents: bool = True  # whether contents are compared with their members' digests, not with the frames' alone
    names: tuple[Sha256, ...] = ()  # by which it may be unpacked on this machine; it is kept there by the first one

    @property
    def size(self) -> int:
        """Bytes of all frames."""
        return sum(frame.length for frame in self.index.frames)

    @property
    def wanted(self) -> Iterable[Member]:
        """The members to be written."""
        if not self.skipped:
            return self.index.members
        return [member for member in self.index.members if member.path not in self.skipped]

    def reading(self, number: int) -> Callable[[], Owned]:
        """What reads the bytes of a frame."""
        frame = self.index.frames[number]
        return partial(self.read_range, frame.offset, frame.length)


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

    Objects that are `unpacked` on this machine are shared from there, the others are kept there.
    `in_flight` frames are read ahead of the threads that write, for stores whose answers take their time.
    Raises CorruptBlob for an index that is not one; CorruptObject for bytes that are not there or not what an index
    says; FileExistsError, IsADirectoryError or NotADirectoryError where two members want one place; other OSErrors for
    a disk that cannot take them. What was written until then stays.
    """
    site = _Site(root, _Folders(root), unpacked, task)
    missing = list(parts) if unpacked is None else _place(site, parts, unpacked)
    if missing:
        _write(site, missing, threads, in_flight)
    for part in parts:
        for member in part.wanted:
            if member.type == "link":
                (root / member.path).symlink_to(member.link)


class _Site(NamedTuple):
    """Where a tree is made, and who is told."""

    root: Path
    folders: _Folders
    unpacked: Unpacked | None
    task: Task

    def finish(self, part: Part) -> None:
        """What is left to do when all frames of a part have been written."""
        for member in _sliced(part):
            _finish_sliced(self.root, part, member)

    def keep(self, part: Part, *, may_copy: bool = True) -> bool:
        """`Unpacked.keep`, where anything is to be kept at all."""
        if self.unpacked is None or not part.names:
            return True
        return self.unpacked.keep(self.root, part.index, part.names[0], part.skipped, may_copy=may_copy)

    def is_kept(self, part: Part) -> bool:
        """Whether `keep` has nothing to do any more."""
        return self.unpacked is None or not part.names or self.unpacked.holds(part.index.layout, part.names[0])


def _write(site: _Site, parts: list[Part], threads: int | None, in_flight: int) -> None:
    """Read, check and write the files of these parts, and keep each for other prefixes.

    Copies of this process do it where nothing is to be waited for, threads elsewhere.
    """
    # Largest first: a long object at the end would leave the other cores idle.
    parts.sort(key=lambda part: -part.size)
    copies = (threads or usable_cores()) - 1
    if in_flight == 1 and copies and sum(part.size for part in parts) > _BYTES_FOR_A_COPY:
        runs = _runs(parts, copies + 1)
        if can_fork(len(runs)):
            _write_with_copies(site, parts, runs, copies)
            return
    _write_on_threads(site, parts, threads, in_flight)


class _Run(NamedTuple):
    """Frames of one part that follow each other, for one process."""

    part: Part
    numbers: range
    size: int  # bytes of the frames

    @property
    def is_whole(self) -> bool:
        return len(self.numbers) == len(self.part.index.frames)


def _runs(parts: list[Part], processes: int) -> list[_Run]:
    """All frames of the parts. A part is one run, so that one process alone checks its index, unless it is so large
    that others would have to wait for it.
    """
    most = sum(part.size for part in parts) // (_RUNS_FOR_EACH * processes)
    runs: list[_Run] = []
    for part in parts:
        start = size = 0
        for number, frame in enumerate(part.index.frames):
            size += frame.length
            if size >= most or number + 1 == len(part.index.frames):
                runs.append(_Run(part, range(start, number + 1), size))
                start, size = number + 1, 0
    runs.sort(key=lambda run: -run.size)
    return runs


def _write_with_copies(site: _Site, parts: list[Part], runs: list[_Run], copies: int) -> None:
    """As `_write`. A fifth faster than threads, which wait for the interpreter after each of 100,000 short calls."""
    readers: dict[int, ObjectReader] = {}

    def write(at: int) -> bool:
        run = runs[at]
        part, reader = run.part, readers.get(id(run.part))
        if reader is None:
            reader = readers[id(part)] = ObjectReader(part.index, part.what, contents=part.contents)
            site.folders.make(part, beside_others=True)
        with _guard(part), _removing() as written:
            for number in run.numbers:
                _write_pieces(site.root, part, reader.pieces(number, part.reading(number)()), written)
            if run.is_whole:
                site.finish(part)
                site.keep(part, may_copy=False)
        return True

    run_in_forks(write, len(runs), forks=copies, done=lambda at: site.task.advance(runs[at].size))
    whole = {id(run.part) for run in runs if run.is_whole}
    left = [part for part in parts if id(part) not in whole or not site.is_kept(part)]

    def complete(at: int) -> bool:
        part = left[at]
        if id(part) not in whole:
            with _guard(part):
                site.finish(part)
        return site.keep(part)

    amount = sum(len(part.index.members) for part in left) // _FILES_FOR_A_COPY
    amount += sum(member.size for part in left if part.contents for member in _sliced(part)) // _BYTES_FOR_A_COPY
    run_in_forks(complete, len(left), forks=min(copies, amount))


def _write_on_threads(site: _Site, parts: list[Part], threads: int | None, in_flight: int) -> None:
    """As `_write`. The first files are written while the indexes of the others are still checked, and objects are kept
    while others are being read.
    """
    from envc.system.readahead import ReadAhead
    from envc.system.write_pool import WritePool, wait_for

    window = min(in_flight, sum(len(part.index.frames) for part in parts))
    with WritePool(threads) as pool, ReadAhead(window) as ahead:
        pieces: list[list[Future[None]]] = []
        for part in parts:
            reader = ObjectReader(part.index, part.what, contents=part.contents)
            site.folders.make(part)
            pieces.append([])
            for number in range(len(part.index.frames)):
                read = ahead.add(part.reading(number))
                pieces[-1].append(pool.submit(partial(_write_frame, site, part, reader, number, read)))
        later: list[Part] = []  # to be kept when the prefix has all the room that it needs
        for part, own in zip(parts, pieces, strict=True):
            wait_for(own)
            with _guard(part):
                site.finish(part)
            later += [] if site.keep(part, may_copy=False) else [part]
    for part in later:
        site.keep(part)


def _write_frame(site: _Site, part: Part, reader: ObjectReader, number: int, read: Callable[[], Owned]) -> None:
    with _guard(part), _removing() as written:
        _write_pieces(site.root, part, reader.pieces(number, read()), written)
    site.task.advance(part.index.frames[number].length)


def _place(site: _Site, parts: Sequence[Part], unpacked: Unpacked) -> list[Part]:
    """Put objects that were unpacked before in place; answers with those that were not, or are not whole any more."""

    def place(part: Part) -> bool:
        held = (name for name in part.names if unpacked.holds(part.index.layout, name))
        return any(unpacked.place(site.root, part.index, name, part.skipped) for name in held)

    known = [part for part in parts if any(unpacked.holds(part.index.layout, name) for name in part.names)]
    # Largest first, so that nobody has much left to do when the others are through.
    known.sort(key=lambda part: -len(part.index.members))
    for part in known:
        site.folders.make(part)
    files = sum(len(part.index.members) for part in known)
    copies = min(usable_cores() - 1, files // _FILES_FOR_A_COPY)
    answers = run_in_forks(lambda number: place(known[number]), len(known), forks=copies)
    placed = [part for part, is_there in zip(known, answers, strict=True) if is_there]
    site.task.advance(sum(part.size for part in placed))
    there = set(map(id, placed))  # to compare two parts is to compare all of their members
    return [part for part in parts if id(part) not in there]


class _Folders:
    """The folders below a root, each made once. `os`, since thousands of Path objects cost more than the folders."""

    def __init__(self, root: Path) -> None:
        self._root = str(root)
        self._made = {""}

    def make(self, part: Part, *, beside_others: bool = False) -> None:
        """Make the folders of a part's members, whose paths have been checked. `beside_others` says that copies of this
        process make some of the same.
        """
        made = self._made
        for member in part.wanted:
            folder = member.path.rpartition("/")[0]
            if folder not in made:
                self._make(folder, beside_others)

    def _make(self, folder: str, beside_others: bool) -> None:
        parent = folder.rpartition("/")[0]
        if parent not in self._made:
            self._make(parent, beside_others)
        place = f"{self._root}/{folder}"
        try:
            os.mkdir(place)  # noqa: PTH102
        except FileExistsError:
            if not (beside_others and os.path.isdir(place)):  # noqa: PTH112
                raise
        self._made.add(folder)


@contextmanager
def _guard(part: Part) -> Iterator[None]:
    try:
        yield
    except (CorruptBlob, MissingBlob) as error:
        raise CorruptObject(part.what, error.reason, part.index.layout, part.index.artifact) from None


@contextmanager
def _removing() -> Iterator[list[str]]:
    """Paths of files to be removed again where what follows fails, so that it may be tried once more."""
    written: list[str] = []
    try:
        yield written
    except BaseException:
        for path in written:
            os.unlink(path)  # noqa: PTH108
        raise


def _sliced(part: Part) -> list[Member]:
    """Members that are spread over several frames."""
    paths = {frame.path for frame in part.index.frames if frame.at}
    return [member for member in part.wanted if member.path in paths] if paths else []


def _write_pieces(root: Path, part: Part, pieces: Iterable[Piece], written: list[str]) -> None:
    """Write the files of a frame; those that it made alone are `written`.

    A function, so that nothing holds the content of this frame while the next is read: two would not fit into a cache.
    """
    base, skipped = f"{root}/", part.skipped
    for piece in pieces:
        if piece.member.type == "file" and piece.member.path not in skipped:
            _write_piece(base, piece, written)


def _write_piece(base: str, piece: Piece, written: list[str]) -> None:
    # Slices of one member arrive in any order, so whichever comes first creates the file.
    member, is_whole = piece.member, piece.is_whole
    path = base + member.path
    file = os.open(path, _WRITE | os.O_EXCL if is_whole else _WRITE, member.mode)
    if is_whole:
        written.append(path)
    try:
        if piece.at:
            os.lseek(file, piece.at, os.SEEK_SET)
        write_all(file, piece.data)
        if is_whole and _TIMES_BY_FILE:
            os.utime(file, (member.mtime, member.mtime))
    finally:
        os.close(file)
    if is_whole and not _TIMES_BY_FILE:
        os.utime(path, (member.mtime, member.mtime))


def _finish_sliced(root: Path, part: Part, member: Member) -> None:
    path = root / member.path
    if part.contents and sha256_file(path) != member.sha256:
        raise CorruptBlob(part.what, f"{member.path!r} does not match its digest")
    os.utime(path, (member.mtime, member.mtime))
