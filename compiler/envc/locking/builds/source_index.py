"""The index of a problem with its direct requirements, and with the sdists of projects that may be built."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from envc.errors import BuildNotAllowed
from envc.fetch.pypi.indexes import Indexes, ProjectIndex
from envc.locking.builds.builder import Builder, Built, LockRequirements
from envc.locking.builds.origin import Archive, Origin
from envc.locking.builds.references import Reference, read_static
from envc.model.graph import SourceFile
from envc_solvers.pypi.language.index import File, Release, View, is_sdist
from envc_solvers.pypi.language.requirement import Metadata, Requirement, sorted_requirements
from envc_solvers.pypi.language.tags import rank_files, version_of, wheel_tags
from envc_solvers.solution import Pin, Solution
from envc_solvers.target import Python, Target


class BuildRules(msgspec.Struct, frozen=True, kw_only=True):
    """How source distributions become wheels for one problem."""

    builder: Builder
    buildable: frozenset[str]  # projects that may be built
    lock: LockRequirements  # locks build requirements


class SourceIndex:
    """`envc_solvers.pypi.language.index.Index` over the sources, and over the direct requirements of the manifest.

    If a project may be built, its source distributions are listed after the wheels of each version. `build` builds
    those that a solution has chosen.
    """

    def __init__(
        self,
        listed: ProjectIndex,
        origins: Indexes,
        target: Target,
        python: Python,
        *,
        references: Mapping[str, Reference],
        builds: BuildRules,
    ) -> None:
        self._listed = listed
        self._origins = origins
        self._target = target
        self._python = python
        self._references = references
        self._builds = builds
        self._views: dict[str, View] = {}
        self._archives: dict[tuple[str, str], Archive] = {}  # by project and file
        self._static: dict[str, Metadata | None] = {}  # by the origin's identity
        self._built: dict[tuple[str, str], Built] = {}  # by project and file of the origin
        self._overruled: dict[tuple[str, str], Metadata] = {}  # metadata as stated, by project and file

    def view(self, name: str) -> View:
        """The project as this target sees it. Raises ProjectNotFound."""
        if name not in self._views:
            if name in self._references:
                self._views[name] = self._view_of(self._references[name])
            elif name in self._builds.buildable:
                self._views[name] = self._with_sdists(name)
            else:
                return self._listed.view(name)
        return self._views[name]

    def files(self, name: str) -> tuple[File, ...]:
        reference = self._references.get(name)
        if reference is None:
            return self._listed.files(name)
        return (reference.wheel,) if reference.wheel is not None else ()

    def metadata(self, view: View, file: File) -> Metadata:
        """The metadata of a file. For sources, that is their static metadata, else that of the built wheel."""
        stated = self._stated(view, file)
        if not any(requirement.url and requirement.name in self._references for requirement in stated.requires):
            return stated
        # If a package and the manifest both give the address of a project, the manifest's counts.
        self._overruled[view.name, file.name] = stated
        requires = tuple(
            msgspec.structs.replace(each, url="") if each.name in self._references else each for each in stated.requires
        )
        return msgspec.structs.replace(stated, requires=requires)

    def _stated(self, view: View, file: File) -> Metadata:
        built = self._built.get((view.name, file.name))
        if built is not None:
            return built.metadata
        reference = self._references.get(view.name)
        if reference is not None:
            return reference.metadata or self._build(view, file).metadata
        if file.name.endswith(".whl"):
            return self._listed.metadata(view, file)
        origin = self._origin(view, file)
        if origin.identity not in self._static:
            self._static[origin.identity] = read_static(origin)
        return self._static[origin.identity] or self._build(view, file).metadata

    def expect(self, requirements: Iterable[Requirement]) -> None:
        self._listed.expect(each for each in requirements if each.name not in self._references)

    def expect_metadata(self, view: View, files: Iterable[File]) -> None:
        if view.name not in self._references:
            self._listed.expect_metadata(view, (file for file in files if file.name.endswith(".whl")))

    def build(self, solution: Solution) -> bool:
        """Build the sources that a solution chose. Returns False if a wheel's metadata differs from theirs."""
        agrees = True
        for pin in solution.pins:
            if pin.file.endswith(".whl") or (pin.name, pin.file) in self._built:
                continue
            view = self.view(pin.name)
            file = next(file for release in view.releases for file in release.files if file.name == pin.file)
            before = self._stated(view, file)
            agrees &= _solves_alike(before, self._build(view, file).metadata)
        return agrees

    def built(self, solution: Solution) -> Solution:
        """The solution with the built wheels in place of their sources."""
        return msgspec.structs.replace(solution, pins=tuple(self._built_pin(pin) for pin in solution.pins))

    def _built_pin(self, pin: Pin) -> Pin:
        if (stated := self._overruled.get((pin.name, pin.file))) is not None:
            pin = msgspec.structs.replace(pin, requires=sorted_requirements(stated.requires))
        built = self._built.get((pin.name, pin.file))
        if built is None:
            return pin
        return msgspec.structs.replace(
            pin,
            file=built.build.wheel,
            sha256=built.build.sha256,
            size=built.size,
            version=built.metadata.version,
            license=built.metadata.license,
            requires=sorted_requirements(built.metadata.requires),
        )

    def _view_of(self, reference: Reference) -> View:
        name, source = reference.name, reference.source
        if reference.wheel is not None:
            return rank_files(name, source, [reference.wheel], wheel_tags(self._target, self._python))
        assert reference.origin is not None
        file = File(name=reference.origin.file)
        version = reference.metadata.version if reference.metadata else self._make(name, reference.origin, file).version
        return View(name, source, (Release.of(version, (file,)),))

    def _with_sdists(self, name: str) -> View:
        from packaging.version import Version

        view = self._listed.view(name)
        releases = {Version(release.version): release for release in view.releases}
        for file in self._listed.files(name):
            version = version_of(file.name, name) if is_sdist(file.name) else None
            if version is None:
                continue
            release = releases.get(version) or Release.of(str(version), ())
            releases[version] = Release.of(release.version, (*release.files, file))
        usable = View(name, view.source, tuple(releases[version] for version in sorted(releases, reverse=True)))
        return usable.with_others(other for other in view.others if Version(other.version) not in releases)

    def _origin(self, view: View, file: File) -> Origin:
        reference = self._references.get(view.name)
        if reference is not None and reference.origin is not None:
            return reference.origin
        key = view.name, file.name
        if key not in self._archives:
            path, digest, size = self._origins.obtain(view.source, view.name, file)
            self._archives[key] = Archive(path, SourceFile(file=file.name, size=size, sha256=digest))
        return self._archives[key]

    def _build(self, view: View, file: File) -> Built:
        self._make(view.name, self._origin(view, file), file)
        return self._built[view.name, file.name]

    def _make(self, name: str, origin: Origin, file: File) -> Metadata:
        if name not in self._builds.buildable:
            raise BuildNotAllowed((name,), ((origin.label,),))
        built = self._builds.builder.wheel(name, origin, self._target, self._python, self._builds.lock)
        self._built[name, file.name] = built
        return built.metadata


def _solves_alike(one: Metadata, other: Metadata) -> bool:
    """Whether a solver finds the same solution with either."""
    return (one.version, set(one.requires), one.requires_python, one.extras) == (
        other.version,
        set(other.requires),
        other.requires_python,
        other.extras,
    )
