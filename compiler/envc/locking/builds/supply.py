"""Supply: the artifacts of a lock, fetched or built again.

They come from the cache, from indexes and from the addresses of the manifest. A wheel that no source serves is built
again as the lock describes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from envc.context import Context
from envc.errors import DigestMismatch, EnvcError, SourceUnreachable
from envc.fetch.artifacts import Artifacts
from envc.fetch.git import Git
from envc.fetch.net.credentials import Keyring
from envc.locking.builds.builder import Builder
from envc.locking.builds.errors import BadSource
from envc.locking.builds.origin import Archive, Origin
from envc.locking.builds.references import References, source_of
from envc.locking.plan.expand import StepTarget
from envc.locking.worktree.local import NotThere
from envc.model.digest import sha256_file
from envc.model.environment import EnvironmentMember
from envc.model.graph import Build, LockGraph, SourceFile
from envc.model.kinds import DIRECT_SOURCES
from envc.model.manifest import Manifest, PyPIDependency

_STALE = "run `envc lock`"


class Supply:
    """Verified artifacts for `pack`, and for the environments of builds."""

    def __init__(
        self,
        artifacts: Artifacts,
        keyring: Keyring,
        manifest: Manifest,
        step_targets: Iterable[StepTarget],
        graph: LockGraph,
        context: Context,
    ) -> None:
        self._artifacts = artifacts
        self._root = manifest.root
        self._builds = graph.builds_by_wheel()
        self._direct: dict[tuple[str, str], list[PyPIDependency]] = {}  # by name and source
        for dependency in (
            *(each for one in step_targets for each in (*one.pypi, *one.limits.overrides.pypi)),
            *manifest.overrides.pypi,
        ):
            if dependency.is_direct:
                key = dependency.requirement.name, source_of(dependency)
                self._direct.setdefault(key, []).append(dependency)
        git = Git(context.cache / "git", context.environ, keyring, offline=context.offline)
        self._references = References(artifacts, git, manifest, offline=context.offline)
        self._builder = Builder(artifacts, context, supplier=self)

    def fetch(self, members: Iterable[EnvironmentMember]) -> Iterator[tuple[EnvironmentMember, Path]]:
        """Each member with a file that has its sha256, in any order.

        Raises the errors of `Artifacts.fetch`; BadSource and NotThere if the manifest no longer points at the locked
        sources; BuildElsewhere, BuildFailed and BuildMismatch if a wheel cannot be built again.
        """
        listed = []
        for member in members:
            if member.source in DIRECT_SOURCES or member.sha256 in self._builds:
                yield member, self._artifacts.cached(member.sha256, member.file) or self._find(member)
            else:
                listed.append(member)
        if listed:
            yield from self._artifacts.fetch(listed)

    def _find(self, member: EnvironmentMember) -> Path:
        """A wheel that is not in the cache, from the first place that has it."""
        attempts = self._attempts(member)
        failure: EnvcError | None = None
        for build, dependency in attempts:
            try:
                if build is not None:
                    return self._builder.rebuild(member.name, self._origin(member, build, dependency), build).path
                if dependency is not None:
                    return self._wheel(member, dependency)
            except (SourceUnreachable, DigestMismatch, NotThere, BadSource) as error:
                failure = failure or error
        raise failure or BadSource(member.file, "the manifest no longer gives its origin", _STALE)

    def _attempts(self, member: EnvironmentMember) -> list[tuple[Build | None, PyPIDependency | None]]:
        dependencies: list[PyPIDependency | None] = [*self._direct.get((member.name, member.source), ())]
        if member.source not in DIRECT_SOURCES:
            dependencies = [None]
        builds: tuple[Build | None, ...] = self._builds.get(member.sha256, (None,))
        return [(build, dependency) for build in builds for dependency in dependencies]

    def _wheel(self, member: EnvironmentMember, dependency: PyPIDependency) -> Path:
        if dependency.path is None:
            return self._references.download(dependency, member.sha256, member.size)[0]
        path = self._root / dependency.path
        if not path.is_file():
            raise NotThere(dependency.path, "does not exist")
        actual = sha256_file(path)
        if actual != member.sha256:
            raise DigestMismatch(dependency.path, member.sha256, actual, f"if the new file is intended, {_STALE}")
        return self._artifacts.adopt(path)[0]

    def _origin(self, member: EnvironmentMember, build: Build, dependency: PyPIDependency | None) -> Origin:
        """The sources that a build of the lock was made from."""
        if dependency is None:
            return self._listed(member, build)
        if build.commit:
            return self._references.commit(dependency, build.commit)
        if build.tree:
            tree = self._references.tree(dependency)
            if tree.digest != build.tree:
                raise BadSource(tree.path, "its files are not the locked ones", _STALE)
            return tree
        source = _sdist(build)
        if dependency.path is None:
            path, _, _ = self._references.download(dependency, source.sha256, source.size)
        else:
            path = self._root / dependency.path
            if not path.is_file() or sha256_file(path) != source.sha256:
                raise BadSource(dependency.path, "it is not the locked file", _STALE)
        return self._references.archive(dependency, path, source)

    def _listed(self, member: EnvironmentMember, build: Build) -> Archive:
        sdist = _sdist(build)
        return Archive(self._artifacts.get(member.replaced_by(sdist)), sdist)


def _sdist(build: Build) -> SourceFile:
    if build.sdist is None:
        raise BadSource(build.wheel, "the lock does not say what it was built from", _STALE)
    return build.sdist
