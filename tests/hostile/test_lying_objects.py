"""Objects that hold other bytes than their members say, in frames whose digests are right.

Frames and members of an index have one author, so who believes the index has the bytes that were meant for him. Who
has the content digest from elsewhere must not be told another content by the frames, nor by what they left in the
cache.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from envc.model.digest import Sha256, sha256
from envc.model.environment import Environment
from envc.model.progress import Silent
from envc.model.record import ObjectIndex, Record
from envc.shipping.deliver.hydrate import StoredEnvironment, find_ready, hydrate, ready_environment, record_digest
from envc.shipping.deliver.verify import verify_prefix
from envc.shipping.format.encode import Entry
from envc.shipping.format.object_index import encode_trailer
from envc.shipping.prefix.tree import CorruptObject
from envc.shipping.store.keys import object_key
from tests.support.environments import HOST, bundle, environment, record_of
from tests.support.stores import MemoryBlobs, encode, tree
from tests.support.wheels import Distribution, build_wheel

SMALL = build_wheel("alpha", files={"alpha.py": "x = 'honest'\n"})
LARGE = build_wheel("alpha", files={"alpha.py": "x = 'honest'\n" + "#" * 20_000_000})


def lie(store: MemoryBlobs, record: Record) -> Record:
    """Another alpha.py in the store, of the same length, and a record with its frames and the honest members."""
    (item,) = record.objects
    key = object_key(item.index.layout, item.index.artifact)
    entries = [
        Entry(path=path, content=content.replace(b"honest", b"poison"), executable=mode == 0o755)
        for path, (mode, _, _, content) in tree(item.index, store.blobs[key]).items()
    ]
    data, evil = encode(entries, layout=item.index.layout, artifact=item.index.artifact)
    index: ObjectIndex = msgspec.structs.replace(evil, members=item.index.members)
    end = sum(frame.length for frame in index.frames)
    store.blobs[key] = data[:end] + encode_trailer(index, end)
    assert index.content == item.content
    forged = msgspec.structs.replace(item, index=index, size=len(store.blobs[key]))
    return msgspec.structs.replace(record, objects=(forged,))


class Desk:
    """An honest store, a lying one, and a machine that asks both."""

    def __init__(self, folder: Path, wheel: Distribution) -> None:
        self.folder = folder
        self.wheel = wheel
        self.honest, self.lying = MemoryBlobs(), MemoryBlobs()
        self.record = record_of(self.honest, folder, wheel)
        self.lying.blobs.update(self.honest.blobs)
        self.forged = lie(self.lying, self.record)

    def locked(self, content: Sha256 | None = None) -> Environment:
        return environment(self.wheel, content=content or self.record.objects[0].content)

    def hydrate(self, name: str, *, lying: bool, demanded: bool) -> str:
        """What alpha.py says in a prefix."""
        prefix = self.folder / name
        hydrate(
            StoredEnvironment(
                self.lying if lying else self.honest,
                self.forged if lying else self.record,
                environment=self.locked() if demanded else None,
            ),
            prefix,
            interpreter=HOST,
            cache=self.folder / "cache",
            progress=Silent(),
        )
        (path,) = prefix.rglob("alpha.py")
        return path.read_text()[5:11]


@pytest.fixture(params=[SMALL, LARGE], ids=["one frame", "many frames"])
def desk(request: pytest.FixtureRequest, tmp_path: Path) -> Desk:
    return Desk(tmp_path, request.param)


def test_a_content_that_the_lock_demands_is_found_missing(desk: Desk) -> None:
    with pytest.raises(CorruptObject, match=r"'.*alpha\.py' does not match its digest"):
        desk.hydrate("prefix", lying=True, demanded=True)
    assert not (desk.folder / "prefix").exists()
    assert not list((desk.folder / "cache/objects").glob("*/??/*"))


def test_without_a_demand_the_index_is_believed_and_verify_tells(desk: Desk) -> None:
    assert desk.hydrate("prefix", lying=True, demanded=False) == "poison"
    (problem,) = verify_prefix(desk.folder / "prefix", Silent()).problems
    assert problem.where.endswith("alpha.py")


@pytest.mark.parametrize("demanded", [False, True])
def test_a_lie_in_the_cache_reaches_nobody_who_named_another_index(demanded: bool, desk: Desk) -> None:
    assert desk.hydrate("first", lying=True, demanded=False) == "poison"
    assert desk.hydrate("second", lying=False, demanded=demanded) == "honest"
    assert desk.hydrate("third", lying=False, demanded=not demanded) == "honest"
    assert desk.hydrate("fourth", lying=True, demanded=False) in ("poison", "honest")


def test_a_lie_in_the_cache_does_not_meet_a_demand(desk: Desk) -> None:
    assert desk.hydrate("first", lying=True, demanded=False) == "poison"
    with pytest.raises(CorruptObject):
        desk.hydrate("second", lying=True, demanded=True)


def test_what_met_a_demand_serves_every_index_of_that_content(desk: Desk) -> None:
    assert desk.hydrate("first", lying=False, demanded=True) == "honest"
    desk.lying.requests.clear()
    assert desk.hydrate("second", lying=True, demanded=True) == "honest"
    assert desk.hydrate("third", lying=True, demanded=False) == "honest"
    assert desk.lying.requests == []


def test_a_prefix_from_before_the_demand_is_made_again(desk: Desk) -> None:
    assert desk.hydrate("prefix", lying=True, demanded=False) == "poison"
    with pytest.raises(CorruptObject):
        desk.hydrate("prefix", lying=True, demanded=True)
    assert desk.hydrate("prefix", lying=False, demanded=True) == "honest"


def test_a_ready_environment_from_before_the_demand_is_not_found(desk: Desk) -> None:
    cache = desk.folder / "cache"
    ready_environment(StoredEnvironment(desk.lying, desk.forged), interpreter=HOST, cache=cache, progress=Silent())
    assert find_ready(desk.locked(), record_digest(desk.forged), interpreter=HOST, cache=cache) is None
    with pytest.raises(CorruptObject):
        ready_environment(
            StoredEnvironment(desk.lying, desk.forged, environment=desk.locked()),
            interpreter=HOST,
            cache=cache,
            progress=Silent(),
        )


def test_a_bundle_vouches_for_no_frames_that_it_has_not_read(desk: Desk) -> None:
    """The ledger knows the content, and the index claims it: that is not enough to name its frames in a record."""
    progress = Silent()
    bundled, shelf = bundle(desk.lying, desk.folder, desk.wheel, progress=progress)
    assert shelf.fetched == [desk.wheel.file]
    assert "is made again" in progress.warnings[0]
    assert bundled.records == (desk.record,)
    key = object_key(desk.record.objects[0].index.layout, Sha256(desk.wheel.sha256))
    assert sha256(desk.lying.blobs[key]) == sha256(desk.honest.blobs[key])
