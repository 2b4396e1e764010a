"""Objects, code, records, pointers and locks in a store."""

from __future__ import annotations

import msgspec
import pytest

from envc.errors import DigestMismatch
from envc.model.digest import Sha256, sha256
from envc.model.environment import Environment, EnvironmentMember
from envc.model.record import Member, Record, RecordObject, StepPointer
from envc.shipping.format.documents import canonical_json
from envc.shipping.format.encode import Encoder, Entry
from envc.shipping.format.errors import CorruptBlob, MissingBlob
from envc.shipping.format.record_rules import check_record, winners
from envc.shipping.store.keys import code_key, environment_key, object_key, step_key
from envc.shipping.store.objects import StoredObject, encode_code, get_code, get_object, put_code, verify_object
from envc.shipping.store.records import get_lock, get_pointer, get_record, put_lock, put_pointer, put_record
from envc_solvers.target import Python, default_target
from tests.support.stores import ARTIFACT, LAYOUT, MemoryBlobs, encode

TREE = [Entry(path="pkg/__init__.py", content=b"x = 1\n"), Entry(path="bin/tool", content=b"#!", executable=True)]
OTHER = [Entry(path="pkg/__init__.py", content=b"x = 2\n")]


def stored(blobs: MemoryBlobs, entries: list[Entry] = TREE, artifact: Sha256 = ARTIFACT) -> StoredObject:
    """Return the object of a tree as the store has it. The first writer of an artifact wins."""
    with Encoder(level=1, threads=1) as encoder:
        blobs.write_new(
            object_key(LAYOUT, artifact),
            lambda out: encoder.write_object(entries, out, layout=LAYOUT, artifact=artifact),
        )
    return get_object(blobs, artifact=artifact, layout=LAYOUT)


def record_of(*objects: StoredObject, **changes: object) -> Record:
    environment = Environment(
        target=default_target("linux-64"),
        python=Python(minor=(3, 11)),
        interpreter="host",
        members=tuple(
            EnvironmentMember(
                kind="pypi", name=f"p{number}", version="1", source="pypi", file="p.whl", size=1,
                sha256=each.index.artifact, layout=each.index.layout,
            )
            for number, each in enumerate(objects)
        ),
    )  # fmt: skip
    parts = tuple(part_of(each, f"p{number}") for number, each in enumerate(objects))
    record = Record(
        environment=environment.id,
        platform="linux-64",
        python="cp311",
        interpreter="host",
        objects=parts,
        winners=winners(parts, "linux-64"),
    )
    return msgspec.structs.replace(record, **changes)


def part_of(each: StoredObject, name: str) -> RecordObject:
    return RecordObject(
        kind="pypi",
        name=name,
        version="1",
        file="p.whl",
        content=each.index.content,
        size=each.size,
        index=each.index,
    )


def test_paths_that_differ_in_case_are_contested_where_case_is_ignored() -> None:
    blobs = MemoryBlobs()
    one = stored(blobs, [Entry(path="Pkg/x", content=b"1"), Entry(path="Pkg/y", content=b"")], sha256(b"one"))
    other = stored(blobs, [Entry(path="pkg/X", content=b"2"), Entry(path="pkg/z", content=b"")], sha256(b"other"))
    parts = (part_of(one, "a"), part_of(other, "b"))
    assert winners(parts, "linux-64") == {}
    last = parts[1].index.artifact
    assert winners(parts, "osx-arm64") == winners(parts, "win-64") == {"Pkg/x": last, "pkg/X": last}
    # An unknown platform is refused for its id.
    assert winners(parts, "beos") == {}


@pytest.mark.parametrize("platform", ["osx-arm64", "win-64"])
def test_an_object_that_needs_case_is_no_part_of_a_record_for_systems_that_ignore_it(platform: str) -> None:
    entries = [Entry(path="pkg/X", content=b"1"), Entry(path="pkg/x", content=b"2")]
    record = record_of(stored(MemoryBlobs(), entries))
    check_record(record, "it")
    with pytest.raises(CorruptBlob, match="only in case"):
        check_record(msgspec.structs.replace(record, platform=platform), "it")


def test_an_object_is_written_once() -> None:
    blobs = MemoryBlobs()
    first = stored(blobs)
    assert first.key == object_key(LAYOUT, ARTIFACT)
    assert first.size == len(blobs.blobs[first.key])
    assert stored(blobs) == first
    assert get_object(blobs, artifact=ARTIFACT, layout=LAYOUT) == first
    verify_object(blobs, first, first.index.content)


