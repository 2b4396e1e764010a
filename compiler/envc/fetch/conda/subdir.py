"""The subdirs of channels: fetched if needed, indexed once, and opened without being read.

``<cache>/repodata/<channel>/<subdir>.json`` holds the state of a subdir, and ``<subdir>-<digest>.slices`` next to it
holds its names (see `envc.fetch.conda.slices`). Both are renamed to their names atomically, so any number of runs may
share them, and a killed run leaves at most a temporary file.
"""

from __future__ import annotations

import contextlib
import io
import os
import threading
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import msgspec

from envc.errors import OfflineMiss, SourceUnreachable
from envc.fetch.conda.channel_locations import ChannelLocation
from envc.fetch.conda.note import Note
from envc.fetch.conda.slices import Damaged, Slices, append_index
from envc.fetch.context import FetchContext
from envc.fetch.net.http import Reply, max_age
from envc.fetch.net.urls import named_by
from envc.model.decoders import decode
from envc.model.digest import Digesting, Sha256
from envc.model.limits import REPODATA_DOWNLOAD_BYTES
from envc.model.progress import Task
from envc.system.atomic_file import unnamed_file, write_file
from envc.system.cache_folder import make_folder
from envc.system.drafts import is_any_file_draft, is_hex
from envc.system.regular_file import open_regular
from envc_solvers.malformed import malformed

if TYPE_CHECKING:
    from envc.fetch.conda.plain_repodata import PlainRepodataScanner
    from envc.fetch.conda.repodata import RepodataIndex

SHARDS = "repodata_shards.msgpack.zst"  # CEP-16
_PLAIN = "repodata.json"  # every channel has it
FILES = (SHARDS, "repodata.json.zst", _PLAIN)  # in the order in which they are tried

# Answers to a request for one kind of file after which another one is asked for, as rattler and mamba do for any answer
# but success. A server that does not know a kind of file may answer 501. A server that is busy (500, 502, 503, 504 and
# so on) is asked several times and then ends the run, since its other files would not come either. So does a refused
# login (401).
_REFUSALS = frozenset((400, 402, 403, 405, 406, 409, 415, 422, 451, 501, 505))

_PROBE_INTERVAL = 7 * 86_400  # seconds after which envc looks for a better kind of file
_PIECE = 1 << 18  # bytes
_TRIES = 3  # attempts to write a file, in case a concurrent run with another version deletes it
_SLICES = ".slices"
_DIGITS = 32  # hexadecimal, of the digest in the names of slices
_LEFTOVER_AGE = 86_400  # seconds after which the temporary file of an interrupted run is deleted


class _Unusable(Exception):
    """A file is not what its name says."""


class SubdirState(msgspec.Struct, frozen=True, kw_only=True):
    """The state of a subdir in the cache, without its records."""

    file: str  # which of FILES is used; "" if the channel has no such subdir
    digest: str = ""  # sha256 of that file
    etag: str = ""
    modified: str = ""  # Last-Modified as the server spelt it; of a local file, its time and size
    fetched_at: int = 0  # seconds since the epoch
    max_age: int = 0  # seconds
    probed_at: int = 0  # seconds since the epoch, when all kinds of files were last looked for


class Subdir:
    """The names of a subdir, open for reading."""

    def __init__(self, location: ChannelLocation, name: str, state: SubdirState, path: Path | None = None) -> None:
        """`path` is the file of slices, or None if the channel has no such subdir. Raises OSError, Damaged."""
        self.location = location
        self.name = name
        self.is_sharded = state.file == SHARDS
        self.digest = state.digest
        self.slices = Slices(path) if path is not None else None
        self._path = path
        self._url = f"{location.url}/{name}/{state.file}"

    @property
    def newer(self) -> int:
        """How many records have formats that envc does not read. Shards state their own numbers."""
        return self._note.newer

    @property
    def _note(self) -> Note:
        return Note() if self.slices is None else decode(self.slices.note, Note)

    def shard_url(self, digest: str) -> str:
        return self._resolve(self._note.shards_base_url, f"{digest}.msgpack.zst")

    def discard(self) -> None:
        """Delete the cached file because it is damaged. The next run fetches it again."""
        if self._path is not None:
            with contextlib.suppress(OSError):
                self._path.unlink()

    def file_url(self, file: str) -> str:
        """The URL of a package file (CEP-15). Raises SourceUnreachable."""
        return self._resolve(self._note.base_url, file)

    def _resolve(self, base: str, file: str) -> str:
        folder = named_by(self._url, base if not base or base.endswith("/") else base + "/")
        url = named_by(folder, file) if folder is not None else None
        if url is not None:
            return url
        raise SourceUnreachable(self.location.name, f"{self.name}/{file}", "its base URL cannot be used")


