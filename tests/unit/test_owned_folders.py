"""Folders that others may write to: recognised by a marker, reached without links, checked for their owners."""

from __future__ import annotations

import os
import socket
import stat
import sys
from pathlib import Path

import pytest

from envc.system.beneath import Beneath, NotPlain
from envc.system.drafts import file_draft, folder_draft, is_any_file_draft, is_file_draft, is_folder_draft
from envc.system.owned_folders import Distrust, ForeignFolder, claim, distrust, recognise

posix = pytest.mark.skipif(os.name != "posix", reason="Windows has other rights and kinds of files")


@pytest.fixture(params=["relative opens", "checked paths"])
def both_ways(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Folders are opened relative to each other or, as on Windows, by paths that were checked."""
    if request.param == "checked paths":
        monkeypatch.setattr("envc.system.beneath._HAS_RELATIVE_OPENS", False)


def no_layout(_: Beneath) -> bool:
    return False


def old_layout(below: Beneath) -> bool:
    return any(found.path == "v1" for found in below.entries())


# markers


@pytest.mark.usefixtures("both_ways")
def test_a_missing_and_an_empty_folder_are_taken_and_marked(tmp_path: Path) -> None:
    assert recognise(tmp_path / "new", "store", no_layout) == "missing"
    assert claim(tmp_path / "new", "store", no_layout) == "missing"
    assert recognise(tmp_path / "new", "store", no_layout) == "marked"
    (tmp_path / "volume/lost+found").mkdir(parents=True)
    for name in (".DS_Store", ".nfs000000000001", ".gitignore"):
        (tmp_path / "volume" / name).touch()
    assert claim(tmp_path / "volume", "store", no_layout) == "empty"
    assert claim(tmp_path / "volume", "store", no_layout) == "marked"


def test_a_folder_with_files_of_others_is_refused_unless_it_is_given_to_envc(tmp_path: Path) -> None:
    (tmp_path / "tmp").mkdir()
    with pytest.raises(ForeignFolder, match="is not empty, and is no store of envc"):
        claim(tmp_path, "store", no_layout)
    assert [path.name for path in tmp_path.iterdir()] == ["tmp"]
    assert claim(tmp_path, "store", no_layout, force=True) == "foreign"
    assert claim(tmp_path, "store", no_layout) == "marked"
    with pytest.raises(ForeignFolder):
        claim(tmp_path, "cache", no_layout)


def test_a_folder_that_another_process_marks_while_it_is_looked_at_is_marked(tmp_path: Path) -> None:
    def marked_meanwhile(_: Beneath) -> bool:
        claim(tmp_path, "cache", no_layout, force=True)
        return False

    (tmp_path / "locks").mkdir()
    assert recognise(tmp_path, "cache", marked_meanwhile) == "marked"


def test_a_folder_of_an_earlier_version_gets_a_marker(tmp_path: Path) -> None:
    (tmp_path / "v1").mkdir()
    (tmp_path / "anything").touch()
    assert claim(tmp_path, "store", old_layout) == "unmarked"
    assert recognise(tmp_path, "store", no_layout) == "marked"


@posix
def test_a_link_is_no_marker_and_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / ".envc-store").symlink_to("file")
    assert recognise(tmp_path, "store", no_layout) == "foreign"
    with pytest.raises(NotADirectoryError):
        claim(tmp_path / "file", "store", no_layout)


# links


@posix
@pytest.mark.usefixtures("both_ways")
def test_no_link_below_the_folder_is_followed(tmp_path: Path) -> None:
    victim, store = tmp_path / "victim", tmp_path / "store"
    (victim / "inner").mkdir(parents=True)
    (victim / "inner/file").write_bytes(b"precious")
    (store / "real").mkdir(parents=True)
    (store / "link").symlink_to(victim)
    (store / "real/link").symlink_to(victim / "inner")
    (store / "real/file").symlink_to(victim / "inner/file")
    (store / "real/own").write_bytes(b"own")
    below = Beneath(store)
    for path in ("link/inner/file", "real/link/file"):
        for work in (
            lambda path=path: below.open(path),
            lambda path=path: below.status(path),
            lambda path=path: below.create(f"{path}-new"),
            lambda path=path: below.link("real/own", f"{path}-new"),
            lambda path=path: below.replace("real/own", path),
            lambda path=path: below.remove(path),
            lambda path=path: below.entries(path.rpartition("/")[0]),
            lambda path=path: below.remove_tree(path),
        ):
            with pytest.raises(NotPlain, match="link is a link"):
                work()
    for work in (lambda: below.open("real/file"), lambda: below.status("real/file"), lambda: list(below.files("real"))):
        with pytest.raises(NotPlain, match="real/file is a link"):
            work()
    with pytest.raises(NotPlain, match="real/link is a link"):
        below.remove_tree("real/link")
    with pytest.raises(FileExistsError):
        below.create("real/file")
    below.replace("real/own", "real/file")
    assert (store / "real/file").read_bytes() == b"own"
    below.remove("real/link")
    (store / "real/again").symlink_to(victim)
    below.remove_tree("real")
    assert not (store / "real").exists()
    assert (victim / "inner/file").read_bytes() == b"precious"


@posix
def test_the_folder_itself_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "store").symlink_to("disk")
    below = Beneath(tmp_path / "store")
    os.close(below.create("a/b/file"))
    assert [found.path for found in below.files("a")] == ["a/b/file"]
    assert (tmp_path / "disk/a/b/file").exists()


@posix
@pytest.mark.usefixtures("both_ways")
def test_only_regular_files_are_opened_and_nothing_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "fifo")
    with socket.socket(socket.AF_UNIX) as server:
        monkeypatch.chdir(tmp_path)
        server.bind("socket")  # a short path, since addresses have at most 108 bytes
        below = Beneath(tmp_path)
        for name in ("fifo", "socket"):
            for work in (lambda name=name: below.open(name), lambda name=name: below.status(name)):
                with pytest.raises(NotPlain, match=f"{name} is not a regular file"):
                    work()
        with pytest.raises(NotPlain, match="is not a regular file"):
            list(below.files(""))
    (tmp_path / "folder").mkdir()
    with pytest.raises(IsADirectoryError):
        below.open("folder")
    with pytest.raises(FileNotFoundError):
        below.open("none/file")
    with pytest.raises(NotADirectoryError):
        below.open("fifo/file")


def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    if not Path("/proc/self/fd").is_dir():
        pytest.skip("no list of open files here")
    below = Beneath(tmp_path / "store")
    before = len(list(Path("/proc/self/fd").iterdir()))
    os.close(below.create("a/b/c"))
    os.close(below.open("a/b/c")[0])
    below.link("a/b/c", "d/e")
    below.replace("d/e", "f/g")
    assert len(list(below.files(""))) == 2
    (tmp_path / "store/link").symlink_to(tmp_path)
    for path in ("link/x", "a/b", "a/b/c/d", "none/x"):
        with pytest.raises(OSError):
            below.open(path)
    with pytest.raises(NotPlain):
        list(below.files(""))
    assert len(list(Path("/proc/self/fd").iterdir())) == before


# drafts


def test_the_names_of_drafts_are_recognised_exactly() -> None:
    assert is_file_draft(file_draft("lock.json"), "lock.json")
    assert is_file_draft(file_draft("x" * 200), "x" * 200)
    assert is_any_file_draft(file_draft("x")) and is_any_file_draft(file_draft(""))
    assert is_folder_draft(folder_draft("env"), "env")
    for entry in (".env.envc-backup", ".env.envc-0123456789ABCDEF", ".env.envc-0123456789abcdef0", ".env.envc-", "env"):
        assert not is_folder_draft(entry, "env")
    for entry in (
        ".a.partial",
        ".a.0123456789abcdeg.partial",
        ".b.0123456789abcdef.partial",
        "a.0123456789abcdef.partial",
    ):
        assert not is_file_draft(entry, "a")
        assert not is_any_file_draft(entry) or entry.startswith(".b.")


# owners


@posix
def test_a_private_folder_below_the_temporary_one_is_trusted(tmp_path: Path) -> None:
    assert distrust(tmp_path) is None
    assert distrust(tmp_path / "not/there/yet") is None


@posix
def test_a_folder_that_others_may_write_is_not_trusted(tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    folder.mkdir()
    folder.chmod(0o777)
    assert distrust(folder) == Distrust(folder, "may be written by every user (mode 0777)")
    folder.chmod(0o1777)  # others cannot remove what is there, but they can add to it
    assert distrust(folder) is not None
    inner = folder / "inner"
    inner.mkdir(mode=0o700)
    assert distrust(inner) is None
    folder.chmod(0o777)
    assert str(distrust(inner)) == f"{folder} may be written by every user (mode 0777)"
    assert distrust(inner, parents=False) is None
    folder.chmod(0o775)
    assert distrust(inner) is None
    if os.geteuid() == 0:
        assert distrust(inner, group=False) is None  # the group of root
        os.chown(folder, 0, 12345)
    elif folder.group() == folder.owner():
        pytest.skip("the group is the user's own")
    assert distrust(inner, group=False) == Distrust(folder, "may be written by its group (mode 0775)")
    assert distrust(folder / "new", group=False) is not None


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() != 0, reason="only root can give files away")
def test_root_trusts_no_folder_of_a_user_and_resolves_links_first(tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / "cache").mkdir(parents=True)
    os.chown(home, 12345, 12345)
    assert distrust(home / "cache") == Distrust(home, "belongs to user 12345")
    assert distrust(home / "new") == Distrust(home, "belongs to user 12345")
    assert distrust(home, owner="root") == distrust(home) == Distrust(home, "belongs to user 12345")
    assert distrust(home, owner="any") is None
    assert distrust(home / "cache", owner="any") == Distrust(home, "belongs to user 12345")
    (tmp_path / "link").symlink_to(home / "cache")
    assert distrust(tmp_path / "link") == Distrust(home, "belongs to user 12345")
    assert stat.S_IMODE(home.stat().st_mode) == 0o755
