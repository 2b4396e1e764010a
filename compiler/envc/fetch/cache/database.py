"""An SQLite file that serves as a cache: its errors never stop a run, and its writes never block one.

Threads read through one connection, and queue their writes for a writer thread, which has its own connection. If every
fetching thread did its own writing, they would wait for one another; that took three times as long on a large cold
lock. Write-ahead logging lets any number of processes use the file.
"""

from __future__ import annotations

import os
import queue
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar

from envc.model.progress import Progress
from envc.system.cache_folder import is_shared_folder, make_folder

T = TypeVar("T")
Statement = tuple[str, tuple[object, ...]]

_BUSY_TIMEOUT = 10.0  # seconds that a statement waits for another process
_BATCH_SIZE = 128  # approximate number of statements in one transaction
_LARGEST_JOURNAL = 16 << 20  # bytes of the write-ahead log that remain after a checkpoint
_CLOSE_TIMEOUT = 10.0  # seconds that closing waits for writes


class Database:
    """A file. Thread-safe. Writes are guaranteed to be in it only after `flush` or `close`."""

    def __init__(
        self,
        path: Path,
        schema: str,
        version: int,
        progress: Progress,
        before_close: Callable[[sqlite3.Connection], object],
    ) -> None:
        """`schema` creates missing tables, and is run when the file's user_version is not `version`. `before_close` is
        called once on the writing connection, if something was written."""
        self._path = path
        self._schema = schema
        self._version = version
        self._progress = progress
        self._before_close = before_close
        self._lock = threading.Lock()  # protects the reading connection and the replacement of the file
        self._queue: queue.SimpleQueue[tuple[Statement, ...] | threading.Event | None] = queue.SimpleQueue()
        self._writer: threading.Thread | None = None
        self._reader: sqlite3.Connection | None = self._open()  # None if the file cannot be used

    def one(self, statement: str, values: tuple[object, ...]) -> tuple[Any, ...] | None:
        """The first row of a result, or None."""
        rows = self.all(statement, values)
        return rows[0] if rows else None

    def all(self, statement: str, values: tuple[object, ...] = ()) -> list[tuple[Any, ...]]:
        """All rows of a result; none if the file cannot be read."""
        with self._lock:
            if self._reader is None:
                return []
            try:
                return self._reader.execute(statement, values).fetchall()
            except sqlite3.Error as error:
                if _is_damage(error):
                    self._recreate()
                return []

    def write(self, *statements: Statement) -> None:
        """Queue these statements to be executed together."""
        if self._reader is None:
            return
        self._queue.put(statements)
        if self._writer is None:
            with self._lock:
                if self._writer is None and self._reader is not None:
                    self._writer = threading.Thread(target=self._run_writer, name="cache", daemon=True)
                    self._writer.start()

    def run(self, action: Callable[[sqlite3.Connection], T]) -> T | None:
        """The result of `action` on a connection of its own, after all queued writes; None on an SQLite error."""
        self.flush()
        if self._reader is None:
            return None
        try:
            with closing(self._connect()) as connection:
                return action(connection)
        except sqlite3.Error as error:
            self._warn(error)
            return None

    def flush(self) -> None:
        """Wait until all queued statements are written."""
        if (writer := self._writer_thread()) is not None and writer.is_alive():
            written = threading.Event()
            self._queue.put(written)
            written.wait(_CLOSE_TIMEOUT)

    def close(self) -> None:
        """Execute all queued writes, and close the file. Later reads find nothing, and later writes are dropped."""
        if (writer := self._writer_thread()) is not None:
            self._queue.put(None)
            writer.join(_CLOSE_TIMEOUT)
        with self._lock:
            if self._reader is not None:
                self._reader.close()
                self._reader = None

    def _writer_thread(self) -> threading.Thread | None:
        """The writer thread, if there is one. Waits for a thread that is about to start it."""
        with self._lock:
            return self._writer

    def _run_writer(self) -> None:
        """The body of the writer thread."""
        connection: sqlite3.Connection | None = None
        item: tuple[Statement, ...] | threading.Event | None = ()
        while item is not None:
            batch: list[Statement] = []
            item = self._queue.get()
            while isinstance(item, tuple):
                batch.extend(item)
                if self._queue.empty() or len(batch) > _BATCH_SIZE:
                    break
                item = self._queue.get()
            connection = self._execute(connection, batch)
            if isinstance(item, threading.Event):
                item.set()
        if connection is not None:
            try:
                self._before_close(connection)
            except sqlite3.Error:
                pass  # damaged, or locked for too long: left to a later run
            connection.close()

    def _execute(self, connection: sqlite3.Connection | None, batch: list[Statement]) -> sqlite3.Connection | None:
        try:
            connection = connection or self._connect()
            connection.execute("BEGIN IMMEDIATE")
            for statement, values in batch:
                connection.execute(statement, values)
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            if _is_damage(error):
                if connection is not None:
                    connection.close()
                with self._lock:
                    self._recreate()
                return None
            # The disk is full, or another process holds the file for too long: a later run fetches again.
            self._warn(error)
            if connection is not None:
                connection.rollback()
        return connection

    def _warn(self, error: sqlite3.Error) -> None:
        self._progress.warn(f"the cache in {self._path.parent} cannot be written ({error}); continuing without it")

    def _open(self) -> sqlite3.Connection | None:
        try:
            make_folder(self._path.parent)
            self._create()
            try:
                return self._connect()
            except sqlite3.Error as error:
                if not _is_damage(error):
                    raise
                return self._replace()
        except (OSError, sqlite3.Error) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            self._progress.warn(f"the cache in {self._path.parent} cannot be used ({reason}); continuing without it")
            return None

    def _create(self) -> None:
        """Create the file, if it is missing, for this user alone, since it may hold pages of a private index. SQLite
        gives its mode to the files beside it.
        """
        if not self._path.exists():
            mode = 0o666 if is_shared_folder(self._path.parent) else 0o600
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT, mode))

    def _connect(self) -> sqlite3.Connection:
        # Autocommit: transactions begin explicitly. The locks here replace the check of check_same_thread.
        connection = sqlite3.connect(self._path, timeout=_BUSY_TIMEOUT, isolation_level=None, check_same_thread=False)
        try:
            if connection.execute("PRAGMA user_version").fetchone()[0] != self._version:
                connection.execute("PRAGMA page_size = 8192")
                connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # so that removed rows make the file smaller
                connection.execute("PRAGMA journal_mode = WAL")
                connection.executescript(f"BEGIN IMMEDIATE;{self._schema};PRAGMA user_version={self._version};COMMIT;")
            # No waiting for disks: damage after a power failure is detected, and the content is fetched again.
            connection.execute("PRAGMA synchronous = OFF")
            connection.execute("PRAGMA mmap_size = 268435456")
            connection.execute(f"PRAGMA journal_size_limit = {_LARGEST_JOURNAL}")
        except BaseException:
            connection.close()
            raise
        return connection

    def _recreate(self) -> None:
        """Replace a file that turned out to be damaged while it was in use. The lock must be held."""
        if self._reader is not None:
            self._reader.close()
            try:
                self._reader = self._replace()
            except (OSError, sqlite3.Error):
                self._reader = None

    def _replace(self) -> sqlite3.Connection:
        self._progress.warn(f"the cache in {self._path.parent} was damaged and has been replaced")
        self._path.replace(self._path.with_name(f"{self._path.name}.broken"))
        for suffix in ("-wal", "-shm"):
            self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)
        self._create()
        return self._connect()


def _is_damage(error: sqlite3.Error) -> bool:
    """Whether the file itself is damaged: "malformed" and "not a database" are raised as the base class."""
    return type(error) is sqlite3.DatabaseError
