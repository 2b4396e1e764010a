"""The test vectors of compiler/FORMAT.md, section 8: a small bundle, and the facts that every reader must find in it.

``python -m tests.support.vectors`` writes them. The files may change only with the version of the format, because old
bundles must stay readable.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import zstandard

from envc.model.digest import Sha256, sha256
from envc.model.environment import environment_id
from envc.model.record import CARD_PATH, CODE_FOLDER, RECORD_PATH, ObjectIndex, Record, RecordObject, StepCard
from envc.shipping.format.bundle import Source, write_bundle
from envc.shipping.format.documents import canonical_json
from envc.shipping.format.encode import Entry
from envc.shipping.format.frames import decompress
from envc.shipping.format.paths import ENVIRONMENT_LAYOUT
from envc.shipping.format.record_rules import winners
from envc.shipping.format.spans import FRAME
from envc.shipping.store.objects import bytes_reader
from envc_solvers.target import Python
from tests.support.stores import encode

FOLDER = Path(__file__).parents[1] / "data" / "format-1"
BUNDLE = FOLDER / "bundle.tar.zst"
FACTS = FOLDER / "vectors.json"
LEVEL = 9

# The tree of section 7, and a tree with a path of the first one and a member of more than one frame.
FIRST = [
    Entry(path="bin/tool", content=b"#!/bin/sh\n", executable=True),
    Entry(path="lib/link", link="../bin/tool"),
    Entry(path="lib/" + "n" * 200, content=b"long"),
    Entry(path="lib/é", content=b"", mtime=1_600_000_000),
]
SECOND = [
    Entry(path="bin/tool", content=b"#!/bin/sh\necho second\n", executable=True),
    Entry(path="share/zeros", content=bytes(FRAME - 511)),
]
CODE = [Entry(path="main.py", content=b"print('a vector')\n")]


Encoded = tuple[bytes, ObjectIndex]


def build(*, shuffled: bool = False, threads: int = 1) -> tuple[bytes, dict[str, Any]]:
    """Return the bundle's bytes and the facts about it. The arguments must make no difference."""

    def made(tree: list[Entry], layout: str, artifact: Sha256 | None) -> Encoded:
        entries = tree[::-1] if shuffled else tree
        return encode(entries, layout=layout, artifact=artifact, level=LEVEL, threads=threads)

    objects = [
        made(FIRST, "py3.12-posix", sha256(b"artifact first")),
        made(SECOND, "any", sha256(b"artifact second")),
    ]
    record = record_of(objects)
    card = card_of(record)
    own = made(own_entries(record, card), ENVIRONMENT_LAYOUT, None)
    bundle = assemble(objects, own)
    facts = {
        "libzstd": ".".join(map(str, zstandard.ZSTD_VERSION)),
        "bundle": {"size": len(bundle), "sha256": hashlib.sha256(bundle).hexdigest()},
        "environment": record.environment,
        "code": card.code,
        "objects": [_facts(data, index) for data, index in (*objects, own)],
    }
    return bundle, facts


def record_of(objects: list[Encoded]) -> Record:
    python = Python(minor=(3, 12))
    parts = tuple(
        RecordObject(
            kind="pypi",
            name=name,
            version="1.0",
            file=f"{name}-1.0-py3-none-any.whl",
            content=index.content,
            size=len(data),
            index=index,
        )
        for name, (data, index) in zip(("first", "second"), objects, strict=True)
    )
    return Record(
        environment=environment_id(
            platform="linux-64",
            python=python,
            interpreter="host",
            members=((part.index.artifact, part.index.layout) for part in parts),
        ),
        platform="linux-64",
        python=python.key,
        interpreter="host",
        objects=parts,
        winners=winners(parts, "linux-64"),
        made=(".envc/prefix.json", "bin/python", "pyvenv.cfg"),
        requirements={"glibc": "2.28"},
    )


def card_of(record: Record) -> StepCard:
    return StepCard(
        project="vectors",
        step="main",
        target="linux-64",
        python="3.12",
        lock=sha256(b"a lock file\n"),
        record=sha256(canonical_json(record)),
        code=encode(CODE, layout="code", artifact=None)[1].content,
        run="python main.py",
        env={"GREETING": "héllo"},
    )


def own_entries(record: Record, card: StepCard) -> list[Entry]:
    return [
        Entry(path=RECORD_PATH, content=canonical_json(record)),
        Entry(path=CARD_PATH, content=canonical_json(card)),
        Entry(path=".envc/relocate.sh", content=b"#!/bin/sh\n", executable=True),
        Entry(path="bin/python", content=b"#!/bin/sh\n", executable=True),
        *(Entry(path=f"{CODE_FOLDER}/{entry.path}", content=entry.content) for entry in CODE),
    ]


def assemble(objects: list[Encoded], own: Encoded) -> bytes:
    """Return a bundle of encoded objects, as `write_bundle` makes it."""
    *sources, last = (
        Source(index=index, size=len(data), read_range=bytes_reader(data), what=index.layout)
        for data, index in (*objects, own)
    )
    bundle = bytearray()
    write_bundle(sources, last, bundle.extend)
    return bytes(bundle)


def _facts(data: bytes, index: ObjectIndex) -> dict[str, Any]:
    """Return the facts about an object that do not depend on the version of libzstd."""
    frames = [data[frame.offset : frame.offset + frame.length] for frame in index.frames]
    return {
        "artifact": index.artifact,
        "layout": index.layout,
        "content": index.content,
        "members": sha256(canonical_json(index.members)),
        "frames": [sha256(decompress(frame, "a frame", limit=FRAME)) for frame in frames],
    }


if __name__ == "__main__":
    bundle, facts = build()
    FOLDER.mkdir(parents=True, exist_ok=True)
    BUNDLE.write_bytes(bundle)
    FACTS.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8", newline="\n")
