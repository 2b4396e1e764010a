"""Compares envc with py-rattler: the same lock must give the same prefix, file by file and record by record."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import shutil
import stat
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.command import Workplace
from tests.e2e.conda_places import MADE, REAL, bundled, prefix_of
from tests.support import conda_real

pytestmark = [
    pytest.mark.engines,
    pytest.mark.skipif(importlib.util.find_spec("rattler") is None, reason="py-rattler is not installed"),
    pytest.mark.skipif(bool(conda_real.missing()), reason=str(conda_real.missing())),
]

# Files that belong to no package and no entry point: the installers' own records.
OWN = {".envc", "CACHEDIR.TAG", "conda-meta"}
# Written by the installer, each in its own way. `test_conda_runs` runs those of envc.
LAUNCHERS = {"bin/greet", "bin/pip", "bin/pip3"}

# Fields of a prefix record that say where an installer found the package and how it linked it, not what it installed,
# and fields that a lock does not have (md5) or that a channel omits from its records (arch, platform).
INSTALLERS_OWN = (
    *("channel", "url", "extracted_package_dir", "package_tarball_full_path", "link", "requested_specs"),
    *("md5", "arch", "platform"),
)

Entry = tuple[str, int, bytes]  # kind; execute bits; content, or the target of a link


def tree(prefix: Path) -> dict[str, Entry]:
    """Return every file, link and empty folder of a prefix by its path."""
    found: dict[str, Entry] = {}
    for folder, folders, names in os.walk(prefix):
        for name in [*names, *folders]:
            path = Path(folder, name)
            relative = path.relative_to(prefix)
            status = path.lstat()
            if relative.parts[0] in OWN:
                continue
            if path.is_symlink():
                found[relative.as_posix()] = ("link", 0, os.fsencode(path.readlink()))
            elif path.is_file():
                content = b"" if relative.as_posix() in LAUNCHERS else path.read_bytes()
                found[relative.as_posix()] = ("file", stat.S_IMODE(status.st_mode) & 0o111, content)
            elif not any(path.iterdir()):
                found[relative.as_posix()] = ("folder", 0, b"")
    return found


def both(place: Workplace, channel: Path, prefix: Path) -> tuple[dict[str, Entry], dict[str, Entry]]:
    """Return the trees that envc and py-rattler make of the step, one after the other at the same path.

    Compares the prefix records as well, while the prefix exists: py-rattler reads both.
    """
    from tests.support.rattler_install import install

    place.ok("hydrate", "work", "--prefix", str(prefix))
    ours, our_records = tree(prefix), records(prefix)
    shutil.rmtree(prefix)
    install(channel, place.lock, prefix, place.folder / "rattler")
    theirs, their_records = tree(prefix), records(prefix)
    assert_same(our_records, their_records)
    return ours, theirs


def assert_same(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    """Assert that two tables are equal. The message shows the differences by key, shortened."""
    assert ours.keys() == theirs.keys()
    different = {
        f"{name}: {key}": (ours[name].get(key), theirs[name].get(key))
        for name in ours
        for key in ours[name].keys() | theirs[name].keys()
        if ours[name].get(key) != theirs[name].get(key)
    }
    assert different == {}


def records(prefix: Path) -> dict[str, Any]:
    """Return the prefix records as py-rattler reads them, by file name."""
    import rattler

    found = {}
    for path in sorted((prefix / "conda-meta").glob("*.json")):
        record = json.loads(rattler.PrefixRecord.from_path(path).to_json())
        for key in INSTALLERS_OWN:
            record.pop(key, None)
        record["files"].sort()
        record["paths_data"] = {entry["_path"]: comparable(entry) for entry in record["paths_data"]["paths"]}
        found[path.name] = record
    return found


def comparable(entry: dict[str, Any]) -> dict[str, Any]:
    """Return one path of a prefix record without the fields that the two installers define differently.

    Like conda, envc records a file's digest in the prefix even if it equals the package's, and the size in the package
    where py-rattler records the size of the rewritten text. envc records no digest of a link, because that in
    paths.json is of the link's target. py-rattler adds a digest of the link's text.
    """
    rest = {key: value for key, value in entry.items() if key not in ("_path", "original_path", "size_in_bytes")}
    if entry["path_type"] == "softlink" or entry["_path"] in LAUNCHERS:
        return {key: value for key, value in rest.items() if key not in ("sha256", "sha256_in_prefix")}
    return rest | {"sha256_in_prefix": rest.get("sha256_in_prefix", rest.get("sha256"))}


@pytest.mark.parametrize("length", [20, 170])
def test_py_rattler_makes_the_same_prefix(tmp_path: Path, short: Path, length: int) -> None:
    channel = conda_real.real_channel(extra=MADE)
    ours, theirs = both(bundled(tmp_path, channel, "native"), channel, prefix_of(length, short))
    assert ours.keys() == theirs.keys()
    assert {path for path in ours if ours[path] != theirs[path]} == set()


@pytest.mark.network
def test_py_rattler_makes_the_same_prefix_of_real_wheels(tmp_path: Path, short: Path) -> None:
    channel = conda_real.real_channel(REAL)
    ours, theirs = both(bundled(tmp_path, channel, *REAL), channel, prefix_of(60, short))
    assert ours.keys() == theirs.keys()
    assert {path for path in ours if ours[path] != theirs[path]} == set()


def test_py_rattler_removes_packages_from_the_prefix(tmp_path: Path) -> None:
    import rattler

    place = bundled(tmp_path, conda_real.real_channel(extra=MADE), "native")
    prefix = tmp_path / "prefix"
    place.ok("hydrate", "work", "--prefix", str(prefix))
    paths = sorted((prefix / "conda-meta").glob("*.json"))
    installed = {record.name.normalized: record for record in map(rattler.PrefixRecord.from_path, paths)}
    before = set(tree(prefix))
    gone = {str(path) for name in ("greeter", "native") for path in installed.pop(name).files}
    asyncio.run(rattler.install(list(installed.values()), prefix, cache_dir=tmp_path / "rattler", show_progress=False))
    assert set(tree(prefix)) == before - gone
