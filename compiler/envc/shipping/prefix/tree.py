"""Writes objects into a folder, on all cores. Nothing outside the folder is ever written.

The folder is new, and no other process uses it. Members are written without following links, into folders that were
created here, and links are created last, so that no write can pass through one. `format.paths` explains why the links
themselves are harmless.
"""

from __future__ import annotations

import os
import sys
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
from envc.shipping.format.errors import CorruptBlob, MissingBlob, UnsafePath
from envc.shipping.format.object_index import ReadRange
from envc.shipping.format.paths import check_names
from envc.shipping.prefix.object_cache import ObjectCache
from envc.system.buffers import write_all
from envc.system.cores import usable_cores
from envc.system.forks import can_fork, run_in_forks
from envc.system.waits import waits_for
from envc_solvers.target import Family

if TYPE_CHECKING:
    from concurrent.futures import Future

    from envc.system.buffers import Owned

_WRITE = os.O_WRONLY | os.O_CREAT
for _flag in ("O_NOFOLLOW", "O_CLOEXEC", "O_BINARY"):  # each is missing on some system
    _WRITE |= getattr(os, _flag, 0)
_TIMES_BY_FILE = os.utime in os.supports_fd
_BYTES_PER_FORK = 8 << 20  # of frames, which take ten times as long to write as a fork takes to start
_RUNS_PER_PROCESS = 5  # tasks for each process, if all had the same size; the last ones are small
_FILES_PER_FORK = 4000  # starting a fork takes as long as sharing a few hundred files


SYSTEM: Family = "windows" if os.name == "nt" else "macos" if sys.platform == "darwin" else "linux"


