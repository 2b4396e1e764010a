"""The test vectors in tests/data: written as in FORMAT.md, and read by an independent implementation of FORMAT.md."""

from __future__ import annotations

import hashlib
import io
import json
import struct
import tarfile
from typing import Any

import pytest
import zstandard

from envc.shipping.store.bundle_file import open_bundle
from tests.support.vectors import BUNDLE, CODE, FACTS, build

DATA = BUNDLE.read_bytes()
FACTS_KEPT: dict[str, Any] = json.loads(FACTS.read_text(encoding="utf-8"))


@pytest.mark.parametrize(("shuffled", "threads"), [(False, 1), (True, 1), (False, 3)])
def test_the_vectors_are_written_unchanged(shuffled: bool, threads: int) -> None:
    """All versions of Python must write the same bytes, so each compares with the same file."""
    data, facts = build(shuffled=shuffled, threads=threads)
    if facts["libzstd"] == FACTS_KEPT["libzstd"]:
        assert facts == FACTS_KEPT
        assert data == DATA
    # The environment's own files contain digests of compressed frames, so they depend on libzstd.
    assert facts["objects"][:-1] == FACTS_KEPT["objects"][:-1]
    assert facts["environment"] == FACTS_KEPT["environment"]


def test_the_vectors_are_read() -> None:
    bundle = open_bundle(BUNDLE)
    assert bundle.record.environment == FACTS_KEPT["environment"]
    assert bundle.card.code == FACTS_KEPT["code"]
    assert bundle.card.env == {"GREETING": "héllo"}
    assert bundle.own_files.content == FACTS_KEPT["objects"][-1]["content"]


# An independent reader: standard library and libzstd only, written from compiler/FORMAT.md, section by section.


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def one_frame(data: bytes) -> bytes:
    content = zstandard.ZstdDecompressor().decompress(data, allow_extra_data=False)
    assert len(content) == zstandard.frame_content_size(data)
    assert zstandard.get_frame_parameters(data).has_checksum
    return content


def trailer(data: bytes) -> tuple[Any, int]:
    """Section 4: return the document at the end, and the offset of its skippable frame."""
    offset, size, magic = struct.unpack("<QQ8s", data[-24:])
    assert magic == b"ENVCBND1"
    assert struct.unpack("<II", data[offset - 8 : offset]) == (0x184D2A5E, size + 24)
    assert offset + size + 24 == len(data)
    text = one_frame(data[offset : offset + size])
    document = json.loads(text)
    assert text == canonical(document)
    return document, offset - 8


def tar_text(data: bytes, index: Any, end: int) -> bytes:
    """Section 3: return the joined frames, each verified before and after decompression."""
    joined = bytearray()
    position = 0
    for frame in index["frames"]:
        compressed = data[frame["offset"] : frame["offset"] + frame["length"]]
        assert (frame["offset"], digest(compressed)) == (position, frame["sha256"])
        position += len(compressed)
        raw = one_frame(compressed)
        assert len(raw) == frame["raw"] <= 8388608
        joined += raw
    assert position == end
    return bytes(joined)


def content_digest(members: list[dict[str, Any]]) -> str:
    """Section 1."""
    keys = ("path", "mode", "type", "link", "size", "sha256")
    return digest(canonical([[member[key] for key in keys] for member in members]))


def check_members(members: list[dict[str, Any]], tar: bytes) -> None:
    """Section 2: compare with a reader that only knows tar."""
    assert [member["path"] for member in members] == sorted(member["path"] for member in members)
    with tarfile.open(fileobj=io.BytesIO(tar + bytes(1024))) as archive:
        found = archive.getmembers()
        assert [info.name for info in found] == [member["path"] for member in members]
        for info, member in zip(found, members, strict=True):
            assert info.mode == member["mode"]
            if member["type"] == "link":
                assert (info.issym(), info.linkname) == (True, member["link"])
                continue
            content = archive.extractfile(info)
            assert content is not None
            assert (info.size, info.mtime, digest(content.read())) == (
                member["size"],
                member["mtime"],
                member["sha256"],
            )


def test_an_independent_reader_reads_the_vectors() -> None:
    index, end = trailer(DATA)
    assert index["format"] == 1
    position = 0
    whole = b""
    for part, facts in zip(index["parts"], FACTS_KEPT["objects"], strict=True):
        assert part["offset"] == position
        position += part["length"]
        data = DATA[part["offset"] : position]
        described, start = trailer(data)
        tar = tar_text(data, described, start)
        assert [part[key] for key in ("artifact", "layout")] == [facts[key] for key in ("artifact", "layout")]
        assert content_digest(described["members"]) == facts["content"]
        assert digest(canonical(described["members"])) == facts["members"]
        check_members(described["members"], tar)
        whole += tar
    assert one_frame(DATA[position:end]) == bytes(1024)
    with tarfile.open(fileobj=io.BytesIO(whole + bytes(1024))) as archive:
        last = {info.name: info for info in archive.getmembers()}  # later members win
        texts = {name: archive.extractfile(info) for name, info in last.items() if info.isfile()}
        read = {name: stream.read() for name, stream in texts.items() if stream is not None}
    assert read["bin/tool"] == b"#!/bin/sh\necho second\n"
    record, card = json.loads(read[".envc/record.json"]), json.loads(read[".envc/step.json"])
    assert digest(read[".envc/record.json"]) == card["record"]
    assert read[".envc/code/main.py"] == CODE[0].content
    identity = {
        "format": 1,
        "interpreter": record["interpreter"],
        "members": sorted([item["index"]["artifact"], item["index"]["layout"]] for item in record["objects"]),
        "platform": record["platform"],
        "python": "cpython3.12",
    }
    assert digest(canonical(identity)) == record["environment"] == FACTS_KEPT["environment"]
    assert record["winners"] == {"bin/tool": record["objects"][1]["index"]["artifact"]}
