"""Tar archives that readers read differently are refused, and what is accepted is unpacked alike by all of them.

The judges are GNU tar, bsdtar, `tarfile`, py-rattler and uv, as far as this machine has them.
"""

from __future__ import annotations

import bz2
import gzip
import io
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from envc.locking.builds.errors import BadSource
from envc.locking.builds.origin import Archive
from envc.model.digest import sha256
from envc.model.graph import SourceFile
from envc.shipping.unpack.tars import open_tar
from envc.system.single_stream import Compression
from tests.support.tar_bytes import BLOCK, END, GNU, POSIX, V7, header, long_name, member, pax
from tests.support.tar_judges import (
    Judge,
    Refused,
    disagreements,
    missing_judges,
    opinion,
    our_tree,
    project_files,
    pythons,
    quick_judges,
    trees_of_tarfile,
    uv_judge,
)
from tests.support.tar_kinds import ALIKE, DIFFERENT, ENDS, REFUSED_BY_UV, A, archive

COMPRESS: dict[Compression, Callable[[bytes], bytes]] = {
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "zst": zstandard.compress,
}


@pytest.fixture(scope="module")
def judges() -> dict[str, Judge]:
    if missing := missing_judges():
        print(f"not on this machine: {missing}")
    return quick_judges()


@pytest.mark.parametrize("kind", ALIKE)
def test_what_is_accepted_is_unpacked_alike_by_all_readers(kind: str, judges: dict[str, Judge]) -> None:
    data = archive(ALIKE[kind])
    assert disagreements(judges, data, our_tree(data)) == []


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["data", "fully_trusted"])
def test_what_is_accepted_is_unpacked_alike_by_every_python(policy: str) -> None:
    archives = [archive(body) for body in ALIKE.values()]
    expected = [our_tree(data) for data in archives]
    for version, python in pythons().items():
        seen = trees_of_tarfile(python, policy, archives)
        different = [kind for kind, one, other in zip(ALIKE, seen, expected, strict=True) if one != other]
        assert different == [], version


@pytest.mark.engines
@pytest.mark.parametrize("kind", ALIKE)
def test_what_is_accepted_is_unpacked_alike_or_refused_by_uv(kind: str) -> None:
    uv = uv_judge()
    if uv is None:
        pytest.skip("uv is not installed")
    data = archive(ALIKE[kind])
    seen = opinion(uv, data)
    if isinstance(seen, str):
        assert kind in REFUSED_BY_UV and "cause: " in seen, seen
    else:
        assert seen == our_tree(data)


def test_a_file_that_only_others_may_execute_is_executable() -> None:
    """As in pip and uv. Other readers keep the bits, so its owner may not execute it. Sdists have such files."""
    assert our_tree(archive(member(b"p/a", b"x", mode=b"0000654\0")))["p/a"].executable


@pytest.mark.parametrize("kind", DIFFERENT)
def test_a_kind_that_readers_read_differently_is_refused(kind: str) -> None:
    body, reason = DIFFERENT[kind]
    with pytest.raises(Refused) as error:
        our_tree(archive(body))
    assert reason in str(error.value)


@pytest.mark.parametrize("kind", ENDS)
def test_an_archive_that_does_not_end_where_its_entries_end_is_refused(kind: str) -> None:
    end, reason = ENDS[kind]
    with pytest.raises(Refused, match=reason):
        our_tree(A + end)


@pytest.mark.parametrize("compression", COMPRESS)
@pytest.mark.parametrize("case", ["two streams", "bytes after it", "zeros after it", "cut off", "empty"])
def test_anything_but_one_compressed_stream_is_refused(compression: Compression, case: str) -> None:
    """py-rattler reads only the first bzip2 stream, uv only the first gzip member; others read them all."""
    compress = COMPRESS[compression]
    whole = compress(A + END)
    packed = {
        "two streams": compress(A) + compress(END),
        "bytes after it": whole + b"x",
        "zeros after it": whole + bytes(BLOCK),
        "cut off": whole[:-1],
        "empty": b"",
    }[case]
    with (
        pytest.raises(ValueError, match=r"bytes follow its compressed stream|it is cut off"),
        open_tar(io.BytesIO(packed), compression, size=len(packed)),
    ):
        pass


