"""Shards in the cache: the records of one name, ready to be decoded."""

from __future__ import annotations

import struct
from zlib import crc32

import msgspec

from envc.fetch.conda.slices import Damaged

_HEAD = struct.Struct("<III")  # crc-32 of what follows it, number of newer records, bytes of records


class ShardRecords(msgspec.Struct, frozen=True):
    """The records of one name."""

    records: bytes  # a JSON object {file: record}, as in repodata.json
    archives: bytes  # the same for .tar.bz2 files that also exist as .conda
    newer: int  # number of records of formats that envc does not read


def pack_shard(shard: ShardRecords) -> bytes:
    """A shard as it is kept in the cache."""
    rest = struct.pack("<II", shard.newer, len(shard.records)) + shard.records + shard.archives
    return crc32(rest).to_bytes(4, "little") + rest


def unpack_shard(data: bytes) -> ShardRecords:
    """A shard from the cache. Raises Damaged."""
    if len(data) < _HEAD.size or int.from_bytes(data[:4], "little") != crc32(memoryview(data)[4:]):
        raise Damaged("it has changed")
    _, newer, length = _HEAD.unpack_from(data)
    return ShardRecords(data[_HEAD.size : _HEAD.size + length], data[_HEAD.size + length :], newer)