def test_another_writers_object_is_returned_unchanged() -> None:
    """The caller compares the content digest, and so decides whether to trust it."""
    blobs = MemoryBlobs()
    theirs = stored(blobs, OTHER)
    assert stored(blobs, TREE) == theirs
    with pytest.raises(DigestMismatch) as caught:
        verify_object(blobs, theirs, encode(TREE)[1].content)
    assert caught.value.actual == theirs.index.content


def test_an_object_under_another_name_is_corrupt() -> None:
    blobs = MemoryBlobs()
    data = blobs.blobs[stored(blobs).key]
    other = sha256(b"other")
    blobs.blobs[object_key(LAYOUT, other)] = blobs.blobs[object_key("nt", ARTIFACT)] = data
    with pytest.raises(CorruptBlob, match="another artifact or layout"):
        get_object(blobs, artifact=other, layout=LAYOUT)
    with pytest.raises(CorruptBlob, match="another artifact or layout"):
        get_object(blobs, artifact=ARTIFACT, layout="nt")
    with pytest.raises(MissingBlob):
        get_object(blobs, artifact=sha256(b"none"), layout=LAYOUT)


def test_code_is_named_by_its_content_and_checked_to_the_last_byte() -> None:
    blobs = MemoryBlobs()
    with Encoder(level=1, threads=1) as encoder:
        content, digest = put_code(blobs, *encode_code(encoder, TREE))
    with Encoder(level=19, threads=1) as encoder:
        assert put_code(blobs, *encode_code(encoder, TREE)) == (
            content,
            digest,
        )  # other bytes of the same tree: the first are kept
    pointer = StepPointer(environment=ARTIFACT, record=ARTIFACT, code=content, code_object=digest)
    loaded = get_code(blobs, pointer)
    assert loaded is not None
    index, data = loaded
    assert sha256(data) == digest
    assert [member.path for member in index.members] == ["bin/tool", "pkg/__init__.py"]
    assert get_code(blobs, StepPointer(environment=ARTIFACT, record=ARTIFACT)) is None
    key = code_key(content)
    blobs.blobs[key] = encode(OTHER, layout="code", artifact=None)[0]
    with pytest.raises(DigestMismatch):
        get_code(blobs, pointer)
    poisoned = StepPointer(environment=ARTIFACT, record=ARTIFACT, code=content, code_object=sha256(blobs.blobs[key]))
    with pytest.raises(CorruptBlob, match="a tree that does not match its name"):
        get_code(blobs, poisoned)
    with Encoder(level=1, threads=1) as encoder:
        assert put_code(blobs, *encode_code(encoder, TREE)) == (content, digest)  # the corrupt package is replaced
    assert get_code(blobs, pointer) == loaded


def test_the_first_record_is_kept_unless_replaced() -> None:
    blobs = MemoryBlobs()
    each = stored(blobs)
    record, other = record_of(each), record_of(each, requirements={"glibc": "2.28"})
    digest = put_record(blobs, record)
    assert digest == sha256(canonical_json(record))
    assert put_record(blobs, other) == digest
    assert get_record(blobs, record.environment) == get_record(blobs, record.environment, digest) == record
    changed = put_record(blobs, other, replace=True)
    assert get_record(blobs, record.environment, changed) == other
    with pytest.raises(DigestMismatch):
        get_record(blobs, record.environment, digest)


def test_reading_a_record_is_one_request_and_a_pointer_another() -> None:
    blobs = MemoryBlobs()
    record = record_of(stored(blobs))
    digest = put_record(blobs, record)
    key = step_key("churn", ARTIFACT, "train", "linux-64")
    pointer = StepPointer(environment=record.environment, record=digest, run="python train.py", env={"A": "b"})
    put_pointer(blobs, key, pointer)
    blobs.requests.clear()
    found = get_pointer(blobs, key)
    assert found == pointer
    assert get_record(blobs, found.environment, found.record) == record
    assert blobs.requests == [("read", key), ("read", environment_key(record.environment))]


def test_an_object_of_an_unknown_kind_can_be_read() -> None:
    """Reading does not check the kind of an object. `hydrate` compares it with the lock."""
    blobs = MemoryBlobs()
    record = record_of(FIRST, objects=(msgspec.structs.replace(part_of(FIRST, "p0"), kind="exotic"),))
    digest = put_record(blobs, record)
    assert get_record(blobs, record.environment, digest) == record


