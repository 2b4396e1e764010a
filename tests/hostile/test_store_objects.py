"""Objects, bundles and records that were forged by an attacker or damaged by a broken disk."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable

import msgspec
import pytest
import zstandard

from envc.errors import DigestMismatch
from envc.model.digest import sha256
from envc.model.limits import INDEX_BYTES, POINTER_BYTES, RECORD_BYTES
from envc.model.record import Frame, Member, ObjectIndex
from envc.shipping.format.bundle import BundlePart, Source, part_reader, read_bundle, read_part, write_bundle
from envc.shipping.format.decode import ObjectReader, read_object
from envc.shipping.format.documents import canonical_json
from envc.shipping.format.encode import Entry
from envc.shipping.format.errors import CorruptBlob
from envc.shipping.format.frames import compress, decompress
from envc.shipping.format.object_index import encode_trailer, read_index
from envc.shipping.format.paths import ENVIRONMENT_LAYOUT
from envc.shipping.format.spans import FRAME
from envc.shipping.format.tar import encode_header, padding
from envc.shipping.store.keys import environment_key, step_key
from envc.shipping.store.objects import bytes_reader
from envc.shipping.store.records import get_pointer, get_record
from tests.support.stores import ARTIFACT, LAYOUT, MemoryBlobs, encode, tree

ENTRIES = [
    Entry(path="bin/tool", content=b"#!/bin/sh\n", executable=True),
    Entry(path="lib/link", link="../bin/tool"),
    Entry(path="lib/é.py", content=b"x = 1\n"),
]
DATA, INDEX = encode(ENTRIES)
TREE = tree(INDEX, DATA)
BIG = [Entry(path="a", content=b"x" * 100), Entry(path="b", content=b"y" * (2 * FRAME)), Entry(path="c", content=b"z")]
BIG_DATA, BIG_INDEX = encode(BIG)


def load(data: bytes) -> dict[str, tuple[int, int, str, bytes]]:
    return tree(read_index(len(data), bytes_reader(data)), data)


def test_every_flipped_bit_is_detected_or_harmless() -> None:
    """Reads the object without any other information: only its own index, frames and checksums.

    A few bits of the compressed index have no meaning for zstd. Flipping them must leave the tree unchanged.
    """
    end_of_frames = INDEX.frames[-1].offset + INDEX.frames[-1].length
    for position in range(len(DATA)):
        for bit in range(8):
            broken = bytearray(DATA)
            broken[position] ^= 1 << bit
            try:
                assert load(bytes(broken)) == TREE
                assert end_of_frames + 8 <= position < len(DATA) - 24
            except CorruptBlob:
                pass


def test_every_flipped_bit_of_a_frame_is_detected_with_a_trusted_index() -> None:
    reader = ObjectReader(INDEX)
    frame = DATA[: INDEX.frames[0].length]
    assert reader.pieces(0, frame)
    for position in range(len(frame)):
        for bit in range(8):
            broken = bytearray(frame)
            broken[position] ^= 1 << bit
            with pytest.raises(CorruptBlob, match="does not match its digest"):
                reader.pieces(0, broken)


@pytest.mark.parametrize("kept", [*range(0, len(DATA), 7), len(DATA) - 1])
def test_a_truncated_object_is_corrupt(kept: int) -> None:
    with pytest.raises(CorruptBlob):
        load(DATA[:kept])


@pytest.mark.parametrize("extra", [b"\0", b"x" * 100, DATA])
def test_an_object_with_bytes_before_or_after_is_corrupt(extra: bytes) -> None:
    with pytest.raises(CorruptBlob):
        load(extra + DATA)
    if extra != DATA:
        with pytest.raises(CorruptBlob):
            load(DATA + extra)


def rebuilt(index: ObjectIndex, frames: list[bytes]) -> bytes:
    """Return an object with the given index, valid or not."""
    body = b"".join(frames)
    return body + encode_trailer(index, len(body))


def frames_of(index: ObjectIndex, data: bytes) -> list[bytes]:
    return [data[frame.offset : frame.offset + frame.length] for frame in index.frames]


@pytest.mark.parametrize("order", [[1, 0, 2, 3, 4], [0, 1, 1, 3, 4], [0, 1, 3, 4], [0, 1, 2, 3, 4, 4], [4, 1, 2, 3, 0]])
def test_frames_in_another_order_are_detected(order: list[int]) -> None:
    frames = frames_of(BIG_INDEX, BIG_DATA)
    assert load(rebuilt(BIG_INDEX, frames)) == tree(BIG_INDEX, BIG_DATA)
    with pytest.raises(CorruptBlob):
        load(rebuilt(BIG_INDEX, [frames[number] for number in order]))
    # The same with an index that agrees as far as possible.
    moved: list[Frame] = []
    offset = 0
    for number in order:
        moved.append(msgspec.structs.replace(BIG_INDEX.frames[number], offset=offset))
        offset += moved[-1].length
    lying = msgspec.structs.replace(BIG_INDEX, frames=tuple(moved))
    with pytest.raises(CorruptBlob):
        load(rebuilt(lying, [frames[number] for number in order]))


def test_two_slices_of_one_member_cannot_be_swapped() -> None:
    """With everything else swapped as well, only the member's own digest reveals it."""
    content = b"1" * (FRAME - 512) + b"2" * FRAME + b"3" * FRAME
    data, index = encode([Entry(path="m", content=content)])
    frames = frames_of(index, data)
    a, b = index.frames[1], index.frames[2]
    swapped = (
        index.frames[0],
        msgspec.structs.replace(b, offset=a.offset, at=a.at),
        msgspec.structs.replace(a, offset=a.offset + b.length, at=b.at),
    )
    lying = msgspec.structs.replace(index, frames=swapped)
    with pytest.raises(CorruptBlob, match="'m' does not match its digest"):
        load(rebuilt(lying, [frames[0], frames[2], frames[1]]))


