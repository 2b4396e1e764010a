"""The files that channels publish, indexed by package name: monolithic repodata, and shards with their index (CEP-16).

Monolithic repodata is kept as it is. The index holds the positions of each name's records, ``"file":{…},"file":{…}``,
and they are decoded only when the name is looked up.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from mmap import mmap
from operator import itemgetter
from typing import BinaryIO, Protocol, TypeVar, cast

import msgspec

from envc.fetch.conda.note import ARCHIVES, Note
from envc.fetch.conda.plain_repodata import NotPlain, PlainRepodataScanner
from envc.fetch.conda.shards import ShardRecords
from envc.fetch.conda.slices import Span
from envc.model import limits
from envc_solvers.conda.language.record import FIELDS, name_of
from envc_solvers.malformed import malformed, reason_of

_ALWAYS_DECODED = 1 << 22  # bytes; whatever such a document holds, its values take little memory
_PIECE = 1 << 18  # bytes; small enough to be in the processor's cache when it is scanned

_NOTHING = msgspec.Raw(b"null")
_DEEPEST = 3  # tables in tables of formats that envc does not read
_WHEEL = ".whl"
_NONE: frozenset[str] = frozenset()

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


class _Info(msgspec.Struct, frozen=True):
    base_url: str | None = None
    shards_base_url: str | None = None


class _Repodata(msgspec.Struct):
    info: _Info | None = None
    packages: dict[str, msgspec.Raw] | None = None
    conda: dict[str, msgspec.Raw] | None = msgspec.field(name="packages.conda", default=None)
    wheels: msgspec.Raw = msgspec.field(name="packages.whl", default=_NOTHING)
    v3: msgspec.Raw = _NOTHING  # CEP 48
    version: msgspec.Raw = msgspec.field(name="repodata_version", default=_NOTHING)
    removed: list[str] | None = None

    @property
    def tables(self) -> tuple[dict[str, msgspec.Raw], dict[str, msgspec.Raw]]:
        return self.packages or {}, self.conda or {}

    @property
    def is_known(self) -> bool:
        """Whether the file holds no other tables than these."""
        return bytes(self.version) in (b"", b"null", b"1", b"2", b"3")


class _Object(msgspec.Struct, frozen=True, gc=False):
    """Any JSON object. Nothing of it is kept."""


class _Shape(msgspec.Struct, frozen=True):
    """The tables of `_Repodata`. To decode it takes little memory, and fails early if a table holds anything else."""

    packages: dict[str, _Object] | None = None
    conda: dict[str, _Object] | None = msgspec.field(name="packages.conda", default=None)
    removed: msgspec.Raw = msgspec.Raw(b"")


class _ShardIndex(msgspec.Struct):
    shards: dict[str, bytes]
    info: _Info | None = None
    version: int = 1


class _Shard(msgspec.Struct):
    packages: dict[str, dict[str, object]] | None = None
    conda: dict[str, dict[str, object]] | None = msgspec.field(name="packages.conda", default=None)
    wheels: object = msgspec.field(name="packages.whl", default=None)
    v3: object = None
    removed: list[str] | None = None


_REPODATA = msgspec.json.Decoder(_Repodata)
_MEMBERS = msgspec.json.Decoder(dict[str, msgspec.Raw])
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
    spans = sorted(scanner.without(data, found, repodata.removed or ()), key=itemgetter(1))
    return RepodataIndex(spans, _note(repodata, skeleton))


def index_repodata(data: bytes | mmap, records: int) -> RepodataIndex:
    """Rewrite a ``repodata.json`` of any layout as one plain table.

    Raises ValueError if it is not repodata, or has more than that many records; see `most_records`. A file whose name
    has to be escaped in JSON is not a package, and is left out.
    """
    _check_number(data, records)
    repodata = _read_repodata(data)
    removed = frozenset(repodata.removed or ())
    twins = _twins(*repodata.tables)
    pieces: list[bytes | msgspec.Raw] = []
    spans: list[Span] = []
    length = 1
    for table in repodata.tables:
        for file, record in table.items():
            key = msgspec.json.encode(file)
            if file in removed or not file.isascii() or len(key) != len(file) + 2:
                continue
            pieces += (b",", key, b":", record)
            start, length = length, length + len(key) + len(record) + 2
            name = name_of(file)
            key_of_slice = name + ARCHIVES if file in twins else name
            if spans and spans[-1][0] == key_of_slice and spans[-1][2] == start - 1:
                start = spans.pop()[1]
            if name:
                spans.append((key_of_slice, start, length - 1))
    return RepodataIndex(spans, _note(repodata, data), b"{" + b"".join(pieces[1:]) + b"}")


def _note(repodata: _Repodata, data: bytes | mmap) -> Note:
    """`data` is the whole document, or the part of it that `repodata` was read from."""
    newer = _number_of_records(repodata.wheels) + _number_of_records(repodata.v3)
    if not repodata.is_known:
        known = {"packages", "packages.conda", "packages.whl", "v3", "info", "removed"}
        newer += sum(_number_of_records(table) for key, table in _MEMBERS.decode(data).items() if key not in known)
    return Note(base_url=(repodata.info or _Info()).base_url or "", newer=newer)


def _number_of_records(table: object, depth: int = _DEEPEST) -> int:
    """How many records a table of a format that envc does not read holds, by file name or in tables of its own."""
    if isinstance(table, msgspec.Raw):
        try:
            table = _MEMBERS.decode(table)
        except malformed():
            return 0
    if not isinstance(table, dict) or not depth:
        return 0
    return sum(
        1 if name_of(str(key)) or str(key).endswith(_WHEEL) else _number_of_records(value, depth - 1)
        for key, value in table.items()
    )


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


def records_of_shard(data: bytes) -> ShardRecords:
    """The records of a shard. Raises ValueError if it is not a shard."""
    try:
        shard = _SHARD.decode(data)
        tables = (shard.packages or {}, shard.conda or {})
        removed, twins = frozenset(shard.removed or ()), _twins(*tables)
        records, archives = (
            msgspec.json.encode(
                {
                    file: {
                        key: value.hex() if isinstance(value, bytes) else value
                        for key, value in record.items()
                        if key in FIELDS
                    }
                    for table in tables
                    for file, record in table.items()
                    if file not in removed and (file in twins) == is_archive
                }
            )
            for is_archive in (False, True)
        )
        return ShardRecords(records, archives, _number_of_records(shard.wheels) + _number_of_records(shard.v3))
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
    if repodata.packages is None and repodata.conda is None and repodata.v3 is _NOTHING and repodata.is_known:
        raise ValueError("it holds no table of packages")
    return repodata


def _twins(archives: Mapping[str, V], conda: Mapping[str, V]) -> frozenset[str]:
    """The .tar.bz2 files that also exist as .conda."""
    return frozenset(file for file in archives if file.removesuffix(".tar.bz2") + ".conda" in conda) if conda else _NONE
