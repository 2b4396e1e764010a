"""The `Repodata` of the conda solver, from files that channels publish and from the cache.

All repodata is treated as if it were sharded: a name is looked up in its subdir, and records are decoded only for names
that a solve reaches. If the channel publishes shards, they are also fetched only for those names.
"""

from __future__ import annotations

import contextlib
import io
import threading
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING

import msgspec

from envc.errors import DigestMismatch, EnvcError, OfflineMiss, SourceUnreachable
from envc.fetch.conda.channel_locations import ChannelLocation
from envc.fetch.conda.note import ARCHIVES
from envc.fetch.conda.slices import Damaged
from envc.fetch.conda.subdir import Subdir, Subdirs
from envc.fetch.context import FetchContext
from envc.fetch.lazy_task import LazyTask
from envc.fetch.net.http import Stopped, Truncated
from envc.model.digest import Sha256, sha256, sha256_file
from envc.model.limits import SHARD_DOWNLOAD_BYTES
from envc.system.atomic_file import write_file
from envc.system.cache_folder import make_folder
from envc.system.once import Once
from envc.system.regular_file import open_regular
from envc_solvers.conda.language.record import Record, RecordUnusable, decode_records, name_of

if TYPE_CHECKING:
    from envc.fetch.conda.shards import ShardRecords
    from envc.system.workers import Workers

NOARCH = "noarch"

_REQUESTS = 24  # concurrent requests
_IGNORED = (EnvcError, RecordUnusable, Stopped, InterruptedError)  # raised again if the solver needs the same answer
_NAME_ENDS = " <>=!~[\t"


class _Package(msgspec.Struct, frozen=True):
    """What a subdir says about one name."""

    records: tuple[Record, ...]
    left_out: tuple[RecordUnusable, ...] = ()
    newer: int = 0  # records of formats that envc does not read, in a shard


_NO_PACKAGE = _Package(())


