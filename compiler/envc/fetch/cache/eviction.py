"""Eviction from the index cache, which keeps it below a maximum size.

A project is evicted as a whole, with its page, its files and every view of them, since these depend on one another.
Metadata is evicted one by one. Both are evicted in the order of the day they were last used.
"""

from __future__ import annotations

import sqlite3

import msgspec

LARGEST = 512 << 20  # bytes; about 4,000 projects, ten times as many as the largest locks need
_SHARE_KEPT = 3 / 4  # of LARGEST, after an eviction, so that not every run has to evict

_SIZES = """
SELECT p.used, p.source, p.project,
  (SELECT coalesce(sum(length(l.data)), 0) FROM listings l WHERE l.source = p.source AND l.project = p.project)
  + (SELECT coalesce(sum(length(v.data)), 0) FROM views v WHERE v.source = p.source AND v.project = p.project)
FROM pages p
UNION ALL
SELECT m.used, NULL, m.rowid, coalesce(length(m.data), 0) FROM metadata m
ORDER BY 1, 2, 3
"""
_REMOVALS = tuple(f"DELETE FROM {table} WHERE source = ? AND project = ?" for table in (
    "pages", "listings", "views", "digests"))  # fmt: skip


class CacheUsage(msgspec.Struct, frozen=True, kw_only=True):
    """The contents of an index cache, or of what was evicted from it, as counts and a size."""

    projects: int = 0
    artifacts: int = 0  # with known metadata
    size: int = 0  # bytes


def used_bytes(connection: sqlite3.Connection) -> int:
    """Bytes in use within the file."""
    pages, free, size = (
        int(connection.execute(f"PRAGMA {name}").fetchone()[0])
        for name in ("page_count", "freelist_count", "page_size")
    )
    return (pages - free) * size


def usage(connection: sqlite3.Connection) -> CacheUsage:
    projects, artifacts = (
        int(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]) for table in ("pages", "metadata")
    )
    return CacheUsage(projects=projects, artifacts=artifacts, size=used_bytes(connection))


def shrink(connection: sqlite3.Connection, largest: int = LARGEST) -> CacheUsage:
    """If the cache is larger than `largest`, evict the least recently used until three quarters of that are left."""
    size = used_bytes(connection)
    return _remove(connection, enough=int(size - _SHARE_KEPT * largest)) if size > largest else CacheUsage()


def evict(connection: sqlite3.Connection, before: int, *, dry_run: bool = False) -> CacheUsage:
    """Remove entries last used before the day `before`. Days have 86,400 s and are counted from 1970."""
    return _remove(connection, before=before, dry_run=dry_run)


def _remove(
    connection: sqlite3.Connection, *, before: int | None = None, enough: int | None = None, dry_run: bool = False
) -> CacheUsage:
    """Remove entries in one transaction, oldest first: those before `before`, or until `enough` bytes are removed."""
    projects = artifacts = size = 0
    connection.execute("BEGIN IMMEDIATE")
    try:
        for used, source, name, length in connection.execute(_SIZES).fetchall():
            if (before is not None and used >= before) or (enough is not None and size >= enough):
                break
            size += length
            if source is None:
                artifacts += 1
                connection.execute("DELETE FROM metadata WHERE rowid = ?", (name,))
            else:
                projects += 1
                for removal in _REMOVALS:
                    connection.execute(removal, (source, name))
        connection.execute("ROLLBACK" if dry_run else "COMMIT")
    except BaseException:
        connection.rollback()
        raise
    if size and not dry_run:
        connection.executescript("PRAGMA incremental_vacuum")  # execute() would free a single page
    return CacheUsage(projects=projects, artifacts=artifacts, size=size)
