"""A folder that is being replaced exists at every moment, and nothing that another process uses is removed."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from envc.system import atomic_folder
from envc.system.atomic_folder import leftovers, publish_folder, remove_folder
from envc.system.exchange import exchange
from envc.system.locks import in_use, no_user

POSIX_ONLY = pytest.mark.skipif(os.name != "posix", reason="needs fork and flock")
USED = "state"


def publish(place: Path, text: str) -> bool:
    """Publish a folder whose two files contain `text`, and replace any other."""

    def populate(folder: Path) -> None:
        (folder / USED).write_text(text)
        (folder / "file").write_text(text)

    return publish_folder(
        place,
        locks=place.parent / "locks",
        is_ours=(place / USED).is_file,
        is_made=lambda: _content(place) == text,
        populate=populate,
    )


def _content(place: Path) -> str:
    try:
        return (place / USED).read_text()
    except OSError:
        return ""


def killed_at_every_step(work: Callable[[], object], judge: Callable[[], None]) -> int:
    """Run `work` in forks that are killed before their first, second, ... call of the system, as far as Python reports
    it, and `judge` after each. Returns how many were killed; the last one finishes.
    """
    for step in range(1, 500):
        child = os.fork()
        if not child:
            _work_until(step, work)
        _, status = os.waitpid(child, 0)
        judge()
        if os.waitstatus_to_exitcode(status) == 0:
            return step - 1
        assert os.waitstatus_to_exitcode(status) == 9
    raise AssertionError("the work never ends")


def _work_until(step: int, work: Callable[[], object]) -> None:
    left = step

    def count(event: str, _arguments: object) -> None:
        nonlocal left
        if event.startswith(("os.", "open", "shutil.", "ctypes.call")):
            left -= 1
            if not left:
                os._exit(9)

    try:
        sys.addaudithook(count)
        work()
    except BaseException:
        os._exit(1)
    os._exit(0)


class _Interrupted(Exception):
    pass


@POSIX_ONLY
@pytest.mark.parametrize("way", ["one exchange", "two renames"])
def test_a_kill_while_a_folder_is_replaced_leaves_one_that_is_whole(
    tmp_path: Path, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if way == "two renames":
        monkeypatch.setattr(atomic_folder, "exchange", lambda *_: False)
    place = tmp_path / "prefix"
    publish(place, "old")
    missing = 0

    def judge() -> None:
        nonlocal missing
        missing += not place.exists()
        if way == "one exchange":
            assert place.exists()
        # The next run puts back what is missing before it makes anything.
        with pytest.raises(_Interrupted):
            publish_folder(
                place,
                locks=tmp_path / "locks",
                is_ours=lambda: True,
                is_made=lambda: False,
                populate=_interrupted,
            )
        assert _content(place) in ("old", "new")
        assert (place / "file").read_text() == _content(place)
        assert leftovers(place) == []
        assert sorted(path.name for path in tmp_path.iterdir()) == ["locks", "prefix"]

    def replace() -> None:
        publish(place, "new" if _content(place) == "old" else "old")

    assert killed_at_every_step(replace, judge) > 10
    assert (missing > 0) == (way == "two renames")


def _interrupted(_folder: Path) -> None:
    raise _Interrupted


@pytest.mark.skipif(sys.platform not in ("linux", "darwin"), reason="other systems have no exchange")
def test_two_folders_are_exchanged_in_one_step(tmp_path: Path) -> None:
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
    if not exchange(tmp_path / "one", tmp_path / "other"):
        pytest.skip("this file system cannot do that")
    assert (tmp_path / "one/other").exists() and (tmp_path / "other/one").exists()
    with pytest.raises(FileNotFoundError):
        exchange(tmp_path / "one", tmp_path / "nothing")


def test_only_names_of_leftovers_are_leftovers(tmp_path: Path) -> None:
    """A user's folder beside the prefix is never removed, whatever its name begins with."""
    place = tmp_path / "prefix"
    kept = [".prefix.envc-backup", ".prefix.envc-0123456789abcdef.old", ".prefix.envc-0123456789ABCDEF", ".prefix2"]
    for name in kept:
        (tmp_path / name).mkdir()
        (tmp_path / name / "mine").touch()
    (tmp_path / ".prefix.envc-00000000000000ff").symlink_to(tmp_path / ".prefix2", target_is_directory=True)
    (tmp_path / ".prefix.envc-00000000000000aa").mkdir()
    publish(place, "one")
    assert not (tmp_path / ".prefix.envc-00000000000000aa").exists()
    assert all((tmp_path / name / "mine").exists() for name in kept)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_another_user_is_not_put_back(tmp_path: Path) -> None:
    """Another user can create such a name in /tmp."""
    planted = tmp_path / ".prefix.envc-old-00000000000000aa"
    planted.mkdir()
    (planted / USED).write_text("one")
    os.chown(planted, 1234, 1234)
    assert publish(tmp_path / "prefix", "one")
    assert planted.exists()