class Channels:
    """The channels of a run, to be closed at its end. Thread-safe."""

    def __init__(self, locations: Mapping[str, ChannelLocation], context: FetchContext) -> None:
        """The client of `context` stays open when the channels are closed."""
        self._locations = locations
        self._folder = context.cache / "repodata"
        self._client = context.client
        self._offline = context.offline
        self._task = LazyTask(context.progress, "channel data")
        self._files = Subdirs(self._folder, context, self._task)
        self._subdirs: Once[tuple[str, str], Subdir] = Once()
        self._packages: Once[tuple[str, str, str], _Package] = Once()
        self._told: set[tuple[str, str, str]] = set()  # keys of `_packages` whose left-out records were reported
        self._newer: dict[tuple[str, str, str], int] = {}  # by what was read: records that envc cannot read
        self._progress = context.progress
        self._workers: Workers | None = None  # None until needed: most runs find everything in the cache
        self._lock = threading.RLock()  # for rare events

    def __enter__(self) -> Channels:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Cancel prefetching, and warn about channels with records of formats that envc does not read."""
        if self._workers is not None:
            self._workers.stop()
        self._task.done()
        by_channel: dict[str, list[tuple[str, int]]] = {}
        for (channel, _, name), number in self._newer.items():
            by_channel.setdefault(channel, []).append((name, number))
        for channel, found in by_channel.items():
            number = sum(count for _, count in found)
            reached = " of the packages that were looked up" if any(name for name, _ in found) else ""
            self._progress.warn(
                f"{channel} has records in newer formats than envc reads, which are left out: {number:,}{reached}",
            )
        self._newer.clear()

    def repodata(self, platform: str, order: tuple[str, ...] | None = None) -> PlatformRepodata:
        """The repodata of a solve for that platform. `order` names the channels to use, by default all."""
        return PlatformRepodata(self, order if order is not None else tuple(self._locations), platform)

    def identify(self, channel: str, platform: str, file: str) -> tuple[Sha256, int]:
        """Digest and size of a package file whose record does not state them, determined by downloading it.

        Raises SourceUnreachable if no subdir serves it, OfflineMiss, and DigestMismatch if it has another md5 than its
        record states.
        """
        import hashlib

        from envc.fetch.net.urls import local_path

        location = self._locations[channel]
        for subdir in (platform, NOARCH):
            what = f"{subdir}/{file}, whose record has no digest,"
            url = self.subdir(channel, subdir).file_url(file)
            if url.startswith("file:"):
                with contextlib.suppress(OSError):
                    path = local_path(url)
                    with path.open("rb") as source:
                        weak = hashlib.file_digest(source, lambda: hashlib.md5(usedforsecurity=False))
                    self._check_md5(channel, subdir, file, weak.hexdigest())
                    return sha256_file(path), path.stat().st_size
                continue
            if self._offline:
                raise OfflineMiss(what)
            try:
                with self._client.open(location.name, what, url) as stream:
                    if stream.status == 200:
                        digest, weak, size = hashlib.sha256(), hashlib.md5(usedforsecurity=False), 0
                        for chunk in stream.chunks():
                            digest.update(chunk)
                            weak.update(chunk)
                            size += len(chunk)
                        self._check_md5(channel, subdir, file, weak.hexdigest())
                        return Sha256(digest.hexdigest()), size
            except Truncated:
                raise SourceUnreachable(channel, what, "the download was cut short") from None
        raise SourceUnreachable(channel, f"{file}, whose record has no digest,", "the channel does not serve it")

    def _check_md5(self, channel: str, subdir: str, file: str, actual: str) -> None:
        """Raises DigestMismatch if the record of a file states another md5."""
        for record in self.records(channel, subdir, name_of(file)):
            if record.file == file and record.md5 not in ("", actual):
                what = f"{subdir}/{file}, from {channel},"
                hint = "the channel serves a file that does not match its record: do not install it"
                raise DigestMismatch(what, record.md5, actual, hint, "md5")

    def subdir(self, channel: str, subdir: str) -> Subdir:
        """An open subdir. Raises SourceUnreachable, OfflineMiss."""
        return self._subdirs.get((channel, subdir), lambda: self._files.open(self._locations[channel], subdir))

    def open_all(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Open these (channel, subdir) pairs, concurrently if they have to be fetched. Raises the first error."""
        missing = []
        for channel, subdir in pairs:
            opened = self._files.cached(self._locations[channel], subdir)
            if opened is not None:
                self._subdirs.get((channel, subdir), lambda opened=opened: opened)  # type: ignore[misc]
            else:
                missing.append((channel, subdir))
        for pair in missing[1:]:
            self._in_background(lambda pair=pair: self.subdir(*pair))  # type: ignore[misc]
        for pair in missing:
            self.subdir(*pair)

    def records(self, channel: str, subdir: str, name: str) -> tuple[Record, ...]:
        """See `Repodata.records`. Also raises SourceUnreachable and OfflineMiss. Warns about records left out."""
        key = (channel, subdir, name)
        package = self._packages.get(key, lambda: self._load(*key))
        if (package.left_out or package.newer) and key not in self._told:
            self._told.add(key)
            if package.left_out:
                self._progress.warn(_left_out(package.left_out))
            if package.newer:
                self._newer[key] = package.newer
        return package.records

    def archives(self, channel: str, subdir: str, name: str) -> tuple[Record, ...]:
        """See `Repodata.archives`. Also raises SourceUnreachable and OfflineMiss."""
        return self._package(channel, subdir, name + ARCHIVES).records

    def lists(self, channel: str, subdir: str, name: str) -> bool:
        """See `Repodata.lists`. Also raises SourceUnreachable and OfflineMiss."""
        package = self._package(channel, subdir, name)
        return bool(package.records or package.left_out)

    def count_newer(self, channel: str, subdir: str) -> None:
        """Have `close` warn about records of a whole file that envc cannot read."""
        newer = self.subdir(channel, subdir).newer
        if newer:
            self._newer[channel, subdir, ""] = newer

    def _package(self, channel: str, subdir: str, name: str) -> _Package:
        """`name` may end with ARCHIVES."""
        return self._packages.get((channel, subdir, name), lambda: self._load(channel, subdir, name))

    def expect(self, channel: str, subdir: str, names: Iterable[str]) -> None:
        """Fetch the shards of these names in the background."""
        for name in names:
            if (channel, subdir, name) not in self._packages:
                self._in_background(lambda name=name: self._package(channel, subdir, name))  # type: ignore[misc]

    def _in_background(self, work: Callable[[], object]) -> None:
        """Run `work` on another thread and ignore its errors: a later look-up of the same raises them again."""
        with self._lock:
            if self._workers is None:
                from envc.system.workers import Workers

                self._workers = Workers(_REQUESTS, "channel")
        self._workers.submit(lambda: _ignore_errors(work))

    def _load(self, channel: str, subdir: str, key: str) -> _Package:
        opened = self.subdir(channel, subdir)
        if opened.slices is None:
            return _NO_PACKAGE
        name = key.removesuffix(ARCHIVES)
        newer = 0
        if opened.is_sharded:
            slices = self._slices(opened, name)
            if not slices:
                return _NO_PACKAGE
            shard = self._shard(opened, name, slices[0].hex())
            data, newer = (shard.records, shard.newer) if key == name else (shard.archives, 0)
        else:
            slices = self._slices(opened, key)
            if not slices:
                return _NO_PACKAGE
            data = b"{%b}" % b",".join(slices)
        records, left_out = decode_records(data, channel, subdir)
        # In a whole file, each record was found by its name. A shard may hold, or be listed for, other names.
        if opened.is_sharded and any(record.name != name for record in records):
            left_out += [
                RecordUnusable(channel, subdir, record.file, f"the channel lists it as a file of {name[:80]!r}")
                for record in records
                if record.name != name
            ]
            records = [record for record in records if record.name == name]
        return _Package(tuple(records), tuple(left_out), newer)

    def _slices(self, opened: Subdir, key: str) -> list[bytes]:
        assert opened.slices is not None
        try:
            return opened.slices.get(key)
        except Damaged:
            return self._repair(opened, key)

    def _repair(self, damaged: Subdir, name: str) -> list[bytes]:
        """The slices of a name from a new copy of a subdir whose cached copy is damaged."""
        channel, subdir = damaged.location.name, damaged.name
        with self._lock:
            opened = self.subdir(channel, subdir)
            if opened is damaged:
                opened.discard()
                self._subdirs.forget((channel, subdir))
                opened = self.subdir(channel, subdir)
        what = f"the repodata of {subdir}"
        if opened.digest != damaged.digest or opened.slices is None:
            # Records that were read before are from another state of the channel, and cannot be combined with these.
            reason = "its copy in the cache was damaged, and the channel has changed since"
            raise SourceUnreachable(channel, what, reason, "run the command again")
        try:
            return opened.slices.get(name)
        except Damaged:
            reason = "its copy in the cache is damaged again after it was replaced"
            raise SourceUnreachable(channel, what, reason, "check the disk, or set another ENVC_CACHE_DIR") from None

    def _shard(self, opened: Subdir, name: str, digest: str) -> ShardRecords:
        """The records of a shard. Shards never change, so they are cached for good."""
        from envc.fetch.conda.shards import pack_shard, unpack_shard

        path = self._folder / "shards-2" / digest[:2] / digest
        try:
            return unpack_shard(path.read_bytes())
        except (OSError, Damaged):
            pass
        from envc.fetch.conda.repodata import SHARD_BOUNDS, decompress, records_of_shard
        from envc.fetch.net.urls import local_path

        what = f"{opened.name}/{digest}.msgpack.zst, the shard of {name},"
        location, url = opened.location, opened.shard_url(digest)
        if url.startswith("file:"):
            try:
                with io.BufferedReader(open_regular(local_path(url))) as file:
                    packed = file.read(SHARD_DOWNLOAD_BYTES)
            except OSError as error:
                raise SourceUnreachable(location.name, what, error.strerror or "unreadable") from None
        else:
            if self._offline:
                raise OfflineMiss(f"the shard of {name} of {location.name}/{opened.name}")
            self._task.grow(1)
            reply = self._client.get(location.name, what, url, limit=SHARD_DOWNLOAD_BYTES)
            self._task.advance()
            if reply.status != 200:
                raise SourceUnreachable(location.name, what, f"HTTP {reply.status}")
            packed = reply.body
        if sha256(packed) != digest:
            raise SourceUnreachable(location.name, what, "it does not match its digest")
        try:
            shard = records_of_shard(b"".join(decompress(io.BytesIO(packed), len(packed), SHARD_BOUNDS)))
        except ValueError as error:
            raise SourceUnreachable(location.name, what, str(error)) from None
        with contextlib.suppress(OSError):
            make_folder(path.parent)
            write_file(path, pack_shard(shard))
        return shard