_STATE = msgspec.json.Decoder(SubdirState)


class Subdirs:
    """Opens subdirs, and fetches those that are missing or too old. Thread-safe. A run fetches each at most once."""

    def __init__(self, folder: Path, context: FetchContext, task: Task) -> None:
        self._folder = folder
        self._client = context.client
        self._task = task
        self._now = context.now  # seconds since the epoch
        self._offline = context.offline
        self._refresh = context.refresh
        self._indexing = threading.Lock()

    def open(self, location: ChannelLocation, subdir: str) -> Subdir:
        """The current state of a subdir. Raises SourceUnreachable, and OfflineMiss if requests are forbidden."""
        opened = self.cached(location, subdir)
        if opened is not None:
            return opened
        if location.folder is not None:
            return self._from_disk(location, location.folder, subdir)
        if self._offline:
            raise OfflineMiss(f"the repodata of {location.name}/{subdir}")
        state = self._read_state(location, subdir)
        # If a fresh state was not opened above, its slices are missing or damaged.
        return self._from_network(location, subdir, None if state is None or self._is_fresh(state) else state)

    def cached(self, location: ChannelLocation, subdir: str) -> Subdir | None:
        """A subdir that the cache holds completely; None if it has to be fetched or indexed."""
        state = self._read_state(location, subdir)
        if location.folder is None:
            return self._open_cached(location, subdir, state) if state is not None and self._is_fresh(state) else None
        file, stamp = _on_disk(location, location.folder, subdir)
        if not file:
            return Subdir(location, subdir, SubdirState(file=""))
        if state is None or (state.file, state.modified) != (file, stamp):
            return None
        return self._open_cached(location, subdir, state)

    def _is_fresh(self, state: SubdirState) -> bool:
        # If the clock was set back, the time of a file may be in the future. It then expires after the same interval.
        return self._offline or (not self._refresh and abs(self._now - state.fetched_at) < state.max_age)

    def _from_disk(self, location: ChannelLocation, root: Path, subdir: str) -> Subdir:
        file, stamp = _on_disk(location, root, subdir)
        try:
            with open_regular(root / subdir / file) as source:
                return self._store(location, subdir, SubdirState(file=file, modified=stamp), source)
        except _Unusable as error:
            raise SourceUnreachable(location.name, f"{subdir}/{file}", str(error)) from None
        except OSError as error:
            raise SourceUnreachable(location.name, f"{subdir}/{file}", error.strerror or "unreadable") from None

    def _from_network(self, location: ChannelLocation, subdir: str, old: SubdirState | None) -> Subdir:
        probed_at = self._now
        failures: list[SourceUnreachable] = []  # of kinds of files that the channel has, or does not deny to have
        files: tuple[str, ...] = FILES
        if old is not None and old.file and abs(self._now - old.probed_at) < _PROBE_INTERVAL:
            # The channel most likely still has this kind of file, so the conditional request below is enough.
            probed_at, files = old.probed_at, (old.file, *(file for file in FILES if file != old.file))
        for file in files:
            try:
                reply = self._request(location, subdir, file, old)
            except SourceUnreachable as error:
                if error.status not in _REFUSALS:
                    raise
                if error.status != 501 or file == _PLAIN:
                    failures.append(error)
                continue
            age = max_age(reply.headers)
            if reply.status == 304 and old is not None:
                state = msgspec.structs.replace(old, fetched_at=self._now, max_age=age, probed_at=probed_at)
                opened = self._open_cached(location, subdir, state)
                if opened is not None:
                    self._write_state(location, subdir, state)
                    return opened
                reply = self._request(location, subdir, file, None)
            if reply.status == 404:
                continue
            if reply.status != 200:
                gone = f"HTTP {reply.status}{', it was removed' if reply.status == 410 else ''}"
                failures.append(SourceUnreachable(location.name, f"the repodata of {subdir}", gone))
                continue
            state = SubdirState(
                file=file,
                etag=reply.headers.get("etag", ""),
                modified=reply.headers.get("last-modified", ""),
                fetched_at=self._now,
                max_age=age,
                probed_at=probed_at,
            )
            try:
                return self._store(location, subdir, state, io.BytesIO(reply.body))
            except _Unusable as error:
                # Some servers answer every address with a page for people.
                failures.append(SourceUnreachable(location.name, f"{subdir}/{file}", str(error)))
        if failures:
            # Only a 404 means that a channel lacks a subdir; the next channel must not take its place.
            raise failures[0]
        state = SubdirState(file="", fetched_at=self._now, max_age=max_age({}))
        self._write_state(location, subdir, state)
        return Subdir(location, subdir, state)

    def _request(self, location: ChannelLocation, subdir: str, file: str, old: SubdirState | None) -> Reply:
        headers = {}
        if old is not None and old.file == file and old.etag:
            headers["If-None-Match"] = old.etag
        elif old is not None and old.file == file and old.modified:
            headers["If-Modified-Since"] = old.modified
        url = f"{location.url}/{subdir}/{file}"
        self._task.grow(1)
        what, limit = f"{subdir}/{file}", REPODATA_DOWNLOAD_BYTES
        try:
            reply = self._client.get(location.name, what, url, limit=limit, headers=headers, missing=location.missing)
        except SourceUnreachable as error:
            if error.status is not None:
                from envc.fetch.net.refused_logins import with_missing

                error.hint = with_missing(error.hint or "", error.status, location.name)
            raise
        self._task.advance()
        return reply

    def _store(self, location: ChannelLocation, subdir: str, state: SubdirState, source: BinaryIO) -> Subdir:
        """Index a new file, write its slices and open them. Raises OSError and _Unusable."""
        opened = None
        if self._read_state(location, subdir) is not None:
            # Slices of the same content may exist, and computing the digest takes a tenth of the time.
            state = msgspec.structs.replace(state, digest=_digest(source))
            opened = self._open_cached(location, subdir, state)
        for _ in range(_TRIES):
            if opened is None:
                state = msgspec.structs.replace(state, digest=self._write_index(location, subdir, state.file, source))
                opened = self._open_cached(location, subdir, state)
        if opened is None:
            raise SourceUnreachable(
                location.name, f"{subdir}/{state.file}", "files disappear from the cache after they are written"
            )
        self._write_state(location, subdir, state)
        self._remove_leftovers(self._slices_path(location, subdir, state.digest))
        return opened

    def _write_index(self, location: ChannelLocation, subdir: str, name: str, source: BinaryIO) -> Sha256:
        """Write the slices of a file and return its digest. Raises _Unusable and SourceUnreachable."""
        size = source.seek(0, os.SEEK_END)
        source.seek(0)
        digesting = Digesting(source)
        try:
            folder = self._folder / location.key
            make_folder(folder)
            with unnamed_file(folder) as (file, publish):
                self._write_slices(file, name, digesting, size)
                digest = digesting.sha256()
                publish(self._slices_path(location, subdir, digest))
        except ValueError as error:
            raise _Unusable(str(error)) from None
        except OSError as error:
            reason = f"the cache folder cannot be written ({error.strerror})"
            raise SourceUnreachable(location.name, f"{subdir}/{name}", reason) from None
        return digest

    def _write_slices(self, file: BinaryIO, name: str, source: Digesting, size: int) -> None:
        """Write slices of one of FILES. Raises ValueError if it is malformed or unreadable, and OSError."""
        # Imported here: most runs find everything indexed.
        from envc.fetch.conda.plain_repodata import PlainRepodataScanner
        from envc.fetch.conda.repodata import (
            REPODATA_BOUNDS,
            SHARD_BOUNDS,
            decompress,
            index_shards,
            most_records,
            read_pieces,
        )

        bounds = SHARD_BOUNDS if name == SHARDS else REPODATA_BOUNDS
        pieces = decompress(source, size, bounds) if name.endswith(".zst") else read_pieces(source)
        if name == SHARDS:
            _finish(file, index_shards(b"".join(pieces)))
            return
        # Large files are written to disk as they arrive, and scanned at the same time.
        scanner = PlainRepodataScanner(most_records(size))
        for piece in pieces:
            file.write(piece)
            scanner.feed(piece)
        file.flush()
        if not file.tell():
            raise ValueError("it is not JSON, or cut short (it is empty)")
        _finish(file, self._index_repodata(file, scanner, most_records(size)))

    def _index_repodata(self, file: BinaryIO, scanner: PlainRepodataScanner, records: int) -> RepodataIndex:
        """The names in a complete file. Raises ValueError if it is not repodata."""
        from envc.fetch.conda.repodata import index_plain_repodata, index_repodata

        data = mmap(file.fileno(), 0, access=ACCESS_READ)
        index = index_plain_repodata(data, scanner)
        if index is None:
            with self._indexing:  # one file at a time, since this takes much memory
                index = index_repodata(data, records)
        return index

    def _open_cached(self, location: ChannelLocation, subdir: str, state: SubdirState) -> Subdir | None:
        """The subdir in that state; None if it is not in the cache or damaged."""
        if not state.file:
            return Subdir(location, subdir, state)
        try:
            return Subdir(location, subdir, state, self._slices_path(location, subdir, state.digest))
        except (OSError, Damaged):
            return None

    def _slices_path(self, location: ChannelLocation, subdir: str, digest: str) -> Path:
        return self._folder / location.key / f"{subdir}-{digest[:_DIGITS]}{_SLICES}"

    def _read_state(self, location: ChannelLocation, subdir: str) -> SubdirState | None:
        try:
            return _STATE.decode((self._folder / location.key / f"{subdir}.json").read_bytes())
        except malformed(OSError):
            return None

    def _write_state(self, location: ChannelLocation, subdir: str, state: SubdirState) -> None:
        """Save the state. If it cannot be written, the next run fetches it again."""
        path = self._folder / location.key / f"{subdir}.json"
        with contextlib.suppress(OSError):
            make_folder(path.parent)
            write_file(path, msgspec.json.encode(state))

    def _remove_leftovers(self, current: Path) -> None:
        """Delete older slices of this subdir and old drafts, by their exact names. Files that cannot be deleted are
        skipped. Ages are measured by the clock of the disk: the state has just been written.
        """
        subdir = current.name.rpartition("-")[0]
        with contextlib.suppress(OSError):
            now = (current.parent / f"{subdir}.json").stat().st_mtime
            for path in current.parent.iterdir():
                with contextlib.suppress(OSError):
                    is_left = is_any_file_draft(path.name) and now - path.lstat().st_mtime > _LEFTOVER_AGE
                    if is_left or (_is_slices(path.name, subdir) and path != current):
                        path.unlink()


