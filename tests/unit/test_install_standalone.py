"""Which files of an interpreter's archive go into a prefix."""

from __future__ import annotations

from pathlib import Path

import pytest

from envc.model.digest import sha256
from envc.shipping.unpack.errors import BadArtifact
from envc.shipping.unpack.standalone import open_standalone
from envc.shipping.unpack.zips import Limits
from tests.support.standalone_archive import Content, archive_of, link

POSIX = "cpython-3.12.9+20250205-x86_64-unknown-linux-gnu-install_only_stripped.tar.gz"
PYPY = "pypy3.11-v7.3.17-linux64.tar.bz2"
PYPY_WINDOWS = "pypy3.11-v7.3.17-win64.zip"
SITE = "python/lib/python3.12/site-packages"


def read(folder: Path, file: str, files: dict[str, Content], limits: Limits | None = None) -> dict[str, str]:
    """Return digest or link target by path, with every entry read as its member states."""
    path = folder / "archive"
    suffix = next(suffix for suffix in (".zip", ".tar.gz", ".tar.bz2") if file.endswith(suffix))
    path.write_bytes(archive_of(files, suffix))
    with open_standalone(path, file, limits) as contents:
        for entry, member in zip(contents.entries, contents.members, strict=True):
            assert entry.path == member.path
            if not entry.link:
                with entry.open() as stream:
                    assert sha256(stream.read()) == member.sha256
        return {member.path: member.link or member.sha256 for member in contents.members}


def test_the_top_folder_becomes_the_prefix_without_site_packages(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        POSIX,
        {
            "python/bin/python3.12": "ELF",
            "python/bin/python": link("python/bin/python", "python3.12"),
            "python/bin/pip3": "#!/bin/sh",
            "python/lib/python3.12/os.py": "",
            f"{SITE}/README.txt": "",
            f"{SITE}/pip/__init__.py": "",
            f"{SITE}/pip-25.0.dist-info/RECORD": "pip/__init__.py,,\n../../../bin/pip3,sha256=x,9\n../../../../x,,\n",
        },
    )
    assert found == {"bin/python": "python3.12", "bin/python3.12": sha256(b"ELF"), "lib/python3.12/os.py": sha256(b"")}


def test_times_and_modes_are_those_of_the_archive(tmp_path: Path) -> None:
    path = tmp_path / "archive"
    path.write_bytes(archive_of({"python/bin/python": "ELF", "python/lib/x": ""}))
    with open_standalone(path, POSIX) as contents:
        assert [(member.mode, member.mtime) for member in contents.members] == [
            (0o755, 1_714_521_600),
            (0o644, 1_714_521_600),
        ]


def test_pypy_is_also_called_python(tmp_path: Path) -> None:
    top = "pypy3.11-v7.3.17-linux64"
    found = read(tmp_path, PYPY, {f"{top}/bin/pypy3.11": "ELF", f"{top}/lib/pypy3.11/site-packages/README": ""})
    assert found == {"bin/python": "pypy3.11", "bin/pypy3.11": sha256(b"ELF")}


def test_a_zip_archive_is_read_as_well(tmp_path: Path) -> None:
    top = "pypy3.11-v7.3.17-win64"
    found = read(tmp_path, PYPY_WINDOWS, {f"{top}/python.exe": "MZ", f"{top}/Lib/site-packages/README": ""})
    assert found == {"python.exe": sha256(b"MZ")}


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({"python/lib/os.py": ""}, "it holds no interpreter"),
        ({"python/bin/python": "", "other/x": ""}, "it is not one folder"),
        ({"python/bin/python": "", "x": ""}, "it is not one folder"),
        ({"python/bin/python": "", "python/../../x": ""}, "not a plain relative path"),
        ({"python/bin/python": "", "python/l": link("python/l", "../../x")}, "leaves the tree"),
        # Inside the archive, but outside the one folder that becomes the prefix.
        ({"python/bin/python": "", "python/l": link("python/l", "../x")}, "leaves the tree"),
        ({"python/bin/python": "", "python/.envc/record.json": "{}"}, "reserved folder"),
        ({"python/bin/python": "", "python/bin/python/x": ""}, "is both a member and a folder"),
    ],
)
def test_a_hostile_archive_is_refused(tmp_path: Path, files: dict[str, Content], reason: str) -> None:
    with pytest.raises(BadArtifact, match=reason) as caught:
        read(tmp_path, POSIX, files)
    assert str(caught.value).startswith(f"{POSIX} cannot be installed: ")


def test_an_unreadable_list_of_files_is_refused(tmp_path: Path) -> None:
    record = f"{SITE}/pip-25.0.dist-info/RECORD"
    with pytest.raises(BadArtifact, match="field larger than field limit"):
        read(tmp_path, POSIX, {"python/bin/python": "", record: "x" * 200_000})


def test_a_content_with_a_wrong_checksum_is_refused(tmp_path: Path) -> None:
    top = "pypy3.11-v7.3.17-win64"
    path = tmp_path / "archive"
    path.write_bytes(archive_of({f"{top}/python.exe": "MZ and more"}, ".zip").replace(b"MZ and", b"MZ or "))
    with pytest.raises(BadArtifact, match="does not match its checksum"), open_standalone(path, PYPY_WINDOWS):
        pass


def test_a_file_that_is_not_an_archive_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "archive"
    path.write_bytes(b"<html>")
    for file in (POSIX, PYPY, PYPY_WINDOWS):
        with pytest.raises(BadArtifact), open_standalone(path, file):
            pass
    with (
        pytest.raises(BadArtifact, match="not an archive of a kind that envc supports"),
        open_standalone(path, "python.exe"),
    ):
        pass
