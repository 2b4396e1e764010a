"""The files that channels publish, cut into names: monolithic repodata, and shards with their index (CEP-16).

Both become pairs of a name and a slice. A slice of repodata is the JSON object ``{file: record}`` of that name, with
records as the channel wrote them; they are decoded only when somebody asks for the name.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

import msgspec

from envc_solvers.conda.record import FIELDS, name_of

LARGEST_JSON = 1 << 31  # bytes of repodata after decompression
LARGEST_SHARD = 1 << 28  # bytes of one shard after decompression
_USUAL_RATIO = 200  # zstd -19 makes repodata 10 to 20 times smaller
_ALWAYS = 1 << 24  # bytes that may come out however few went in

V = TypeVar("V")

Bytes = bytes | msgspec.Raw
Slice = tuple[str, list[Bytes]]  # a name, and its bytes in pieces


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
_INDEX = msgspec.msgpack.Decoder(_ShardIndex)
_SHARD = msgspec.msgpack.Decoder(_Shard)


def cut_repodata(data: bytes) -> tuple[list[Slice], Note]:
    """Cut a ``repodata.json``. Raises ValueError when it is none."""
    try:
        repodata = _REPODATA.decode(data)
    except msgspec.ValidationError as error:
        raise ValueError(f"it is not repodata ({error})") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"it is not JSON, or cut short ({error})") from None
    if repodata.packages is None and repodata.conda is None and repodata.v3 is None:
        raise ValueError("it holds no table of packages")
    pieces: dict[str, list[Bytes]] = {}
    kept = _kept(repodata.packages, repodata.conda, repodata.removed)
    for file, key, record in zip(kept, _json_keys(kept), kept.values(), strict=True):
        name = name_of(file)
        known = pieces.get(name)
        if known is None:
            pieces[name] = [b"{", key, record]
        else:
            known += (b",", key, record)
    for known in pieces.values():
        known.append(b"}")
    info = repodata.info or _Info()
    others = (repodata.wheels, *(repodata.v3 or {}).values())
    note = Note(base_url=info.base_url or "", skipped=sum(len(other) for other in others if other))
    pieces.pop("", None)  # files that are called like no package
    return list(pieces.items()), note


def cut_shard_index(data: bytes) -> tuple[list[Slice], Note]:
    """Cut a ``repodata_shards.msgpack``: the slice of a name is the sha256 of its shard, 32 bytes.

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
    return [(name, [digest]) for name, digest in index.shards.items()], note


def cut_shard(data: bytes, name: str) -> bytes:
    """The slice of a name from its shard, with digests in hexadecimal as repodata.json has them.

    Raises ValueError when it is no shard, or that of another name.
    """
    try:
        shard = _SHARD.decode(data)
        records = {
            file: {
                key: value.hex() if isinstance(value, bytes) else value
                for key, value in record.items()
                if key in FIELDS
            }
            for file, record in _kept(shard.packages, shard.conda, shard.removed).items()
        }
        stranger = next((file for file in records if name_of(file) != name), None)
        if stranger is not None:
            raise ValueError(f"it holds {stranger[:120]!r}, which is no package {name[:80]!r}")
        return msgspec.json.encode(records)
    except (msgspec.DecodeError, msgspec.EncodeError, UnicodeDecodeError, RecursionError, TypeError) as error:
        raise ValueError(f"it is not a shard ({error})") from None


def decompress(data: bytes, largest: int) -> bytes:
    """The content of zstd frames. Raises ValueError when they are damaged, or hold more than can be meant."""
    import zstandard

    most = min(largest, max(_ALWAYS, len(data) * _USUAL_RATIO))
    parts: list[bytes] = []
    size = 0
    try:
        with zstandard.ZstdDecompressor().stream_reader(data, read_across_frames=True) as reader:
            while part := reader.read(min(1 << 24, most - size + 1)):
                size += len(part)
                if size > most:
                    raise ValueError(f"it holds more than {most:,} bytes")
                parts.append(part)
    except zstandard.ZstdError as error:
        raise ValueError(f"it is not zstd, or cut short ({error})") from None
    return b"".join(parts)


def _kept(archives: dict[str, V] | None, conda: dict[str, V] | None, removed: list[str] | None) -> dict[str, V]:
    """The files that count: without removed ones, and without the .tar.bz2 of what is also there as .conda."""
    kept = dict(archives or {})
    if conda:
        for file in [file for file in kept if file.removesuffix(".tar.bz2") + ".conda" in conda]:
            del kept[file]
        kept.update(conda)
    for file in removed or ():
        kept.pop(file, None)
    return kept


def _json_keys(files: Iterable[str]) -> list[bytes]:
    """File names as keys of a JSON object, with the colon."""
    together = "".join(files)
    if together.isprintable() and '"' not in together and "\\" not in together:
        return [b'"%b":' % file.encode() for file in files]  # eight times faster than encoding each
    return [msgspec.json.encode(file) + b":" for file in files]