NOTHING = sha256(b"")
FILE = Member("a", size=1, sha256=sha256(b"a"))
LINK = Member("a", type="link", mode=0o777, link="b")
Change = Callable[[ObjectIndex], ObjectIndex]


def with_members(*members: Member) -> Change:
    return lambda index: msgspec.structs.replace(index, members=members)


def with_frame(number: int = 0, **changes: object) -> Change:
    def change(index: ObjectIndex) -> ObjectIndex:
        frames = list(index.frames)
        frames[number] = msgspec.structs.replace(frames[number], **changes)
        return msgspec.structs.replace(index, frames=tuple(frames))

    return change


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda index: msgspec.structs.replace(index, format=2), "format 2"),
        (lambda index: msgspec.structs.replace(index, artifact="x"), "not a sha256"),
        (lambda index: msgspec.structs.replace(index, frames=()), "has 0 frames"),
        (lambda index: msgspec.structs.replace(index, frames=index.frames * 2), "has 2 frames"),
        (lambda index: msgspec.structs.replace(index, members=index.members[:-1]), "does not contain the members"),
        (lambda index: msgspec.structs.replace(index, members=index.members[::-1]), "out of order"),
        (with_frame(offset=1), "does not follow"),
        (with_frame(offset=-1), "does not follow"),
        (with_frame(length=0), "does not follow"),
        (with_frame(length=-5), "does not follow"),
        (with_frame(length=1 << 70), "its frames end at byte"),
        (with_frame(raw=512), "does not contain the members"),
        (with_frame(raw=1 << 40), "does not contain the members"),
        (with_frame(raw=-512), "does not contain the members"),
        (with_frame(sha256="0" * 64), "frame 0 does not match its digest"),
        (with_frame(sha256=""), "not a sha256"),
        (with_frame(path="bin/tool"), "does not contain the members"),
        (with_frame(at=512), "does not contain the members"),
        (with_frame(mode=0o755), "does not contain the members"),
        (with_members(FILE), "does not contain the members"),
        (with_members(FILE, FILE), "occurs twice"),
        (with_members(FILE, Member("a/b", sha256=NOTHING)), "a folder of other members"),
        (with_members(LINK, Member("a/b", sha256=NOTHING)), "a folder of other members"),
        (with_members(Member("A", sha256=NOTHING), FILE), "does not contain the members"),
        (with_members(Member("../a", sha256=NOTHING)), "not a plain relative path"),
        (with_members(Member("/a", sha256=NOTHING)), "not a plain relative path"),
        (with_members(Member(".envc/record.json", sha256=NOTHING)), "reserved"),
        (with_members(Member("a", type="link", mode=0o777, link="/etc")), "is a link to '/etc'"),
        (with_members(Member("a", type="link", mode=0o777, link="../b")), "leaves the tree"),
        (with_members(Member("a", type="link", mode=0o644, link="b")), "not a plain link"),
        (with_members(Member("a", type="link", mode=0o777, link="b", size=5)), "not a plain link"),
        (with_members(Member("a", type="link", mode=0o777, link="b", sha256=NOTHING)), "not a plain link"),
        (with_members(Member("a", type="link", mode=0o777)), "not a plain link"),
        (with_members(Member("a", mode=0o4755, sha256=NOTHING)), "not a plain file"),
        (with_members(Member("a", link="b", sha256=NOTHING)), "not a plain file"),
        (with_members(Member("a", size=-1, sha256=NOTHING)), "not a plain file"),
        (with_members(Member("a", size=1 << 62, sha256=NOTHING)), "not a plain file"),
        (with_members(Member("a", sha256="A" * 64)), "not a sha256"),
        (with_members(Member("a", sha256=NOTHING, mtime=-1)), "a time that tar cannot store"),
        (with_members(Member("a", sha256=NOTHING, mtime=1 << 40)), "a time that tar cannot store"),
    ],
)
def test_a_forged_index_is_corrupt(change: Change, says: str) -> None:
    lying = change(INDEX)
    with pytest.raises(CorruptBlob, match=says):
        load(rebuilt(lying, frames_of(INDEX, DATA)))
    with pytest.raises(CorruptBlob):
        list(read_object(lying, bytes_reader(DATA)))


