"""The test vectors of compiler/FORMAT.md. A change that fails here is a new format version."""

from __future__ import annotations

from pathlib import Path

import zstandard

from envc.model.digest import sha256
from envc.shipping.format.documents import canonical_json
from envc.shipping.format.encode import Entry
from envc.shipping.format.frames import decompress
from envc.shipping.format.spans import FRAME
from tests.support.stores import encode

TEXT = (Path(__file__).parents[2] / "compiler" / "FORMAT.md").read_text(encoding="utf-8")
TREE = [
    Entry(path="bin/tool", content=b"#!/bin/sh\n", executable=True),
    Entry(path="lib/link", link="../bin/tool"),
    Entry(path="lib/" + "n" * 200, content=b"long"),
    Entry(path="lib/é", content=b"", mtime=1_600_000_000),
]


def test_the_vectors_of_the_specification_hold() -> None:
    data, index = encode(TREE, artifact=None)
    (frame,) = index.frames
    tar = decompress(data[: frame.length], "the tar text", limit=FRAME)
    vectors = {
        "its tar text, 5120 bytes, one frame": sha256(tar),
        "its content digest": index.content,
        "the canonical JSON of its `members`": sha256(canonical_json(index.members)),
    }
    parameters = zstandard.get_frame_parameters(data)
    assert (parameters.content_size, parameters.has_checksum, parameters.dict_id) == (5120, True, 0)
    assert len(tar) == frame.raw == 5120
    assert index.artifact == index.content
    for what, digest in vectors.items():
        assert f"| {what} | `{digest}` |" in TEXT
