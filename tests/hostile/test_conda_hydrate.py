"""Forged objects of conda packages with matching digests: nothing is written outside the prefix or fills the disk."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from envc.errors import EnvcError
from envc.model.digest import Sha256, sha256
from envc.model.record import Record, RecordObject
from envc.shipping.format.encode import Entry
from envc.shipping.format.errors import CorruptBlob
from envc.shipping.store.keys import object_key
from tests.support.conda_environments import PYTHON, bundle_conda, hydrate_conda
from tests.support.conda_packages import PLACEHOLDER, build_conda
from tests.support.environments import HOST
from tests.support.stores import MemoryBlobs, encode

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the files are those of a POSIX package")
META = "conda-meta/p-1.0-0.json"
FILES = {"etc/conf": f"{PLACEHOLDER}\n".encode(), "lib/data": b"\0" + PLACEHOLDER.encode() + b"\0"}


def paths(**changes: Any) -> dict[str, Any]:
    """Return a prefix record with a changed first path."""
    first = {
        "_path": "etc/conf",
        "path_type": "hardlink",
        "prefix_placeholder": PLACEHOLDER,
        "file_mode": "text",
        **changes,
    }
    return {
        "name": "p",
        "version": "1.0",
        "build": "0",
        "build_number": 0,
        "subdir": HOST.platform,
        "depends": [],
        "fn": "p-1.0-0.conda",
        "sha256": "0" * 64,
        "size": 1,
        "files": [],
        "paths_data": {"paths": [first], "paths_version": 1},
    }


def forged(store: MemoryBlobs, meta: bytes | None, *, file: str = "p-1.0-0.conda", **files: bytes) -> Record:
    """Return the record of an environment with one object, which contains that prefix record."""
    entries = [Entry(path=path, content=content) for path, content in (FILES | files).items()]
    if meta is not None:
        entries.append(Entry(path=META, content=meta))
    artifact = sha256(b"artifact")
    data, index = encode(sorted(entries, key=lambda entry: entry.path), layout="any", artifact=artifact)
    store.blobs[object_key("any", artifact)] = data
    item = RecordObject(
        kind="conda", name="p", version="1.0", file=file, content=index.content, size=len(data), index=index
    )
    return Record(
        environment=Sha256("0" * 64),
        platform=HOST.platform,
        python=PYTHON.key,
        interpreter="conda",
        objects=(item,),
    )


def as_json(value: Any) -> bytes:
    return json.dumps(value).encode()


CASES: dict[str, tuple[Callable[[], dict[str, Any]], str]] = {
    "no prefix record": (lambda: {"meta": None}, "has no 'conda-meta/p-1.0-0.json' that matches its digest"),
    "one that is none": (lambda: {"meta": b"[]"}, "its prefix record cannot be read"),
    "one that is nested without end": (lambda: {"meta": b"[" * 100_000}, "its prefix record cannot be read"),
    "a folder outside": (
        lambda: {"meta": as_json(paths(_path="../outside/made", path_type="directory"))},
        "'../outside/made' is not a plain relative path",
    ),
    "a placeholder of nothing": (
        lambda: {"meta": as_json(paths(prefix_placeholder="/"))},
        "the placeholder '/' cannot stand for a prefix",
    ),
    "a text that would fill the disk": (
        lambda: {"meta": as_json(paths(prefix_placeholder="xxxxxxxx")), "etc/conf": b"xxxxxxxx" * (1 << 20)},
        "would grow by more than twice its size",
    ),
    "a file name that is a path": (
        lambda: {"meta": as_json(paths()), "file": "../../outside/x.conda"},
        "has no 'conda-meta/../../outside/x.json' that matches its digest",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_forged_prefix_record_is_refused(case: str, tmp_path: Path) -> None:
    make, reason = CASES[case]
    store = MemoryBlobs()
    workdir = tmp_path / "world"
    (workdir / "outside").mkdir(parents=True)
    (workdir / "outside/precious").write_text(PLACEHOLDER)
    prefix = workdir / ("prefix" + "x" * 60)
    with pytest.raises(CorruptBlob) as error:
        hydrate_conda(store, forged(store, **make()), prefix, tmp_path / "cache")
    assert reason in str(error.value)
    assert sorted(path.relative_to(workdir).as_posix() for path in workdir.rglob("*")) == [
        "outside",
        "outside/precious",
    ]
    assert (workdir / "outside/precious").read_text() == PLACEHOLDER


def test_the_unchanged_record_is_hydrated(tmp_path: Path) -> None:
    store = MemoryBlobs()
    prefix = tmp_path / "prefix"
    assert hydrate_conda(store, forged(store, as_json(paths())), prefix, tmp_path / "cache")
    assert (prefix / "etc/conf").read_text() == f"{prefix}\n"
    assert (prefix / "lib/data").read_bytes() == FILES["lib/data"], "the prefix record does not list it for rewriting"


def test_paths_that_are_not_in_the_object_are_not_touched(tmp_path: Path) -> None:
    """A file of another package, and a folder reached through a link inside the prefix."""
    store = MemoryBlobs()
    (tmp_path / "precious").write_text(PLACEHOLDER)
    for number, path in enumerate(("bin/of-another", "../precious", str(tmp_path / "precious"))):
        record = forged(store, as_json(paths(_path=path)))
        prefix = tmp_path / f"prefix-{number}"
        assert hydrate_conda(store, record, prefix, tmp_path / "cache", cached=False)
        assert not (prefix / "bin").exists()
        assert (tmp_path / "precious").read_text() == PLACEHOLDER


def test_a_changed_prefix_record_in_the_cache_is_detected(tmp_path: Path) -> None:
    """The cache shares files by hard links, so an in-place edit of a prefix also edits the cache."""
    store = MemoryBlobs()
    package = build_conda("p", files={"etc/conf": f"{PLACEHOLDER}\n"}, subdir=HOST.platform)
    record = bundle_conda(store, tmp_path, package).records[0]
    hydrate_conda(store, record, tmp_path / "one", tmp_path / "cache", link_mode="hardlink")
    kept = [
        path
        for path in (tmp_path / "cache/objects").rglob("*")
        if path.is_file() and b"paths_data" in path.read_bytes()
    ]
    assert len(kept) == 1
    status = kept[0].stat()
    kept[0].write_bytes(kept[0].read_bytes().replace(b"etc/conf", b"etc/CONF"))
    os.utime(kept[0], ns=(status.st_atime_ns, status.st_mtime_ns))
    with pytest.raises(EnvcError, match="matches its digest"):
        hydrate_conda(store, record, tmp_path / "two", tmp_path / "cache", link_mode="hardlink")
    assert not (tmp_path / "two").exists()
    hydrate_conda(store, record, tmp_path / "two", tmp_path / "cache", cached=False)


def test_a_losing_package_may_not_rewrite_the_winners_file(tmp_path: Path) -> None:
    store = MemoryBlobs()
    alpha = build_conda("alpha", files={"etc/conf": f"alpha {PLACEHOLDER}\n"}, subdir=HOST.platform)
    beta = build_conda("beta", files={"etc/conf": f"beta {PLACEHOLDER[:60]}\n"}, subdir=HOST.platform)
    record = bundle_conda(store, tmp_path, alpha, beta).records[0]
    hydrate_conda(store, record, tmp_path / "prefix", tmp_path / "cache")
    assert (tmp_path / "prefix/etc/conf").read_text() == f"beta {PLACEHOLDER[:60]}\n"