def forged(tar: bytes, members: tuple[Member, ...] = INDEX.members) -> bytes:
    """Return an object of one frame with the given members and any content. All digests agree."""
    compressed = compress(tar, 1)
    frame = Frame(0, len(compressed), len(tar), sha256(compressed))
    return rebuilt(ObjectIndex(artifact=ARTIFACT, layout=LAYOUT, frames=(frame,), members=members), [compressed])


TAR = decompress(DATA[: INDEX.frames[0].length], "tar", limit=FRAME)


def patched(old: bytes, new: bytes, checksum: bool = True) -> bytes:
    """Return the tar text with a part replaced, and a correct checksum of the first header."""
    assert TAR.count(old) >= 1
    assert len(old) == len(new)
    tar = bytearray(TAR.replace(old, new, 1))
    if checksum:
        for start in range(0, len(tar), 512):
            if tar[start + 257 : start + 262] == b"ustar":
                tar[start + 148 : start + 156] = b" " * 8
                tar[start + 148 : start + 156] = b"%06o\0 " % sum(tar[start : start + 512])
    return bytes(tar)


@pytest.mark.parametrize(
    "tar",
    [
        patched(b"bin/tool\0", b"../tool\0\0"),  # another path than in the index
        patched(b"bin/tool\0", b"/bin/tool"),
        patched(b"00000000012\0", b"00000000011\0"),  # another size
        patched(b"0000755\0", b"0004755\0"),  # set-user-id
        patched(b"ustar\x0000", b"ustar  \0"),  # another dialect
        patched(b"../bin/tool\0", b"../../../x\0\0"),  # another link target
        patched(b"path=lib/\xc3\xa9.py\n", b"path=../\xc3\xa9.pyy\n"),  # pax disagrees
        patched(b"18 path=", b"17 path="),  # a pax length that eats or leaves a byte
        patched(b"path=lib/", b"size=lib/"),
        patched(b"#!/bin/sh\n\0", b"#!/bin/sh\n\1"),  # data hidden in the padding
        patched(b"x = 1", b"x = 2"),  # another content
        patched(b"0000755\0", b"0000755 ", checksum=False),  # a wrong checksum
        TAR[:512] + bytes(512) + TAR[1024:],
        bytes(len(TAR)),
    ],
)
def test_tar_text_that_disagrees_with_the_index_is_corrupt(tar: bytes) -> None:
    assert load(forged(TAR)) == TREE
    with pytest.raises(CorruptBlob):
        load(forged(tar))