def test_a_lock_is_kept_under_its_digest() -> None:
    blobs = MemoryBlobs()
    digest = put_lock(blobs, b"version = 1\n")
    assert put_lock(blobs, b"version = 1\n") == digest == sha256(b"version = 1\n")
    assert get_lock(blobs, digest) == b"version = 1\n"
    blobs.blobs[f"v1/locks/{digest}"] = b"version = 2\n"
    with pytest.raises(DigestMismatch):
        get_lock(blobs, digest)


FIRST = stored(MemoryBlobs())
SECOND = stored(MemoryBlobs(), OTHER, sha256(b"second"))


def lie(each: StoredObject, **changes: object) -> StoredObject:
    return msgspec.structs.replace(each, index=msgspec.structs.replace(each.index, **changes))


@pytest.mark.parametrize(
    ("record", "says"),
    [
        (record_of(FIRST, format=2), "upgrade|format 2"),
        (record_of(FIRST, platform="plan9"), "unknown"),
        (record_of(FIRST, python="cp311; rm"), "unknown"),
        (record_of(FIRST, interpreter="system"), "unknown"),
        (record_of(FIRST, python="cp312"), "not those of the environment"),
        (record_of(FIRST, platform="osx-64"), "not those of the environment"),
        (record_of(FIRST, environment=ARTIFACT), "not those of the environment"),
        (record_of(FIRST, objects=(part_of(SECOND, "p0"),)), "not those of the environment"),
        (record_of(FIRST, objects=()), "not those of the environment"),
        (record_of(FIRST, SECOND, objects=(part_of(SECOND, "p1"), part_of(FIRST, "p0"))), "out of order"),
        (record_of(FIRST, SECOND, objects=(part_of(FIRST, "p0"), part_of(SECOND, "p0"))), "out of order"),
        (record_of(lie(FIRST, layout="../x")), "not a layout"),
        (record_of(lie(FIRST, artifact="0" * 63)), "not a sha256"),
        (
            record_of(FIRST, objects=(msgspec.structs.replace(part_of(FIRST, "p0"), content=ARTIFACT),)),
            "content digest",
        ),
        (record_of(FIRST, objects=(msgspec.structs.replace(part_of(FIRST, "p0"), size=3),)), "larger than its object"),
        (record_of(FIRST, winners={"../x": ARTIFACT}), "its winners are not"),
        (record_of(FIRST, winners={"bin/tool": sha256(b"nobody")}), "its winners are not"),
        (record_of(FIRST, SECOND, winners={}), "its winners are not"),
        (record_of(FIRST, SECOND, winners={"pkg/__init__.py": ARTIFACT}), "its winners are not"),
        (record_of(FIRST, made=("/etc/passwd",)), "plain relative path"),
        (record_of(FIRST, made=("b", "a")), "out of order"),
    ],
)
def test_a_record_whose_parts_disagree_is_corrupt(record: Record, says: str) -> None:
    good = record_of(FIRST, SECOND, made=("a", "b"))
    assert good.winners == {"pkg/__init__.py": SECOND.index.artifact}
    check_record(good, "a good record")
    with pytest.raises(CorruptBlob, match=says):
        check_record(record, "record")


def test_a_record_is_checked_when_it_is_read() -> None:
    blobs = MemoryBlobs()
    poisoned = record_of(FIRST, made=("/etc/passwd",))
    put_record(blobs, poisoned)
    with pytest.raises(CorruptBlob, match="plain relative path"):
        get_record(blobs, poisoned.environment)
    with pytest.raises(CorruptBlob, match="plain relative path"):
        put_record(blobs, record_of(FIRST))
    honest = record_of(FIRST)
    digest = put_record(blobs, honest, replace=True)
    other = sha256(b"another environment")
    blobs.blobs[environment_key(other)] = blobs.blobs[environment_key(honest.environment)]
    with pytest.raises(CorruptBlob, match="another environment"):
        get_record(blobs, other, digest)


def test_equal_values_have_equal_texts() -> None:
    for value in (
        FIRST.index,
        record_of(FIRST, SECOND, winners={"x": ARTIFACT}),
        StepPointer(environment=ARTIFACT, record=ARTIFACT),
    ):
        text = canonical_json(value)
        assert msgspec.json.decode(text, type=type(value)) == value
        assert canonical_json(msgspec.json.decode(text, type=type(value))) == text
    computed = int("644", 8)
    assert canonical_json(Member("a", mode=computed)) == canonical_json(Member("a"))
    assert canonical_json({"b": 1, "a": {"d": 1, "c": "é"}}) == '{"a":{"c":"é","d":1},"b":1}'.encode()
