"""The files that channels publish, cut into names: monolithic repodata, and shards with their index (CEP-16).

Monolithic repodata stays as it is, and what is kept for a name is where its records stand: ``"file":{…},"file":{…}``.
They are decoded only when somebody asks for the name.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import accumulate, repeat
from mmap import mmap
from operator import add
from typing import TypeVar

import msgspec

from envc.fetch.slices import Span
from envc_solvers.conda.record import FIELDS, name_of

LARGEST_JSON = 1 << 31  # bytes of repodata after decompression
LARGEST_SHARD = 1 << 28  # bytes of one shard after decompression
_USUAL_RATIO = 200  # zstd -19 makes repodata 10 to 20 times smaller
_ALWAYS = 1 << 24  # bytes that may come out however few went in
_PIECE = 1 << 20  # bytes

V = TypeVar("V")


class Cut(msgspec.Struct, frozen=True):
    """Where names stand in data."""

    spans: list[Span]
    note: Note
    data: bytes | None = None  # what to keep instead of the data that was cut


class Note(msgspec.Struct, frozen=True, kw_only=True):
    """What a file says besides records."""

    base_url: str = ""  # of package files (CEP-15); may be relative to the file's own URL
    shards_base_url: str = ""  # of shards, likewise
    skipped: int = 0  # records of kinds that envc does not know, such as wheels


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


class _ShardIndex(msgspec.Struct):
    shards: dict[str, bytes]
    info: _Info | None = None
    version: int = 1


class _Shard(msgspec.Struct):
    packages: dict[str, dict[str, object]] | None = None
    conda: dict[str, dict[str, object]] | None = msgspec.field(name="packages.conda", default=None)
    removed: list[str] | None = None


_REPODATA = msgspec.json.Decoder(_Repodata)
_EACH = msgspec.json.Decoder(dict[str, msgspec.Raw])
_INDEX = msgspec.msgpack.Decoder(_ShardIndex)
_SHARD = msgspec.msgpack.Decoder(_Shard)


def cut_repodata(data: bytes | mmap) -> Cut:
    """Find the names in a ``repodata.json``. Raises ValueError when it is none."""
    try:
        repodata = _REPODATA.decode(data)
    except msgspec.ValidationError as error:
        raise ValueError(f"it is not repodata ({error})") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"it is not JSON, or cut short ({error})") from None
    if repodata.packages is None and repodata.conda is None and repodata.v3 is None:
        raise ValueError("it holds no table of packages")
    info = repodata.info or _Info()
    others = (repodata.wheels, *(repodata.v3 or {}).values())
    note = Note(base_url=info.base_url or "", skipped=sum(len(other) for other in others if other))
    tables = (repodata.packages or {}, repodata.conda or {})
    dropped = _dropped(*tables, repodata.removed or [])
    try:
        return Cut([span for table in tables for span in _find(data, table, dropped)], note)
    except _NotPlain:
        plain = _rewrite([(file, record) for table in tables for file, record in table.items() if file not in dropped])
        return Cut(_find(plain, _EACH.decode(plain), frozenset()), note, plain)


def cut_shard_index(data: bytes) -> Cut:
    """Read a ``repodata_shards.msgpack``: what is kept for a name is the sha256 of its shard, 32 bytes.

    Raises ValueError when it is no index of shards.
    """
    try:
        index = _INDEX.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"it is not an index of shards ({error})") from None
    if index.version != 1:
        raise ValueError(f"it is of version {index.version}, and envc knows version 1")
    for name, digest in index.shards.items():
        if len(digest) != 32:
            raise ValueError(f"its digest of {name[:80]!r} is not a sha256")
    info = index.info or _Info()
    note = Note(base_url=info.base_url or "", shards_base_url=info.shards_base_url or "")
    spans = [(name, 32 * at, 32 * at + 32) for at, name in enumerate(index.shards)]
    return Cut(spans, note, b"".join(index.shards.values()))


def cut_shard(data: bytes, name: str) -> bytes:
    """The records of a name from its shard, as the JSON object ``{file: record}`` that repodata.json would hold.

    Raises ValueError when it is no shard, or that of another name.
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
        stranger = next((file for file in records if name_of(file) != name), None)
        if stranger is not None:
            raise ValueError(f"it holds {stranger[:120]!r}, which is no package {name[:80]!r}")
        return msgspec.json.encode(records)
    except (msgspec.DecodeError, msgspec.EncodeError, UnicodeDecodeError, RecursionError, TypeError) as error:
        raise ValueError(f"it is not a shard ({error})") from None