def test_pax_and_ustar_sizes_cannot_disagree() -> None:
    """The classic parser differential: one reader uses the ustar size, another the pax record."""
    member = Member("a", size=600, sha256=sha256(b"x" * 600))
    honest = encode_header(member) + b"x" * 600 + bytes(padding(600))
    assert load(forged(honest, (member,)))
    record = b"12 size=100\n"
    pax = bytearray(encode_header(Member("././@PaxHeader", size=len(record), mtime=0)))
    pax[156] = ord("x")
    pax[148:156] = b" " * 8
    pax[148:156] = b"%06o\0 " % sum(pax)
    smuggled = bytes(pax) + record + bytes(500) + honest
    with pytest.raises(CorruptBlob):
        load(forged(smuggled, (member,)))


def bomb(size: int) -> bytes:
    """Return a frame of a few bytes that expands to `size`."""
    return zstandard.ZstdCompressor(level=19).compress(bytes(size))


def test_a_frame_that_expands_beyond_its_bound_is_not_decompressed() -> None:
    members = tuple(INDEX.members)
    for size, stated in ((1 << 26, 1 << 26), (1 << 26, 4096), (4096, 8192), (FRAME + 512, FRAME)):
        compressed = bomb(size)
        frame = Frame(0, len(compressed), stated, sha256(compressed))
        index = ObjectIndex(artifact=ARTIFACT, layout=LAYOUT, frames=(frame,), members=members)
        with pytest.raises(CorruptBlob):
            load(rebuilt(index, [compressed]))


@pytest.mark.parametrize("size", [1 << 20, FRAME, FRAME + 512, 1 << 26])
def test_a_frame_that_expands_is_refused_by_its_header(size: int) -> None:
    compressed = bomb(size)
    frame = msgspec.structs.replace(INDEX.frames[0], length=len(compressed), sha256=sha256(compressed))
    with pytest.raises(CorruptBlob, match=f"announces {size} bytes"):
        ObjectReader(msgspec.structs.replace(INDEX, frames=(frame,))).pieces(0, compressed)


def test_a_huge_index_is_not_fetched() -> None:
    size = 1 << 40
    footer = struct.pack("<QQ8s", 8, size - 32, b"ENVCBND1")

    def read_range(offset: int, length: int) -> bytes:
        assert length <= INDEX_BYTES
        return bytes(length - 24) + footer

    with pytest.raises(CorruptBlob, match="an impossible place"):
        read_index(size, read_range)


def frame_header_size(frame: bytes, size: int) -> bytes:
    """Return a frame whose header states another (four-byte) size than that of its content."""
    assert zstandard.get_frame_parameters(frame).content_size > 1 << 16
    assert frame[4] >> 6 == 2
    return frame[: 5 if frame[4] & 0x20 else 6] + struct.pack("<I", size) + frame[9 if frame[4] & 0x20 else 10 :]


def test_the_size_in_a_frame_header_must_be_right() -> None:
    honest = bomb(1 << 20)
    assert len(decompress(honest, "f", limit=1 << 20)) == 1 << 20
    for stated in (1 << 17, (1 << 20) - 1, (1 << 20) + 1, 1 << 30):
        with pytest.raises(CorruptBlob):
            decompress(frame_header_size(honest, stated), "f", limit=1 << 21)
    unsized = zstandard.ZstdCompressor(write_content_size=False).compress(b"x" * 100)
    two = compress(b"x", 1) * 2
    skippable = struct.pack("<II", 0x184D2A5E, 4) + b"abcd"
    for frame in (unsized, two, skippable, compress(b"", 1), compress(b"x", 1)[:-1], b"", b"PK\3\4" * 20):
        with pytest.raises(CorruptBlob):
            decompress(frame, "f", limit=1 << 20)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b'{"artifact":1}',
        b"[" * 100_000,
        b'{"unknown":' + b"[" * 100_000,
        canonical_json(INDEX)[:-1],
        canonical_json(INDEX).replace(b'"type":"link"', b'"type":"device"'),
        canonical_json(INDEX).replace(b'"path":"bin/tool"', b'"path":["bin/tool"]'),
        canonical_json(INDEX).replace(b'"path":"bin/tool"', b'"path":"bin/\xff"'),
        canonical_json(INDEX).replace(b'"path":"bin/tool"', b'"path":"bin/\\u0000"'),
        canonical_json(INDEX).replace(b'"path":"bin/tool"', b'"path":"bin/\\ud800"'),
    ],
)
def test_an_index_with_other_fields_is_corrupt(text: bytes) -> None:
    payload = compress(text, 1)
    body = DATA[: INDEX.frames[0].length]
    footer = struct.pack("<QQ8s", len(body) + 8, len(payload), b"ENVCBND1")
    data = body + struct.pack("<II", 0x184D2A5E, len(payload) + 24) + payload + footer
    with pytest.raises(CorruptBlob):
        load(data)