class PlatformRepodata:
    """The channels of a run for one platform: an `envc_solvers.conda.language.index.Repodata`."""

    def __init__(self, channels: Channels, order: tuple[str, ...], platform: str) -> None:
        self._channels = channels
        self._order = order
        self._subdirs = (platform, NOARCH) if platform != NOARCH else (NOARCH,)
        self._sharded: list[tuple[str, str]] | None = None  # subdirs with shards; None until opened

    def subdirs(self, channel: str) -> tuple[str, ...]:
        self._open()
        return self._subdirs

    def records(self, channel: str, subdir: str, name: str) -> tuple[Record, ...]:
        self._open()
        found = self._channels.records(channel, subdir, name)
        if self._sharded and found:
            # The dependencies of the newest build are the best guess of what is needed next.
            newest = max(found, key=lambda record: record.timestamp)
            self.expect(_spec_names(newest))
        return found

    def names(self, channel: str, subdir: str) -> frozenset[str]:
        slices = self._channels.subdir(channel, subdir).slices
        names = slices.names() if slices is not None else ()
        return frozenset(name for name in names if not name.endswith(ARCHIVES))

    def archives(self, channel: str, subdir: str, name: str) -> tuple[Record, ...]:
        return self._channels.archives(channel, subdir, name)

    def lists(self, channel: str, subdir: str, name: str) -> bool:
        return self._channels.lists(channel, subdir, name)

    def digest(self, channel: str, subdir: str) -> str:
        return self._channels.subdir(channel, subdir).digest

    def expect(self, names: Iterable[str]) -> None:
        names = tuple(names)
        for channel, subdir in self._open():
            self._channels.expect(channel, subdir, names)

    def _open(self) -> list[tuple[str, str]]:
        """Open every subdir once, and return those with shards. Raises SourceUnreachable for a channel without any."""
        if self._sharded is None:
            pairs = [(channel, subdir) for channel in self._order for subdir in self._subdirs]
            self._channels.open_all(pairs)
            for channel in self._order:
                if all(self._channels.subdir(channel, subdir).slices is None for subdir in self._subdirs):
                    raise SourceUnreachable(channel, "its repodata", f"it has neither {' nor '.join(self._subdirs)}")
            for pair in pairs:
                self._channels.count_newer(*pair)
            self._sharded = [pair for pair in pairs if self._channels.subdir(*pair).is_sharded]
        return self._sharded


def _spec_names(record: Record) -> set[str]:
    """The names in a record's dependencies, parsed only as far as prefetching needs."""
    names = set()
    for text in record.depends:
        end = min((at for mark in _NAME_ENDS if (at := text.find(mark)) > 0), default=len(text))
        names.add(text[:end])
    return names


def _left_out(errors: tuple[RecordUnusable, ...]) -> str:
    """A warning about records of one name."""
    first = min(errors, key=lambda error: error.file)
    name = name_of(first.file)
    number = len(errors) - 1
    more = f", and so {'is' if number == 1 else 'are'} {number:,} more of {name}" if number else ""
    return f"{first.channel}/{first.subdir}/{first.file[:120]} is left out{more}: {first.reason}"


def _ignore_errors(work: Callable[[], object]) -> None:
    with contextlib.suppress(*_IGNORED):
        work()
