"""Links in a checkout that would make envc write or publish files outside of it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from envc.locking.worktree.local import OutsideLink, copy_project, local_digest
from envc.system.user_file import StrayLink, replace_user_file
from tests.e2e.command import HOST_PYTHON, Workplace
from tests.e2e.conftest import MANIFEST
from tests.support.servers import IndexServer
from tests.support.wheels import build_wheel

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs links without privileges")


@pytest.fixture
def place(tmp_path: Path) -> Workplace:
    place = Workplace(tmp_path, None)
    place.write(MANIFEST)
    return place


@pytest.mark.parametrize("verb", [["lock"], ["run", "prepare"], ["add", "--step", "report", "gamma"]])
def test_a_lock_that_is_a_dangling_link_makes_no_file_elsewhere(verb: list[str], place: Workplace) -> None:
    outside = place.folder / "home" / ".bashrc"
    outside.parent.mkdir()
    place.lock.symlink_to(outside)
    with IndexServer([build_wheel("alpha"), build_wheel("gamma")]) as index:
        done = place.fails(1, *verb, ENVC_INDEX_URL=index.url)
        assert index.paths == []
    assert "manifest.lock is a link that leads out of its folder" in done.err
    assert "hint: replace the link manifest.lock by a file" in done.err
    assert not outside.exists()
    assert place.manifest.read_text() == MANIFEST


@pytest.mark.parametrize("content", [None, "", "kept\n"])
@pytest.mark.parametrize(
    "target", ["../outside", "{}/checkout/../outside", "sub/../../outside", "door/outside", "missing", "loop", "sub"]
)
def test_no_link_is_followed_but_to_a_file_in_the_folder(target: str, content: str | None, tmp_path: Path) -> None:
    folder = tmp_path / "checkout"
    (folder / "sub").mkdir(parents=True)
    (folder / "door").symlink_to("..")
    (folder / "loop").symlink_to("loop")
    outside = tmp_path / "outside"
    if content is not None:
        outside.write_text(content)
    link = folder / "manifest.lock"
    link.symlink_to(target.format(tmp_path))
    with pytest.raises(StrayLink):
        replace_user_file(link, b"new")
    assert (outside.read_text() if outside.exists() else None) == content
    assert link.is_symlink()
    assert sorted(path.name for path in folder.iterdir()) == ["door", "loop", "manifest.lock", "sub"]


def test_a_link_to_a_file_in_the_folder_is_written_through(tmp_path: Path) -> None:
    (tmp_path / "locks").mkdir()
    (tmp_path / "locks/one.lock").write_text("old")
    (tmp_path / "manifest.lock").symlink_to("locks/one.lock")
    replace_user_file(tmp_path / "manifest.lock", b"new")
    assert (tmp_path / "locks/one.lock").read_text() == "new"
    assert (tmp_path / "manifest.lock").is_symlink()


def test_a_folder_that_is_reached_by_a_link_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "by-link").symlink_to("real")
    replace_user_file(tmp_path / "by-link/manifest.lock", b"new")
    (tmp_path / "real/linked").symlink_to("manifest.lock")
    replace_user_file(tmp_path / "by-link/linked", b"newer")
    assert (tmp_path / "real/manifest.lock").read_bytes() == b"newer"


def test_a_manifest_that_is_a_link_to_the_outside_is_not_edited(place: Workplace) -> None:
    outside = place.folder / "outside.toml"
    place.manifest.rename(outside)
    place.manifest.symlink_to(outside)
    assert "is a link that leads out of its folder" in place.fails(1, "add", "--step", "report", "gamma").err
    assert outside.read_text() == MANIFEST


def test_a_dangling_manifest_is_not_initialised(place: Workplace) -> None:
    outside = place.folder / "outside.toml"
    place.manifest.unlink()
    place.manifest.symlink_to(outside)
    assert "is a link that leads out of its folder" in place.fails(1, "init").err
    assert not outside.exists()


@pytest.mark.parametrize("target", ["/dev/zero", "/dev/full", "pipe"])
def test_a_lock_that_has_no_end_is_refused(target: str, place: Workplace) -> None:
    os.mkfifo(place.checkout / "pipe")
    place.lock.symlink_to(target)
    done = place.fails(1, "status")
    assert "manifest.lock: is not a regular file" in done.err


def test_rules_of_git_that_have_no_end_are_passed_over(place: Workplace) -> None:
    """Reading either of them would not return."""
    (place.checkout / ".gitignore").symlink_to("/dev/zero")
    os.mkfifo(place.folder / "pyproject.toml")
    place.write(MANIFEST.replace('pypi = ["alpha>=1"]', "pypi = []").replace('pypi = ["native', '# pypi = ["native'))
    place.ok("lock")
    place.ok("bundle", "--step", "report", "--target", "linux-64")


def test_no_device_is_replaced_by_a_bundle(place: Workplace) -> None:
    place.write(f'[project]\nname = "demo"\ntargets = ["linux-64"]\npython = "{HOST_PYTHON}"\n[steps.empty]\n')
    place.ok("lock")
    os.mkfifo(place.checkout / "pipe")
    (place.checkout / "link").symlink_to("/dev/null")
    for name in ("pipe", "link"):
        done = place.fails(2, "bundle", "--output", name)
        assert f"{name} is not a regular file" in done.err
    assert (place.checkout / "link").is_symlink()


def test_a_bundle_replaces_a_link_and_not_its_target(place: Workplace) -> None:
    place.write(f'[project]\nname = "demo"\ntargets = ["linux-64"]\npython = "{HOST_PYTHON}"\n[steps.empty]\n')
    place.ok("lock")
    outside = place.folder / "outside"
    outside.write_text("kept")
    (place.checkout / "demo.tar.zst").symlink_to(outside)
    place.ok("bundle", "--output", "demo.tar.zst")
    assert outside.read_text() == "kept"
    assert not (place.checkout / "demo.tar.zst").is_symlink()


def test_no_file_from_outside_is_built_into_a_local_project(tmp_path: Path) -> None:
    """A wheel is published in a store, and a link in a pull request may lead to a key of the machine that builds it."""
    root = tmp_path / "checkout"
    project = root / "lib"
    project.mkdir(parents=True)
    lock = root / "manifest.lock"
    (project / "pyproject.toml").write_text("[project]\nname = 'lib'\n")
    (root / "LICENSE").write_text("MIT")
    (project / "LICENSE").symlink_to("../LICENSE")
    local_digest(root, "lib", lock)  # a link to a file beside the manifest is common
    (tmp_path / "id_rsa").write_text("secret")
    (project / "data.txt").symlink_to(tmp_path / "id_rsa")
    with pytest.raises(OutsideLink, match=r"lib: 'data.txt' is a link to a file outside"):
        local_digest(root, "lib", lock)
    with pytest.raises(OutsideLink):
        copy_project(project, tmp_path / "copy", lock)
    assert not (tmp_path / "copy/data.txt").exists()
    (tmp_path / ".git").mkdir()  # then the file belongs to the same repository
    local_digest(root, "lib", lock)
