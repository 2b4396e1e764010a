"""Environments of conda packages that tests build. They are packed and hydrated without a channel."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from envc.model.digest import Sha256
from envc.model.environment import Environment, EnvironmentMember
from envc.model.layout_names import python_layout
from envc.model.progress import Progress, Silent
from envc.model.record import Record
from envc.shipping.deliver.hydrate import Loading, StoredEnvironment, hydrate
from envc.shipping.deliver.pack import Bundled, BundleRequest, StepBundle, pack
from envc.shipping.deliver.reuse import Ledger
from envc.shipping.machine.interpreter import own_python
from envc.shipping.store.blobs import Blobs
from envc_solvers.target import PLATFORMS, Python, default_target
from tests.support.conda_packages import Package
from tests.support.environments import HOST

PYTHON = Python(minor=(3, 12))


def conda_environment(*packages: Package, platform: str = HOST.platform) -> Environment:
    """Return the environment of these packages."""
    target = default_target(platform)
    members = []
    for package in packages:
        index = package.index
        is_python = index.get("noarch") == "python"
        members.append(
            EnvironmentMember(
                kind="conda",
                name=index["name"],
                version=index["version"],
                source="small",
                file=package.file,
                size=len(package.data),
                sha256=Sha256(package.sha256),
                layout=python_layout(target, PYTHON, "conda") if is_python else "any",
                subdir=package.subdir,
            )
        )
    return Environment(target=target, python=PYTHON, interpreter="conda", members=tuple(sorted(members)))


class MemoryArtifacts:
    """The in-memory twin of the downloaded artifacts."""

    def __init__(self, folder: Path, *packages: Package) -> None:
        self._folder = folder
        self._packages = {package.sha256: package for package in packages}

    def fetch(self, members: Iterable[EnvironmentMember]) -> Iterator[tuple[EnvironmentMember, Path]]:
        self._folder.mkdir(parents=True, exist_ok=True)
        for member in members:
            path = self._folder / member.sha256
            path.write_bytes(self._packages[member.sha256].data)
            yield member, path


def bundle_conda(
    store: Blobs, folder: Path, *packages: Package, platform: str = HOST.platform, progress: Progress | None = None
) -> Bundled:
    """Pack one step of these packages."""
    step = StepBundle(step="step", target=platform, environment=conda_environment(*packages, platform=platform))
    request = BundleRequest(project="demo", lock=b"the lock\n", steps=(step,), level=1)
    artifacts = MemoryArtifacts(folder / "packages", *packages)
    return pack(request, store, artifacts, ledger=Ledger(folder / "cache/derived"), progress=progress or Silent())


def hydrate_conda(
    store: Blobs, record: Record, prefix: Path, cache: Path, *, progress: Progress | None = None, **loading: object
) -> bool:
    """Hydrate the environment of a record at `prefix`."""
    return hydrate(
        StoredEnvironment(store, record),
        prefix,
        interpreter=own_python("conda", PLATFORMS[record.platform]),
        cache=cache,
        progress=progress or Silent(),
        loading=Loading(**loading),  # type: ignore[arg-type]
    )


def conda_meta(prefix: Path, name: str) -> dict[str, Any]:
    """Return the prefix record of one installed package."""
    (path,) = prefix.glob(f"conda-meta/{name}-*.json")
    found: dict[str, Any] = json.loads(path.read_text())
    return found