@pytest.mark.parametrize("flags", [0x02, 0x20, 0x80])
def test_a_gzip_header_with_unusual_flags_is_refused(flags: int) -> None:
    packed = bytearray(gzip.compress(A + END))
    packed[3] |= flags
    with (
        pytest.raises(ValueError, match="no gzip header of the usual kind"),
        open_tar(io.BytesIO(packed), "gz", size=9),
    ):
        pass


def test_a_gzip_header_with_a_file_name_is_accepted() -> None:
    buffer = io.BytesIO()
    with gzip.GzipFile("name.tar", "wb", fileobj=buffer) as out:
        out.write(A + END)
    buffer.seek(0)
    with open_tar(buffer, "gz", size=len(buffer.getvalue())) as tar:
        assert [each.path for each in tar.members] == ["p/a"]


@pytest.mark.parametrize("level", [1, 3, 19])
def test_zstd_frames_of_all_shapes_are_read(level: int) -> None:
    data = member(b"a", bytes(range(256)) * 4_000) + member(b"b", bytes(3_000_000)) + END
    sized = zstandard.ZstdCompressor(level=level, write_checksum=True).compress(data)
    writer = zstandard.ZstdCompressor(level=level, write_checksum=False, write_content_size=False).compressobj()
    streamed = b"".join(writer.compress(data[at : at + 70_000]) for at in range(0, len(data), 70_000))
    for packed in (sized, streamed + writer.flush()):
        with open_tar(io.BytesIO(packed), "zst", size=len(packed)) as tar:
            assert [len(tar.read(each)) for each in tar.members] == [1_024_000, 3_000_000]


def test_a_skippable_zstd_frame_is_refused() -> None:
    for packed in (
        b"\x50\x2a\x4d\x18\4\0\0\0abcd" + zstandard.compress(A + END),
        zstandard.compress(A + END) + b"\x50\x2a\x4d\x18\4\0\0\0abcd",
    ):
        with pytest.raises(ValueError, match=r"zstd frame|bytes follow"), open_tar(io.BytesIO(packed), "zst", size=99):
            pass


def test_a_small_archive_with_a_huge_pax_header_takes_little_memory() -> None:
    import tracemalloc

    data = header(b"x", kind=b"x", size=700 << 20) + END
    tracemalloc.start()
    try:
        with pytest.raises(Refused, match="an extended header of 734003200 bytes"):
            our_tree(data)
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("kind", ["a prefix in a GNU header", "a sparse file in format 1.0", "a global pax path"])
def test_a_refused_sdist_is_reported_with_its_name(kind: str, tmp_path: Path) -> None:
    packed = gzip.compress(archive(DIFFERENT[kind][0]))
    path = tmp_path / "p-1.0.tar.gz"
    path.write_bytes(packed)
    source = Archive(path, SourceFile(file=path.name, size=len(packed), sha256=sha256(packed)))
    with pytest.raises(BadSource, match=r"^p-1\.0\.tar\.gz cannot be used: "):
        source.read("PKG-INFO")
    with pytest.raises(BadSource, match=r"^p-1\.0\.tar\.gz cannot be used: "):
        source.unpack(tmp_path / "source")
    assert list((tmp_path / "source").iterdir()) == []


