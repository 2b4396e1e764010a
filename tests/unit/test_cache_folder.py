"""A cache is private to its user, unless a group shares it on purpose."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from envc.errors import EnvcError
from envc.fetch.cache.index_cache import Cache, PageState
from envc.fetch.pypi.listing import Listing
from envc.model.progress import Silent
from envc.shipping.deliver.caches import prune, show
from envc.system.cache_folder import cache_opener, make_folder
from envc.system.locks import file_lock

pytestmark = pytest.mark.skipif(os.name != "posix", reason="modes are POSIX features")
ROOT_ONLY = pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root can become other users")
GROUP = 54321
STATE = PageState("abc", "", "", 0, 600)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def save(cache: Path, project: str) -> Silent:
    progress = Silent()
    index = Cache(cache, progress, now=0)
    index.save_page("default", project, STATE, Listing("https://example.com/", ()))
    index.close()
    return progress


def test_files_of_private_indexes_are_private(tmp_path: Path) -> None:
    make_folder(tmp_path / "artifacts/aa/one")
    assert mode(tmp_path / "artifacts/aa/one") == 0o700
    assert save(tmp_path, "demo").warnings == []
    assert {mode(path) for path in tmp_path.glob("index-*")} == {0o600}


def test_an_existing_folder_keeps_its_mode(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir(mode=0o755)
    make_folder(tmp_path / "one")
    assert mode(tmp_path / "one") == 0o755
    (tmp_path / "file").touch()
    with pytest.raises(OSError):
        make_folder(tmp_path / "file")


@pytest.mark.parametrize(
    "entry",
    [
        "index-v4.sqlite",
        "locks/DIGEST.lock",
        "artifacts/ab/DIGEST/six.whl",
        "artifacts/partial/DIGEST",
        "envs/aaaaaaaaaaaaaaaaaaaaaaaa/bin/python",
        "repodata/conda-forge-aaaaaaaaaaaaaaaa/noarch.json",
        "repodata/shards/ab/DIGEST",
        "objects/py3.13t-posix/ab/DIGEST/0",
        "objects/nt-own-arm64/ab/DIGEST/0",
        "objects/any/ab/DIGEST/0",
        "interpreters/DIGEST.json",
        "code/DIGEST/members.json",
        "git/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa/HEAD",
    ],
)
def test_a_cache_of_an_earlier_version_is_recognised_by_any_of_its_parts(entry: str, tmp_path: Path) -> None:
    """Its first command decides what a cache has: a lock of conda packages alone leaves nothing but repodata."""
    path = tmp_path / entry.replace("DIGEST", "d" * 64)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    progress = Silent()
    assert cache_opener({"ENVC_CACHE_DIR": str(tmp_path)}, progress)() == tmp_path
    assert progress.warnings == [] and path.exists() and (tmp_path / ".envc-cache").is_file()


def test_a_cache_is_opened_once_and_marked(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    find = cache_opener({"ENVC_CACHE_DIR": str(cache)}, Silent())
    assert not cache.exists(), "a command that uses no cache makes none"
    assert find() == find() == cache
    assert (cache / ".envc-cache").is_file()
    looking = cache_opener({"ENVC_CACHE_DIR": str(tmp_path / "other")}, Silent(), is_used=False)
    assert looking() == tmp_path / "other" and not (tmp_path / "other").exists()


@ROOT_ONLY
def test_a_folder_that_another_user_makes_between_check_and_use_is_not_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process makes and removes the folder all the time, in a place like /tmp."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    place = tmp_path / "shared"
    place.mkdir()
    place.chmod(0o1777)
    place_fd = os.open(place, os.O_RDONLY)
    child = os.fork()
    if child == 0:
        os.setuid(12345)
        while True:
            for call in (os.mkdir, os.rmdir):
                with suppress(OSError):
                    call("cache", dir_fd=place_fd)
    try:
        for _ in range(300):
            found = cache_opener({"ENVC_CACHE_DIR": str(place / "cache")}, Silent())()
            assert found.stat().st_uid == 0
            shutil.rmtree(place / "cache", ignore_errors=True)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(place_fd)


@pytest.mark.parametrize(("umask", "expected"), [(0o022, 0o755), (0o077, 0o700), (0o002, 0o700), (0o000, 0o700)])
def test_others_can_read_a_new_cache_only_if_they_cannot_write_to_its_folders(
    tmp_path: Path, umask: int, expected: int
) -> None:
    """So a cache that root fills in an image serves its users."""
    before = os.umask(umask)
    try:
        cache = cache_opener({"ENVC_CACHE_DIR": str(tmp_path / "cache")}, Silent())()
    finally:
        os.umask(before)
    assert mode(cache) == expected


@ROOT_ONLY
def test_root_makes_no_cache_in_a_folder_of_the_user_who_called_sudo(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``sudo -E`` keeps HOME. The user could not write to the cache afterwards."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    home = tmp_path / "home"
    home.mkdir()
    os.chown(home, 12345, 12345)
    environ = {"HOME": str(home), "SUDO_UID": "12345"}
    progress = Silent()
    assert cache_opener(environ, progress)() == tmp_path / "envc-0"
    assert list(home.iterdir()) == []
    assert "sudo" in progress.warnings[0]
    for others in ({}, {"SUDO_UID": "0"}, {"SUDO_UID": "777"}):  # such as a container whose home is another user's
        cache = home / f"cache-{len(others)}-{others.get('SUDO_UID')}"
        assert cache_opener({"ENVC_CACHE_DIR": str(cache), **others}, Silent())() == cache


def test_a_link_is_no_marker(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    (cache / "thesis.tex").touch()
    (cache / ".envc-cache").symlink_to("thesis.tex")
    with pytest.raises(EnvcError, match="is not empty, and is no cache of envc"):
        cache_opener({"ENVC_CACHE_DIR": str(cache)}, Silent())()


@ROOT_ONLY
def test_a_private_folder_prepared_by_another_user_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    shared, planted = tmp_path / "shared", tmp_path / "envc-0"
    shared.mkdir()
    shared.chmod(0o777)
    planted.mkdir()
    os.chown(planted, 12345, 12345)
    used = cache_opener({"ENVC_CACHE_DIR": str(shared)}, Silent())()
    assert used.parent == tmp_path and used not in (shared, planted)
    assert (mode(used), used.stat().st_uid) == (0o700, 0)
    # Later runs use the same one.
    assert cache_opener({"ENVC_CACHE_DIR": str(shared)}, Silent())() == used


@ROOT_ONLY
@pytest.mark.parametrize(("bits", "is_useful"), [(0o755, False), (0o775, True), (0o777, False)])
def test_sharing_is_suggested_only_where_it_would_help(
    bits: int, is_useful: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cache that this user cannot write to does not become writable by being shared."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    cache = tmp_path / "cache"
    cache.mkdir()
    os.chown(cache, 12345, GROUP)
    cache.chmod(bits)
    monkeypatch.setattr(os, "access", lambda *_: bool(bits & 0o020))  # root may write anything
    progress = Silent()
    assert cache_opener({"ENVC_CACHE_DIR": str(cache)}, progress)() != cache
    assert ("ENVC_CACHE_SHARED=1" in progress.warnings[0]) == is_useful


# a cache that a group shares


@pytest.fixture
def shared() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        cache = Path(folder, "cache")
        cache.mkdir()
        os.chown(cache, 0, GROUP)
        cache.chmod(0o2775)
        yield cache


def as_member(user: int, work: Callable[[], object]) -> None:
    """Run `work` in a fork as another user of the group, with the umask 002."""
    child = os.fork()
    if not child:
        try:
            os.setgroups([GROUP])
            os.setgid(user)
            os.setuid(user)
            os.umask(0o002)
            work()
        except BaseException as error:
            os.write(2, f"{type(error).__name__}: {error}\n".encode())
            os._exit(1)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@ROOT_ONLY
@pytest.mark.parametrize("is_setgid", [True, False])
def test_a_cache_that_envc_makes_is_trusted_by_the_next_run(shared: Path, *, is_setgid: bool) -> None:
    """In a folder of a group, and with a umask that lets the group write, which is not the user's private group."""
    if not is_setgid:
        shared.chmod(0o777)
    environ = {"ENVC_CACHE_DIR": str(shared / "mine/cache")}

    def use() -> None:
        progress = Silent()
        for _ in range(2):
            assert cache_opener(environ, progress)() == shared / "mine/cache"
        assert progress.warnings == [] and not mode(shared / "mine/cache") & 0o077

    as_member(GROUP, use)


@ROOT_ONLY
def test_two_members_of_a_group_can_use_each_part_of_a_shared_cache(shared: Path) -> None:
    """Everything in it follows the umask of the members."""
    entry = shared / "artifacts/aa" / ("a" * 64)

    def use(name: str) -> None:
        progress = Silent()
        environ = {"ENVC_CACHE_DIR": str(shared), "ENVC_CACHE_SHARED": "1"}
        assert cache_opener(environ, progress)() == shared
        assert progress.warnings == [] == save(shared, name).warnings
        make_folder(entry)
        (entry / name).write_bytes(b"x")
        with file_lock(shared / "locks/one.lock"):
            pass

    as_member(54001, lambda: use("first"))
    as_member(54002, lambda: use("second"))
    (artifacts,) = (part for part in show(shared, Silent()) if part.part == "artifacts")
    assert artifacts.size == 2
    index = Cache(shared, Silent(), now=0)
    assert sorted(index.projects(["default"])) == ["first", "second"]
    index.close()
    as_member(54002, lambda: prune(shared, None, Silent(), now=0))
    assert show(shared, Silent()) == ()
