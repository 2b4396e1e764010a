"""Reading a single file of an object, and the pieces that a reader gets."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given

from envc.model.digest import sha256
from envc.model.record import Member, ObjectIndex
from envc.shipping.format.decode import ObjectReader, read_member, read_object
from envc.shipping.format.encode import Entry
from envc.shipping.format.errors import CorruptBlob
from envc.shipping.format.frames import compress, decompress
from envc.shipping.format.spans import FRAME
from envc.shipping.format.tar import BLOCK
from envc.shipping.store.objects import bytes_reader
from tests.support.stores import LAYOUT, encode
from tests.support.strategies import entries

ENTRIES = [
    Entry(path="a", content=b"a" * 100),
    Entry(path="b", content=b"b" * (2 * FRAME)),
    Entry(path="c", content=b"c"),
    Entry(path="d", link="c"),
    Entry(path="e", content=b""),
]
DATA, INDEX = encode(ENTRIES)


class Reads:
    """Reads ranges of an object and notes the numbers of the frames."""

    def __init__(self) -> None:
        self.frames: list[int] = []

    def __call__(self, offset: int, length: int) -> bytes:
        self.frames.append([frame.offset for frame in INDEX.frames].index(offset))
        assert INDEX.frames[self.frames[-1]].length == length
        return DATA[offset : offset + length]


@pytest.mark.parametrize(
    ("path", "content", "frames"),
    [
        ("a", b"a" * 100, [0]),
        ("b", b"b" * (2 * FRAME), [1, 2, 3]),
        ("c", b"c", [4]),
        ("e", b"", [4]),
    ],
)
def test_a_file_is_read_from_its_own_frames_only(path: str, content: bytes, frames: list[int]) -> None:
    reads = Reads()
    assert read_member(INDEX, reads, path) == content
    assert reads.frames == frames
    assert ObjectReader(INDEX).frames_of(path) == frames


@pytest.mark.parametrize("path", ["", "0", "aa", "bb", "f"])
def test_a_missing_file_is_reported_by_path(path: str) -> None:
    reads = Reads()
    with pytest.raises(CorruptBlob, match=f"it.* has no {path!r} that matches its digest"):
        read_member(INDEX, reads, path, "it")
    assert reads.frames == []
    assert ObjectReader(INDEX).frames_of(path) == []


def test_a_link_has_no_content_to_read() -> None:
    with pytest.raises(CorruptBlob, match="'d'"):
        read_member(INDEX, Reads(), "d")


def relabelled(path: str, change: Callable[[Member], Member]) -> ObjectIndex:
    """Return the index with one member's fields changed, and the frames still proven."""
    members = tuple(change(member) if member.path == path else member for member in INDEX.members)
    return msgspec.structs.replace(INDEX, members=members)


@pytest.mark.parametrize("path", ["a", "b", "c"])
def test_a_file_with_another_digest_is_refused(path: str) -> None:
    lying = relabelled(path, lambda member: msgspec.structs.replace(member, sha256=sha256(b"other")))
    with pytest.raises(CorruptBlob, match=f"'{path}'"):
        read_member(lying, bytes_reader(DATA), path)
    with pytest.raises(CorruptBlob, match=f"'{path}' does not match its digest"):
        list(read_object(lying, bytes_reader(DATA)))


def test_contents_are_verified_on_request() -> None:
    lying = relabelled("a", lambda member: msgspec.structs.replace(member, sha256=sha256(b"other")))
    frame = DATA[: INDEX.frames[0].length]
    (piece,) = ObjectReader(lying, contents=False).pieces(0, frame)
    assert bytes(piece.data) == b"a" * 100
    with pytest.raises(CorruptBlob, match="'a' does not match its digest"):
        ObjectReader(lying).pieces(0, frame)


def test_an_error_names_the_object() -> None:
    assert INDEX.artifact is not None
    with pytest.raises(CorruptBlob, match=rf"object {INDEX.artifact[:12]} \({LAYOUT}\)"):
        ObjectReader(INDEX).pieces(0, b"")
    with pytest.raises(CorruptBlob, match="the file here"):
        ObjectReader(INDEX, "the file here").pieces(0, b"")


def test_pieces_are_whole_members_or_the_slices_of_one() -> None:
    pieces = list(read_object(INDEX, bytes_reader(DATA)))
    assert [(piece.member.path, piece.at, len(piece.data), piece.is_whole) for piece in pieces] == [
        ("a", 0, 100, True),
        ("b", 0, FRAME - BLOCK, False),
        ("b", FRAME - BLOCK, FRAME, False),
        ("b", 2 * FRAME - BLOCK, BLOCK, False),
        ("c", 0, 1, True),
        ("d", 0, 0, True),
        ("e", 0, 0, True),
    ]


def test_consecutive_large_members_are_verified_one_by_one() -> None:
    written = [Entry(path=path, content=path.encode() * (FRAME + 10)) for path in ("a", "b")]
    data, index = encode(written)
    assert b"".join(piece.data for piece in read_object(index, bytes_reader(data))) == b"".join(
        entry.content for entry in written if isinstance(entry.content, bytes)
    )


@pytest.mark.parametrize("size", [1, 100, 511])
def test_the_padding_of_a_member_is_zeros(size: int) -> None:
    data, index = encode([Entry(path="a", content=b"a" * size), Entry(path="b", content=b"")])
    (frame,) = index.frames
    tar = bytearray(decompress(data[: frame.length], "tar", limit=FRAME))
    tar[2 * BLOCK - 1] = 1
    compressed = compress(bytes(tar), 1)
    forged = msgspec.structs.replace(
        index,
        frames=(msgspec.structs.replace(frame, length=len(compressed), sha256=sha256(compressed)),),
    )
    with pytest.raises(CorruptBlob, match="the padding after 'a' is not empty"):
        ObjectReader(forged).pieces(0, compressed)


@given(entries(max_size=6))
def test_every_file_can_be_read_alone(written: list[Entry]) -> None:
    data, index = encode(written)
    reader = ObjectReader(index)
    for entry in written:
        if not entry.link:
            assert read_member(index, bytes_reader(data), entry.path) == entry.content
        held = [
            number
            for number, frame in enumerate(index.frames)
            if any(
                piece.member.path == entry.path
                for piece in reader.pieces(number, data[frame.offset : frame.offset + frame.length])
            )
        ]
        assert reader.frames_of(entry.path) == held
