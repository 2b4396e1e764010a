"""References: the wheels and sources that the direct requirements of a manifest point at, now or when locked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import msgspec

from envc.errors import DigestMismatch, OfflineMiss, SourceUnreachable
from envc.fetch.artifacts import Artifacts
from envc.fetch.git import Git
from envc.fetch.pypi.listing import ListedFile
from envc.fetch.pypi.metadata import project_metadata, static_metadata, wheel_metadata
from envc.locking.builds.errors import BadSource
from envc.locking.builds.origin import Archive, Commit, Origin, Tree
from envc.locking.manifest.direct import file_name_of
from envc.locking.plan.expand import render_dependency
from envc.locking.worktree.local import NotThere, local_digest
from envc.model.digest import Sha256, parse_sha256
from envc.model.graph import Artifact, Build, LockGraph, SourceFile
from envc.model.kinds import DIRECT_SOURCES, DirectSource
from envc.model.manifest import Manifest, PyPIDependency
from envc_solvers.errors import MetadataUnusable
from envc_solvers.pypi.language.index import File
from envc_solvers.pypi.language.requirement import Metadata

_CHANGED = "the file at that address has changed: `envc lock -P {name}` takes the new one, if that is intended"
_ADDRESS = "its address"  # what messages call the source of a direct URL


class Reference(msgspec.Struct, frozen=True, kw_only=True):
    """The wheel that a direct requirement points at, or the sources of one."""

    name: str  # normalised
    source: DirectSource
    wheel: File | None = None  # with sha256 and size
    metadata: Metadata | None = None  # None if it is known only after a build
    origin: Origin | None = None


class References:
    """The direct requirements of a run, each looked up once."""

    def __init__(
        self,
        artifacts: Artifacts,
        git: Git,
        manifest: Manifest,
        *,
        offline: bool,
        lock: LockGraph | None = None,
        is_unpinned: Callable[[str], bool] = lambda _name: False,
    ) -> None:
        """The commits and files that `lock` holds are kept, except for names for which `is_unpinned` is true."""
        self._artifacts = artifacts
        self._git = git
        self._root = manifest.root
        self._lock_path = manifest.lock_path
        self._offline = offline
        self._lock = lock
        self._is_unpinned = is_unpinned
        self._found: dict[str, Reference] = {}

    def find(self, dependency: PyPIDependency, keys: Iterable[str]) -> Reference:
        """Find the wheel or sources that a requirement points at, on these target keys.

        Raises BadSource, NotThere, DigestMismatch, SourceUnreachable, OfflineMiss.
        """
        key = _address_of(dependency)
        if key not in self._found:
            self._found[key] = self._find(dependency, frozenset(keys))
        return self._found[key]

    def _find(self, dependency: PyPIDependency, keys: frozenset[str]) -> Reference:
        name = dependency.requirement.name
        if dependency.git is not None:
            known = self._locked(dependency, keys)
            commit = known or self._git.commit(name, dependency.git, dependency.rev)
            return self._from_origin(name, "git", self.commit(dependency, commit, is_locked=bool(known)))
        if dependency.path is not None:
            path = self._root / dependency.path
            if path.is_dir():
                return self._from_origin(name, "path", self.tree(dependency))
            if not path.is_file():
                raise NotThere(dependency.path, "does not exist")
            return self._from_file(dependency, "path", *self._artifacts.adopt(path))
        stated = dependency.sha256 or self._locked(dependency, keys)
        return self._from_file(dependency, "url", *self.download(dependency, parse_sha256(stated) if stated else None))

    def commit(self, dependency: PyPIDependency, commit: str, *, is_locked: bool = True) -> Commit:
        """A commit of the repository that a requirement names. `is_locked`: the lock has it for exactly this one."""
        name, folder = dependency.requirement.name, _subdirectory(dependency)
        return Commit(self._git, name, dependency.git or "", commit, folder, is_locked)

    def tree(self, dependency: PyPIDependency) -> Tree:
        """The local project that a requirement names, as it is now. Raises NotThere."""
        path = dependency.path or ""
        digest = local_digest(self._root, path, self._lock_path)
        return Tree(self._root / path, path, digest, self._lock_path)

    def archive(self, dependency: PyPIDependency, path: Path, source: SourceFile) -> Archive:
        """An archive that a requirement names, already downloaded to `path`."""
        return Archive(path, source, _subdirectory(dependency))

    def download(self, dependency: PyPIDependency, expected: Sha256 | None, size: int = 0) -> tuple[Path, Sha256, int]:
        """The file at a requirement's URL, with its digest and size. Taken from the cache if its digest is known."""
        url = dependency.requirement.url
        file = file_name_of(url)
        if expected is not None and (kept := self._artifacts.cached(expected, file)) is not None:
            return kept, expected, kept.stat().st_size
        if self._offline:
            raise OfflineMiss(file)
        try:
            listed = ListedFile(File(name=file, sha256=expected or "", size=size), url)
            return self._artifacts.obtain_named(_ADDRESS, listed)
        except DigestMismatch as error:
            if dependency.sha256 is None:
                error.hint = _CHANGED.format(name=dependency.requirement.name)
            raise
        except SourceUnreachable as error:
            if error.reason in ("HTTP 404", "HTTP 410"):
                error.hint = f"correct the address of {dependency.requirement.name} in the manifest"
            raise

    def _from_file(
        self, dependency: PyPIDependency, source: DirectSource, path: Path, digest: Sha256, size: int
    ) -> Reference:
        name = dependency.requirement.name
        if not path.name.endswith(".whl"):
            archive = self.archive(dependency, path, SourceFile(file=path.name, size=size, sha256=digest))
            return self._from_origin(name, source, archive)
        try:
            metadata = wheel_metadata(path)
        except MetadataUnusable as error:
            raise BadSource(path.name, error.reason) from None
        _check_name(path.name, name, metadata)
        return Reference(
            name=name, source=source, wheel=File(name=path.name, sha256=digest, size=size), metadata=metadata
        )

    def _from_origin(self, name: str, source: DirectSource, origin: Origin) -> Reference:
        metadata = read_static(origin)
        if metadata is not None:
            _check_name(origin.label, name, metadata)
        return Reference(name=name, source=source, metadata=metadata, origin=origin)

    def _locked(self, dependency: PyPIDependency, keys: frozenset[str]) -> str:
        """The commit or the sha256 of a file that was locked for exactly this requirement; "" if there is none.

        Wheels for these target keys take precedence, because markers may select between two places of one project.
        """
        if self._lock is None or self._is_unpinned(dependency.requirement.name):
            return ""
        on_keys: set[str] = set()
        anywhere: set[str] = set()
        for artifact, build in _locked_wheels(self._lock, dependency):
            state = _state(dependency, artifact, build)
            if state:
                anywhere.add(state)
                if not artifact.targets or keys & set(artifact.targets):
                    on_keys.add(state)
        for states in (on_keys, anywhere):
            if len(states) == 1:
                return states.pop()
        return ""


