"""Environments of wheels that tests build, for tests of pack, hydrate and run, and downloaded artifacts in memory."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from envc.fetch.pypi.metadata import parse_metadata
from envc.model.digest import Sha256
from envc.model.environment import Environment, EnvironmentMember
from envc.model.layout_names import python_layout
from envc.model.progress import Progress, Silent
from envc.model.record import Record
from envc.shipping.deliver.pack import Bundled, BundleRequest, Relock, StepBundle, pack
from envc.shipping.deliver.reuse import Ledger
from envc.shipping.machine.interpreter import HostPython, this_python
from envc.shipping.store.blobs import Blobs
from envc_solvers.target import Python, Target, default_target
from tests.support.wheels import Distribution

PYTHON = Python(minor=sys.version_info[:2])
HOST: HostPython = this_python()


def environment(
    *wheels: Distribution, target: str | Target | None = None, python: Python = PYTHON, **fields: object
) -> Environment:
    """Return the environment of these wheels. `fields` replaces fields of every member."""
    place = target if isinstance(target, Target) else default_target(target or HOST.platform)
    members = []
    for wheel in wheels:
        metadata = parse_metadata(wheel.file, wheel.metadata)
        values: dict[str, object] = {
            "kind": "pypi",
            "name": metadata.name,
            "version": metadata.version,
            "source": "pypi",
            "file": wheel.file,
            "size": wheel.size,
            "sha256": Sha256(wheel.sha256),
            "layout": python_layout(place, python, "host"),
            "depends": tuple(sorted(map(str, metadata.requires))),
        }
        members.append(EnvironmentMember(**(values | fields)))  # type: ignore[arg-type]
    return Environment(target=place, python=python, interpreter="host", members=tuple(sorted(members)))


class MemoryArtifacts:
    """The in-memory twin of the downloaded artifacts. `fetched` lists the files that were requested."""

    def __init__(self, folder: Path, *wheels: Distribution) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._wheels = {wheel.sha256: wheel for wheel in wheels}
        self.fetched: list[str] = []

    def fetch(self, members: Iterable[EnvironmentMember]) -> Iterator[tuple[EnvironmentMember, Path]]:
        for member in members:
            self.fetched.append(member.file)
            yield member, self._wheels[member.sha256].write(self._folder)


def bundle(
    store: Blobs,
    folder: Path,
    *wheels: Distribution,
    steps: tuple[StepBundle, ...] | None = None,
    progress: Progress | None = None,
    level: int = 1,
    trust_store: bool = False,
    relock: Relock | None = None,
) -> tuple[Bundled, MemoryArtifacts]:
    """Pack one step, or the given ones. Caches and settings are below `folder`."""
    artifacts = MemoryArtifacts(folder / "wheels", *wheels)
    if steps is None:
        steps = (StepBundle(step="step", target=HOST.platform, environment=environment(*wheels)),)
    request = BundleRequest(project="demo", lock=b"the lock\n", steps=steps, level=level, trust_store=trust_store)
    ledger = Ledger(folder / "cache/derived")
    return pack(request, store, artifacts, ledger=ledger, progress=progress or Silent(), relock=relock), artifacts


def record_of(store: Blobs, folder: Path, *wheels: Distribution) -> Record:
    """Return the record of an environment that was packed for this machine."""
    return bundle(store, folder, *wheels)[0].records[0]