# what is in use


@POSIX_ONLY
def test_a_folder_in_use_is_not_removed(tmp_path: Path) -> None:
    place, locks = tmp_path / "prefix", tmp_path / "locks"
    publish(place, "one")
    with in_use(place / USED) as first, in_use(place / USED) as second:
        assert first and second
        assert not remove_folder(place, locks=locks, used=USED)
    assert (place / "file").exists()
    assert remove_folder(place, locks=locks, used=USED)
    assert not place.exists()
    with in_use(place / USED) as gone:
        assert not gone


@POSIX_ONLY
def test_a_folder_that_is_being_removed_cannot_be_used(tmp_path: Path) -> None:
    file = tmp_path / USED
    file.touch()
    with no_user(file) as unused, in_use(file) as used:
        assert unused and not used
    with in_use(file) as used:
        assert used


@POSIX_ONLY
def test_a_folder_replaced_while_it_is_opened_is_not_in_use(tmp_path: Path) -> None:
    file = tmp_path / USED
    file.touch()
    other = tmp_path / "other"
    other.touch()
    replacing = os.open

    def replaced(path: Path, flags: int) -> int:
        opened = replacing(path, flags)
        other.replace(file)
        return opened

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "open", replaced)
        with in_use(file) as used:
            assert not used


@POSIX_ONLY
def test_the_mark_survives_exec_and_ends_with_the_program(tmp_path: Path) -> None:
    file = tmp_path / USED
    file.touch()
    program = "import sys; from pathlib import Path; from envc.system.locks import in_use; import os\n"
    program += "with in_use(Path(sys.argv[1])): os.execv('/bin/sh', ['sh', '-c', 'exec 3>&1; echo ready; read line'])"
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None and process.stdin is not None
    assert process.stdout.readline() == b"ready\n"
    with no_user(file) as unused:
        assert not unused
    process.stdin.close()
    process.wait(30)
    process.stdout.close()
    with no_user(file) as unused:
        assert unused


def test_a_folder_is_removed_atomically_and_can_be_made_again(tmp_path: Path) -> None:
    place, locks = tmp_path / "envs/one", tmp_path / "envs/locks"
    assert publish(place, "one")
    assert remove_folder(place, locks=locks, used=USED)
    assert [path.name for path in place.parent.iterdir()] == ["locks"]
    assert publish(place, "one")


def test_a_folder_that_is_being_made_is_left_alone_with_its_draft(tmp_path: Path) -> None:
    place, locks = tmp_path / "envs/one", tmp_path / "locks"
    held, release = threading.Event(), threading.Event()

    def hold(folder: Path) -> None:
        (folder / "file").write_bytes(b"x")
        held.set()
        release.wait(60)

    making = threading.Thread(
        target=lambda: publish_folder(place, locks=locks, is_ours=lambda: False, is_made=place.is_dir, populate=hold)
    )
    making.start()
    held.wait(60)
    (draft,) = leftovers(place)
    assert not remove_folder(place, locks=locks, used=USED)
    assert not remove_folder(draft, locks=locks, used=USED)
    release.set()
    making.join()
    assert (place / "file").exists()


def test_the_draft_of_a_killed_run_is_removed(tmp_path: Path) -> None:
    draft = tmp_path / ".one.envc-0123456789abcdef"
    draft.mkdir()
    assert remove_folder(draft, locks=tmp_path / "locks", used=USED)
    assert not draft.exists()
