"""Artifacts on this machine: downloaded once, verified while they arrive, and verified again before each use.

``<cache>/artifacts/<aa>/<sha256>/<file>`` holds whole files, which matched their digest when they were renamed to that
path. ``<cache>/artifacts/partial/<sha256>`` holds the bytes of an interrupted download, which the next download
resumes.
"""

from __future__ import annotations

import contextlib
import os
import queue
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from envc.errors import DigestMismatch, OfflineMiss, SourceUnreachable, Unwritable, UsageError
from envc.fetch.context import FetchContext
from envc.fetch.net.http import CHUNK, Client, Stream, Truncated
from envc.fetch.net.urls import local_path
from envc.fetch.pypi.listing import ListedFile, is_file_name
from envc.fetch.pypi.pages import Pages
from envc.model.digest import Sha256, parse_sha256, running_sha256, sha256, sha256_file
from envc.model.environment import EnvironmentMember
from envc.model.limits import DOWNLOAD_BYTES
from envc.model.progress import Task
from envc.system.atomic_file import atomic_file
from envc.system.buffers import write_all
from envc.system.cache_folder import make_folder
from envc.system.regular_file import open_regular
from envc.system.waits import failed_try, waiting
from envc.system.workers import Workers

if TYPE_CHECKING:
    import hashlib

_DOWNLOADS = 8  # concurrent downloads
_TRIES = 5  # how often a download that breaks off is resumed
_MOVED_HINT = "the source no longer serves this file; run `envc lock --upgrade` to choose another, or restore it there"
_REUPLOADED_HINT = (
    "the source has replaced the file: find out why before you trust it; "
    "`envc lock --accept-reupload {name}` takes the new bytes"
)
_WRONG_HINT = "the source serves different bytes from those locked: do not install them until you know why"


Locator = Callable[[EnvironmentMember], Iterable[ListedFile]]  # possible URLs of a member's file, best first


