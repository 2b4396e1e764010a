"""The build environment: locked wheels on an interpreter of this machine, made like every other environment."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

import msgspec

from envc.locking.builds.errors import BadSource
from envc.model.digest import Sha256
from envc.model.environment import Environment, EnvironmentMember
from envc.model.graph import BuildRequirement
from envc.model.layout_names import python_layout
from envc.model.progress import Progress
from envc.shipping.machine.interpreter import HostPython, NoInterpreter, find_host_python, this_python
from envc_solvers.pypi.language.index import File
from envc_solvers.pypi.language.requirement import Requirement, parse
from envc_solvers.pypi.language.tags import rank_files, wheel_tags
from envc_solvers.target import PLATFORMS, Python, Target, implementation_of, parse_python_key

FOLDER = "builds"  # in the cache: objects of build requirements, and records of builds
_MUSL = "1.2"  # assumed on a Linux without glibc, whose interpreter does not report its libc
_LEVEL = 1  # of zstd: these objects are read once or twice, on this machine


class Machine(msgspec.Struct, frozen=True):
    """An interpreter of this machine, as a target that build requirements are locked for."""

    host: HostPython
    target: Target
    python: Python

    @property
    def key(self) -> str:
        """In the form of `model.graph.Build.python`."""
        return f"{self.target.platform}/{self.python.key}"


def machine_for(python: Python, environ: Mapping[str, str], cache: Path) -> Machine:
    """The interpreter that builds for a Python: one of that minor if this machine has it, else the running one.

    Most wheels do not depend on the interpreter that builds them. Those that do will not fit the target.
    """
    minor = msgspec.structs.replace(python, patch=None, release=0, limits="")
    try:
        host = find_host_python(minor, environ, cache)
    except NoInterpreter:
        host = this_python()
    facts = PLATFORMS[host.platform]
    x, y, patch, *_ = (int(part) for part in host.version.split("."))
    return Machine(
        host,
        Target(
            name=host.platform,
            platform=host.platform,
            glibc=host.glibc or None,
            musl=_MUSL if facts.family == "linux" and not host.glibc else None,
            macos=host.macos or None,
        ),
        Python(
            implementation=implementation_of(host.implementation),
            minor=(x, y),
            patch=patch,
            free_threaded=host.free_threaded,
        ),
    )


def python_of(key: str) -> Python:
    """The Python of a target key: ``linux-64/cp312``."""
    return parse_python_key(key.rpartition("/")[2])


def fits(wheel: str, name: str, target: Target, python: Python) -> bool:
    """Whether a wheel of that project, by its file name, can be installed for that target and Python."""
    return bool(rank_files(name, "", [File(name=wheel)], wheel_tags(target, python)).releases)


class Supplier(Protocol):
    """Where verified wheels come from."""

    def fetch(self, members: Iterable[EnvironmentMember]) -> Iterator[tuple[EnvironmentMember, Path]]:
        """Each member with a file that has its sha256, in any order. Raises EnvcError."""


class BuildEnvironments:
    """Makes build environments in the cache. Equal ones are made once."""

    def __init__(self, artifacts: Supplier, cache: Path, progress: Progress) -> None:
        self._artifacts = artifacts
        self._cache = cache
        self._progress = progress

    def prefix(
        self, packages: tuple[BuildRequirement, ...], requires: tuple[str, ...], machine: Machine, marks: ExitStack
    ) -> Path:
        """A prefix with exactly these wheels, locked for `requires`, which is in use until `marks` are closed.

        Raises BadSource for a wheel that nothing requires, and the errors of fetching, `pack` and `hydrate`.
        """
        from envc.shipping.deliver.hydrate import used_files
        from envc.shipping.deliver.run import mark_used, retried

        def ready() -> Path:
            prefix = self._prefix(packages, requires, machine)
            mark_used(used_files(prefix), marks)
            return prefix

        return retried(ready)

    def _prefix(self, packages: tuple[BuildRequirement, ...], requires: tuple[str, ...], machine: Machine) -> Path:
        from envc.fetch.pypi.metadata import wheel_metadata
        from envc.shipping.deliver.hydrate import StoredEnvironment, ready_environment
        from envc.shipping.deliver.pack import BundleRequest, StepBundle, pack
        from envc.shipping.deliver.reuse import Ledger
        from envc.shipping.store.open import open_store

        layout = python_layout(machine.target, machine.python, "host")
        listed = [EnvironmentMember.of_build_requirement(one, layout) for one in packages]
        found = dict(self._artifacts.fetch(listed))
        stated = {member.name: wheel_metadata(found[member]).requires for member in listed}
        _check_needed(requires, stated)
        members = tuple(
            # A lock holds no requirements of build requirements.
            msgspec.structs.replace(member, depends=_requirements(stated[member.name]))
            for member in sorted(listed)
        )
        environment = Environment(target=machine.target, python=machine.python, interpreter="host", members=members)
        store = open_store(self._cache / FOLDER / "store")
        bundled = pack(
            BundleRequest(
                project="build",
                lock=b"",
                steps=(StepBundle(step="build", target=machine.target.name, environment=environment),),
                level=_LEVEL,
            ),
            store,
            _LocalArtifacts({member.sha256: path for member, path in found.items()}),
            ledger=Ledger(self._cache / "derived"),
            progress=self._progress,
        )
        stored = StoredEnvironment(store, bundled.records[0])
        prefix, _ = ready_environment(stored, interpreter=machine.host, cache=self._cache, progress=self._progress)
        return prefix


def _check_needed(requires: Iterable[str], stated: Mapping[str, tuple[Requirement, ...]]) -> None:
    """Raise BadSource for a wheel that none of the others requires, as far as their own metadata says.

    An index could have claimed such a requirement, and the code of the added package would run. `stated` has the
    requirements of each wheel by project; whether their markers hold does not matter here.
    """
    waiting = [parse(text).name for text in requires]
    needed = set(waiting)
    while waiting:
        for each in stated.get(waiting.pop(), ()):
            if each.name not in needed:
                needed.add(each.name)
                waiting.append(each.name)
    if stray := sorted(stated.keys() - needed):
        raise BadSource(
            "the environment of a build",
            f"it was locked with {', '.join(stray)}, which no wheel in it requires",
            "the metadata of the index belongs to another file: run `envc lock --refresh --upgrade`, and report it to "
            "its operators",
        )


def _requirements(requires: Iterable[object]) -> tuple[str, ...]:
    return tuple(sorted({str(each) for each in requires if not getattr(each, "url", "")}))


class _LocalArtifacts:
    """Artifacts that are already on this machine."""

    def __init__(self, paths: Mapping[Sha256, Path]) -> None:
        self._paths = paths

    def fetch(self, members: Iterable[EnvironmentMember]) -> Iterator[tuple[EnvironmentMember, Path]]:
        for member in members:
            yield member, self._paths[member.sha256]