NAMES = st.sampled_from([b"p/a", b"p/b", b"./p/a", b"p/d", b"p/d/", b"p/d/e", "p/ä".encode(), b"p/" + b"n" * 98, b""])
MODES = st.sampled_from([b"0000755\0", b"0000644\0"])
DIALECTS = st.sampled_from([POSIX, GNU])
RECORDS = st.lists(
    st.tuples(
        st.sampled_from([b"path", b"path", b"linkpath", b"size", b"mtime", b"uid", b"GNU.sparse.name", b"comment"]),
        st.sampled_from([b"p/a", b"p/x", b"p/d/", b"5", b"0", b"1.5", b"-1", b"a\nb", b"\xff", b""]),
    ),
    min_size=1,
    max_size=3,
)
FILES = st.builds(
    member,
    st.sampled_from([b"p/a", b"p/b", b"p/c", b"p/d/e"]),
    st.sampled_from([b"", b"hello", b"x" * 600]),
    magic=DIALECTS,
    mode=MODES,
)
LINKS = st.builds(
    member,
    st.sampled_from([b"p/l", b"p/m", b"p/d/l"]),
    kind=st.sampled_from([b"1", b"2"]),
    link=st.sampled_from([b"p/a", b"a", b"b", b"p/b", b"p/l"]),
    mode=MODES,
)
PAX_HEADERS = st.builds(
    lambda records, kind, magic: pax(*records, kind=kind, magic=magic), RECORDS, st.sampled_from([b"x", b"g"]), DIALECTS
)
LONG_NAMES = st.builds(long_name, NAMES, st.sampled_from([b"L", b"K"]), end=st.sampled_from([b"", b"\0"]))
ODD_ENTRIES = st.builds(
    member,
    NAMES,
    st.sampled_from([b"", b"hello"]),
    kind=st.sampled_from([b"0", b"\0", b"1", b"2", b"3", b"5", b"7", b"D", b"S", b"X", b"g"]),
    size=st.sampled_from([None, None, 0, 3, 512, b"\x80" + bytes(10) + b"\5", b"5" + bytes(11)]),
    link=st.sampled_from([b"", b"", b"a", b"p/a", b"../a", b"d/e"]),
    magic=st.sampled_from([POSIX, GNU, V7]),
    prefix=st.sampled_from([b"", b"", b"q"]),
    mode=st.sampled_from([b"0000755\0", b"644 \0   ", b"     644", bytes(8), b" " * 8, b"\x80" + bytes(7)]),
)
BODIES = st.tuples(
    st.lists(FILES, max_size=2), st.lists(st.one_of(PAX_HEADERS, LONG_NAMES, LINKS, ODD_ENTRIES), max_size=3)
).map(lambda parts: b"".join(parts[0] + parts[1]))


def check_accepted(body: bytes, judges: dict[str, Judge]) -> None:
    data = archive(body)
    try:
        ours = our_tree(data)
    except Refused:
        return
    assert disagreements(judges, data, ours) == []


def check_changed(kind: str, at: int, value: int, mended: bool, judges: dict[str, Judge]) -> None:
    """Change one byte of an archive. With `mended`, its header gets a valid checksum again."""
    body = bytearray(ALIKE[kind])
    at %= len(body)
    if 100 <= at % BLOCK < 108:
        return  # the mode: see `test_a_file_that_only_others_may_execute_is_executable`
    body[at] = value
    start = at - at % BLOCK
    block = body[start : start + BLOCK]
    if mended and block[148:154].isdigit():
        total = sum(block) - sum(block[148:156]) + 8 * ord(" ")
        body[start + 148 : start + 156] = b"%06o\0 " % total
    check_accepted(bytes(body), judges)


CHANGES = st.tuples(
    st.sampled_from(sorted(ALIKE)),
    st.integers(0, 4 * BLOCK),
    st.sampled_from([*range(256), *b"01257LKxg/. "]),
    st.booleans(),
)


@given(BODIES)
@settings(max_examples=20, deadline=None)
def test_generated_archives_are_unpacked_alike_or_refused(body: bytes) -> None:
    check_accepted(body, quick_judges())


@given(CHANGES)
@settings(max_examples=20, deadline=None)
def test_changed_bytes_are_read_alike_or_refused(change: tuple[str, int, int, bool]) -> None:
    check_changed(*change, quick_judges())


@pytest.mark.slow
@given(BODIES)
@settings(max_examples=1_000, deadline=None)
def test_many_generated_archives_are_unpacked_alike_or_refused(body: bytes) -> None:
    check_accepted(body, quick_judges())


@pytest.mark.slow
@given(CHANGES)
@settings(max_examples=1_000, deadline=None)
def test_many_changed_bytes_are_read_alike_or_refused(change: tuple[str, int, int, bool]) -> None:
    check_changed(*change, quick_judges())


def test_a_project_without_anything_else_is_accepted() -> None:
    assert sorted(our_tree(project_files(GNU) + END)) == ["p/backend.py", "p/pyproject.toml"]