@pytest.mark.parametrize(
    ("offset", "length"), [(0, 5), (1 << 63, 5), (8, 1 << 63), (8, INDEX_BYTES + 1), (0, 18), (9, 10), (7, 10), (8, 9)]
)
def test_a_footer_that_points_elsewhere_is_corrupt(offset: int, length: int) -> None:
    payload = b"0123456789"
    data = struct.pack("<II", 0x184D2A5E, 34) + payload + struct.pack("<QQ8s", offset, length, b"ENVCBND1")
    with pytest.raises(CorruptBlob, match="an impossible place"):
        read_index(len(data), bytes_reader(data))


def test_an_index_that_expands_is_not_decompressed() -> None:
    payload = bomb(INDEX_BYTES + 1)
    footer = struct.pack("<QQ8s", 8, len(payload), b"ENVCBND1")
    data = struct.pack("<II", 0x184D2A5E, len(payload) + 24) + payload + footer
    with pytest.raises(CorruptBlob, match="announces"):
        read_index(len(data), bytes_reader(data))


def bundle() -> bytes:
    own, own_index = encode([Entry(path=".envc/record.json", content=b"{}")], layout=ENVIRONMENT_LAYOUT, artifact=None)
    out = io.BytesIO()
    write_bundle(
        [Source(index=INDEX, size=len(DATA), read_range=bytes_reader(DATA), what="the object")],
        Source(index=own_index, size=len(own), read_range=bytes_reader(own), what="own files"),
        out.write,
    )
    return out.getvalue()


BUNDLE = bundle()


def test_only_intact_objects_are_written_to_a_bundle() -> None:
    """Programs that unpack the file check nothing, so the writer checks everything."""
    own, own_index = encode([], layout=ENVIRONMENT_LAYOUT, artifact=None)
    last = Source(index=own_index, size=len(own), read_range=bytes_reader(own), what="own files")
    end = sum(frame.length for frame in INDEX.frames)
    other = msgspec.structs.replace(INDEX, artifact=sha256(b"other"))
    stray = compress(bytes(512), 1)
    cases = {
        "does not match its digest": bytes([DATA[0] ^ 1]) + DATA[1:],
        "an index that differs from the record": DATA[:end] + encode_trailer(other, end),
        "index that differs": DATA[:end] + stray + encode_trailer(INDEX, end + len(stray)),
    }
    for says, data in cases.items():
        source = Source(index=INDEX, size=len(data), read_range=bytes_reader(data), what="the object")
        with pytest.raises(CorruptBlob, match=says):
            write_bundle([source], last, io.BytesIO().write)
    with pytest.raises(ValueError, match="ends with an environment object"):
        write_bundle([last], Source(index=INDEX, size=len(DATA), read_range=bytes_reader(DATA), what=""), print)


def load_bundle(data: bytes) -> list[dict[str, tuple[int, int, str, bytes]]]:
    found = []
    for part in read_bundle(len(data), bytes_reader(data), "bundle").parts:
        index = read_part(part, bytes_reader(data))
        found.append(tree(index, part_reader(part, bytes_reader(data))(0, part.length)))
    return found


