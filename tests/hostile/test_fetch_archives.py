"""Wheels made to mislead the reader of their METADATA."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envc.fetch.pypi.wheel_metadata import TAIL, read_metadata
from tests.support.wheels import build_wheel, zip_bytes

WHEEL = build_wheel("demo", "1.0", requires=["other"])
FILE = WHEEL.file
PLACE = "demo-1.0.dist-info/METADATA"


def read(data: bytes, file: str = FILE) -> bytes:
    """Read as from a server. Every requested span must lie within the file."""

    def span(offset: int, length: int) -> bytes:
        assert offset >= 0 and length > 0 and offset + length <= len(data)
        return data[offset : offset + length]

    return read_metadata(file, len(data), span)


def patched(data: bytes, find: bytes, change: Callable[[bytearray], None]) -> bytes:
    """Change the archive in the record that starts at the last `find`."""
    at = data.rindex(find)
    record = bytearray(data[at:])
    change(record)
    return data[:at] + bytes(record)


def put(offset: int, form: str, value: int) -> Callable[[bytearray], None]:
    return lambda record: struct.pack_into(form, record, offset, value)


def central(data: bytes, offset: int, form: str, value: int) -> bytes:
    """Change a field of METADATA's entry in the central directory (APPNOTE 4.3.12)."""
    at = data.rindex(PLACE.encode()) - 46
    return data[:at] + patched(data[at : at + 46], b"PK\1\2", put(offset, form, value)) + data[at + 46 :]


def local(data: bytes, offset: int, form: str, value: int) -> bytes:
    """Change a field of METADATA's local header (APPNOTE 4.3.7)."""
    at = data.index(PLACE.encode()) - 30
    return data[:at] + patched(data[at : at + 30], b"PK\3\4", put(offset, form, value)) + data[at + 30 :]


def end(data: bytes, offset: int, form: str, value: int) -> bytes:
    """Change a field of the end record (APPNOTE 4.3.16)."""
    return patched(data, b"PK\5\6", put(offset, form, value))


def test_a_valid_wheel_is_read() -> None:
    assert read(WHEEL.data) == WHEEL.metadata


def test_stored_large_and_commented_wheels_are_read() -> None:
    noise = bytes(range(256)) * 1024
    big = build_wheel("demo", "1.0", files={f"{n}.bin": noise for n in range(4)}, compression=zipfile.ZIP_STORED)
    assert read(big.data) == big.metadata
    for length in (1, 1000, 0xFFFF):
        commented = io.BytesIO(big.data)
        with zipfile.ZipFile(commented, "a") as archive:
            archive.comment = b"c" * length
        assert read(commented.getvalue()) == big.metadata


def test_a_directory_longer_than_the_tail_is_read() -> None:
    many = build_wheel("demo", "1.0", files={f"demo/{'x' * 60}{n}.py": "" for n in range(1500)})
    assert len(many.data) > 2 * TAIL
    assert read(many.data) == many.metadata


def test_zip64_is_read() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        with archive.open(zipfile.ZipInfo(PLACE), "w", force_zip64=True) as stream:
            stream.write(WHEEL.metadata)
        for number in range(0x10000):
            archive.writestr(zipfile.ZipInfo(f"{number}"), b"")
    assert read(buffer.getvalue()) == WHEEL.metadata


