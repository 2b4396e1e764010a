"""Files that appear complete or not at all."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from envc.locking.lockfile.save import save_text
from envc.system.atomic_file import atomic_file, write_file
from envc.system.drafts import file_draft, remove_leftovers


@pytest.mark.parametrize("name", ["a" * 255, "語" * 85, "🧪" * 63], ids=["one byte", "three bytes", "four bytes"])
def test_a_name_may_be_as_long_as_the_file_system_allows(name: str, tmp_path: Path) -> None:
    write_file(tmp_path / name, b"content", durable=True)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_bytes() == b"content"


def test_a_failure_leaves_the_old_content_and_no_other_file(tmp_path: Path) -> None:
    write_file(tmp_path / "file", b"old")
    with pytest.raises(ZeroDivisionError), atomic_file(tmp_path / "file") as file:
        file.write(b"new")
        raise ZeroDivisionError
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"old"]


def test_the_draft_of_a_killed_run_is_removed_and_that_of_a_running_one_stays(tmp_path: Path) -> None:
    script = """
        import sys, time
        from pathlib import Path
        from envc.system.atomic_file import atomic_file
        with atomic_file(Path(sys.argv[1])) as file:
            print("writing", flush=True)
            time.sleep(600)
    """
    target = tmp_path / "bundle.tar.zst"
    command = [sys.executable, "-c", textwrap.dedent(script), str(target)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "writing\n"
            (draft,) = tmp_path.iterdir()
            remove_leftovers(target)
            assert list(tmp_path.iterdir()) == [draft]
        finally:
            process.kill()
    assert list(tmp_path.iterdir()) == [draft]
    remove_leftovers(target)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name != "posix", reason="links and FIFOs")
def test_only_regular_files_with_the_name_of_a_draft_are_leftovers(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_bytes(b"x")
    (tmp_path / file_draft("manifest.lock")).symlink_to(precious)
    (tmp_path / file_draft("manifest.lock")).mkdir()
    os.mkfifo(tmp_path / file_draft("manifest.lock"))
    for name in (".manifest.lock.partial", ".manifest.lock.0.partial", file_draft("other"), "manifest.lock.partial"):
        (tmp_path / name).write_bytes(b"x")
    before = sorted(tmp_path.iterdir())
    left = tmp_path / file_draft("manifest.lock")
    left.write_bytes(b"half")
    assert save_text("the lock", tmp_path / "manifest.lock")
    assert sorted(tmp_path.iterdir()) == sorted([*before, tmp_path / "manifest.lock"])
    assert precious.read_bytes() == b"x"