class CorruptObject(CorruptBlob):
    """An object that is missing in the store, or does not match its index. `bundle --repair` derives it again."""

    def __init__(self, what: str, reason: str, layout: str, artifact: Sha256) -> None:
        super().__init__(what, reason, "run `envc bundle --repair`, which makes the object again from its artifact")
        self.layout = layout
        self.artifact = artifact

    def data(self) -> dict[str, object]:
        return {"layout": self.layout, "artifact": self.artifact}


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One object to be written, except some of its members."""

    index: ObjectIndex  # checked before it is used
    what: str  # its name in errors
    title: str = "files"  # its name for users who wait for it
    read_range: ReadRange
    skipped: frozenset[str] = frozenset()  # paths that belong to another object
    contents: bool = True  # whether contents are compared with the digests of members, in addition to those of frames
    names: tuple[Sha256, ...] = ()  # its possible names in the object cache; it is added under the first one

    @property
    def size(self) -> int:
        """The bytes of all frames."""
        return sum(frame.length for frame in self.index.frames)

    @property
    def selected(self) -> Iterable[Member]:
        """The members to be written."""
        if not self.skipped:
            return self.index.members
        return [member for member in self.index.members if member.path not in self.skipped]

    def reader(self, number: int) -> Callable[[], Owned]:
        """A function that reads the bytes of a frame."""
        frame = self.index.frames[number]
        return partial(self.read_range, frame.offset, frame.length)


def write_tree(
    root: Path,
    parts: Sequence[Part],
    task: Task,
    *,
    cache: ObjectCache | None = None,
    threads: int | None = None,
    in_flight: int = 1,
) -> None:
    """Write the members of all parts below `root`, an empty folder. `task` advances by compressed bytes.

    Objects that are in `cache` are shared from there; the others are added to it. `in_flight` frames are read ahead of
    the threads that write, for stores with slow answers. Raises CorruptBlob for an invalid index; CorruptObject for
    bytes that are missing or do not match an index; FileExistsError, IsADirectoryError or NotADirectoryError if two
    members have the same place; and other OSErrors if the files cannot be written. Files that were written before
    an error stay.
    """
    for part in parts:
        try:
            check_names(part.index.members, SYSTEM)
        except UnsafePath as error:
            raise CorruptBlob(part.what, f"cannot be written on this machine: {error}") from None
    target = _Target(root, _Folders(root), cache, task)
    missing = list(parts) if cache is None else _place(target, parts, cache)
    if missing:
        _write(target, missing, threads, in_flight)
    for part in parts:
        for member in part.selected:
            if member.type == "link":
                (root / member.path).symlink_to(member.link)


class _Target(NamedTuple):
    """The folder that a tree is written to, with the object cache and the progress to report."""

    root: Path
    folders: _Folders
    cache: ObjectCache | None
    task: Task

    def finish(self, part: Part) -> None:
        """Complete a part after all of its frames have been written."""
        for member in _sliced(part):
            _finish_sliced(self.root, part, member)

    def keep(self, part: Part, *, may_copy: bool = True) -> bool:
        """`ObjectCache.keep`, if the part is to be cached at all."""
        if self.cache is None or not part.names:
            return True
        return self.cache.keep(self.root, part.index, part.names[0], part.skipped, may_copy=may_copy)

    def is_kept(self, part: Part) -> bool:
        """Whether `keep` has nothing left to do."""
        return self.cache is None or not part.names or self.cache.holds(part.index.layout, part.names[0])


def _write(target: _Target, parts: list[Part], threads: int | None, in_flight: int) -> None:
    """Read, check and write the files of these parts, and add each part to the object cache.

    Forks of this process do the work if reading does not wait for a network, and threads otherwise.
    """
    # Largest first: a large object at the end would leave the other cores idle.
    parts.sort(key=lambda part: -part.size)
    forks = (threads or usable_cores()) - 1
    if in_flight == 1 and forks and sum(part.size for part in parts) > _BYTES_PER_FORK:
        runs = _runs(parts, forks + 1)
        if can_fork(len(runs)):
            _write_in_forks(target, parts, runs, forks)
            return
    _write_on_threads(target, parts, threads, in_flight)


class _Run(NamedTuple):
    """Consecutive frames of one part, to be written by one process."""

    part: Part
    numbers: range
    size: int  # bytes of the frames

    @property
    def is_whole(self) -> bool:
        return len(self.numbers) == len(self.part.index.frames)


def _runs(parts: list[Part], processes: int) -> list[_Run]:
    """All frames of the parts, as runs. A part is one run, so that only one process checks its index, unless it is so
    large that the other processes would have to wait for it.
    """
    most = sum(part.size for part in parts) // (_RUNS_PER_PROCESS * processes)
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


def _write_in_forks(target: _Target, parts: list[Part], runs: list[_Run], forks: int) -> None:
    """As `_write`. A fifth faster than threads, which wait for the GIL after each of 100,000 short calls."""
    readers: dict[int, ObjectReader] = {}

    def write(at: int) -> bool:
        run = runs[at]
        part, reader = run.part, readers.get(id(run.part))
        if reader is None:
            reader = readers[id(part)] = ObjectReader(part.index, part.what, contents=part.contents)
            target.folders.make(part, shared=True)
        with _reporting(part), _removing_on_error() as written:
            for number in run.numbers:
                _write_pieces(target.root, part, reader.pieces(number, part.reader(number)()), written)
            if run.is_whole:
                target.finish(part)
                target.keep(part, may_copy=False)
        return True

    run_in_forks(write, len(runs), forks=forks, done=lambda at: target.task.advance(runs[at].size))
    whole = {id(run.part) for run in runs if run.is_whole}
    left = [part for part in parts if id(part) not in whole or not target.is_kept(part)]

    def complete(at: int) -> bool:
        part = left[at]
        if id(part) not in whole:
            with _reporting(part):
                target.finish(part)
        return target.keep(part)

    tasks = sum(len(part.index.members) for part in left) // _FILES_PER_FORK
    tasks += sum(member.size for part in left if part.contents for member in _sliced(part)) // _BYTES_PER_FORK
    run_in_forks(complete, len(left), forks=min(forks, tasks))


def _write_on_threads(target: _Target, parts: list[Part], threads: int | None, in_flight: int) -> None:
    """As `_write`. The first files are written while the indexes of other parts are being checked, and objects are
    added to the cache while others are being read.
    """
    from envc.system.readahead import ReadAhead
    from envc.system.write_pool import WritePool, wait_for

    window = min(in_flight, sum(len(part.index.frames) for part in parts))
    with WritePool(threads) as pool, ReadAhead(window) as read_ahead:
        pieces: list[list[Future[None]]] = []
        for part in parts:
            reader = ObjectReader(part.index, part.what, contents=part.contents)
            target.folders.make(part)
            pieces.append([])
            for number in range(len(part.index.frames)):
                moving = _Moving(part, number, target.task)
                read = read_ahead.add(moving.read)
                pieces[-1].append(pool.submit(partial(_write_frame, target, reader, moving, read)))
        later: list[Part] = []  # to be cached once the prefix has all the disk space that it needs
        for part, own in zip(parts, pieces, strict=True):
            wait_for(own)
            with _reporting(part):
                target.finish(part)
            later += [] if target.keep(part, may_copy=False) else [part]
    for part in later:
        target.keep(part)


class _Moving:
    """A frame on its way, whose bytes are reported while they arrive if a network brings them."""

    def __init__(self, part: Part, number: int, task: Task) -> None:
        self.part = part
        self.number = number
        self._task = task
        self._reported = 0

    def read(self) -> Owned:
        with waits_for(self.part.title, self._task) as purpose:
            data = self.part.reader(self.number)()
        self._reported = purpose.moved
        return data

    def done(self) -> None:
        self._task.advance(self.part.index.frames[self.number].length - self._reported)


def _write_frame(target: _Target, reader: ObjectReader, moving: _Moving, read: Callable[[], Owned]) -> None:
    part = moving.part
    with _reporting(part), _removing_on_error() as written:
        _write_pieces(target.root, part, reader.pieces(moving.number, read()), written)
    moving.done()


def _place(target: _Target, parts: Sequence[Part], cache: ObjectCache) -> list[Part]:
    """Share the objects that are in the cache. Returns the parts that are not, or not completely."""

    def place(part: Part) -> bool:
        cached = (name for name in part.names if cache.holds(part.index.layout, name))
        return any(cache.place(target.root, part.index, name, part.skipped) for name in cached)

    known = [part for part in parts if any(cache.holds(part.index.layout, name) for name in part.names)]
    # Largest first, so that all processes finish at about the same time.
    known.sort(key=lambda part: -len(part.index.members))
    for part in known:
        target.folders.make(part)
    files = sum(len(part.index.members) for part in known)
    forks = min(usable_cores() - 1, files // _FILES_PER_FORK)
    results = run_in_forks(lambda number: place(known[number]), len(known), forks=forks)
    placed = [part for part, is_placed in zip(known, results, strict=True) if is_placed]
    target.task.advance(sum(part.size for part in placed))
    done = set(map(id, placed))  # by id, since comparing two parts would compare all of their members
    return [part for part in parts if id(part) not in done]


class _Folders:
    """The folders below a root, each created once. Uses `os`: thousands of Path objects cost more than the folders."""

    def __init__(self, root: Path) -> None:
        self._root = str(root)
        self._made = {""}

    def make(self, part: Part, *, shared: bool = False) -> None:
        """Create the folders of a part's members, whose paths have been checked. With `shared`, forks of this process
        may create the same folders.
        """
        made = self._made
        for member in part.selected:
            folder = member.path.rpartition("/")[0]
            if folder not in made:
                self._make(folder, shared)

    def _make(self, folder: str, shared: bool) -> None:
        parent = folder.rpartition("/")[0]
        if parent not in self._made:
            self._make(parent, shared)
        place = f"{self._root}/{folder}"
        try:
            os.mkdir(place)  # noqa: PTH102
        except FileExistsError:
            if not (shared and os.path.isdir(place)):  # noqa: PTH112
                raise
        self._made.add(folder)


@contextmanager
def _reporting(part: Part) -> Iterator[None]:
    try:
        yield
    except (CorruptBlob, MissingBlob) as error:
        raise CorruptObject(part.what, error.reason, part.index.layout, part.index.artifact) from None


@contextmanager
def _removing_on_error() -> Iterator[list[str]]:
    """A list of paths. If the body fails, these files are removed, so that the work can be repeated."""
    written: list[str] = []
    try:
        yield written
    except BaseException:
        for path in written:
            os.unlink(path)  # noqa: PTH108
        raise


def _sliced(part: Part) -> list[Member]:
    """The members that span several frames."""
    paths = {frame.path for frame in part.index.frames if frame.at}
    return [member for member in part.selected if member.path in paths] if paths else []


def _write_pieces(root: Path, part: Part, pieces: Iterable[Piece], written: list[str]) -> None:
    """Write the files of a frame, and add those that it wrote completely to `written`.

    This is a function so that no variable refers to the content of this frame while the next one is read: two frames
    would not fit into the CPU cache.
    """
    base, skipped = f"{root}/", part.skipped
    for piece in pieces:
        if piece.member.type == "file" and piece.member.path not in skipped:
            _write_piece(base, piece, written)


def _write_piece(base: str, piece: Piece, written: list[str]) -> None:
    # Slices of one member arrive in any order, so the first one to arrive creates the file.
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
