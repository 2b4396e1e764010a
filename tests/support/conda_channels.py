"""Channels on disk made of packages that tests built or converted. `ChannelServer.add_folder` serves them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import zstandard

from tests.support.conda_packages import Package


def write_channel(folder: Path, *packages: Package, subdirs: Iterable[str] = ()) -> Path:
    """Write a channel with these packages, and with every folder of `subdirs` even if it is empty.

    Writes the packages, ``repodata.json`` and ``repodata.json.zst``. The packages are not read, so a test controls the
    content of the records; `conda_index` reads the packages. Returns the folder.
    """
    for subdir in sorted({"noarch", *subdirs, *(package.subdir for package in packages)}):
        (folder / subdir).mkdir(parents=True, exist_ok=True)
        tables: dict[str, dict[str, Any]] = {"packages": {}, "packages.conda": {}}
        for package in packages:
            if package.subdir == subdir:
                tables["packages.conda" if package.file.endswith(".conda") else "packages"][package.file] = (
                    package.record
                )
                (folder / subdir / package.file).write_bytes(package.data)
        text = json.dumps({"info": {"subdir": subdir}, **tables, "repodata_version": 1}).encode()
        (folder / subdir / "repodata.json").write_bytes(text)
        (folder / subdir / "repodata.json.zst").write_bytes(zstandard.ZstdCompressor().compress(text))
    return folder


def conda_index(folder: Path) -> None:
    """Run conda-index over the packages of a channel. It writes the repodata plain, compressed and in shards.

    Raises CalledProcessError, with the log, if conda-index refuses a package.
    """
    command = [sys.executable, "-m", "tests.support.run_conda_index", "--no-channeldata", "--no-current-repodata"]
    subprocess.run(
        [*command, "--zst", "--write-shards", "--threads", "2", str(folder)],
        cwd=Path(__file__).parents[2],
        check=True,
        capture_output=True,
    )
