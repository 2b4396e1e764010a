"""A lock file is untrusted input: every mistake is reported with its key path."""

from __future__ import annotations

from pathlib import Path

import pytest

from envc.errors import LockFileError
from envc.locking.lockfile.conflict import LockConflict
from envc.locking.lockfile.dump import dumps
from envc.locking.lockfile.load import load, loads
from tests.support.lock_samples import SMALL, digest

TEXT = dumps(SMALL)
PATH = Path("work/manifest.lock")


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("version = 1", "version = 2", "is lock format 2; this envc reads 1"),
        ("version = 1", "version = 0", "is lock format 0, which does not exist"),
        ("version = 1", "version = '1'", "`version` is missing or not a number"),
        ("version = 1", "version = true", "`version` is missing or not a number"),
        ("version = 1\n", "\n", "`version` is missing or not a number"),
        ("[options]", "[optoins]", "object contains unknown field `optoins`"),
        ('python = "3.11.9"', "python = 3.11", "environment[0].python: expected `str`, got `float`"),
        ('python = "3.11.9"', 'pyhton = "3.11.9"', "environment[0]: object contains unknown field `pyhton`"),
        ('"evaluate", "train"', "", "environment[0].steps: expected `array` of length >= 1"),
        ('"evaluate", "train"', '"../evaluate"', "environment[0].steps: '../evaluate' is not a valid name of a step"),
        ('"linux-64/cp311", "osx', '"linux-64", "osx', "environment[0].targets: 'linux-64' is not a target key"),
        ('  "pypi:torch",', '  "torch",', "environment[0].packages[0]: 'torch' is not a package id"),
        (
            '  "pypi:torch",',
            '  "pypi:torch @ a/b",',
            "environment[0].packages[0]: 'a/b' is not a valid name of a target",
        ),
        ('  "pypi:torch",', '  "pypi:torch @ ",', "environment[0].packages[0]: '' is not a valid name of a target"),
        ('id = "pypi:torch"', 'id = "pypi:../torch"', "package[0].id: 'pypi:../torch' is not a package id"),
        ('id = "pypi:torch"\n', "", "package[0]: object missing required field `id`"),
        ('version = "2.5.1"', 'version = "../2"', "package[0].version: '../2' is not a version"),
        ('version = "2.5.1"', 'version = "2"\nbuild = "a/b"', "package[0].build: 'a/b' is not a build string"),
        (
            'version = "2.5.1"',
            'version = "2"\npypi = ["A/b"]',
            "package[0].pypi: 'A/b' is not a valid name of a project",
        ),
        ('source = "pypi"', 'source = "https://x"', "package[0].source: 'https://x' is not a valid name of a source"),
        (", for = [", ', content = { "../x" = "' + digest("x") + '" }, for = [', "package[0].artifacts[0].content: "),
        ("released = 2024-10-29", "released = 3", "package[0].released: expected `date | null`, got `int`"),
        (digest("torch-2.5.1-cp311-none-macosx_11_0_arm64.whl"), "abc", "package[0].artifacts[1].sha256: "),
        ("size = 1045", "size = -1", "package[0].artifacts[0].size: expected `int` >= 0"),
        ('file = "torch', 'file = "../torch', "package[0].artifacts[0].file: expected `str` matching regex"),
        ('for = ["gpu/cp311", ', 'for = ["gpu", ', "package[0].artifacts[0].for: 'gpu' is not a target key"),
        ("artifacts = [", 'artifacts = "', "not TOML: "),
    ],
)
def test_mistakes_are_reported_with_their_key_path(old: str, new: str, reason: str) -> None:
    assert TEXT.count(old) >= 1
    with pytest.raises(LockFileError) as caught:
        loads(TEXT.replace(old, new, 1), PATH)
    assert str(caught.value).startswith(f"{PATH}: {reason}")
    assert caught.value.hint


def test_digests_with_upper_case_or_trailing_characters_are_refused() -> None:
    good = digest("torch-2.5.1-cp311-none-macosx_11_0_arm64.whl")
    for bad in (good.upper(), good + "\\n", good[:-1], good + "0"):
        with pytest.raises(LockFileError):
            loads(TEXT.replace(good, bad))


def test_the_message_for_a_newer_lock_says_what_to_do() -> None:
    with pytest.raises(LockFileError) as caught:
        loads(TEXT.replace("version = 1", "version = 2\nnew-key = 1", 1), PATH)
    assert caught.value.hint == "upgrade envc"


def test_deep_nesting_is_refused() -> None:
    with pytest.raises(LockFileError):
        loads("version = 1\nx = " + "[" * 100_000)


def test_windows_line_ends_are_accepted(tmp_path: Path) -> None:
    path = tmp_path / "manifest.lock"
    path.write_bytes(TEXT.replace("\n", "\r\n").encode())
    assert load(path) == SMALL


def test_unreadable_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "manifest.lock"
    with pytest.raises(FileNotFoundError):
        load(path)
    with pytest.raises(LockFileError, match="cannot be read"):
        load(tmp_path)
    path.write_bytes(b"version = 1 # caf\xe9\n")
    with pytest.raises(LockFileError, match="is not UTF-8 at byte 17"):
        load(path)


CONFLICT = """\
version = 1
<<<<<<< HEAD
ours = 1
||||||| base
base = 1
=======
theirs = 1
>>>>>>> branch
[options]
<<<<<<< HEAD
=======
more = 1
>>>>>>> branch
"""


def test_conflict_markers_give_two_locks() -> None:
    with pytest.raises(LockConflict) as caught:
        loads(CONFLICT, PATH)
    assert caught.value.ours == "version = 1\nours = 1\n[options]\n"
    assert caught.value.theirs == "version = 1\ntheirs = 1\n[options]\nmore = 1\n"
    with pytest.raises(LockConflict):
        loads(CONFLICT.replace("\n", "\r\n"), PATH)


@pytest.mark.parametrize(
    "text", ["<<<<<<< a\nx = 1\n", "<<<<<<< a\n<<<<<<< b\n=======\n>>>>>>> c\n", ">>>>>>> a\n<<<<<<< b\n"]
)
def test_incomplete_conflict_markers_are_refused_as_invalid_toml(text: str) -> None:
    with pytest.raises(LockFileError, match="not TOML") as caught:
        loads("version = 1\n" + text)
    assert not isinstance(caught.value, LockConflict)


def test_markers_inside_a_string_are_text() -> None:
    assert loads('version = 1\n[options]\nx = "<<<<<<< a"\n').options == {"x": "<<<<<<< a"}
