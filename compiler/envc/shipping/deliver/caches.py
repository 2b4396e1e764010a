"""The cache of this machine: shows its contents, and evicts entries that have not been used for a while.

All of it can be recreated.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import msgspec

from envc.fetch.cache.eviction import CacheUsage
from envc.fetch.cache.index_cache import FILE, Cache
from envc.model.progress import Progress
from envc.system.atomic_folder import remove_folder

LOCKS = "locks"  # locks of folders that are being made; removing one would let two processes work at once

# By folder in the cache: the name in output, and the depth of its entries. An entry is evicted as a whole.
PARTS = {
    "artifacts": ("artifacts", 2),
    "envs": ("environments", 1),
    "objects": ("unpacked objects", 3),
    "code": ("code", 1),
    "repodata": ("channel data", 2),
    "interpreters": ("interpreters", 1),
    "scripts": ("link scripts", 2),
    "git": ("git repositories", 1),
    "builds": ("builds", 1),
    "derived": ("derived digests", 3),
}
_INDEX = "index"
_INDEX_FILES = (FILE, f"{FILE}-wal", f"{FILE}-shm")
_WHOLE = frozenset({_INDEX, PARTS["derived"][0]})  # removed only with everything, never by age


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

    part: str
    path: Path
    size: int  # bytes
    used: float  # seconds since 1970: the last time a file in it was read, written or linked, if the disk records it


def show(cache: Path, progress: Progress) -> tuple[CachePart, ...]:
    """The contents of the cache by part, in a fixed order. For the index cache, projects and artifacts are counted."""
    totals: dict[str, tuple[int, int]] = {}
    for entry in _entries(cache):
        entries, size = totals.get(entry.part, (0, 0))
        totals[entry.part] = entries + 1, size + entry.size
    if _INDEX in totals:
        usage = _index(cache, progress, lambda index: index.usage())
        totals[_INDEX] = usage.projects + usage.artifacts, totals[_INDEX][1]
    return tuple(CachePart(part=part, entries=entries, size=size) for part, (entries, size) in totals.items())


def prune(cache: Path, before: float | None, progress: Progress, *, dry_run: bool = False) -> Pruned:
    """Remove entries that were not used since `before` (seconds since 1970). With None, remove everything.

    Files that are in use on Windows stay, with a warning.
    """
    entries = size = 0
    if before is not None and (cache / FILE).exists():
        evicted = _index(cache, progress, lambda index: index.evict(before, dry_run=dry_run))
        entries, size = evicted.projects + evicted.artifacts, evicted.size
    for entry in _entries(cache):
        if before is not None and (entry.used >= before or entry.part in _WHOLE):
            continue
        try:
            if not dry_run:
                _remove(entry, cache)
        except OSError as error:
            progress.warn(f"{entry.path} cannot be removed: {error.strerror}")
            continue
        entries, size = entries + 1, size + entry.size
    return Pruned(entries=entries, size=size)


def _index(cache: Path, progress: Progress, query: Callable[[Cache], CacheUsage]) -> CacheUsage:
    index = Cache(cache, progress, now=0)
    try:
        return query(index)
    finally:
        index.close()


def _remove(entry: _Entry, cache: Path) -> None:
    if not _is_folder(entry.path):
        entry.path.unlink(missing_ok=True)
    elif entry.part == PARTS["envs"][0]:
        remove_folder(entry.path, locks=cache / LOCKS)
    else:
        shutil.rmtree(entry.path)


def _entries(cache: Path) -> Iterator[_Entry]:
    seen: set[tuple[int, int]] = set()  # device and inode of files with several names
    try:
        names = sorted(entry.name for entry in os.scandir(cache))
    except (FileNotFoundError, NotADirectoryError):
        return
    for name in names:
        path = cache / name
        if name in PARTS and _is_folder(path):
            part, depth = PARTS[name]
            yield from (_measure(part, each, seen) for each in _below(path, depth))
        elif name in _INDEX_FILES:
            yield _measure(_INDEX, path, seen)
        elif name != LOCKS:
            yield _measure("other", path, seen)


def _below(folder: Path, depth: int) -> Iterator[Path]:
    """The entries `depth` levels down. Files at higher levels are entries themselves."""
    for path in sorted(folder.iterdir()):
        if depth > 1 and _is_folder(path):
            yield from _below(path, depth - 1)
        else:
            yield path


def _is_folder(path: Path) -> bool:
    """Whether a path is a folder. A link is not, because its target must not be removed."""
    return path.is_dir() and not path.is_symlink()


def _measure(part: str, path: Path, seen: set[tuple[int, int]]) -> _Entry:
    size, used = 0, 0.0
    with suppress(OSError):  # another process has removed it
        used = path.lstat().st_mtime  # listing a folder counts as reading it, so only its changes matter
    for file in _files(path):
        with suppress(OSError):
            status = file.lstat()
            # Files of objects have the times of their artifacts, but linking a file updates its ctime.
            used = max(used, status.st_atime, status.st_mtime, status.st_ctime)
            if status.st_nlink > 1:
                identity = status.st_dev, status.st_ino
                if identity in seen:
                    continue
                seen.add(identity)
            size += status.st_size
    return _Entry(part, path, size, used)


def _files(path: Path) -> Iterator[Path]:
    if _is_folder(path):
        for place, _, files in os.walk(path):
            yield from (Path(place, file) for file in files)
    else:
        yield path