class Artifacts:
    """Downloads and caches artifacts by digest. Thread-safe."""

    def __init__(self, pages: Pages, context: FetchContext, locators: Mapping[str, Locator] | None = None) -> None:
        """`locators` give the URLs of members that no index lists, by kind of member."""
        self._pages = pages
        self._context = context
        self._locators = locators or {}
        self._folder = context.cache / "artifacts"
        self._client = context.client
        self._progress = context.progress
        self._offline = context.offline
        self.whole: dict[Sha256, Path] = {}  # the files that this run has read to their ends, and verified

    def with_locators(self, **locators: Locator) -> Artifacts:
        """The same artifacts, with locators for further kinds of members."""
        return Artifacts(self._pages, self._context, {**self._locators, **locators})

    def fetch(self, members: Iterable[EnvironmentMember]) -> Iterator[tuple[EnvironmentMember, Path]]:
        """Verified files of members, each as soon as it is available. The largest downloads start first.

        The first failure cancels the other downloads: DigestMismatch, SourceUnreachable, OfflineMiss, or Unwritable for
        the cache folder. Files verified before then stay in the cache.
        """
        ordered = sorted(set(members), key=lambda member: (-member.size, member))
        task = self._progress.task("artifacts", sum(member.size for member in ordered), "B")
        workers = Workers(_DOWNLOADS, "download")
        done: queue.SimpleQueue[tuple[EnvironmentMember, Path | Exception]] = queue.SimpleQueue()

        def work(member: EnvironmentMember) -> None:
            try:
                done.put((member, self.get(member, task)))
            except Exception as error:  # raised again for the caller
                done.put((member, error))

        for member in ordered:
            workers.submit(lambda member=member: work(member))  # type: ignore[misc]
        try:
            for _ in ordered:
                member, result = done.get()
                if isinstance(result, Exception):
                    raise result
                yield member, result
        finally:
            workers.stop()
            task.done()

    def get(self, member: EnvironmentMember, task: Task | None = None) -> Path:
        """One verified file. Errors as for `fetch`."""
        cached = self.cached(member.sha256, member.file)
        if cached is not None:
            if task is not None:
                task.advance(member.size)
            return cached
        what = f"{member.file} of {member.name} {member.version}"
        failure: SourceUnreachable | None = None
        for listed in self._locate(member, what):
            if self._offline and not listed.url.startswith("file:"):
                raise OfflineMiss(what)
            try:
                with self._local_errors():
                    return self._download(member.source, what, listed, member.sha256, member.size, task)[0]
            except SourceUnreachable as error:
                failure = failure or error
        raise failure or SourceUnreachable(member.source, what, "its URL is not known", _MOVED_HINT)

    def _locate(self, member: EnvironmentMember, what: str) -> Iterable[ListedFile]:
        """The possible URLs of a member's file, best first."""
        locate = self._locators.get(member.kind)
        if locate is not None:
            return locate(member)
        listed = self._pages.find(member.source, member.name, member.file, member.sha256)
        if listed is None:
            others = self._pages.digests(member.source, member.name, member.file)
            if others:
                # The command `lock` names the way to take the new bytes.
                reason = f"it now has sha256 {', '.join(others)}, where the lock has {member.sha256}"
                raise SourceUnreachable(member.source, what, reason, _REUPLOADED_HINT.format(name=member.name))
            raise SourceUnreachable(
                member.source, what, "its page does not list it with the locked digest", _MOVED_HINT
            )
        return (listed,)

    def cached(self, sha256: Sha256, file: str) -> Path | None:
        """A cached file that still matches its digest, or None. A file that does not match is deleted."""
        path = self._path(sha256, file)
        try:
            if sha256_file(path) == sha256:
                self.whole[sha256] = path
                return path
            path.unlink()
        except OSError:
            pass
        return None

    def obtain(self, source: str, listed: ListedFile) -> tuple[Path, Sha256, int]:
        """Download a listed file: path, digest and size in bytes.

        Every digest that the page states is verified. Errors as for `fetch`.
        """
        expected = parse_sha256(listed.file.sha256) if listed.file.sha256 else None
        with self._local_errors():
            found = self._download(source, listed.file.name, listed, expected, listed.file.size, None)
        self.whole[found[1]] = found[0]
        return found

    def obtain_named(self, source: str, listed: ListedFile) -> tuple[Path, Sha256, int]:
        """As `obtain`, for a file whose URL the manifest gives, and not a page."""
        self._context.keyring.allow_plain(listed.url)
        return self.obtain(source, listed)

    def adopt(self, path: Path) -> tuple[Path, Sha256, int]:
        """Copy a file of this machine into the cache: path, digest and size in bytes. Raises Unwritable."""
        import shutil

        with self._local_errors():
            digest = sha256_file(path)
            if (cached := self.cached(digest, path.name)) is not None:
                return cached, digest, cached.stat().st_size
            copy = self._path(digest, path.name)
            make_folder(copy.parent)
            with path.open("rb") as source, atomic_file(copy) as file:
                shutil.copyfileobj(source, file, CHUNK * 16)
            self.whole[digest] = copy
            return copy, digest, copy.stat().st_size

    def _path(self, sha256: Sha256, file: str) -> Path:
        # Both may come from an edited lock, and they form the path of a file that is read or deleted.
        if not is_file_name(file):
            raise UsageError(f"{file[:100]!r} is not the name of an artifact", "restore the lock file, or lock again")
        parse_sha256(sha256)
        return self._folder / sha256[:2] / sha256 / file

    def _download(
        self, source: str, what: str, listed: ListedFile, expected: Sha256 | None, size: int, task: Task | None
    ) -> tuple[Path, Sha256, int]:
        # Without a digest, the partial file is named by the URL.
        key = expected or sha256(f"{source}\0{listed.url}".encode())
        partial = self._folder / "partial" / key
        make_folder(partial.parent)
        # Processes that need the same file share one download.
        from envc.system.locks import file_lock  # late: a warm run downloads nothing

        with file_lock(Path(f"{partial}.lock")):
            if expected is not None and (cached := self.cached(expected, listed.file.name)) is not None:
                return cached, expected, cached.stat().st_size
            if listed.url.startswith("file:") or expected is None:
                partial.unlink(missing_ok=True)
            transfer = _Transfer(self._client, source, what, listed.url, partial, size or listed.file.size, task)
            actual, length, resumed = transfer.run()
            if expected is not None and actual != expected and resumed:
                # The bytes of an earlier run may be damaged, or belong to another file: download again from the start.
                partial.unlink()
                actual, length, _ = transfer.run()
            if (expected is not None and actual != expected) or (size and length != size):
                partial.unlink()
                sizes = f" ({length:,} bytes where {size:,} are expected)" if size and length != size else ""
                raise DigestMismatch(f"{what}, from {source},{sizes}", expected or "", actual, _WRONG_HINT)
            _check_others(partial, f"{what}, from {source},", listed)
            path = self._path(actual, listed.file.name)
            make_folder(path.parent)
            # Not an `atomic_file`: an interrupted download stays, and the next run resumes it.
            partial.replace(path)
        # A process that waits on the inode of the deleted lock file notices that, and locks the new file.
        Path(f"{partial}.lock").unlink(missing_ok=True)
        return path, actual, length

    @contextlib.contextmanager
    def _local_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise Unwritable(f"the cache in {self._folder}", error, "set ENVC_CACHE_DIR to another folder") from None


