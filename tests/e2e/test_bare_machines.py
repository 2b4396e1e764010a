"""Containers and shared machines: users without a home, caches that cannot be written, file systems without locks."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from envc.system.locks import file_lock
from tests.e2e.command import ENVC, HOST_PYTHON, Done, Workplace
from tests.support import users
from tests.support.servers import IndexServer

USER, OTHER, GROUP = 54321, 54322, 54323
MANIFEST = f"""\
[project]
name = "demo"
targets = ["linux-64", "linux-aarch64"]
python = "{HOST_PYTHON}"

[steps.train]
pypi = ["alpha"]
run = "python -c 'import alpha; print(alpha.__version__)'"
"""
SECOND_USERS = pytest.mark.skipif(bool(users.missing()), reason=str(users.missing()))


@pytest.fixture
def place(index: IndexServer) -> Iterator[Workplace]:
    """A bundled workplace that every user can enter and write to."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        found = Workplace(Path(folder), index.url)
        found.write(MANIFEST)
        found.ok("lock")
        found.ok("bundle")
        (found.folder / "held").mkdir()
        (found.folder / "tmp").mkdir()
        (found.folder / "tmp").chmod(0o1777)
        for path in (found.checkout, found.store, found.manifest, found.lock):
            subprocess.run(["chmod", "-R", "a+rwX", path], check=True)
        yield found
        subprocess.run(["chmod", "-R", "u+rwX", folder], check=False)


def bare(place: Workplace, *arguments: str, user: int = USER, umask: int = 0o022, groups: str = "", **env: str) -> Done:
    """Run the command as a user without a home, with the store as its only setting."""
    kept = ("PATH", "ENVC_INDEX_URL", "ENVC_STORE", "ENVC_NOW", "ENVC_PYTHON", "PIP_CONFIG_FILE")
    environ = {key: place.env[key] for key in kept if key in place.env}
    environ |= {"TMPDIR": str(place.folder / "tmp")} | env
    held = place.folder / "held"
    return users.run_as(user, list(arguments), cwd=place.checkout, env=environ, held=held, umask=umask, groups=groups)


# no home


@SECOND_USERS
@pytest.mark.parametrize("home", [{}, {"HOME": ""}, {"HOME": "relative"}, {"HOME": "/nonexistent"}, {"HOME": "/"}])
def test_any_verb_works_for_a_user_without_a_home(home: dict[str, str], place: Workplace) -> None:
    private = place.folder / f"tmp/envc-{USER}"
    assert bare(place, "--help", **home).code == 0
    for arguments in (("lock", "--check"), ("lock",), ("status",), ("bundle",), ("run", "train"), ("cache", "show")):
        done = bare(place, *arguments, **home)
        assert done.code == 0, (arguments, done.err)
        assert done.err.count("warning") <= 1
    assert bare(place, "run", "train", **home).out == "1.1\n"
    assert "ENVC_CACHE_DIR" in bare(place, "run", "train", **home).err
    status = private.stat()
    assert (stat.S_IMODE(status.st_mode), status.st_uid) == (0o700, USER)
    assert not (place.checkout / "relative").exists()


@SECOND_USERS
def test_a_user_without_a_home_and_a_store_gets_a_private_one(place: Workplace) -> None:
    del place.env["ENVC_STORE"]
    done = bare(place, "run", "train")
    assert done.out == "1.1\n"
    assert done.err.count("warning") == 1
    assert "ENVC_STORE" in done.err
    assert (place.folder / f"tmp/envc-{USER}-store/v1").is_dir()


@SECOND_USERS
def test_a_chosen_cache_needs_no_home(place: Workplace) -> None:
    cache = place.folder / "mine"
    cache.mkdir()
    os.chown(cache, USER, USER)
    for arguments in (("lock",), ("bundle",), ("run", "train"), ("cache", "prune")):
        done = bare(place, *arguments, ENVC_CACHE_DIR=str(cache))
        assert done.code == 0 and "warning" not in done.err, done.err


@SECOND_USERS
def test_a_planted_private_folder_is_passed_over_and_the_next_one_found_again(place: Workplace) -> None:
    (place.folder / f"tmp/envc-{USER}").mkdir()  # of root, or any other user
    for _ in range(2):
        assert bare(place, "run", "train").out == "1.1\n"
    (found,) = (place.folder / "tmp").glob(f"envc-{USER}-random-*")
    assert found.stat().st_uid == USER and len(list(found.glob("envs/*"))) == 1


