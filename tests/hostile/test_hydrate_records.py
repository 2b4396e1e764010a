"""Records and objects that try to write outside the prefix. Whatever they contain, only the prefix is written to."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from envc.errors import EnvcError
from envc.model.digest import Sha256, sha256
from envc.model.progress import Silent
from envc.model.record import Member, Record, RecordObject
from envc.shipping.deliver.hydrate import StoredEnvironment, hydrate
from envc.shipping.format.encode import Entry
from envc.shipping.format.errors import CorruptBlob
from envc.shipping.store.keys import object_key
from tests.support.environments import HOST, PYTHON
from tests.support.stores import MemoryBlobs, encode

LAYOUT = "any"  # the layout whose objects may contain links


def make_record(store: MemoryBlobs, *objects: list[Entry]) -> Record:
    items = []
    for number, entries in enumerate(objects):
        artifact = sha256(b"artifact %d" % number)
        data, index = encode(entries, layout=LAYOUT, artifact=artifact)
        store.blobs[object_key(LAYOUT, artifact)] = data
        name = f"part-{number}"
        items.append(
            RecordObject(
                kind="conda", name=name, version="1", file=name, content=index.content, size=len(data), index=index
            )
        )
    return Record(
        environment=Sha256("0" * 64),
        platform=HOST.platform,
        python=PYTHON.key,
        interpreter="host",
        objects=tuple(items),
    )


def with_member(record: Record, number: int, **changes: object) -> Record:
    """Return the record with a changed member of its first object, and a matching digest."""
    item = record.objects[0]
    members: list[Member] = list(item.index.members)
    members[number] = msgspec.structs.replace(members[number], **changes)
    index = msgspec.structs.replace(item.index, members=tuple(sorted(members)))
    changed = msgspec.structs.replace(item, index=index, content=index.content)
    return msgspec.structs.replace(record, objects=(changed, *record.objects[1:]))


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A folder beside the prefix that must stay empty."""
    folder = tmp_path / "world/outside"
    folder.mkdir(parents=True)
    return folder


def refused(store: MemoryBlobs, record: Record, outside: Path, error: type[EnvcError] = EnvcError) -> str:
    prefix = outside.parent / "prefix"
    with pytest.raises(error) as caught:
        hydrate(
            StoredEnvironment(store, record),
            prefix,
            interpreter=HOST,
            cache=outside.parent.parent / "cache",
            progress=Silent(),
        )
    assert list(outside.iterdir()) == []
    assert [entry.name for entry in outside.parent.iterdir()] == ["outside"]
    return str(caught.value)


def test_the_unchanged_record_is_hydrated(tmp_path: Path, outside: Path) -> None:
    store = MemoryBlobs()
    record = make_record(store, [Entry(path="lib/a", content=b"a"), Entry(path="lib/b", link="a")])
    prefix = outside.parent / "prefix"
    assert hydrate(
        StoredEnvironment(store, record), prefix, interpreter=HOST, cache=tmp_path / "cache", progress=Silent()
    )
    assert (prefix / "lib/b").read_bytes() == b"a"


@pytest.mark.parametrize(
    "path",
    ["../outside/x", "/tmp/x", "lib/../../outside/x", "..", "a\\b", "C:/x", "lib//x", ".envc/record.json", "x\0y"],
)
def test_a_member_outside_the_prefix_is_refused(path: str, outside: Path) -> None:
    """`refused` checks the error, and that nothing was written in or outside of the prefix."""
    store = MemoryBlobs()
    record = make_record(store, [Entry(path="lib/a", content=b"a")])
    refused(store, with_member(record, 0, path=path), outside, CorruptBlob)


@pytest.mark.parametrize("target", ["../../outside", "/etc", "../..", "..\\..", "a/../../../outside"])
def test_a_link_out_of_the_prefix_is_refused(target: str, outside: Path) -> None:
    """`refused` checks the error, and that nothing was written in or outside of the prefix."""
    store = MemoryBlobs()
    record = make_record(store, [Entry(path="lib/link", link="a")])
    refused(store, with_member(record, 0, link=target), outside, CorruptBlob)


def test_a_write_through_another_objects_link_is_refused(outside: Path) -> None:
    """The folder of the file is made before any link, so the path of the link is already taken."""
    store = MemoryBlobs()
    record = make_record(
        store,
        [Entry(path="share/link", link="../etc"), Entry(path="etc/passwd", content=b"ours")],
        [Entry(path="share/link/passwd", content=b"theirs")],
    )
    assert refused(store, record, outside) == "two members of the environment have the path share/link"


def test_a_link_at_the_path_of_the_interpreter_is_refused(outside: Path) -> None:
    store = MemoryBlobs()
    record = make_record(store, [Entry(path="bin/python", link="evil"), Entry(path="bin/evil", content=b"#!/bin/sh\n")])
    assert "two members of the environment have the path" in refused(store, record, outside)


def test_a_pyvenv_cfg_with_another_interpreter_is_refused(outside: Path) -> None:
    store = MemoryBlobs()
    record = make_record(store, [Entry(path="pyvenv.cfg", content=b"home = /evil\n")])
    assert "pyvenv.cfg" in refused(store, record, outside)


def test_a_record_with_one_digest_for_two_objects_is_refused(outside: Path) -> None:
    """`refused` checks the error, and that nothing was written."""
    store = MemoryBlobs()
    record = make_record(store, [Entry(path="a", content=b"a")], [Entry(path="b", content=b"b")])
    first, second = record.objects
    index = msgspec.structs.replace(second.index, artifact=first.index.artifact)
    swapped = msgspec.structs.replace(record, objects=(first, msgspec.structs.replace(second, index=index)))
    refused(store, swapped, outside, CorruptBlob)


def test_inconsistent_sizes_are_refused(outside: Path) -> None:
    """`refused` checks the error, and that nothing was written."""
    store = MemoryBlobs()
    record = make_record(store, [Entry(path="a", content=b"a" * 1000)])
    for size in (0, 999, 1001, 1 << 39, -1):
        refused(store, with_member(record, 0, size=size), outside, CorruptBlob)
