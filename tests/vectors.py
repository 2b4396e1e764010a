"""The test vectors of compiler/FORMAT.md, section 8: a small bundle and what every implementation must find in it.

``python -m tests.vectors`` writes them anew. The files may change only with the version of the format: whatever was
bundled once must stay readable.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import zstandard

from envc.model.digest import sha256
from envc.model.environment import environment_id
from envc.model.record import CARD_PATH, CODE_FOLDER, RECORD_PATH, ObjectIndex, Record, RecordObject, StepCard
from envc.store.bundle import Source, write_bundle
from envc.store.check import winners
from envc.store.documents import canonical_json
from envc.store.encode import Entry
from envc.store.frames import decompress
from envc.store.layout import FRAME
from envc.store.objects import bytes_reader
from envc.store.paths import ENVIRONMENT_LAYOUT
from envc_solvers.target import Python
from tests.stores import encode

FOLDER = Path(__file__).parent / "data" / "format-1"
BUNDLE = FOLDER / "bundle.tar.zst"
FACTS = FOLDER / "vectors.json"
LEVEL = 9

# The tree of section 7, and one that contests a path of it and holds a member of more than one frame.
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


def build(*, shuffled: bool = False, threads: int = 1) -> tuple[bytes, dict[str, Any]]:
    """The bundle's bytes and the facts about it. What the arguments say must not make a difference."""

    def entries(of: list[Entry]) -> list[Entry]:
        return of[::-1] if shuffled else of

    objects = []
    parts = []
    for name, tree, layout in (("first", FIRST, "py3.12-posix"), ("second", SECOND, "any")):
        artifact = sha256(f"artifact {name}".encode())
        data, index = encode(entries(tree), layout=layout, artifact=artifact, level=LEVEL, threads=threads)
        objects.append((data, index))
        parts.append(
            RecordObject(
                kind="pypi",
                name=name,
                version="1.0",
                file=f"{name}-1.0-py3-none-any.whl",
                content=index.content,
                size=len(data),
                index=index,
            )
        )
    python = Python(minor=(3, 12))
    record = Record(
        environment=environment_id(
            platform="linux-64",
            python=python,
            interpreter="host",
            members=((part.index.artifact, part.index.layout) for part in parts),
        ),
        platform="linux-64",
        python=python.key,
        interpreter="host",
        objects=tuple(parts),
        winners=winners(parts),
        made=(".envc/prefix.json", "bin/python", "pyvenv.cfg"),
        requirements={"glibc": "2.28"},
    )
    text = canonical_json(record)
    code = encode(CODE, layout="code", artifact=None)[1].content
    card = StepCard(
        project="vectors",
        step="main",
        target="linux-64",
        python="3.12",
        lock=sha256(b"a lock file\n"),
        record=sha256(text),
        code=code,
        run="python main.py",
        env={"GREETING": "héllo"},
    )
    own = [
        Entry(path=RECORD_PATH, content=text),
        Entry(path=CARD_PATH, content=canonical_json(card)),
        Entry(path=".envc/relocate.sh", content=b"#!/bin/sh\n", executable=True),
        Entry(path="bin/python", content=b"#!/bin/sh\n", executable=True),
        *(Entry(path=f"{CODE_FOLDER}/{entry.path}", content=entry.content) for entry in CODE),
    ]
    objects.append(encode(entries(own), layout=ENVIRONMENT_LAYOUT, artifact=None, level=LEVEL, threads=threads))
    sources = [
        Source(index=index, size=len(data), read_range=bytes_reader(data), what=index.layout) for data, index in objects
    ]
    bundle = bytearray()
    write_bundle(sources[:-1], sources[-1], bundle.extend)
    facts = {
        "libzstd": ".".join(map(str, zstandard.ZSTD_VERSION)),
        "bundle": {"size": len(bundle), "sha256": hashlib.sha256(bundle).hexdigest()},
        "environment": record.environment,
        "code": code,
        "objects": [_facts(data, index) for data, index in objects],
    }
    return bytes(bundle), facts


def _facts(data: bytes, index: ObjectIndex) -> dict[str, Any]:
    """What of an object does not depend on the version of libzstd."""
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