def decompress(data: bytes, largest: int) -> Iterator[bytes]:
    """The content of zstd frames, in pieces. Raises ValueError when they are damaged or hold more than can be meant."""
    import zstandard

    left = min(largest, max(_ALWAYS, len(data) * _USUAL_RATIO))
    try:
        with zstandard.ZstdDecompressor().stream_reader(data, read_across_frames=True) as reader:
            while part := reader.read(_PIECE):
                left -= len(part)
                if left < 0:
                    raise ValueError("it holds far more than such a file may")
                yield part
    except zstandard.ZstdError as error:
        raise ValueError(f"it is not zstd, or cut short ({error})") from None


class _NotPlain(Exception):
    """Repodata in which records do not stand side by side, without white space, under file names without escapes."""


def _find(data: bytes | mmap, table: dict[str, msgspec.Raw], dropped: Collection[str]) -> list[Span]:
    """Where the names of a table stand in the data that it was decoded from. Raises _NotPlain.

    Records are as long as they are, and names as they are spelt; so each one's place follows from the one before, and
    is looked at where a name begins, and at the last one. White space and escapes make the data longer than that, never
    shorter, so a wrong place cannot become right again. That is many times faster than handling every record.
    """
    if not table:
        return []
    first = data.find(b"%b%b" % next((_key(file), bytes(record)) for file, record in table.items()))
    if first < 0:
        raise _NotPlain
    # Around a file and its record stand two quotes, a colon and a comma.
    sizes = map(add, map(len, table), map(len, table.values()))
    starts = accumulate(map(add, sizes, repeat(4)), initial=first)
    spans: list[Span] = []
    current, since = "", first
    prefix, rest = "-", 0
    last = next(reversed(table))
    for file, at in zip(table, starts, strict=False):
        # A file of the same name as the one before has exactly one more dash behind it: version-build.
        is_next = file.startswith(prefix) and file.count("-", rest) == 1 and file not in dropped
        if is_next and file is not last:
            continue
        key = _key(file)
        if len(key) != len(file) + 3 or data[at : at + len(key)] != key:
            raise _NotPlain
        if is_next:
            continue
        if current:
            spans.append((current, since, at - 1))
        current, since = "" if file in dropped else name_of(file), at
        prefix, rest = current + "-", len(current) + 1
    end = next(starts)
    if current:
        spans.append((current, since, end - 1))
    if data[end - 1 : end] != b"}":
        raise _NotPlain
    return spans


def _key(file: str) -> bytes:
    """How a file and the record behind it begin in plain repodata. No JSON string can hold it, for its quotes."""
    return b'"%b":' % file.encode("utf-8", "surrogatepass")


def _rewrite(records: Iterable[tuple[str, msgspec.Raw]]) -> bytes:
    """Records as one plain table. A file whose name must be escaped is no package, and is left out."""
    pieces: list[bytes | msgspec.Raw] = []
    for file, record in records:
        key = msgspec.json.encode(file)
        if file.isascii() and len(key) == len(file) + 2:
            pieces += (b",", key, b":", record)
    return b"{" + b"".join(pieces[1:]) + b"}"


def _dropped(archives: Mapping[str, V], conda: Mapping[str, V], removed: Iterable[str]) -> frozenset[str]:
    """The files that do not count: removed ones, and the .tar.bz2 of what is also there as .conda."""
    twins = (file for file in archives if file.removesuffix(".tar.bz2") + ".conda" in conda) if conda else ()
    return frozenset((*removed, *twins))
