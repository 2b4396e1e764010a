"""The files that channels publish, indexed by package name: monolithic repodata, and shards with their index (CEP-16).

Monolithic repodata is kept as it is. The index holds the positions of each name's records, ``"file":{…},"file":{…}``,
and they are decoded only when the name is looked up.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from mmap import mmap
from operator import itemgetter
from typing import BinaryIO, Protocol, TypeVar, cast

import msgspec

from envc.fetch.conda.plain_repodata import NotPlain, PlainRepodataScanner
from envc.fetch.conda.slices import Span
from envc.model import limits
from envc_solvers.conda.language.record import FIELDS, name_of
from envc_solvers.malformed import malformed, reason_of

_ALWAYS_DECODED = 1 << 22  # bytes; whatever such a document holds, its values take little memory
_PIECE = 1 << 18  # bytes; small enough to be in the processor's cache when it is scanned

V = TypeVar("V")


class Bounds(msgspec.Struct, frozen=True):
    """How much a compressed file may hold."""

    largest: int  # bytes after decompression
    ratio: int  # of these bytes to those of the file
    free: int  # bytes after decompression that are allowed whatever the ratio

    def allowed(self, size: int) -> int:
        """Bytes that a file of `size` bytes may decompress to."""
        return min(self.largest, max(self.free, size * self.ratio))


REPODATA_BOUNDS = Bounds(limits.REPODATA_BYTES, limits.REPODATA_RATIO, limits.REPODATA_FREE_BYTES)
SHARD_BOUNDS = Bounds(limits.SHARD_BYTES, limits.SHARD_RATIO, limits.SHARD_FREE_BYTES)


class RepodataIndex(msgspec.Struct, frozen=True):
    """The positions of names in data."""

    spans: list[Span]
    note: Note
    data: bytes | None = None  # to store instead of the data that was indexed


class Note(msgspec.Struct, frozen=True, kw_only=True):
    """Parts of a file other than records."""

    base_url: str = ""  # of package files (CEP-15); may be relative to the file's own URL
    shards_base_url: str = ""  # of shards, likewise
    skipped: int = 0  # number of records of kinds that envc does not support, such as wheels


class _Info(msgspec.Struct, frozen=True):
    base_url: str | None = None
    shards_base_url: str | None = None


class _Repodata(msgspec.Struct):
    info: _Info | None = None
    packages: dict[str, msgspec.Raw] | None = None
    conda: dict[str, msgspec.Raw] | None = msgspec.field(name="packages.conda", default=None)
    wheels: dict[str, msgspec.Raw] | None = msgspec.field(name="packages.whl", default=None)
    v3: dict[str, dict[str, msgspec.Raw] | None] | None = None
    removed: list[str] | None = None

    @property
    def tables(self) -> tuple[dict[str, msgspec.Raw], dict[str, msgspec.Raw]]:
        return self.packages or {}, self.conda or {}

    @property
    def note(self) -> Note:
        info = self.info or _Info()
        others = (self.wheels, *(self.v3 or {}).values())
        return Note(base_url=info.base_url or "", skipped=sum(len(other) for other in others if other))


class _Object(msgspec.Struct, frozen=True, gc=False):
    """Any JSON object. Nothing of it is kept."""


class _Shape(msgspec.Struct, frozen=True):
    """The tables of `_Repodata`. To decode it takes little memory, and fails early if a table holds anything else."""

    packages: dict[str, _Object] | None = None
    conda: dict[str, _Object] | None = msgspec.field(name="packages.conda", default=None)
    wheels: dict[str, _Object] | None = msgspec.field(name="packages.whl", default=None)
    v3: dict[str, dict[str, _Object] | None] | None = None
    removed: msgspec.Raw = msgspec.Raw(b"")


class _ShardIndex(msgspec.Struct):
    shards: dict[str, bytes]
    info: _Info | None = None
    version: int = 1


class _Shard(msgspec.Struct):
    packages: dict[str, dict[str, object]] | None = None
    conda: dict[str, dict[str, object]] | None = msgspec.field(name="packages.conda", default=None)
    removed: list[str] | None = None


_REPODATA = msgspec.json.Decoder(_Repodata)
_SHAPE = msgspec.json.Decoder(_Shape)
_INDEX = msgspec.msgpack.Decoder(_ShardIndex)
_SHARD = msgspec.msgpack.Decoder(_Shard)


def index_plain_repodata(data: bytes | mmap, scanner: PlainRepodataScanner) -> RepodataIndex | None:
    """The names in a ``repodata.json`` that was scanned to its end; None if it is not plain, or not repodata."""
    try:
        skeleton = scanner.skeleton()
        repodata = _read_repodata(skeleton)
        found = scanner.find(skeleton, repodata.tables)
    except (NotPlain, ValueError):
        return None
    return RepodataIndex(sorted(scanner.without(data, found, repodata.removed or ()), key=itemgetter(1)), repodata.note)


def index_repodata(data: bytes | mmap, records: int) -> RepodataIndex:
    """Rewrite a ``repodata.json`` of any layout as one plain table.

    Raises ValueError if it is not repodata, or has more than that many records; see `most_records`. A file whose name
    has to be escaped in JSON is not a package, and is left out.
    """
    _check_number(data, records)
    repodata = _read_repodata(data)
    dropped = _dropped(*repodata.tables, repodata.removed or ())
    pieces: list[bytes | msgspec.Raw] = []
    spans: list[Span] = []
    length = 1
    for table in repodata.tables:
        for file, record in table.items():
            key = msgspec.json.encode(file)
            if file in dropped or not file.isascii() or len(key) != len(file) + 2:
                continue
            pieces += (b",", key, b":", record)
            start, length = length, length + len(key) + len(record) + 2
            name = name_of(file)
            if spans and spans[-1][0] == name and spans[-1][2] == start - 1:
                start = spans.pop()[1]
            if name:
                spans.append((name, start, length - 1))
    return RepodataIndex(spans, repodata.note, b"{" + b"".join(pieces[1:]) + b"}")


def _check_number(data: bytes | mmap, records: int) -> None:
    """Raise ValueError for repodata with more than that many records or names of removed files."""
    refused = ValueError(f"it holds more than {records:,} records, far more than a file of its size can")
    if sum(data[at : at + _PIECE].count(b"{") for at in range(0, len(data), _PIECE)) > records:
        raise refused
    if len(data) > _ALWAYS_DECODED:
        try:
            shape = _SHAPE.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise ValueError(f"it is not repodata ({error})") from None
        if bytes(shape.removed).count(b'"') > 2 * records:
            raise refused


def index_shards(data: bytes) -> RepodataIndex:
    """Read a ``repodata_shards.msgpack``. The slice of a name is the sha256 of its shard, 32 bytes.

    Raises ValueError if it is not an index of shards.
    """
    try:
        index = _INDEX.decode(data)
    except malformed() as error:
        raise ValueError(f"it is not an index of shards ({reason_of(error)})") from None
    if index.version != 1:
        raise ValueError(f"it is of version {index.version}, and envc supports version 1")
    for name, digest in index.shards.items():
        if len(digest) != 32:
            raise ValueError(f"its digest of {name[:80]!r} is not a sha256")
    info = index.info or _Info()
    note = Note(base_url=info.base_url or "", shards_base_url=info.shards_base_url or "")
    spans = [(name, 32 * at, 32 * at + 32) for at, name in enumerate(index.shards)]
    return RepodataIndex(spans, note, b"".join(index.shards.values()))


def records_of_shard(data: bytes, name: str) -> bytes:
    """The records of a name from its shard, as the JSON object ``{file: record}`` as in repodata.json.

    Raises ValueError if it is not a shard, or the shard of another name.
    """
    try:
        shard = _SHARD.decode(data)
        tables = (shard.packages or {}, shard.conda or {})
        dropped = _dropped(*tables, shard.removed or [])
        records = {
            file: {
                key: value.hex() if isinstance(value, bytes) else value
                for key, value in record.items()
                if key in FIELDS
            }
            for table in tables
            for file, record in table.items()
            if file not in dropped
        }
        misplaced = next((file for file in records if name_of(file) != name), None)
        if misplaced is not None:
            raise ValueError(f"it holds {misplaced[:120]!r}, which is not a file of package {name[:80]!r}")
        return msgspec.json.encode(records)
    except malformed(TypeError) as error:
        raise ValueError(f"it is not a shard ({reason_of(error)})") from None


class Readable(Protocol):
    """A source of bytes."""

    def read(self, size: int = ..., /) -> bytes: ...


def most_records(size: int) -> int:
    """How many records a download of `size` bytes may hold: the digests of each cannot be compressed."""
    return limits.RECORDS_FREE + size // limits.RECORD_DOWNLOAD_BYTES


def decompress(source: Readable, size: int, bounds: Bounds) -> Iterator[bytes]:
    """The content of zstd frames of `size` bytes in total, in pieces.

    Raises ValueError if they are damaged, unreadable or too large after decompression.
    """
    import zstandard

    left = bounds.allowed(size)
    try:
        # The reader calls only `read`, although its types demand more.
        with zstandard.ZstdDecompressor().stream_reader(cast("BinaryIO", source), read_across_frames=True) as reader:
            for part in read_pieces(reader):
                left -= len(part)
                if left < 0:
                    raise ValueError("it decompresses to far more than such a file may hold")
                yield part
    except zstandard.ZstdError as error:
        raise ValueError(f"it is not zstd, or cut short ({error})") from None


def read_pieces(source: Readable) -> Iterator[bytes]:
    """The content of a source in pieces. Raises ValueError if it cannot be read."""
    try:
        while part := source.read(_PIECE):
            yield part
    except OSError as error:
        raise ValueError(f"it cannot be read ({error.strerror})") from None


def _read_repodata(data: bytes | mmap) -> _Repodata:
    """Raises ValueError."""
    try:
        repodata = _REPODATA.decode(data)
    except msgspec.ValidationError as error:
        raise ValueError(f"it is not repodata ({error})") from None
    except malformed() as error:
        raise ValueError(f"it is not JSON, or cut short ({reason_of(error)})") from None
    if repodata.packages is None and repodata.conda is None and repodata.v3 is None:
        raise ValueError("it holds no table of packages")
    return repodata


def _dropped(archives: Mapping[str, V], conda: Mapping[str, V], removed: Iterable[str]) -> frozenset[str]:
    """The files to leave out: removed ones, and .tar.bz2 files that also exist as .conda."""
    twins = (file for file in archives if file.removesuffix(".tar.bz2") + ".conda" in conda) if conda else ()
    return frozenset((*removed, *twins))
