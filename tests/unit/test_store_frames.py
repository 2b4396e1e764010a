"""Objects are cut into frames, and cutting does not change their content."""

from __future__ import annotations

import hashlib
import io
import threading
from pathlib import Path
from typing import BinaryIO

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from envc.errors import StoreError
from envc.model.record import Member
from envc.shipping.format.encode import Encoder, Entry
from envc.shipping.format.errors import CorruptBlob, UnsafePath
from envc.shipping.format.frames import compress, decompress
from envc.shipping.format.spans import FRAME, spans
from envc.shipping.format.tar import BLOCK
from envc.shipping.store.objects import bytes_reader
from tests.support.stores import LAYOUT, encode, tree, tree_of


def pattern(size: int) -> bytes:
    """Return bytes that compress well and differ from frame to frame."""
    block = b"".join(b"%08d" % number for number in range(1 << 13))  # 64 KiB
    return b"".join(b"%016d" % number + block[16:] for number in range(size // len(block) + 1))[:size]


@pytest.mark.parametrize(
    ("size", "raws"),
    [
        (0, [BLOCK]),
        (1, [2 * BLOCK]),
        (FRAME - BLOCK - 1, [FRAME]),
        (FRAME - BLOCK, [FRAME]),  # the largest whole member
        (FRAME - BLOCK + 1, [FRAME, BLOCK]),
        (FRAME - 1, [FRAME, BLOCK]),
        (FRAME, [FRAME, BLOCK]),
        (FRAME + 1, [FRAME, 2 * BLOCK]),
        (2 * FRAME - BLOCK, [FRAME, FRAME]),
        (5 * FRAME, [FRAME] * 5 + [BLOCK]),
    ],
)
def test_members_of_any_size_are_read_back(size: int, raws: list[int]) -> None:
    entries = [Entry(path="m", content=pattern(size), executable=True)]
    data, index = encode(entries)
    assert [frame.raw for frame in index.frames] == raws
    assert [frame.path for frame in index.frames] == ["", *["m"] * (len(raws) - 1)]
    assert [frame.mode for frame in index.frames] == [0, *[0o755] * (len(raws) - 1)]
    assert [frame.at for frame in index.frames] == [0, *(n * FRAME - BLOCK for n in range(1, len(raws)))]
    assert index.members[0].sha256 == hashlib.sha256(pattern(size)).hexdigest()
    assert tree(index, data) == tree_of(entries)


def test_small_members_share_frames_and_a_large_one_has_its_own() -> None:
    half = FRAME // 2 - BLOCK
    sizes = {"a": half, "b": half, "c": 0, "d": FRAME, "e": 10, "f": half, "g": half}
    cut = spans(Member(path, size=size, sha256="0" * 64) for path, size in sizes.items())
    assert [(span.first, span.stop, span.raw, span.at) for span in cut] == [
        (0, 2, FRAME, 0),  # exactly full
        (2, 3, BLOCK, 0),
        (3, 4, FRAME, 0),
        (3, 4, BLOCK, FRAME - BLOCK),  # the rest of d has a frame of its own
        (4, 6, 2 * BLOCK + FRAME // 2, 0),
        (6, 7, FRAME // 2, 0),
    ]


def test_an_object_may_be_empty() -> None:
    data, index = encode([])
    assert (index.frames, index.members) == ((), ())
    assert tree(index, data) == {}


def test_the_bytes_do_not_depend_on_the_number_of_threads() -> None:
    entries = [Entry(path=f"{number:02}", content=pattern(3 * FRAME // 5 + number)) for number in range(6)]
    entries.append(Entry(path="large", content=pattern(3 * FRAME)))
    data, index = encode(entries, threads=1)
    assert encode(entries, threads=4) == (data, index)
    assert tree(index, data) == tree_of(entries)


def test_a_reused_compressor_gives_the_same_bytes() -> None:
    fresh: list[bytes] = []
    sample = pattern(300_000)
    compress(pattern(FRAME), 9)
    thread = threading.Thread(target=lambda: fresh.append(compress(sample, 9)))
    thread.start()
    thread.join()
    assert fresh == [compress(sample, 9)]


def test_contents_come_from_files_and_streams(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(pattern(FRAME))
    plain = [Entry(path="f", content=pattern(FRAME)), Entry(path="s", content=b"stream")]
    mixed = [
        Entry(path="f", content=tmp_path / "f"),
        Entry(path="s", content=lambda: io.BytesIO(b"stream"), size=6),
    ]
    assert encode(mixed) == encode(plain)
    with pytest.raises(TypeError, match="size of 's'"):
        encode([Entry(path="s", content=lambda: io.BytesIO(b""))])


class Trickle(io.RawIOBase):
    """A stream that returns a few bytes at a time, and counts how often it is closed."""

    closings = 0

    def __init__(self, data: bytes) -> None:
        self.data = io.BytesIO(data)

    def read(self, size: int = -1) -> bytes:
        return self.data.read(min(size, 7))

    def close(self) -> None:
        Trickle.closings += not self.closed
        super().close()


def test_short_reads_are_repeated_and_streams_are_closed() -> None:
    data = b"0123456789" * 5

    def opened() -> BinaryIO:
        return Trickle(data)  # type: ignore[return-value]

    before = Trickle.closings
    assert encode([Entry(path="s", content=opened, size=50)]) == encode([Entry(path="s", content=data)])
    assert Trickle.closings == before + 1


@pytest.mark.parametrize("announced", [0, 5, 7, FRAME, 3 * FRAME])
def test_a_content_of_an_unexpected_size_is_refused(announced: int) -> None:
    with pytest.raises(StoreError, match="as announced"):
        encode([Entry(path="a", content=b"123456", size=announced)])


def test_an_unsafe_tree_is_not_written() -> None:
    with pytest.raises(UnsafePath):
        encode([Entry(path="../a", content=b"")])
    with pytest.raises(UnsafePath):
        encode([Entry(path="con", content=b"")], layout="nt")


class Full(io.BytesIO):
    def write(self, data: object) -> int:
        raise OSError(28, "No space left on device")


def test_an_encoder_can_be_used_after_failures() -> None:
    """The budget of frames that are never compressed is released, otherwise the next object would wait forever."""
    entries = [Entry(path=f"{number}", content=pattern(FRAME)) for number in range(6)]

    def broken() -> BinaryIO:
        raise OSError("gone")

    with Encoder(level=1, threads=1) as encoder:
        for _ in range(4):
            with pytest.raises(OSError, match="No space"):
                encoder.write_object(entries, Full(), layout=LAYOUT)
            with pytest.raises(OSError, match="gone"):
                encoder.write_object(
                    [*entries[:3], Entry(path="5", content=broken, size=1)], io.BytesIO(), layout=LAYOUT
                )
        out = io.BytesIO()
        index, _ = encoder.write_object(entries, out, layout=LAYOUT)
    assert tree(index, out.getvalue()) == tree_of(entries)
    assert bytes_reader(out.getvalue())(0, 4) == bytes.fromhex("28b52ffd")


def test_several_objects_share_an_encoder() -> None:
    sets = [[Entry(path=f"{n}{m}", content=pattern(FRAME // 2 + n)) for m in range(5)] for n in range(4)]
    outs = [io.BytesIO() for _ in sets]
    with Encoder(level=1, threads=2) as encoder:
        threads = [
            threading.Thread(target=encoder.write_object, args=(each, out), kwargs={"layout": LAYOUT})
            for each, out in zip(sets, outs, strict=True)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    for each, out in zip(sets, outs, strict=True):
        assert out.getvalue() == encode(each, artifact=None)[0]


def test_a_checksum_is_verified_unless_the_bytes_are_proven() -> None:
    frame = bytearray(compress(pattern(5000), 9))
    assert decompress(frame, "it", raw=5000, limit=FRAME, proven=True) == pattern(5000)
    frame[-1] ^= 1
    with pytest.raises(CorruptBlob, match="cannot be decompressed"):
        decompress(frame, "it", raw=5000, limit=FRAME)
    assert decompress(frame, "it", raw=5000, limit=FRAME, proven=True) == pattern(5000)


def test_a_proven_frame_without_a_checksum_is_read() -> None:
    frame = zstandard.ZstdCompressor(write_checksum=False).compress(pattern(5000))
    assert decompress(frame, "it", raw=5000, limit=FRAME, proven=True) == pattern(5000)


@given(st.integers(0, 10_000), st.integers(0, 255), st.sampled_from(["changed", "cut", "followed"]))
def test_a_proven_frame_must_still_be_exactly_one_frame(at: int, byte: int, how: str) -> None:
    frame = compress(pattern(5000), 9)
    at %= len(frame)
    others = {
        "changed": frame[:at] + bytes([byte]) + frame[at + 1 :],
        "cut": frame[:at],
        "followed": frame + frame[: at + 1],
    }
    try:
        content = decompress(others[how], "it", raw=5000, limit=FRAME, proven=True)
    except CorruptBlob:
        return
    assert how == "changed" and len(content) == 5000
