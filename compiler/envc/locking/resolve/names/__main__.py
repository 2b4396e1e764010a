"""Update ``snapshot.txt`` from the newest release of ``conda-pypi``: ``python -m envc.locking.resolve.names``.

The release is downloaded from the default index, verified, and read; none of its code is run. Its licence is written
beside the snapshot.
"""

from __future__ import annotations

import os
import sys
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from envc.context import Context
from envc.fetch.context import fetch_context
from envc.fetch.net.settings import read_settings
from envc.fetch.pypi.indexes import Indexes, SourceOrder
from envc.model.digest import parse_sha256
from envc.model.environment import EnvironmentMember
from envc.model.manifest import Source
from envc.model.progress import Silent
from envc_solvers.pypi.language.requirement import canonicalize_name
from envc_solvers.target import Python, default_target

PROJECT = "conda-pypi"
TABLE = "conda_pypi/grayskull_pypi_mapping.json"
_HASH = 32  # hexadecimal digits: such "names" are parts of URLs that were mistaken for project names


def rows(table: dict[str, dict[str, Any]]) -> dict[str, tuple[str, ...]]:
    """The conda names that differ from their projects' names, sorted, from a table by project as in ``conda-pypi``."""
    projects: dict[str, set[str]] = {}
    for entry in table.values():
        project = canonicalize_name(entry["pypi_name"])
        if len(project) < _HASH or project.strip("0123456789abcdef"):
            projects.setdefault(entry["conda_name"], set()).add(project)
    return {
        name: tuple(sorted(found)) for name, found in sorted(projects.items()) if found != {canonicalize_name(name)}
    }


def render(found: dict[str, tuple[str, ...]], release: str, day: str, sha256: str) -> str:
    """The text of a snapshot."""
    return (
        f"# Conda names and the PyPI projects that they stand for, where these are not called alike.\n"
        f"# Source: {PROJECT} {release} of {day}, {TABLE}, a table that grayskull publishes;\n"
        f"# sha256 of its wheel {sha256}.\n"
        f"# Under the MIT licence in snapshot.LICENSE. Made by `python -m envc.locking.resolve.names`.\n"
    ) + "".join(f"{name} {' '.join(projects)}\n" for name, projects in found.items())


def main(folder: Path) -> None:
    """Write ``snapshot.txt`` and ``snapshot.LICENSE``."""
    target, python = default_target("linux-64"), Python(minor=(3, 12))
    context = Context(environ=os.environ, cwd=Path.cwd(), progress=Silent(), refresh=True)
    fetching = fetch_context(read_settings(context.environ), context)
    with Indexes({"pypi": Source(name="pypi", kind="pypi")}, fetching) as origins:
        view = origins.index(target, python, SourceOrder(("pypi",))).view(PROJECT)
        release = view.releases[0]
        file = release.files[0]
        member = EnvironmentMember(
            kind="pypi",
            name=PROJECT,
            version=release.version,
            source=view.source,
            file=file.name,
            size=file.size,
            sha256=parse_sha256(file.sha256),
            layout="any",
        )
        wheel = origins.artifacts.get(member)
    with zipfile.ZipFile(wheel) as archive:
        table = msgspec.json.decode(archive.read(TABLE))
        stem = "-".join(file.name.split("-")[:2])
        licence = archive.read(f"{stem}.dist-info/licenses/LICENSE").decode()
    day = datetime.fromtimestamp(file.uploaded or 0, UTC).date().isoformat()
    text = render(rows(table), release.version, day, member.sha256)
    (folder / "snapshot.txt").write_text(text, encoding="utf-8", newline="\n")
    (folder / "snapshot.LICENSE").write_text(licence, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