def test_every_flipped_byte_of_a_bundle_is_detected_or_harmless() -> None:
    whole = load_bundle(BUNDLE)
    for position in range(len(BUNDLE)):
        broken = bytearray(BUNDLE)
        broken[position] ^= 0x55
        try:
            assert load_bundle(bytes(broken)) == whole
        except CorruptBlob:
            pass


@pytest.mark.parametrize("kept", range(0, len(BUNDLE), 13))
def test_a_truncated_bundle_is_corrupt(kept: int) -> None:
    with pytest.raises(CorruptBlob):
        load_bundle(BUNDLE[:kept])


def test_a_bundle_cannot_pass_one_object_off_as_another() -> None:
    index = read_bundle(len(BUNDLE), bytes_reader(BUNDLE), "bundle")
    first, last = index.parts
    end = last.offset + last.length
    body = BUNDLE[:end] + compress(bytes(1024), 1)

    def refused(says: str, *parts: BundlePart) -> None:
        with pytest.raises(CorruptBlob, match=says):
            load_bundle(body + encode_trailer(msgspec.structs.replace(index, parts=parts), len(body)))

    for says, changes in {
        "another artifact or layout": {"artifact": sha256(b"other")},
        "of another artifact or layout": {"layout": "nt"},
        "are not contiguous": {"offset": 1},
        "not contiguous": {"length": 5},
        "not a sha256": {"artifact": "x"},
        "not a layout": {"layout": "../x"},
    }.items():
        refused(says, msgspec.structs.replace(first, **changes), last)
    for parts in ((first,), (last, first), (), (msgspec.structs.replace(first, layout=ENVIRONMENT_LAYOUT), last)):
        refused("not the last one", *parts)
    refused("twice", first, first, last)
    refused("does not end", first, msgspec.structs.replace(last, length=last.length + 5000))
    with pytest.raises(CorruptBlob, match="bundle format 2"):
        load_bundle(body + encode_trailer(msgspec.structs.replace(index, format=2), len(body)))
    unended = BUNDLE[:end] + compress(bytes(512), 1)
    with pytest.raises(CorruptBlob, match="does not end"):
        load_bundle(unended + encode_trailer(index, len(unended)))


def test_objects_of_a_bundle_cannot_write_into_each_other() -> None:
    part = read_bundle(len(BUNDLE), bytes_reader(BUNDLE), "bundle").parts[0]
    read = part_reader(part, bytes_reader(BUNDLE))
    assert read(0, part.length) == DATA
    for offset, length in ((0, part.length + 1), (part.length, 1), (-1, 1), (0, -1), (5, 1 << 70)):
        with pytest.raises(CorruptBlob, match="beyond its place"):
            read(offset, length)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"not zstd",
        compress(b"[" * 100_000, 1),
        compress(b"{}", 1),
        compress(b"{}", 1) * 2,
        bomb(RECORD_BYTES + 1),
    ],
)
def test_an_invalid_record_is_corrupt(data: bytes) -> None:
    blobs = MemoryBlobs()
    blobs.blobs[environment_key(ARTIFACT)] = data
    with pytest.raises(CorruptBlob):
        get_record(blobs, ARTIFACT)
    with pytest.raises((CorruptBlob, DigestMismatch)):
        get_record(blobs, ARTIFACT, ARTIFACT)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[" * 100_000,
        b"{}",
        b'{"environment":"x","record":"y"}',
        b'{"environment":"%s","record":"../../etc"}' % ARTIFACT.encode(),
        b'{"environment":"%s","record":"%s","code":"%s"}' % ((ARTIFACT.encode(),) * 3),
        b'{"environment":"%s","record":"%s","env":{"A":1}}' % ((ARTIFACT.encode(),) * 2),
        b'{"environment":"%s","record":"%s","run":"\xff"}' % ((ARTIFACT.encode(),) * 2),
        b" " * (POINTER_BYTES + 1),
    ],
)
def test_an_invalid_pointer_is_corrupt(data: bytes) -> None:
    blobs = MemoryBlobs()
    key = step_key("p", ARTIFACT, "s", "linux-64")
    blobs.blobs[key] = data
    with pytest.raises(CorruptBlob):
        get_pointer(blobs, key)
