"""Forged objects: their contents differ from the digests of their members, but the digests of their frames are right.

Frames and members of an index have the same author, so a reader that trusts the index gets the bytes that its author
intended. A reader with a content digest from elsewhere must accept no other content, neither from the frames nor from
the files that they left in the cache.
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


def forge(store: MemoryBlobs, record: Record) -> Record:
    """Store another alpha.py of the same length. Return a record with its frames and the original members."""
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


class TwoStores:
    """A valid store, a forged one, and a machine that uses both."""

    def __init__(self, folder: Path, wheel: Distribution) -> None:
        self.folder = folder
        self.wheel = wheel
        self.valid, self.forged = MemoryBlobs(), MemoryBlobs()
        self.record = record_of(self.valid, folder, wheel)
        self.forged.blobs.update(self.valid.blobs)
        self.forged_record = forge(self.forged, self.record)

    def locked(self, content: Sha256 | None = None) -> Environment:
        return environment(self.wheel, content=content or self.record.objects[0].content)

    def hydrate(self, name: str, *, forged: bool, demanded: bool) -> str:
        """Hydrate and return the content of alpha.py in the prefix."""
        prefix = self.folder / name
        hydrate(
            StoredEnvironment(
                self.forged if forged else self.valid,
                self.forged_record if forged else self.record,
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
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> TwoStores:
    return TwoStores(tmp_path, request.param)


def test_a_content_other_than_the_recorded_one_is_refused(stores: TwoStores) -> None:
    with pytest.raises(CorruptObject, match=r"'.*alpha\.py' does not match its digest"):
        stores.hydrate("prefix", forged=True, demanded=True)
    assert not (stores.folder / "prefix").exists()
    assert not list((stores.folder / "cache/objects").glob("*/??/*"))


def test_without_a_recorded_content_the_index_is_trusted_and_verify_reports(stores: TwoStores) -> None:
    assert stores.hydrate("prefix", forged=True, demanded=False) == "poison"
    (problem,) = verify_prefix(stores.folder / "prefix", Silent()).problems
    assert problem.where.endswith("alpha.py")


@pytest.mark.parametrize("demanded", [False, True])
def test_forged_files_in_the_cache_are_not_used_for_another_index(demanded: bool, stores: TwoStores) -> None:
    assert stores.hydrate("first", forged=True, demanded=False) == "poison"
    assert stores.hydrate("second", forged=False, demanded=demanded) == "honest"
    assert stores.hydrate("third", forged=False, demanded=not demanded) == "honest"
    assert stores.hydrate("fourth", forged=True, demanded=False) in ("poison", "honest")


def test_forged_files_in_the_cache_do_not_match_a_recorded_content(stores: TwoStores) -> None:
    assert stores.hydrate("first", forged=True, demanded=False) == "poison"
    with pytest.raises(CorruptObject):
        stores.hydrate("second", forged=True, demanded=True)


def test_verified_files_are_used_for_every_index_of_that_content(stores: TwoStores) -> None:
    assert stores.hydrate("first", forged=False, demanded=True) == "honest"
    stores.forged.requests.clear()
    assert stores.hydrate("second", forged=True, demanded=True) == "honest"
    assert stores.hydrate("third", forged=True, demanded=False) == "honest"
    assert stores.forged.requests == []


def test_a_prefix_made_before_the_content_was_recorded_is_made_again(stores: TwoStores) -> None:
    assert stores.hydrate("prefix", forged=True, demanded=False) == "poison"
    with pytest.raises(CorruptObject):
        stores.hydrate("prefix", forged=True, demanded=True)
    assert stores.hydrate("prefix", forged=False, demanded=True) == "honest"


def test_an_environment_made_before_the_content_was_recorded_is_not_reused(stores: TwoStores) -> None:
    cache = stores.folder / "cache"
    ready_environment(
        StoredEnvironment(stores.forged, stores.forged_record), interpreter=HOST, cache=cache, progress=Silent()
    )
    assert find_ready(stores.locked(), record_digest(stores.forged_record), interpreter=HOST, cache=cache) is None
    with pytest.raises(CorruptObject):
        ready_environment(
            StoredEnvironment(stores.forged, stores.forged_record, environment=stores.locked()),
            interpreter=HOST,
            cache=cache,
            progress=Silent(),
        )


def test_a_bundle_records_only_frames_that_it_has_read(stores: TwoStores) -> None:
    """The ledger has the content and the index claims it, but that is not enough to put its frames into a record."""
    progress = Silent()
    bundled, artifacts = bundle(stores.forged, stores.folder, stores.wheel, progress=progress)
    assert artifacts.fetched == [stores.wheel.file]
    assert "is made again" in progress.warnings[0]
    assert bundled.records == (stores.record,)
    key = object_key(stores.record.objects[0].index.layout, Sha256(stores.wheel.sha256))
    assert sha256(stores.forged.blobs[key]) == sha256(stores.valid.blobs[key])
