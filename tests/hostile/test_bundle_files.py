"""Forged single-file bundles. Each is well-formed except for one thing, and nothing of it is written to the disk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from envc.errors import StoreError
from envc.model.digest import sha256
from envc.model.progress import Silent
from envc.model.record import Record, StepCard
from envc.pipeline import single_file
from envc.shipping.deliver.hydrate import StoredEnvironment, hydrate, ready_own_files
from envc.shipping.format.bundle import BundlePart, read_bundle
from envc.shipping.format.documents import canonical_json
from envc.shipping.format.encode import Entry
from envc.shipping.format.errors import CorruptBlob, MissingBlob
from envc.shipping.format.frames import compress
from envc.shipping.format.object_index import encode_trailer
from envc.shipping.format.paths import ENVIRONMENT_LAYOUT
from envc.shipping.store.bundle_file import BundleFile, open_bundle
from envc.shipping.store.keys import object_key
from envc.shipping.store.objects import bytes_reader
from tests.support import vectors
from tests.support.stores import encode
from tests.support.vectors import BUNDLE, FIRST, SECOND, assemble, card_of, record_of

OBJECTS = [
    encode(FIRST, layout="py3.12-posix", artifact=sha256(b"artifact first")),
    encode(SECOND, layout="any", artifact=sha256(b"artifact second")),
]
RECORD = record_of(OBJECTS)
CARD = card_of(RECORD)
END = compress(bytes(1024), 1)


def open_bytes(data: bytes, folder: Path) -> BundleFile:
    path = folder / "bundle.tar.zst"
    path.write_bytes(data)
    return open_bundle(path)


def bundle_of(
    record: Record = RECORD,
    card: StepCard = CARD,
    objects: list[vectors.Encoded] = OBJECTS,
    change: Callable[[list[Entry]], list[Entry]] = lambda entries: entries,
) -> bytes:
    own = encode(change(vectors.own_entries(record, card)), layout=ENVIRONMENT_LAYOUT, artifact=None)
    return assemble(objects, own)


def spaced_record() -> bytes:
    """Return the record as a text that is not canonical, with a card that has the digest of this text."""
    text = canonical_json(RECORD).replace(b'{"', b'{ "', 1)
    card = msgspec.structs.replace(CARD, record=sha256(text))
    return bundle_of(card=card, change=lambda entries: [Entry(path=entries[0].path, content=text), *entries[1:]])


def signed(record: Record) -> StepCard:
    """Return a card that matches the record, since a forger of one would also forge the other."""
    return card_of(record)


def test_the_unchanged_bundle_is_read(tmp_path: Path) -> None:
    bundle = open_bytes(bundle_of(), tmp_path)
    assert hydrate(
        StoredEnvironment(bundle, bundle.record, own_files=bundle.own_files),
        tmp_path / "p",
        interpreter=None,
        cache=tmp_path,
        progress=Silent(),
    )
    assert (tmp_path / "p/bin/tool").read_bytes() == b"#!/bin/sh\necho second\n"
    assert (tmp_path / "p/.envc/code/main.py").exists()
    with pytest.raises(MissingBlob):
        bundle.read_range(object_key("any", sha256(b"other")), 0, 1)


@pytest.mark.parametrize(
    ("says", "data"),
    [
        ("another record than its card", bundle_of(card=msgspec.structs.replace(CARD, record=sha256(b"")))),
        ("other code than its card", bundle_of(card=msgspec.structs.replace(CARD, code=sha256(b"")))),
        ("other code than its card", bundle_of(card=msgspec.structs.replace(CARD, code=None))),
        ("card of format 2", bundle_of(card=msgspec.structs.replace(CARD, format=2))),
        ("does not contain the objects of its record", bundle_of(objects=OBJECTS[::-1])),
        ("does not contain the objects of its record", bundle_of(objects=OBJECTS[:1])),
        ("cannot be read as Record", bundle_of(change=lambda entries: entries[1:])),
        ("cannot be read as StepCard", bundle_of(change=lambda entries: [entries[0], *entries[2:]])),
        (
            "'lib/evil.py' among the environment's own files",
            bundle_of(change=lambda entries: [*entries, Entry(path="lib/evil.py", content=b"evil")]),
        ),
        ("another record than its card", spaced_record()),
        (
            "its winners are not",
            bundle_of(
                forged := msgspec.structs.replace(RECORD, winners={"bin/tool": sha256(b"artifact first")}),
                signed(forged),
            ),
        ),
        ("not those of the environment", bundle_of(f := msgspec.structs.replace(RECORD, platform="osx-64"), signed(f))),
    ],
)
def test_inconsistent_documents_are_refused(says: str, data: bytes, tmp_path: Path) -> None:
    with pytest.raises(CorruptBlob, match=says):
        open_bytes(data, tmp_path)


def test_members_that_only_tar_would_see_are_refused(tmp_path: Path) -> None:
    """A frame in no index, before a trailer or before the end: `tar` would unpack files that hydrate never writes."""
    stray = compress(b"x" * 512, 1)
    (first, index), second = OBJECTS
    end = sum(frame.length for frame in index.frames)
    longer = first[:end] + stray + encode_trailer(index, end + len(stray))
    item = msgspec.structs.replace(RECORD.objects[0], size=len(longer))
    record = msgspec.structs.replace(RECORD, objects=(item, RECORD.objects[1]))
    own = encode(vectors.own_entries(record, signed(record)), layout=ENVIRONMENT_LAYOUT, artifact=None)
    body, parts = _joined([(longer, index), second, own])
    with pytest.raises(CorruptBlob, match="an index that differs from the record"):
        open_bytes(body + END + encode_trailer({"format": 1, "parts": parts}, len(body + END)), tmp_path)
    good = bundle_of()
    found = read_bundle(len(good), bytes_reader(good), "bundle")
    body = good[: found.parts[-1].offset + found.parts[-1].length] + stray + END
    with pytest.raises(CorruptBlob, match="a frame"):
        open_bytes(body + encode_trailer(found, len(body)), tmp_path)


def test_an_object_with_another_index_than_the_record_is_refused(tmp_path: Path) -> None:
    """hydrate reads the record and other programs may read the index, so both must be equal."""
    data, index = OBJECTS[0]
    end = sum(frame.length for frame in index.frames)
    members = (msgspec.structs.replace(index.members[0], mtime=5), *index.members[1:])
    other = msgspec.structs.replace(index, members=members)
    changed = data[:end] + encode_trailer(other, end)
    record = record_of([(changed, index), OBJECTS[1]])
    own = encode(vectors.own_entries(record, signed(record)), layout=ENVIRONMENT_LAYOUT, artifact=None)
    body, parts = _joined([(changed, index), OBJECTS[1], own])
    with pytest.raises(CorruptBlob, match="an index that differs from the record"):
        open_bytes(body + END + encode_trailer({"format": 1, "parts": parts}, len(body + END)), tmp_path)


def _joined(objects: list[vectors.Encoded]) -> tuple[bytes, list[BundlePart]]:
    body, parts = b"", []
    for data, index in objects:
        parts.append(BundlePart(index.artifact, index.layout, len(body), len(data)))
        body += data
    return body, parts


def test_the_environments_own_files_must_match_their_digest(tmp_path: Path) -> None:
    own = encode(vectors.own_entries(RECORD, CARD), layout=ENVIRONMENT_LAYOUT, artifact=sha256(b"a name"))
    with pytest.raises(CorruptBlob, match="does not name its own files by their content"):
        open_bytes(assemble(OBJECTS, own), tmp_path)


def test_every_flipped_byte_is_detected_or_harmless(tmp_path: Path) -> None:
    """Flips bytes at intervals over the whole bundle: the result is always the bundled tree, or nothing."""
    data = BUNDLE.read_bytes()
    whole = _hydrated(open_bytes(data, tmp_path), tmp_path / "whole")
    for position in range(0, len(data), 23):
        broken = bytearray(data)
        broken[position] ^= 0x55
        try:
            bundle = open_bytes(bytes(broken), tmp_path)
            assert _hydrated(bundle, tmp_path / f"p{position}") == whole
        except StoreError:
            assert not (tmp_path / f"p{position}").exists()


def _hydrated(bundle: BundleFile, prefix: Path) -> dict[str, bytes]:
    hydrate(
        StoredEnvironment(bundle, bundle.record, own_files=bundle.own_files),
        prefix,
        interpreter=None,
        cache=prefix.parent,
        progress=Silent(),
    )
    return {
        path.relative_to(prefix).as_posix(): str(path.readlink()).encode() if path.is_symlink() else path.read_bytes()
        for path in prefix.rglob("*")
        if path.is_symlink() or path.is_file()
    }


@pytest.mark.parametrize("kept", [0, 1, 31, 32, 500, 2000, -1])
def test_a_truncated_file_is_refused(kept: int, tmp_path: Path) -> None:
    with pytest.raises(CorruptBlob):
        open_bytes(BUNDLE.read_bytes()[:kept], tmp_path)


def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path: Path) -> None:
    bundle = open_bytes(bundle_of(), tmp_path)
    whole = bundle.path.read_bytes()
    bundle.path.write_bytes(whole[:200])
    with pytest.raises(CorruptBlob, match="ends before byte"):
        hydrate(
            StoredEnvironment(bundle, bundle.record),
            tmp_path / "p",
            interpreter=None,
            cache=tmp_path,
            progress=Silent(),
        )
    bundle.path.write_bytes(bytes(len(whole)))
    with pytest.raises(CorruptBlob, match="does not match its digest"):
        ready_own_files(bundle, bundle.own_files, cache=tmp_path, progress=Silent())
    bundle.path.unlink()
    with pytest.raises(StoreError, match="cannot be read"):
        hydrate(
            StoredEnvironment(bundle, bundle.record),
            tmp_path / "p",
            interpreter=None,
            cache=tmp_path,
            progress=Silent(),
        )
    assert not (tmp_path / "p").exists()


def test_a_card_for_another_python_is_refused(tmp_path: Path) -> None:
    """The card chooses the interpreter, but the files are for the record's Python."""
    cases = {
        "3.11": "one Python in its card and another in its record",
        "pypy3.10": "one Python in its card and another in its record",
        "x": "without a valid Python",
        "3.12t": "without a valid Python",
    }
    for python, says in cases.items():
        data = bundle_of(card=msgspec.structs.replace(CARD, python=python))
        open_bytes(data, tmp_path)
        with pytest.raises(CorruptBlob, match=says):
            single_file.open_bundle(tmp_path / "bundle.tar.zst")
    open_bytes(bundle_of(card=msgspec.structs.replace(CARD, python="3.12.7")), tmp_path)
    assert single_file.open_bundle(tmp_path / "bundle.tar.zst").card.python == "3.12.7"