def _check_others(partial: Path, what: str, listed: ListedFile) -> None:
    """Compare a download with the digests besides sha256 that its page states. Raises DigestMismatch."""
    import hashlib

    for algorithm, stated in listed.others:
        with partial.open("rb") as stream:
            actual = hashlib.file_digest(stream, lambda name=algorithm: hashlib.new(name, usedforsecurity=False))  # type: ignore[misc]
        if actual.hexdigest() != stated:
            partial.unlink()
            raise DigestMismatch(what, stated, actual.hexdigest(), _WRONG_HINT, algorithm)


class _Transfer(msgspec.Struct):
    """A download or copy into a partial file, hashed while it is written."""

    client: Client
    source: str
    what: str
    url: str
    partial: Path
    size: int  # bytes; 0 if unknown
    task: Task | None
    etag: str = ""
    broken: str = ""  # why the last try broke off

    def run(self) -> tuple[Sha256, int, bool]:
        """Digest and length of the finished partial file, and whether it contains bytes of an earlier run."""
        with self.partial.open("a+b") as file:
            digest = running_sha256()
            length = self._resume(file.fileno(), digest)
            resumed = length > 0
            if self.url.startswith("file:"):
                length = self._copy(file.fileno(), digest)
            elif not (self.size and length == self.size):
                digest, length = self._pull(file.fileno(), digest, length)
            return parse_sha256(digest.hexdigest()), length, resumed

    def _resume(self, file: int, digest: hashlib._Hash) -> int:
        """Hash the bytes of an earlier run, and return their number. They are discarded if they are too many."""
        length = os.fstat(file).st_size
        if length > (self.size or 0):
            os.ftruncate(file, 0)
            return 0
        with self.partial.open("rb") as stream:
            while chunk := stream.read(1 << 20):
                digest.update(chunk)
        self._advance(length)
        return length

    def _pull(self, file: int, digest: hashlib._Hash, length: int) -> tuple[hashlib._Hash, int]:
        with waiting(self.source, self.what, self.size):
            return self._pull_in_tries(file, digest, length)

    def _pull_in_tries(self, file: int, digest: hashlib._Hash, length: int) -> tuple[hashlib._Hash, int]:
        for attempt in range(_TRIES):
            headers = {"Accept-Encoding": "identity"}
            if length:
                headers["Range"] = f"bytes={length}-"
                # Weak validators are not allowed here (RFC 9110). In any case the digest is verified at the end.
                if self.etag and not self.etag.startswith("W/"):
                    headers["If-Range"] = self.etag
            with self.client.open(self.source, self.what, self.url, headers=headers) as stream:
                if stream.status in (404, 410):
                    raise SourceUnreachable(self.source, self.what, f"HTTP {stream.status}", _MOVED_HINT)
                continues = stream.headers.get("content-range", "").startswith(f"bytes {length}-")
                if length and not (stream.status == 206 and continues):
                    os.ftruncate(file, 0)
                    self._advance(-length)
                    digest, length = running_sha256(), 0
                if stream.status == 416:
                    continue
                self.etag = stream.headers.get("etag", "")
                length, whole = self._write(file, digest, length, stream)
            if whole:
                return digest, length
            failed_try(self.broken)
            self.client.pause(attempt + 1)
        raise SourceUnreachable(self.source, self.what, f"the download broke off {_TRIES} times: {self.broken}")

    def _write(self, file: int, digest: hashlib._Hash, length: int, stream: Stream) -> tuple[int, bool]:
        """Append the body. Returns the new length, and whether the body was complete."""
        try:
            for chunk in stream.chunks():
                write_all(file, chunk)
                digest.update(chunk)
                length += len(chunk)
                self._advance(len(chunk))
                if length > (self.size or DOWNLOAD_BYTES):
                    return length, True  # too long, so the digest cannot match
        except Truncated as error:
            self.broken = str(error)
            return length, False
        return length, True

    def _copy(self, file: int, digest: hashlib._Hash) -> int:
        try:
            source = open_regular(local_path(self.url))
        except OSError as error:
            raise SourceUnreachable(self.source, self.what, error.strerror or "unreadable") from None
        length = 0
        with source:
            while chunk := source.read(CHUNK * 16):
                write_all(file, chunk)
                digest.update(chunk)
                length += len(chunk)
                self._advance(len(chunk))
        return length

    def _advance(self, amount: int) -> None:
        if self.task is not None:
            self.task.advance(amount)
