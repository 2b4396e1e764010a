"""Link modes and byte-code options of `envc hydrate`, through the installed command."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.e2e.command import Workplace


def one(prefix: Path, pattern: str) -> Path:
    """Return the first file that matches the pattern; there must be one."""
    return next(iter(sorted(prefix.rglob(pattern))))


@pytest.fixture
def bundled(workplace: Workplace) -> Workplace:
    workplace.ok("lock")
    workplace.ok("bundle")
    return workplace


def test_prefixes_share_files_by_default(bundled: Workplace, tmp_path: Path) -> None:
    def make(name: str, *options: str) -> Path:
        bundled.ok("hydrate", "train", "--prefix", str(tmp_path / name), *options)
        return one(tmp_path / name, "METADATA")

    linked = make("linked", "--link-mode", "hardlink")
    assert linked.samefile(make("linked-too", "--link-mode", "hardlink"))
    for name, options in (("copied", ["--link-mode", "copy"]), ("loaded", ["--no-cache"])):
        other = make(name, *options)
        assert other.read_bytes() == linked.read_bytes()
        assert not other.samefile(linked)


@pytest.mark.skipif(os.name == "nt", reason="POSIX layout")
def test_byte_code_is_made_on_request(bundled: Workplace, tmp_path: Path) -> None:
    bundled.ok("hydrate", "train", "--prefix", str(tmp_path / "plain"))
    bundled.ok("hydrate", "train", "--prefix", str(tmp_path / "compiled"), "--bytecode")
    assert not list((tmp_path / "plain").rglob("*.pyc"))
    assert one(tmp_path / "compiled", "alpha*.pyc")


@pytest.mark.parametrize("options", [["--bytecode"], ["--link-mode", "copy"], ["--no-cache"]])
def test_options_of_hydrate_need_a_prefix(bundled: Workplace, options: list[str]) -> None:
    assert "--prefix" in bundled.fails(2, "hydrate", "train", *options).err


def test_no_cache_and_link_modes_are_mutually_exclusive(bundled: Workplace, tmp_path: Path) -> None:
    done = bundled.fails(2, "hydrate", "train", "--prefix", str(tmp_path / "p"), "--no-cache", "--link-mode", "copy")
    assert "--link-mode" in done.err
