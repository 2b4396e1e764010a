"""Writing single-file bundles: reproducible bytes, and only verified content."""

from __future__ import annotations

import os
import random
from pathlib import Path

import msgspec
import pytest

from envc.errors import DigestMismatch, Unwritable, UsageError
from envc.model.digest import Sha256, sha256
from envc.model.progress import Silent
from envc.model.record import StepPointer
from envc.shipping.deliver.hydrate import StoredEnvironment, hydrate
from envc.shipping.deliver.pack import StepBundle
from envc.shipping.deliver.ship import Shipped, ShipRequest, ship
from envc.shipping.format.bundle import read_bundle
from envc.shipping.format.encode import Entry
from envc.shipping.prefix.tree import CorruptObject
from envc.shipping.store.bundle_file import open_bundle
from envc.shipping.store.keys import code_key, object_key
from envc.shipping.store.objects import bytes_reader
from envc.shipping.store.records import get_record
from envc_solvers.target import default_target
from tests.support.environments import HOST, PYTHON, bundle, environment
from tests.support.stores import MemoryBlobs
from tests.support.wheels import Distribution, build_wheel

ALPHA = build_wheel("alpha", "1.0", ["beta>=1"], entry_points={"console_scripts": {"alpha": "alpha:main"}})
BETA = build_wheel("beta", "1.0")
FIRST = build_wheel("first", files={"shared.py": "1\n"})
SECOND = build_wheel("second", files={"shared.py": "2\n"})
CODE = (Entry(path="main.py", content=b"print()\n"), Entry(path="bin/run", content=b"#!/bin/sh\n", executable=True))


def packed(
    folder: Path, *wheels: Distribution, code: tuple[Entry, ...] | None = CODE, shuffled: bool = False
) -> tuple[MemoryBlobs, StepPointer]:
    store = MemoryBlobs()
    members = list(environment(*wheels).members)
    if shuffled:
        random.Random(0).shuffle(members)
        code = code[::-1] if code else code
    turned = msgspec.structs.replace(environment(*wheels), members=tuple(members))
    step = StepBundle(step="train", target=HOST.platform, environment=turned, code=code, run="python main.py")
    pointer = bundle(store, folder, *wheels, steps=(step,))[0].pointers["train", HOST.platform]
    return store, pointer


def shipped(store: MemoryBlobs, pointer: StepPointer, out: Path) -> Shipped:
    record = get_record(store, pointer.environment, pointer.record)
    request = ShipRequest(
        project="demo",
        step="train",
        target=default_target(HOST.platform),
        python=PYTHON,
        lock=Sha256("0" * 64),
        record=record,
        pointer=pointer,
    )
    return ship(request, store, out)


def test_the_file_contains_the_objects_of_the_store_unchanged(tmp_path: Path) -> None:
    """The file is a concatenation: no object is encoded again."""
    store, pointer = packed(tmp_path, ALPHA, BETA)
    done = shipped(store, pointer, tmp_path / "x.zst")
    data = done.path.read_bytes()
    assert (len(data), sha256(data)) == (done.size, done.sha256)
    *parts, _ = read_bundle(len(data), bytes_reader(data), "bundle").parts
    assert [data[part.offset : part.offset + part.length] for part in parts] == [
        store.blobs[object_key(part.layout, part.artifact)] for part in parts
    ]
    assert data.startswith(store.blobs[object_key(parts[0].layout, parts[0].artifact)])
    bundle = open_bundle(done.path)
    assert bundle.record.environment == pointer.environment
    assert (bundle.card.record, bundle.card.code, bundle.card.run) == (pointer.record, pointer.code, "python main.py")


def test_order_and_location_make_no_difference(tmp_path: Path) -> None:
    files = []
    for number, shuffled in enumerate((False, True)):
        folder = tmp_path / f"place {number}"
        store, pointer = packed(folder, ALPHA, BETA, FIRST, SECOND, shuffled=shuffled)
        files.append(shipped(store, pointer, folder / f"{number}.zst").path.read_bytes())
    assert files[0] == files[1]


def test_the_winner_of_a_contested_path_is_last(tmp_path: Path) -> None:
    store, pointer = packed(tmp_path, SECOND, FIRST)
    bundle = open_bundle(shipped(store, pointer, tmp_path / "x.zst").path)
    assert [item.name for item in bundle.record.objects] == ["first", "second"]
    hydrate(
        StoredEnvironment(bundle, bundle.record),
        tmp_path / "p",
        interpreter=None,
        cache=tmp_path / "cache",
        progress=Silent(),
    )
    assert [path.read_text() for path in (tmp_path / "p").rglob("shared.py")] == ["2\n"]


@pytest.mark.parametrize("code", [None, ()])
def test_a_step_without_code(code: tuple[Entry, ...] | None, tmp_path: Path) -> None:
    store, pointer = packed(tmp_path, BETA, code=code)
    bundle = open_bundle(shipped(store, pointer, tmp_path / "x.zst").path)
    assert bundle.card.code is None
    assert not any(member.path.startswith(".envc/code") for member in bundle.own_files.members)


def test_incomplete_or_corrupt_stores_are_not_shipped(tmp_path: Path) -> None:
    store, pointer = packed(tmp_path, ALPHA, BETA)
    out = tmp_path / "x.zst"
    key = object_key(environment(BETA).members[0].layout, Sha256(BETA.sha256))
    honest = store.blobs[key]
    for damaged in (bytes([honest[0] ^ 1]) + honest[1:], honest[:-1], honest[: len(honest) // 2], None):
        if damaged is None:
            del store.blobs[key]
        else:
            store.blobs[key] = damaged
        with pytest.raises(CorruptObject) as refused:
            shipped(store, pointer, out)
        assert refused.value.artifact == BETA.sha256
        assert not list(tmp_path.glob("*.zst*")) and not list(tmp_path.glob(".x*"))
    store.blobs[key] = honest
    assert pointer.code is not None
    code = code_key(pointer.code)
    store.blobs[code] = store.blobs[code][:-1]
    with pytest.raises(DigestMismatch):
        shipped(store, pointer, out)


def test_an_existing_file_is_replaced_atomically(tmp_path: Path) -> None:
    store, pointer = packed(tmp_path, BETA)
    out = tmp_path / "x.zst"
    out.write_text("old")
    held = out.open()
    shipped(store, pointer, out)
    assert held.read() == "old"
    held.close()
    assert open_bundle(out).card.step == "train"
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_an_unwritable_path_is_reported(tmp_path: Path) -> None:
    store, pointer = packed(tmp_path, BETA)
    (tmp_path / "folder").mkdir()
    for out in (tmp_path / "missing/x.zst", tmp_path / "folder"):
        with pytest.raises(Unwritable, match="cannot be written"):
            shipped(store, pointer, out)
    assert list((tmp_path / "folder").iterdir()) == []


@pytest.mark.skipif(os.name != "posix", reason="needs /proc")
def test_a_link_to_an_open_file_is_not_replaced(tmp_path: Path) -> None:
    """/dev/stdout is such a link. Root could replace it, if standard output is a regular file."""
    store, pointer = packed(tmp_path)
    link = tmp_path / "stdout"
    with (tmp_path / "output").open("wb") as stream:
        link.symlink_to(f"/proc/self/fd/{stream.fileno()}")
        with pytest.raises(UsageError, match="is not a regular file"):
            shipped(store, pointer, link)
    assert link.is_symlink()
