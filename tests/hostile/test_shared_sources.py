"""Indexes and channels in folders that other users write to: what is no regular file blocks nothing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from envc.system.regular_file import open_regular
from tests.e2e.command import Workplace
from tests.support.wheels import build_wheel

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs FIFOs")


@pytest.fixture
def place(tmp_path: Path) -> Workplace:
    """A command runs for at most two minutes there, and then the test fails."""
    return Workplace(tmp_path / "work", None)


@pytest.mark.parametrize("file", ["repodata_shards.msgpack.zst", "repodata.json.zst", "repodata.json"])
def test_a_fifo_in_place_of_repodata_is_refused(file: str, place: Workplace, tmp_path: Path) -> None:
    for subdir in ("linux-64", "noarch"):
        (tmp_path / "channel" / subdir).mkdir(parents=True)
        os.mkfifo(tmp_path / "channel" / subdir / file)
    failed = place.fails(
        1, "solve", "--conda", "demo", "--channel", str(tmp_path / "channel"), "--platform", "linux-64"
    )
    assert f"{file} from " in failed.err
    assert "not a regular file" in failed.err


def test_a_fifo_in_place_of_a_page_is_refused(place: Workplace, tmp_path: Path) -> None:
    (tmp_path / "simple/demo").mkdir(parents=True)
    os.mkfifo(tmp_path / "simple/demo/index.html")
    failed = place.fails(1, "solve", "--pypi", "demo", "--index", (tmp_path / "simple").as_uri())
    assert "cannot get the page of demo from " in failed.err
    assert "not a regular file" in failed.err


def test_a_fifo_in_place_of_an_artifact_is_refused(place: Workplace, tmp_path: Path) -> None:
    wheel = build_wheel("demo", "1.0")
    folder = tmp_path / "simple/demo"
    folder.mkdir(parents=True)
    os.mkfifo(folder / wheel.file)
    page = f'<a href="{wheel.file}#sha256={wheel.sha256}">{wheel.file}</a>'
    (folder / "index.html").write_text(page)
    failed = place.fails(1, "solve", "--pypi", "demo", "--index", (tmp_path / "simple").as_uri())
    assert "not a regular file" in failed.err


def test_files_and_links_to_files_are_opened_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")
    (tmp_path / "link").symlink_to("file")
    os.mkfifo(tmp_path / "fifo")
    for name in ("file", "link"):
        with open_regular(tmp_path / name) as stream:
            assert stream.read() == b"content"
    for name in ("fifo", "."):
        with pytest.raises(OSError):
            open_regular(tmp_path / name)
    with pytest.raises(OSError, match="not a regular file"):
        open_regular(Path("/dev/zero"))