def _is_slices(name: str, subdir: str) -> bool:
    """Whether a file name is that of slices of a subdir."""
    start = f"{subdir}-"
    return name.startswith(start) and name.endswith(_SLICES) and is_hex(name[len(start) : -len(_SLICES)], _DIGITS)


def _on_disk(location: ChannelLocation, root: Path, subdir: str) -> tuple[str, str]:
    """Which of FILES a channel on disk has, and a stamp of its time, size and inode. Both are "" if it has none.

    Raises SourceUnreachable.
    """
    if not root.is_dir():
        raise SourceUnreachable(location.name, "its repodata", "there is no such folder")
    for file in FILES:
        try:
            facts = (root / subdir / file).stat()
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise SourceUnreachable(location.name, f"{subdir}/{file}", error.strerror or "unreadable") from None
        return file, f"{facts.st_mtime_ns}-{facts.st_size}-{facts.st_ino}"
    return "", ""


def _digest(source: BinaryIO) -> Sha256:
    """Raises OSError."""
    digesting = Digesting(source)
    while digesting.read(_PIECE):
        pass
    return digesting.sha256()


def _finish(file: BinaryIO, index: RepodataIndex) -> None:
    """Append the index to a file that holds the indexed data. Raises OSError."""
    if index.data is not None:
        file.seek(0)
        file.truncate()
        file.write(index.data)
    append_index(file, index.spans, msgspec.json.encode(index.note))
