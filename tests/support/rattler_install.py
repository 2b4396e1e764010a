"""Installs the packages of a lock from a channel folder with py-rattler, without solving, for comparisons.

python -m tests.support.rattler_install CHANNEL LOCK PREFIX CACHE
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import rattler
import tomli


def install(channel: Path, lock: Path, prefix: Path, cache: Path) -> None:
    """Make a prefix of all conda artifacts in the lock, which has one environment on one target."""
    packages = tomli.loads(lock.read_text())["package"]
    files = {artifact["file"] for package in packages for artifact in package["artifacts"]}
    records = []
    for repodata in sorted(channel.glob("*/repodata.json")):
        table = rattler.SparseRepoData(rattler.Channel(str(channel)), repodata.parent.name, str(repodata))
        for package in packages:
            name = rattler.PackageName(package["id"].removeprefix("conda:"))
            records += [record for record in table.load_records(name) if record.file_name in files]
    assert {record.file_name for record in records} == files
    asyncio.run(rattler.install(records, prefix, cache_dir=cache, show_progress=False))


if __name__ == "__main__":
    install(*map(Path, sys.argv[1:]))
    os._exit(0)  # py-rattler's threads may still run, and crash an ordinary exit of the interpreter
