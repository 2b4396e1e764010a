"""The cache of this machine: shows its contents, and evicts entries that have not been used for a while.

All of it can be recreated. Only entries whose names envc gives are counted or removed; everything else in the folder
belongs to the user.

An entry is removed only if no process uses it:

* A command that uses the cache holds a shared lock on it (`USE`) until it ends, or until it starts a step. Entries that
  such a command opens by name are removed only under the exclusive lock.
* A step holds a mark on its environment and its code (`system.locks.in_use`) until it ends.
* Environments and code that are being made are protected by the lock of their folder (`system.atomic_folder`).
* Unpacked objects may be removed at any time (`prefix.object_cache`).
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import msgspec

from envc.fetch.cache.eviction import CacheUsage
from envc.fetch.cache.index_cache import FILE, Cache
from envc.model.progress import Progress
from envc.shipping.prefix.code_cache import MEMBERS
from envc.shipping.prefix.venv import STATE
from envc.system.atomic_folder import remove_folder
from envc.system.cache_folder import LOCKS, USE
from envc.system.locks import exclusive_lock

_TRASH = "trash"  # removed entries, which take longer to delete than to rename
PATIENCE = 5.0  # seconds that `prune` waits for other commands

_AA = "[0-9a-f]{2}"
_DIGEST = "[0-9a-f]{64}"
_LAYOUT = "[a-z0-9._-]{1,250}"
_DRAFT = r"\.[^/]{1,60}\.[0-9a-f]{16}\.partial"  # of `system.atomic_file`


class Part(msgspec.Struct, frozen=True):
    """A folder of the cache."""

    name: str  # in output
    depth: int  # of its entries, which are evicted as a whole
    pattern: str  # of the path of an entry in the folder
    used: str | None = None  # the file in an entry that a step marks
    any_time: bool = False  # whether an entry may be removed while other commands use the cache


def _folder_pattern(name: str) -> str:
    """A folder that `publish_folder` makes, or its draft."""
    return rf"{name}|\.{name}\.envc-(old-)?[0-9a-f]{{16}}"


PARTS = {
    "artifacts": Part("artifacts", 2, rf"{_AA}/{_DIGEST}|partial/{_DIGEST}(\.lock)?"),
    "envs": Part("environments", 1, _folder_pattern("[0-9a-f]{24}"), used=STATE, any_time=True),
    "objects": Part("unpacked objects", 3, rf"{_LAYOUT}/{_AA}/{_DIGEST}|tmp/[0-9a-f]{{32}}", any_time=True),
    "code": Part("code", 1, _folder_pattern(_DIGEST), used=MEMBERS, any_time=True),
    "repodata": Part(
        "channel data",
        3,
        rf"shards(-2)?/{_AA}/{_DIGEST}|[^/]+-[0-9a-f]{{16}}/[a-z0-9-]+(\.json|-[0-9a-f]{{32}}\.slices)",
    ),
    "interpreters": Part("interpreters", 1, rf"{_DIGEST}\.(json|choice)"),
    "scripts": Part("link scripts", 2, rf"{_AA}/{_DIGEST}"),
    "git": Part("git repositories", 1, r"[0-9a-f]{32}(\.lock)?"),
    "builds": Part("builds", 2, rf"store/v1|notes/{_DIGEST}\.json"),
    "pointers": Part("pointers", 1, _DIGEST, any_time=True),
    "coherent": Part("coherent locks", 1, "[0-9a-f]{16}", any_time=True),
    "derived": Part("derived digests", 3, rf"{_LAYOUT}/{_AA}/{_DIGEST}"),
}
_INDEX = Part("index", 1, "")
_INDEX_FILES = (FILE, f"{FILE}-wal", f"{FILE}-shm", f"{FILE}-journal")
_OTHER = Part("other", 1, r"index-v\d+\.sqlite(-wal|-shm|-journal|\.broken)?")  # of earlier versions, or damaged
_WHOLE = frozenset({_INDEX.name, PARTS["derived"].name})  # removed only with everything, never by age
_PATTERNS = {
    folder: re.compile(rf"{part.pattern}|([^/]+/){{0,{part.depth - 1}}}{_DRAFT}") for folder, part in PARTS.items()
}


class CachePart(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of entry in the cache."""

    part: str
    entries: int
    size: int  # bytes; a file with several links counts only once, where it is found first