# no cache


@SECOND_USERS
def test_a_prefix_needs_no_cache(place: Workplace) -> None:
    out, cache = place.folder / "out", place.folder / "unwritable"
    for folder in (out, cache):
        folder.mkdir()
    os.chown(out, USER, USER)
    done = bare(place, "hydrate", "train", "--no-cache", "--prefix", str(out / "p"), ENVC_CACHE_DIR=str(cache))
    assert done.code == 0, done.err
    assert [each.name for each in out.iterdir()] == ["p"]
    assert bare(place, "hydrate", "train", "--no-cache", "--json", "--prefix", str(out / "p")).code == 0
    assert not list(cache.iterdir())


def test_two_caches_that_fill_one_prefix_do_so_one_after_the_other(place: Workplace) -> None:
    prefix = place.folder / "p"
    commands = [
        subprocess.Popen(
            [ENVC, "hydrate", "train", "--prefix", prefix, "--json"],
            cwd=place.checkout,
            env=place.env | {"ENVC_CACHE_DIR": str(place.folder / name)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for name in ("one", "two", "three")
    ]
    results = [command.communicate(timeout=60)[0].count('"made": true') for command in commands]
    assert sum(results) == 1
    assert not list(place.folder.glob(".envc-*"))


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
@pytest.mark.parametrize("kind", ["link", "foreign"])
def test_what_others_put_in_place_of_the_lock_of_a_prefix_is_refused(kind: str, place: Workplace) -> None:
    from envc.model.digest import sha256

    prefix, victim = place.folder / "p", place.folder / "victim"
    victim.write_text("mine")
    lock = prefix.with_name(f".envc-{sha256(b'p')[:16]}.lock")
    if kind == "link":
        lock.symlink_to(victim)
    elif os.geteuid() != 0:
        pytest.skip("only root can give files away")
    else:
        lock.touch()
        os.chown(lock, OTHER, OTHER)
    refused = place.fails(1, "hydrate", "train", "--prefix", str(prefix))
    assert "cannot be written" in refused.err
    assert victim.read_text() == "mine"


# no locks


def without_locks(place: Workplace, error: str, *arguments: str) -> Done:
    """Run the command while flock(2) fails with that error."""
    command = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=flock", "-e", f"inject=flock:error={error}"]
    done = subprocess.run(
        [*command, str(ENVC), *arguments],
        cwd=place.checkout,
        env=place.env,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    return Done(done.returncode, done.stdout, done.stderr)


def strace_is_missing() -> str | None:
    if shutil.which("strace") is None:
        return "there is no strace here"
    done = subprocess.run(["strace", "-qq", "-o", "/dev/null", "true"], capture_output=True, check=False)
    return None if done.returncode == 0 else "strace may not trace here"


NEEDS_STRACE = pytest.mark.skipif(bool(strace_is_missing()), reason=str(strace_is_missing()))


@NEEDS_STRACE
@pytest.mark.parametrize("error", ["ENOLCK", "ENOSYS", "EOPNOTSUPP"])
def test_a_file_system_without_locks_gets_files_instead(error: str, place: Workplace) -> None:
    place.env["ENVC_CACHE_DIR"] = str(place.folder / "new")
    place.env["ENVC_STORE"] = str(place.folder / "new store")
    prefix = str(place.folder / "p")
    for arguments in (("lock", "--upgrade"), ("bundle",), ("hydrate", "train", "--prefix", prefix), ("run", "train")):
        done = without_locks(place, error, *arguments)
        assert done.code == 0, (arguments, done.err)
        assert done.err.count("is on a file system without locks") == 1, (arguments, done.err)
        assert done.err.count("warning") == 1
    assert done.out == "1.1\n"
    assert not list(place.folder.rglob("*.owner"))
    # Nobody can tell whether a step runs, so its environment stays.
    pruned = without_locks(place, error, "cache", "prune", "--all")
    assert "cannot be locked" in pruned.err
    assert list((place.folder / "new/envs").iterdir())


def fail_flock(monkeypatch: pytest.MonkeyPatch) -> None:
    import errno
    import fcntl

    def flock(file: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", flock)


@pytest.mark.skipif(sys.platform != "linux", reason="abandoned files are noticed on Linux alone")
def test_a_process_that_ended_without_its_file_does_not_block_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_flock(monkeypatch)
    lock, owner = tmp_path / "one.lock", tmp_path / "one.lock.owner"
    child = os.fork()
    if not child:
        with file_lock(lock):
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    assert str(child) in owner.read_text()
    with file_lock(lock, wait=False) as mine:
        assert mine
        assert str(os.getpid()) in owner.read_text()
        with file_lock(lock, wait=False) as other:
            assert not other
    assert not owner.exists()


@pytest.mark.skipif(os.name != "posix", reason="Windows has its own locks")
@pytest.mark.parametrize("text", ["elsewhere/pid:[1] 1 1", "", "x", "\0\1 1 1", "9" * 5000])
def test_the_file_of_another_machine_is_respected(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fail_flock(monkeypatch)
    monkeypatch.setattr("envc.system.owner_files._PATIENCE", 0.1)
    (tmp_path / "one.lock.owner").write_text(text)
    with file_lock(tmp_path / "one.lock", wait=False) as mine:
        assert not mine
    with pytest.raises(TimeoutError, match="remove it if no envc runs there"), file_lock(tmp_path / "one.lock"):
        raise AssertionError
    assert (tmp_path / "one.lock.owner").read_text() == text


@pytest.mark.skipif(os.name != "posix", reason="Windows has its own locks")
def test_owner_files_exclude_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of them appends two lines, which no other may separate. Some die while they hold the file."""
    fail_flock(monkeypatch)
    log = tmp_path / "log"
    log.touch()
    children = []
    for number in range(12):
        child = os.fork()
        if not child:
            for turn in range(8):
                with file_lock(tmp_path / "one.lock"):
                    with log.open("a") as stream:
                        stream.write(f"{number}\n")
                    time.sleep(0.001)
                    with log.open("a") as stream:
                        stream.write(f"{number}\n")
                    if turn == 7 and number % 3 == 0 and sys.platform == "linux":
                        os.kill(os.getpid(), signal.SIGKILL)
            os._exit(0)
        children.append(child)
    for child in children:
        os.waitpid(child, 0)
    lines = log.read_text().split()
    assert len(lines) == 12 * 8 * 2
    assert all(lines[at] == lines[at + 1] for at in range(0, len(lines), 2))


# a cache that a group shares


@SECOND_USERS
@pytest.mark.parametrize("umask", [0o002, 0o007])
def test_a_group_shares_a_cache(umask: int, place: Workplace, index: IndexServer) -> None:
    cache = place.folder / "team"
    cache.mkdir()
    os.chown(cache, 0, GROUP)
    cache.chmod(0o2775)
    shared = {"ENVC_CACHE_DIR": str(cache), "ENVC_CACHE_SHARED": "1"}
    for user in (USER, OTHER, USER):
        for arguments in (("lock", "--refresh"), ("bundle",), ("run", "train"), ("cache", "show")):
            done = bare(place, *arguments, user=user, umask=umask, groups=str(GROUP), **shared)
            assert done.code == 0 and "warning" not in done.err, (user, arguments, done.err)
    assert len(list(cache.glob("envs/*"))) == 1
    for path in cache.rglob("*"):
        if path.is_dir() and not path.is_symlink() and "envs" not in path.parts and "objects" not in path.parts:
            assert path.stat().st_mode & 0o2070 == 0o2070, path


@SECOND_USERS
def test_a_group_with_a_closed_umask_is_refused_by_folder_and_mode(place: Workplace) -> None:
    """The first member shares nothing, so the second one is told which folder it cannot write to, and why."""
    cache = place.folder / "team"
    cache.mkdir()
    os.chown(cache, 0, GROUP)
    cache.chmod(0o2775)
    shared = {"ENVC_CACHE_DIR": str(cache), "ENVC_CACHE_SHARED": "1"}
    assert bare(place, "run", "train", umask=0o077, groups=str(GROUP), **shared).code == 0
    refused = bare(place, "run", "train", user=OTHER, umask=0o077, groups=str(GROUP), **shared)
    assert refused.code == 1
    assert f"{cache}/locks cannot be written: Permission denied" in refused.err
    assert "its mode is 2700" in refused.err and "umask" in refused.err
