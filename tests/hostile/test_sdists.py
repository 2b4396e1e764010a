"""Source distributions that would write outside their folder or expand without end: refused before they are used."""

from __future__ import annotations

import gzip
import io
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from envc.locking.builds import origin as origins
from envc.locking.builds.errors import BadSource
from envc.locking.builds.origin import Archive
from envc.model.digest import sha256
from envc.model.graph import SourceFile
from tests.support.zip_archives import Archive as Zip
from tests.support.zip_archives import Part, deflated


def archive(folder: Path, data: bytes, file: str = "acme-1.0.tar.gz") -> Archive:
    path = folder / file
    path.write_bytes(data)
    return Archive(path, SourceFile(file=file, size=len(data), sha256=sha256(data)))


def tar(*members: tuple[str, bytes | str | None], kind: bytes = tarfile.SYMTYPE) -> bytes:
    """Return a tar.gz. A member with a text is a link of that kind to that target, a member with None a folder."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as out:
        for name, content in members:
            info = tarfile.TarInfo(name)
            if isinstance(content, str):
                info.type, info.linkname = kind, content
                out.addfile(info)
            elif content is None:
                info.type = tarfile.DIRTYPE
                out.addfile(info)
            else:
                info.size = len(content)
                out.addfile(info, io.BytesIO(content))
    return gzip.compress(raw.getvalue())


def zipped(*members: tuple[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as out:
        for name, content in members:
            out.writestr(zipfile.ZipInfo(name), content)
    return buffer.getvalue()


def test_a_zip_with_a_file_that_only_some_readers_see_is_refused(tmp_path: Path) -> None:
    """It is behind the end of a compressed stream, where streaming readers find it."""
    hidden = Part(name=b"acme-1.0/setup.py", content=b"evil")
    parts = [
        Part(name=b"acme-1.0/PKG-INFO", content=b"Metadata-Version: 2.2\n"),
        Part(name=b"acme-1.0/notes.txt", raw=deflated(b"") + hidden.header() + hidden.packed),
    ]
    source = archive(tmp_path, Zip(parts=parts).bytes(), "acme-1.0.zip")
    with pytest.raises(BadSource, match="bytes follow the end of the compressed content"):
        source.unpack(tmp_path / "out")
    with pytest.raises(BadSource, match="bytes follow the end of the compressed content"):
        source.read("notes.txt")


GOOD = ("acme-1.0/PKG-INFO", b"Metadata-Version: 2.2\n")
HOSTILE: dict[str, Callable[[], bytes]] = {
    "climbs": lambda: tar(GOOD, ("acme-1.0/../../evil", b"x")),
    "absolute": lambda: tar(GOOD, ("/tmp/evil", b"x")),
    "drive": lambda: tar(GOOD, ("C:/evil", b"x")),
    "backslash": lambda: tar(GOOD, ("acme-1.0\\..\\evil", b"x")),
    "link out": lambda: tar(GOOD, ("acme-1.0/link", "../../../etc/passwd")),
    "absolute link": lambda: tar(GOOD, ("acme-1.0/link", "/etc/passwd")),
    "write through a link": lambda: tar(GOOD, ("acme-1.0/here", "."), ("acme-1.0/here/evil", b"x")),
    "hard link out": lambda: tar(GOOD, ("acme-1.0/link", "../../etc/passwd"), kind=tarfile.LNKTYPE),
    "device": lambda: tar(GOOD, ("acme-1.0/null", ""), kind=tarfile.CHRTYPE),
    "pipe": lambda: tar(GOOD, ("acme-1.0/pipe", ""), kind=tarfile.FIFOTYPE),
    "twice": lambda: tar(GOOD, ("acme-1.0/a", b"1"), ("acme-1.0/a", b"2")),
    "file and folder": lambda: tar(GOOD, ("acme-1.0/a", b"1"), ("acme-1.0/a/b", b"2")),
    "cut off": lambda: tar(GOOD)[:-20],
    "no tar": lambda: gzip.compress(b"hello" * 1000),
    "no gzip": lambda: b"hello",
    "empty": lambda: b"",
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_tar_is_refused_and_writes_nothing_outside(tmp_path: Path, case: str) -> None:
    source = archive(tmp_path, HOSTILE[case]())
    inside = tmp_path / "deep" / "er"
    inside.mkdir(parents=True)
    with pytest.raises(BadSource, match=r"^acme-1\.0\.tar\.gz cannot be used: "):
        source.unpack(inside / "source")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["acme-1.0.tar.gz", "deep"]
    assert sorted(path.name for path in (tmp_path / "deep").iterdir()) == ["er"]
    assert sorted(path.name for path in inside.iterdir()) == ["source"]


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import msgspec

    small = msgspec.structs.replace(origins.LIMITS, free=1 << 20)
    monkeypatch.setattr(origins, "LIMITS", small)
    source = archive(tmp_path, tar(GOOD, ("acme-1.0/zeros", bytes(8 << 20))))
    with pytest.raises(BadSource, match="it unpacks from"):
        source.read("PKG-INFO")
    with pytest.raises(BadSource, match="it unpacks from"):
        source.unpack(tmp_path / "source")


def test_too_many_entries_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import msgspec

    monkeypatch.setattr(origins, "LIMITS", msgspec.structs.replace(origins.LIMITS, entries=10))
    source = archive(tmp_path, tar(*((f"acme-1.0/{number}", b"") for number in range(11))))
    with pytest.raises(BadSource, match="more than 10 entries"):
        source.unpack(tmp_path / "source")


@pytest.mark.parametrize("name", ["../evil", "/evil", "acme/../../evil", "acme\\..\\evil"])
def test_a_hostile_zip_is_refused(tmp_path: Path, name: str) -> None:
    source = archive(tmp_path, zipped(("acme-1.0/PKG-INFO", b""), (name, b"x")), "acme-1.0.zip")
    with pytest.raises(BadSource):
        source.unpack(tmp_path / "source")
    assert not (tmp_path / "evil").exists()


def test_a_valid_archive_keeps_inner_links_and_modes(tmp_path: Path) -> None:
    source = archive(tmp_path, tar(GOOD, ("acme-1.0/a/one", b"1"), ("acme-1.0/b/two", "../a/one")))
    project = source.unpack(tmp_path / "source")
    assert project == tmp_path / "source" / "acme-1.0"
    assert (project / "b" / "two").read_bytes() == b"1"
    assert source.read("PKG-INFO") == b"Metadata-Version: 2.2\n"
    assert source.read("b/two") is None  # links are not read as texts
    assert source.read("setup.py") is None


def test_a_link_to_another_member_is_unpacked_as_its_content(tmp_path: Path) -> None:
    source = archive(tmp_path, tar(GOOD, ("acme-1.0/a", "b"), ("acme-1.0/b", b"1")))
    assert (source.unpack(tmp_path / "source") / "a").read_bytes() == b"1"


def test_a_zip_with_names_that_differ_in_case_is_unpacked_where_the_disk_keeps_them_apart(tmp_path: Path) -> None:
    data = zipped(("acme-1.0/PKG-INFO", b""), ("acme-1.0/x", b"1"), ("acme-1.0/X", b"2"))
    source = archive(tmp_path, data, "acme-1.0.zip")
    (tmp_path / "case").mkdir()
    if (tmp_path / "CASE").exists():
        with pytest.raises(BadSource, match="twice"):
            source.unpack(tmp_path / "source")
    else:
        project = source.unpack(tmp_path / "source")
        assert ((project / "x").read_bytes(), (project / "X").read_bytes()) == (b"1", b"2")
