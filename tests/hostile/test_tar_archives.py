"""Tar archives that two readers would read differently, or that write outside their folder."""

from __future__ import annotations

import bz2
import gzip
import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from envc.shipping.unpack.tars import Compression, TarMember, open_tar
from envc.shipping.unpack.zips import Limits
from envc.system.scratch import NoScratch

COMPRESS: dict[Compression, Callable[[bytes], bytes]] = {
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "zst": zstandard.ZstdCompressor().compress,
}


def tar_of(*members: tarfile.TarInfo | tuple[tarfile.TarInfo, bytes], format: int = tarfile.GNU_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=format) as archive:
        for member in members:
            info, content = member if isinstance(member, tuple) else (member, b"")
            info.size = len(content) if info.isreg() else 0
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


def info(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", mode: int = 0o644) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname, made.mode, made.mtime = kind, link, mode, 1_700_000_000
    return made


def read(data: bytes, limits: Limits | None = None, compression: Compression = "gz") -> dict[str, TarMember]:
    packed = COMPRESS[compression](data)
    with open_tar(io.BytesIO(packed), compression, limits, size=len(packed)) as tar:
        return {member.path: member for member in tar.members}


@pytest.mark.parametrize("compression", COMPRESS)
def test_files_and_links_are_read(compression: Compression) -> None:
    long = "deep/" * 30 + "file"
    data = tar_of(
        info("./lib", tarfile.DIRTYPE),
        (info("./lib/a", mode=0o755), b"A" * 3_000_000),
        info("lib/b", tarfile.SYMTYPE, "a"),
        info("lib/c", tarfile.LNKTYPE, "./lib/a", mode=0o755),
        (info(long), b"deep"),
    )
    packed = COMPRESS[compression](data)
    with open_tar(io.BytesIO(packed), compression, size=len(packed)) as tar:
        found = {member.path: member for member in tar.members}
        assert list(found) == ["lib/a", "lib/b", "lib/c", long]
        assert tar.folders == ("lib",)
        assert (found["lib/a"].executable, found["lib/a"].mtime) == (True, 1_700_000_000)
        assert found["lib/b"].link == "a"
        assert found["lib/c"].hard == "lib/a"
        assert tar.read(found["lib/c"]) == tar.read(found["lib/a"]) == b"A" * 3_000_000
        assert tar.read(found[long]) == b"deep"


@pytest.mark.parametrize(
    ("path", "target", "plain"),
    [
        ("lib/x", "./real", "real"),
        ("lib/x", "sub/", "sub"),
        ("lib/x", ".", "."),
        ("lib/x", "./", "."),
        ("lib/x", "./..", ".."),
        ("lib/x", "sub/..", "."),
        ("lib/x", "sub/../real", "real"),
        ("lib/x", "..//lib/real", "real"),
        ("lib/x", "../lib/./real", "real"),
        ("lib/x", "..//bin/./sub/../tool", "../bin/tool"),
        ("lib/x", "missing/../real", "real"),
        ("lib/x", "../lib/../lib/", "."),
        ("x", "lib/.././lib/real", "lib/real"),
        ("x", "lib/..", "."),
        ("lib/x", "far/../tool", "../share/deep/tool"),  # `far` is a link to share/deep/folder
        ("lib/x", "near/file", "near/file"),
    ],
)
def test_a_link_that_stays_inside_is_spelt_plainly(path: str, target: str, plain: str, tmp_path: Path) -> None:
    """It leads where it led before, as a file system resolves it."""
    data = tar_of(
        (info("lib/real"), b"real"),
        (info("lib/sub/file"), b"file"),
        (info("bin/sub/file"), b"other"),
        (info("bin/tool"), b"tool"),
        (info("share/deep/folder/file"), b"deep"),
        (info("share/deep/tool"), b"deeper"),
        info("lib/far", tarfile.SYMTYPE, "../share/deep/folder"),
        info("lib/near", tarfile.SYMTYPE, "sub"),
        info(path, tarfile.SYMTYPE, target),
    )
    packed = COMPRESS["gz"](data)
    with open_tar(io.BytesIO(packed), "gz", size=len(packed)) as tar:
        found = {member.path: member.link for member in tar.members}
    assert found[path] == plain
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        archive.extractall(tmp_path, filter="fully_trusted")
    if "missing" not in target:
        place = (tmp_path / path).resolve()
        (tmp_path / path).unlink()
        (tmp_path / path).symlink_to(plain)
        assert (tmp_path / path).resolve() == place


@pytest.mark.parametrize("member", [info("x"), (info("x"), b"A" * 3_000_000), info("x", tarfile.SYMTYPE, "y")])
def test_a_member_twice_with_the_same_content_is_one(member: tarfile.TarInfo | tuple[tarfile.TarInfo, bytes]) -> None:
    packed = COMPRESS["bz2"](tar_of(member, info("z"), member))
    with open_tar(io.BytesIO(packed), "bz2", size=len(packed)) as tar:
        assert [each.path for each in tar.members] == ["x", "z"]


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ([info("../x")], "not a plain relative path"),
        ([info("/x")], "not a plain relative path"),
        ([info("a/../../x")], "not a plain relative path"),
        ([info("C:/x")], "starts with a drive"),
        ([info("a\\b")], "backslash"),
        ([info("x"), (info("./x"), b"other")], "occurs twice"),
        ([(info("x"), b"one"), (info("./x"), b"two")], "occurs twice"),
        ([info("x"), info("x", mode=0o755)], "occurs twice"),
        ([info("x"), info("x", tarfile.SYMTYPE, "y")], "occurs twice"),
        ([info("x", tarfile.SYMTYPE, "y"), info("x", tarfile.SYMTYPE, "z")], "occurs twice"),
        ([info("a/x", tarfile.SYMTYPE, "b/../../../y")], "leaves the tree"),
        ([info("x", tarfile.SYMTYPE, "./..")], "leaves the tree"),
        ([info("a/b/l", tarfile.SYMTYPE, "../.."), info("x", tarfile.SYMTYPE, "a/b/l/../y")], "leaves the tree"),
        ([info("l", tarfile.SYMTYPE, "."), info("x", tarfile.SYMTYPE, "l/../y")], "leaves the tree"),
        (
            [info("l", tarfile.SYMTYPE, "m"), info("m", tarfile.SYMTYPE, "l"), info("x", tarfile.SYMTYPE, "l/../y")],
            "too many",
        ),
        ([info("x", tarfile.SYMTYPE, "//etc/passwd")], "link"),
        ([info("x", tarfile.SYMTYPE, "./C:/y")], "drive"),
        ([info("x", tarfile.SYMTYPE, "./a\\y")], "backslash"),
        ([info("x", tarfile.SYMTYPE, "../y")], "leaves the tree"),
        ([info("x", tarfile.SYMTYPE, "/etc/passwd")], "link"),
        ([info("x", tarfile.LNKTYPE, "y")], "not an earlier file"),
        ([info("x", tarfile.LNKTYPE, "../../etc/passwd")], "not an earlier file"),
        ([info("l", tarfile.SYMTYPE, "a"), info("x", tarfile.LNKTYPE, "l")], "not an earlier file"),
        ([info("x", tarfile.CHRTYPE)], "neither a file"),
        ([info("x", tarfile.FIFOTYPE)], "neither a file"),
    ],
)
def test_hostile_members_are_refused(members: list[tarfile.TarInfo], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        read(tar_of(*members))


def test_contradicting_sizes_are_refused() -> None:
    member = info("x")
    member.pax_headers = {"size": "1"}
    data = tar_of((member, b"abc"), format=tarfile.PAX_FORMAT)
    with pytest.raises(ValueError, match="disagree about its size"):
        read(data)


def test_a_broken_header_is_not_treated_as_the_end() -> None:
    data = bytearray(tar_of((info("a"), b"1"), (info("b"), b"2")))
    data[1024] ^= 0xFF  # changes the name in the second header, so its checksum is wrong
    with pytest.raises(ValueError, match="belong to no entry"):
        read(bytes(data))


def test_bytes_after_the_end_are_refused() -> None:
    with pytest.raises(ValueError, match="belong to no entry"):
        read(tar_of((info("a"), b"1")) + b"\1" * 512)


def test_an_archive_without_an_end_is_refused() -> None:
    data = tar_of((info("a"), b"1"))
    with pytest.raises(ValueError, match="it is cut off"):
        read(data[:1024])


@pytest.mark.parametrize("compression", COMPRESS)
def test_a_truncated_archive_is_refused(compression: Compression) -> None:
    packed = COMPRESS[compression](tar_of((info("a"), bytes(range(256)) * 400)))
    with (
        pytest.raises(ValueError, match=r"not a readable tar|cut off"),
        open_tar(io.BytesIO(packed[: len(packed) // 2]), compression, size=len(packed)),
    ):
        pass


def test_a_decompression_bomb_is_refused_before_it_fills_the_disk() -> None:
    with pytest.raises(ValueError, match="it unpacks from"):
        read(tar_of((info("a"), bytes(1 << 22))), Limits(free=1 << 20, ratio=2))


def test_links_to_a_long_file_are_counted_in_full() -> None:
    """Each link becomes a file, so a short archive of links would fill any disk."""
    links = [info(str(number), tarfile.LNKTYPE, "a") for number in range(40)]
    data = tar_of((info("a"), bytes(1 << 16)), *links)
    read(data, Limits(free=1 << 20, ratio=10_000))
    with pytest.raises(ValueError, match=r"it unpacks from \d+ to 2686976 bytes, hard links included"):
        read(data, Limits(free=1 << 20, ratio=10))


def test_too_many_entries_are_refused() -> None:
    with pytest.raises(ValueError, match="more than 2 entries"):
        read(tar_of(*(info(str(n)) for n in range(3))), Limits(entries=2))


def test_scratch_files_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    with pytest.raises(ValueError, match="occurs twice"):
        read(tar_of(info("x"), info("x", mode=0o755)))
    assert list(tmp_path.iterdir()) == []


def test_a_missing_scratch_folder_is_not_reported_as_a_bad_archive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "missing"))
    with pytest.raises(NoScratch, match="the folder for temporary files, cannot be written: No such file"):
        read(tar_of(info("x")))


def test_links_that_lead_through_many_folders_are_refused_soon() -> None:
    long = "a/../" * 200_000
    links = [info(f"l{number}", tarfile.SYMTYPE, f"{long}l{number + 1}") for number in range(30)]
    with pytest.raises(ValueError, match="too many folders"):
        read(tar_of(*links))