class Pruned(msgspec.Struct, frozen=True, kw_only=True):
    """The result of pruning, or of a dry run."""

    entries: int
    size: int  # bytes


class _Entry(msgspec.Struct, frozen=True):
    """A file or folder that is evicted as a whole."""

    part: Part
    path: Path
    size: int  # bytes
    last_use: float  # seconds since 1970: when a file in it was last read, written or linked, if the disk records it


def show(cache: Path, progress: Progress) -> tuple[CachePart, ...]:
    """The contents of the cache by part, in a fixed order. For the index cache, projects and artifacts are counted."""
    totals: dict[str, tuple[int, int]] = {}
    for entry in _entries(cache):
        entries, size = totals.get(entry.part.name, (0, 0))
        totals[entry.part.name] = entries + 1, size + entry.size
    if _INDEX.name in totals:
        usage = _index(cache, progress, lambda index: index.usage())
        totals[_INDEX.name] = usage.projects + usage.artifacts, totals[_INDEX.name][1]
    return tuple(CachePart(part=part, entries=entries, size=size) for part, (entries, size) in totals.items())


def prune(cache: Path, unused: float | None, progress: Progress, *, now: float, dry_run: bool = False) -> Pruned:
    """Remove entries that were not used for `unused` seconds before `now` (seconds since 1970). With None, remove all.

    Entries that are in use stay. Those that could not be removed because other commands use the cache, and files that
    are in use on Windows, stay with a warning. Ages are counted from the last use of the whole cache if that is earlier
    than `now`, so that a clock that is far ahead does not make every entry old.
    """
    entries = list(_entries(cache))
    before = None
    if unused is not None:
        last = max((entry.last_use for entry in entries), default=now)
        before = min(now, last) - unused
        if now - last > unused:
            progress.warn(f"{cache} was last used {round((now - last) / 86_400)} days ago; ages are counted from then")
    pruning = _Pruning(cache, before, progress, dry_run)
    pruning.index()
    chosen = [entry for entry in entries if pruning.is_chosen(entry)]
    pruning.remove([entry for entry in chosen if entry.part.any_time])
    left = [entry for entry in chosen if not entry.part.any_time]
    if left and dry_run:
        pruning.remove(left)
    elif left:
        try:
            with exclusive_lock(cache / USE, patience=PATIENCE) as is_alone:
                if is_alone:
                    pruning.remove(left)
                else:
                    progress.warn(
                        f"other commands use the cache, so {len(left)} of its entries were not removed; "
                        "run `envc cache prune` again when they have ended"
                    )
        except OSError as error:
            progress.warn(f"{cache / USE} cannot be locked: {error.strerror}")
    pruning.empty_trash()
    return Pruned(entries=pruning.entries, size=pruning.size)