def test_a_member_of_unknown_size_is_read() -> None:
    class Unseekable(io.BytesIO):
        def seekable(self) -> bool:
            return False

        def seek(self, *_: object) -> int:
            raise io.UnsupportedOperation

        def tell(self) -> int:
            raise io.UnsupportedOperation

    buffer = Unseekable()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo(PLACE), WHEEL.metadata)
    assert read(buffer.getvalue()) == WHEEL.metadata


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "too short"),
        (b"x" * 100_000, "not a zip archive"),
        (WHEEL.data[:-1], "cut off"),
        (WHEEL.data + b"x", "bytes follow its end"),
        (b"#!/bin/sh\n" + WHEEL.data, "bytes are before the archive"),
        (end(WHEEL.data, 4, "<H", 1), "several volumes"),
        (end(WHEEL.data, 8, "<H", 2), "several volumes"),
        (end(end(WHEEL.data, 8, "<H", 3), 10, "<H", 3), "more entries than it states"),
        (end(end(WHEEL.data, 8, "<H", 9), 10, "<H", 9), "fewer entries than it states"),
        (end(WHEEL.data, 12, "<I", 0x7FFFFFFF), "too large"),
        (end(WHEEL.data, 16, "<I", 5), "not where its end record says"),
        (end(WHEEL.data, 16, "<I", 0xFFFFFFFF), "not where its end record says"),
        (central(WHEEL.data, 8, "<H", 1), "encrypted"),
        (central(WHEEL.data, 8, "<H", 8), "disagree"),
        (central(WHEEL.data, 10, "<H", 12), "method 12"),
        (central(WHEEL.data, 10, "<H", 0), "packed size"),
        (central(WHEEL.data, 16, "<I", 7), "disagree about its size"),
        (central(WHEEL.data, 20, "<I", 7), "disagree about its size"),
        (central(WHEEL.data, 20, "<I", 0x7FFFFFFF), "outside"),
        (central(WHEEL.data, 24, "<I", 0x7FFFFFFF), "too large"),
        (central(WHEEL.data, 24, "<I", 0xFFFFFFFF), "zip64"),
        (central(WHEEL.data, 42, "<I", 0x7FFFFFFF), "belong to no entry"),
        (central(WHEEL.data, 42, "<I", 0), "overlap"),
        (local(WHEEL.data, 6, "<H", 1), "disagree"),
        (local(WHEEL.data, 8, "<H", 0), "disagree"),
        (local(WHEEL.data, 18, "<I", 5), "disagree about its size"),
        (local(WHEEL.data, 22, "<I", 5), "disagree about its size"),
        (local(WHEEL.data, 26, "<H", 5), "disagree"),
        (local(WHEEL.data, 28, "<H", 60_000), "overlap"),
        (local(WHEEL.data, 28, "<H", 5), "overlap"),
    ],
)
def test_a_contradiction_is_detected(data: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        read(data)


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ({"demo.py": b""}, "0 METADATA"),
        ({PLACE: b"a", "other-1.0.dist-info/METADATA": b"b"}, "2 METADATA"),
        ({f"folder/{PLACE}": b"a"}, "0 METADATA"),
        ({"other-1.0.dist-info/METADATA": b"a"}, "the folder of another package"),
        ({"demo-2.0.dist-info/METADATA": b"a"}, "the folder of another package"),
        ({"demo.dist-info/METADATA": b"a"}, "the folder of another package"),
        ({PLACE: b"\0" * (1 << 25)}, "too large"),
    ],
)
def test_metadata_in_another_folder_is_refused(members: dict[str, bytes], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        read(zip_bytes(members))


def test_a_duplicate_name_is_refused() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(zipfile.ZipInfo(PLACE), b"first")
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr(zipfile.ZipInfo(PLACE), b"second")
    with pytest.raises(ValueError, match="occurs twice, with different contents"):
        read(buffer.getvalue())


def test_a_bomb_is_not_inflated() -> None:
    honest = zip_bytes({PLACE: b"\0" * 10_000_000})
    small = central(local(honest, 22, "<I", 100), 24, "<I", 100)
    with pytest.raises(ValueError, match="has another size than its entry states"):
        read(small)


@pytest.mark.parametrize("file", ["demo.whl", "demo-1.0.tar.gz", "demo-1.0-py3-none-any.zip", "-", ""])
def test_only_wheels_have_metadata(file: str) -> None:
    with pytest.raises(ValueError, match="its name is not that of a wheel"):
        read(WHEEL.data, file)


@settings(max_examples=400)
@given(at=st.integers(0, len(WHEEL.data) - 1), bit=st.integers(0, 7))
def test_flipped_bits_are_detected_or_harmless(at: int, bit: int) -> None:
    data = bytearray(WHEEL.data)
    data[at] ^= 1 << bit
    try:
        found = read(bytes(data))
    except ValueError:
        return
    assert found == WHEEL.metadata


@given(cut=st.integers(0, len(WHEEL.data)), junk=st.binary(max_size=200))
def test_junk_gives_a_reason(cut: int, junk: bytes) -> None:
    try:
        found = read(WHEEL.data[:cut] + junk)
    except ValueError:
        return
    assert found == WHEEL.metadata
