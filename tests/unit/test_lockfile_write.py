"""Lock files are written atomically, and only if something changed."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import msgspec
import pytest

from envc.errors import Unwritable
from envc.locking.lockfile.dump import dumps
from envc.locking.lockfile.load import load
from envc.locking.lockfile.save import save
from envc.model.graph import LockGraph
from tests.support.lock_samples import SMALL, WHOLE


def test_saving_twice_writes_once(tmp_path: Path) -> None:
    path = tmp_path / "manifest.lock"
    assert save(SMALL, path) is True
    before = path.stat()
    assert save(SMALL, path) is False
    assert path.stat().st_mtime_ns == before.st_mtime_ns
    assert path.stat().st_ino == before.st_ino
    assert save(WHOLE, path) is True
    assert load(path) == load(path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["manifest.lock"]


def test_line_ends_are_those_of_the_format(tmp_path: Path) -> None:
    path = tmp_path / "manifest.lock"
    save(SMALL, path)
    assert path.read_bytes() == dumps(SMALL).encode()
    assert b"\r" not in path.read_bytes()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such modes, and links need a privilege")
def test_mode_and_link_of_the_previous_file_are_kept(tmp_path: Path) -> None:
    real = tmp_path / "shared.lock"
    real.write_text("")
    real.chmod(0o640)
    link = tmp_path / "manifest.lock"
    link.symlink_to(real)
    assert save(SMALL, link)
    assert link.is_symlink()
    assert real.stat().st_mode & 0o777 == 0o640
    assert load(real) == SMALL


def test_an_unwritable_folder_of_the_lock_is_reported(tmp_path: Path) -> None:
    with pytest.raises(Unwritable, match="cannot be written"):
        save(SMALL, tmp_path / "nowhere" / "manifest.lock")


def test_a_failed_write_leaves_the_old_lock_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "manifest.lock"
    path.mkdir()
    with pytest.raises(Unwritable):
        save(SMALL, path)
    assert os.listdir(tmp_path) == ["manifest.lock"]  # noqa: PTH208 - the names alone are asked for


def test_options_must_be_toml_values() -> None:
    for odd in (None, object(), b"x", {1, 2}):
        with pytest.raises(TypeError, match="not a TOML value"):
            dumps(LockGraph(options={"x": odd}, environments=(), packages=()))


def test_a_long_option_is_wrapped() -> None:
    options: dict[str, object] = {"mapping": {"b": "x", "a": False}, "build": ["y", "x"], "channels": ["c", "b"]}
    text = dumps(msgspec.structs.replace(SMALL, options=options))
    assert 'channels = ["c", "b"]\nbuild = [\n  "y",\n  "x",\n]\n\n[options.mapping]\na = false\nb = "x"\n' in text


def test_a_version_bump_changes_no_line_of_another_package() -> None:
    bumped = tuple(
        msgspec.structs.replace(package, version="0.21.0") if package.id == "pypi:mlx" else package
        for package in WHOLE.packages
    )
    before = dumps(WHOLE).splitlines()
    after = dumps(msgspec.structs.replace(WHOLE, packages=bumped)).splitlines()
    assert [(old, new) for old, new in zip(before, after, strict=True) if old != new] == [
        ('version = "0.20.0"', 'version = "0.21.0"')
    ]