class _Pruning:
    """One call of `prune`, and what it has removed so far."""

    def __init__(self, cache: Path, before: float | None, progress: Progress, dry_run: bool) -> None:
        self._cache = cache
        self._before = before
        self._progress = progress
        self._dry_run = dry_run
        self.entries = 0
        self.size = 0  # bytes

    def is_chosen(self, entry: _Entry) -> bool:
        return self._before is None or (entry.last_use < self._before and entry.part.name not in _WHOLE)

    def index(self) -> None:
        """Evict rows of the index cache by age."""
        before = self._before
        if before is not None and (self._cache / FILE).exists():
            evicted = _index(self._cache, self._progress, lambda index: index.evict(before, dry_run=self._dry_run))
            self.entries, self.size = evicted.projects + evicted.artifacts, evicted.size

    def remove(self, entries: list[_Entry]) -> None:
        for entry in entries:
            try:
                if not self._dry_run and not self._remove(entry):
                    continue
            except OSError as error:
                self._progress.warn(f"{entry.path} cannot be removed: {error.strerror}")
                continue
            self.entries, self.size = self.entries + 1, self.size + entry.size

    def _remove(self, entry: _Entry) -> bool:
        """Remove an entry. Returns False if it is in use."""
        path = entry.path
        if not _is_folder(path):
            path.unlink(missing_ok=True)
        elif entry.part.used is not None:
            return remove_folder(path, locks=self._cache / LOCKS, used=entry.part.used)
        else:
            # Renamed, so that commands that wait for the lock do not wait for the deletion.
            trash = self._cache / _TRASH / os.urandom(16).hex()
            trash.parent.mkdir(exist_ok=True)
            with suppress(FileNotFoundError):  # another process has removed it
                path.rename(trash)
        return True

    def empty_trash(self) -> None:
        """Delete removed entries, also those of a run that was killed."""
        trash = self._cache / _TRASH
        if self._dry_run or not _is_folder(trash):
            return
        for path in trash.iterdir():
            if re.fullmatch("[0-9a-f]{32}", path.name):
                shutil.rmtree(path, ignore_errors=True)
        with suppress(OSError):
            trash.rmdir()


def _index(cache: Path, progress: Progress, query: Callable[[Cache], CacheUsage]) -> CacheUsage:
    index = Cache(cache, progress, now=0)
    try:
        return query(index)
    finally:
        index.close()


def _entries(cache: Path) -> Iterator[_Entry]:
    seen: set[tuple[int, int]] = set()  # device and inode of files with several names
    try:
        names = sorted(entry.name for entry in os.scandir(cache))
    except (FileNotFoundError, NotADirectoryError):
        return
    for name in names:
        path = cache / name
        if name in PARTS and _is_folder(path):
            part, pattern = PARTS[name], _PATTERNS[name]
            yield from (
                _measure(part, each, seen)
                for each in _below(path, part.depth)
                if pattern.fullmatch(each.relative_to(path).as_posix())
            )
        elif name in _INDEX_FILES:
            yield _measure(_INDEX, path, seen)
        elif re.fullmatch(_OTHER.pattern, name):
            yield _measure(_OTHER, path, seen)


def _below(folder: Path, depth: int) -> Iterator[Path]:
    """The entries at most `depth` levels down, without the folders that hold them. Raises OSError."""
    try:
        paths = sorted(folder.iterdir())
    except FileNotFoundError:  # removed by another process
        return
    for path in paths:
        yield path
        if depth > 1 and _is_folder(path):
            yield from _below(path, depth - 1)


def _is_folder(path: Path) -> bool:
    """Whether a path is a folder. A link is not, because its target must not be removed."""
    return path.is_dir() and not path.is_symlink()


def _measure(part: Part, path: Path, seen: set[tuple[int, int]]) -> _Entry:
    size, last_use = 0, 0.0
    with suppress(OSError):  # another process has removed it
        last_use = path.lstat().st_mtime  # listing a folder counts as reading it, so only its changes matter
    for file in _files(path):
        with suppress(OSError):
            status = file.lstat()
            # Files of objects have the times of their artifacts, but linking a file updates its ctime.
            last_use = max(last_use, status.st_atime, status.st_mtime, status.st_ctime)
            if status.st_nlink > 1:
                identity = status.st_dev, status.st_ino
                if identity in seen:
                    continue
                seen.add(identity)
            size += status.st_size
    return _Entry(part, path, size, last_use)


def _files(path: Path) -> Iterator[Path]:
    if _is_folder(path):
        for place, _, files in os.walk(path):
            yield from (Path(place, file) for file in files)
    else:
        yield path
