"""Other programs unpack a bundle to the tree that envc wrote."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import tarfile
from pathlib import Path

import pytest
import zstandard

from envc.shipping.format.bundle import Source, write_bundle
from envc.shipping.format.encode import Entry
from envc.shipping.format.paths import ENVIRONMENT_LAYOUT
from envc.shipping.format.spans import FRAME
from envc.shipping.store.objects import bytes_reader
from tests.support.stores import encode, tree_of

TREES = {
    "py3.11-posix": [
        Entry(path="bin/tool", content=b"#!/bin/sh\n", executable=True),
        Entry(path="lib/" + "d" * 120 + "/" + "n" * 100, content=b"as prefix and name"),
        Entry(path="lib/" + "n" * 200, content=b"needs pax"),
        Entry(path="lib/é/日本 .txt", content=b"", mtime=1_600_000_001),
    ],
    "nt": [],
    "any": [
        Entry(path="share/large", content=b"0123456789abcde\n" * (FRAME // 8) + b"end"),
        Entry(path="share/link", link="../bin/tool"),
        Entry(path="share/long", link="n" * 200),
    ],
    ENVIRONMENT_LAYOUT: [Entry(path=".envc/record.json", content=b"{}")],
}
Tree = dict[str, tuple[int, int | None, str, bytes]]
EXPECTED: Tree = {
    path: (mode, None if link else mtime, link, content)  # Python's tarfile does not set the times of links
    for entries in TREES.values()
    for path, (mode, mtime, link, content) in tree_of(entries).items()
}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    sources = []
    for layout, entries in TREES.items():
        data, index = encode(entries, layout=layout, artifact=None)
        sources.append(Source(index=index, size=len(data), read_range=bytes_reader(data), what=layout))
    path = tmp_path_factory.mktemp("bundle") / "bundle.tar.zst"
    with path.open("wb") as out:
        write_bundle(sources[:-1], sources[-1], out.write)
    return path


def on_disk(root: Path) -> Tree:
    found: Tree = {}
    for folder, folders, files in os.walk(root):
        for path in [Path(folder, name) for name in files + folders]:
            status, name = path.lstat(), path.relative_to(root).as_posix()
            if stat.S_ISLNK(status.st_mode):
                found[name] = (0o777, None, str(path.readlink()), b"")
            elif stat.S_ISREG(status.st_mode):
                found[name] = (stat.S_IMODE(status.st_mode), int(status.st_mtime), "", path.read_bytes())
    return found


def test_pythons_tarfile_unpacks_a_bundle(bundle: Path, tmp_path: Path) -> None:
    with bundle.open("rb") as file:
        stream = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True)
        with tarfile.open(fileobj=stream, mode="r|") as archive:
            archive.extractall(tmp_path, filter="tar")
    assert on_disk(tmp_path) == EXPECTED


def program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed; the test compares with it")
    return found


@pytest.mark.engines
def test_tar_unpacks_a_bundle(bundle: Path, tmp_path: Path) -> None:
    program("zstd")
    done = subprocess.run(
        [program("tar"), "--zstd", "-xpf", str(bundle), "-C", str(tmp_path)], capture_output=True, check=True
    )
    assert done.stderr == b""
    assert on_disk(tmp_path) == EXPECTED


@pytest.mark.engines
def test_zstd_and_any_tar_list_a_bundle(bundle: Path) -> None:
    subprocess.run([program("zstd"), "-q", "-t", str(bundle)], check=True)
    tar = subprocess.run([program("zstd"), "-q", "-d", "-c", str(bundle)], capture_output=True, check=True).stdout
    listed = subprocess.run(
        [program("tar"), "-tf", "-", "--quoting-style=literal"], input=tar, capture_output=True, check=True
    )
    assert listed.stderr == b""
    assert sorted(listed.stdout.decode().splitlines()) == sorted(EXPECTED)


@pytest.mark.engines
def test_bsdtar_unpacks_a_bundle(bundle: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [program("bsdtar"), "-xpf", str(bundle), "-C", str(tmp_path)], capture_output=True, check=True
    )
    assert done.stderr == b""
    assert on_disk(tmp_path) == EXPECTED