def _subdirectory(dependency: PyPIDependency) -> str:
    """The folder of the project within its sources, in the form that git and archives use."""
    parts = [part for part in (dependency.subdirectory or "").split("/") if part not in ("", ".")]
    return "/".join(parts)


def _state(dependency: PyPIDependency, artifact: Artifact, build: Build | None) -> str:
    if dependency.git is not None:
        return build.commit if build is not None else ""
    file = file_name_of(dependency.requirement.url)
    if build is None:
        return artifact.sha256 if artifact.file == file else ""
    return build.sdist.sha256 if build.sdist is not None and build.sdist.file == file else ""


def _locked_wheels(graph: LockGraph, dependency: PyPIDependency) -> Iterator[tuple[Artifact, Build | None]]:
    """The wheels that a lock holds for a direct requirement, each with its build, if it was built."""
    text = render_dependency(dependency)
    builds = graph.builds_by_wheel()
    packages = {package.id: package for package in graph.packages}
    for environment in graph.environments:
        if not any(one.text == text for one in environment.requires):
            continue
        for ref in environment.packages:
            package = packages.get(ref.id)
            if package is None or package.name != dependency.requirement.name or package.source not in DIRECT_SOURCES:
                continue
            for artifact in package.artifacts:
                for build in builds.get(artifact.sha256, (None,)):
                    yield artifact, build


def source_of(dependency: PyPIDependency) -> DirectSource:
    """The name that a lock gives to the source of a direct requirement."""
    return "git" if dependency.git else "path" if dependency.path else "url"


def read_static(origin: Origin) -> Metadata | None:
    """The metadata that is known without building; None if it needs a build. Raises BadSource."""
    try:
        pkg_info = origin.read("PKG-INFO") if isinstance(origin, Archive) else None
        metadata = static_metadata(origin.file, pkg_info) if pkg_info is not None else None
        if metadata is None and (pyproject := origin.read("pyproject.toml")) is not None:
            metadata = project_metadata(origin.file, pyproject)
    except MetadataUnusable as error:
        raise BadSource(origin.label, error.reason) from None
    return metadata


def _check_name(file: str, name: str, metadata: Metadata) -> None:
    if metadata.name != name:
        raise BadSource(file, f"it is {metadata.name}, not {name}", f"write {metadata.name} as the requirement's name")


def _address_of(dependency: PyPIDependency) -> str:
    """Equal for requirements that point at the same place, whatever their markers and extras."""
    bare = msgspec.structs.replace(dependency.requirement, marker="", extras=(), specifier="")
    return render_dependency(msgspec.structs.replace(dependency, requirement=bare))
