"""coherence: whether a lock agrees with itself. A merge or an edit by hand may give one that no solver made. No I/O.

Nothing in a lock is believed because another line of it says so: ids, versions, sources and targets are compared with
the names of the artifacts, and the lists of packages with the requirements that lead to them. What a name cannot tell,
such as which digest a file has, is found when the file is read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, time

import msgspec

from envc.locking.manifest.direct import file_name_of
from envc.locking.plan.artifact_names import (
    build_faults,
    interpreter_faults,
    patch_of,
    tags_of,
)
from envc.locking.plan.closure import Closures, LockedPins
from envc.locking.plan.expand import StepTarget
from envc.locking.plan.pypi_coherence import (
    KnownEdges,
    Pin,
    PyPISide,
    build_requirement_faults,
    is_version,
)
from envc.model.digest import Sha256
from envc.model.graph import Artifact, Build, LockedEnvironment, LockGraph, Package, minor_of, target_name_of
from envc.model.kinds import DIRECT_SOURCES
from envc.model.lock_lines import Extra, StatedRequirement
from envc.model.manifest import Manifest, PyPIDependency
from envc_solvers.pypi.language.markers import Markers, environment_key, marker_environment
from envc_solvers.pypi.language.tags import fits
from envc_solvers.target import Python

SourceNames = tuple[tuple[str, ...], ...]  # of a step-target, if they are those of some steps only


class Coherence:
    """The checks of one lock against the manifest that it matches. Steps of one environment share them."""

    def __init__(self, manifest: Manifest, closures: Closures) -> None:
        self._manifest = manifest
        self._closures = closures
        # Otherwise all steps of an environment have the same sources on a target.
        self._has_own_sources = any(source.steps for source in manifest.sources.values())
        self._builds = closures.graph.builds_by_wheel()
        self._edges = KnownEdges(closures.graph)
        self._markers: dict[str, Markers] = {}
        self._known: dict[tuple[object, ...], tuple[str, ...]] = {}  # by environment, target key and sources
        # Pins that have no fault, by target key, patch release of Python and sources; by project.
        self._faultless: dict[tuple[object, ...], dict[str, Pin]] = {}
        self._of_pin: dict[tuple[object, ...], tuple[str, ...]] = {}  # the same on all targets; by artifact and sources
        self._fitting: dict[tuple[object, ...], bool] = {}  # by tags, target key and patch release of Python
        self._names = {id(package): package.name for package in closures.graph.packages}
        self._is_plain = all(package.kind == "pypi" for package in closures.graph.packages)

    def faults(self, locked: LockedEnvironment, step_target: StepTarget, target_key: str) -> tuple[str, ...]:
        """Why the packages of a step-target, which are those of `locked`, cannot be what a solver chose for it; () if
        they can. `target_key` is that of the step-target.

        Its inputs must be those of the lock, and no package may be missing (see `Closures.dangling`).
        """
        sources = _source_names(step_target) if self._has_own_sources else ()
        key = id(locked), target_key, sources
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = tuple(dict.fromkeys(self._faults(step_target)))
        return found

    def _faults(self, step_target: StepTarget) -> Iterator[str]:
        pins = self._closures.pins(step_target.step, step_target.key)
        by_kind: dict[str, dict[str, Pin]] = {"pypi": {}, "conda": {}, "interpreter": {}}
        names = [self._names[id(pin[0])] for pin in pins]
        if self._is_plain:
            by_kind["pypi"] = dict(zip(names, pins, strict=True))
        if len(by_kind["pypi"]) != len(pins):
            by_kind["pypi"].clear()
            for pin in pins:
                group = by_kind.setdefault(pin[0].kind, {})
                name = pin[0].name
                if name in group:
                    yield f"{group[name][0].id} and {pin[0].id} are releases of one package"
                group[name] = pin
        for package, artifact in (*by_kind["conda"].values(), *by_kind["interpreter"].values()):
            yield from self._closures.name_faults(package, artifact)
        yield from self._floor_faults(step_target)
        yield from self._interpreter_faults(step_target, by_kind)
        if by_kind["conda"] or step_target.uses_conda:
            from envc.locking.plan.conda_coherence import CondaSide  # late: many locks have no conda packages

            yield from CondaSide(step_target, by_kind["conda"], self._manifest).faults()
            for name, (package, _) in by_kind["conda"].items():
                yield from self._cut_off_faults(package, name)
        if by_kind["pypi"] or step_target.pypi:
            yield from self._pypi_faults(step_target, by_kind, _provided(pins) if step_target.is_mixed else {})

    def _pypi_faults(
        self,
        step_target: StepTarget,
        by_kind: Mapping[str, Mapping[str, Pin]],
        provided: Mapping[str, tuple[str, ...]],
    ) -> Iterator[str]:
        python = _python_of(step_target, by_kind, self._closures)
        environment = environment_key(step_target.target, python)
        if environment not in self._markers:
            self._markers[environment] = Markers(marker_environment(step_target.target, python), {})
        pins, markers = by_kind["pypi"], self._markers[environment]
        side = PyPISide(step_target, pins, provided, markers, self._manifest, self._edges)
        yield from side.faults()
        sources = _source_names(step_target)
        faultless = self._faultless.setdefault((step_target.key, python.answered_for, sources), {})
        own = side.direct.keys() | side.only.keys()  # what the step says about these projects is not shared
        for name, pin in pins.items():
            if faultless.get(name) is pin and name not in own:
                continue
            faults = [] if self._fits(pin[1], step_target, python) else [_misfit(pin, step_target)]
            if name in own:
                yield from (*faults, *self._pin_faults(name, pin, side))
                continue
            key = id(pin[0]), id(pin[1]), sources
            known = self._of_pin.get(key)
            if known is None:
                known = self._of_pin[key] = tuple(self._pin_faults(name, pin, side))
            if faults or known:
                yield from (*faults, *known)
            else:
                faultless[name] = pin

    def _fits(self, artifact: Artifact, step_target: StepTarget, python: Python) -> bool:
        """Whether a wheel can be installed by that Python on the target. Most wheels have the same few tags."""
        tags = tags_of(artifact.file)
        key = tags, step_target.key, python.answered_for
        found = self._fitting.get(key)
        if found is None:
            found = self._fitting[key] = fits(tags, step_target.target, python)
        return found

    def _pin_faults(self, name: str, pin: Pin, side: PyPISide) -> Iterator[str]:
        """What is wrong with one package on every target."""
        package, artifact = pin
        yield from self._closures.name_faults(package, artifact)
        yield from side.source_faults(name, package)
        yield from self._build_faults(pin, side.direct.get(name, ()))
        if name not in side.direct:
            yield from self._policy_faults(package)

    def _floor_faults(self, step_target: StepTarget) -> Iterator[str]:
        locked = self._closures.locked(step_target.step)
        for floor in locked.python_from if locked is not None else ():
            if step_target.interpreter != "host":
                yield f"the interpreter is {step_target.interpreter}, and python-from is {floor.version}"
            elif floor.version.rpartition(".")[0] != minor_of(step_target.key) or step_target.python.patch is not None:
                yield f"python-from is {floor.version}, which is no limit of Python {step_target.python.text}"
            for name in set(floor.targets).difference(map(target_name_of, locked.targets if locked else ())):
                yield f"python-from {floor.version} is for {name}, which the environment does not have"

    def _interpreter_faults(self, step_target: StepTarget, by_kind: Mapping[str, Mapping[str, Pin]]) -> Iterator[str]:
        python, found = step_target.python, by_kind["interpreter"]
        if by_kind["conda"] and not step_target.uses_conda:
            yield f"the interpreter is {step_target.interpreter}, and there are conda packages"
        if step_target.interpreter != "standalone":
            yield from (f"the interpreter is {step_target.interpreter}, and {package.id} is listed"
                        for package, _ in found.values())  # fmt: skip
            return
        if set(found) != {python.implementation}:
            yield f"the interpreter is standalone, and interpreter:{python.implementation} is not the one listed"
            return
        package, artifact = found[python.implementation]
        yield from interpreter_faults(package, artifact, step_target.target, python)
        yield from self._cut_off_faults(package, "")

    def _build_faults(self, pin: Pin, direct: Sequence[PyPIDependency]) -> Iterator[str]:
        package, artifact = pin
        builds = self._builds.get(artifact.sha256, ())
        for build in builds:
            yield from build_faults(package, artifact, build)
            yield from build_requirement_faults(build)
            for one in build.packages:
                if one.source not in self._manifest.sources and one.source not in DIRECT_SOURCES:
                    yield f"the build of {build.wheel} has {one.name} from {one.source}, which is no source"
            if package.name not in self._manifest.policy.build:
                yield f"{package.id} was built, which the manifest does not allow"
        if direct and not any(_is_origin(one, artifact, builds) for one in direct):
            yield f"{package.id} is not what the manifest's address of {package.name} names"

    def _policy_faults(self, package: Package) -> Iterator[str]:
        policy = self._manifest.policy
        if policy.prereleases == "never" and package.name not in policy.prereleases_for and is_version(package.version):
            from envc_solvers.pypi.language.specifier import parsed, release_of

            if release_of(package.version) is None and parsed(package.version).is_prerelease:
                yield f"{package.id} {package.version} is a pre-release"
        yield from self._cut_off_faults(package, package.name)

    def _cut_off_faults(self, package: Package, name: str) -> Iterator[str]:
        """A fixed cut-off also applies to locked files; a span does not (see `Policy.spans`)."""
        source = self._manifest.sources.get(package.source)
        general = None if source is not None and source.is_undated else self._manifest.exclude_newer
        cut_off = self._manifest.policy.exclude_newer_package.get(name, general)
        if not isinstance(cut_off, datetime) or package.released is None:
            return
        if datetime.combine(package.released, time(), UTC) >= cut_off:
            yield f"{package.id} was released on {package.released}, after the cut-off"


def surplus(graph: LockGraph) -> tuple[str, ...]:
    """What a lock contains although no environment of it uses it, sorted. No step is affected."""
    used: dict[str, set[str]] = {}  # target keys by package id
    found: set[str] = set()
    for environment in graph.environments:
        names = {key: target_name_of(key) for key in environment.targets}
        for ref in environment.packages:
            keys = used.setdefault(ref.id, set())
            keys.update(names) if not ref.targets else keys.update(k for k, n in names.items() if n in ref.targets)
            for name in set(ref.targets).difference(names.values()):
                found.add(f"{ref.id} is for {name}, which the environment of {environment.steps[0]} does not have")
    wheels: set[Sha256] = set()
    for package in graph.packages:
        if package.id not in used:
            found.add(f"{package.id} is in no environment")
            continue
        for artifact in package.artifacts:
            wheels.add(artifact.sha256)
            for key in set(artifact.targets) - used[package.id]:
                found.add(f"{artifact.file} is for {key}, where no step uses it")
    found.update(_unused_builds(graph.builds, wheels))
    found.update(_unrequested(graph))
    return tuple(sorted(found))


def _unused_builds(builds: tuple[Build, ...], wheels: set[Sha256]) -> Iterator[str]:
    reached, size = set(wheels), -1
    while size != len(reached):
        size = len(reached)
        reached.update(one.sha256 for build in builds if build.sha256 in reached for one in build.packages)
    yield from (f"the build of {build.wheel} is for no package" for build in builds if build.sha256 not in reached)


def _unrequested(graph: LockGraph) -> Iterator[str]:
    """Lines of `depends` that are only for extras which nothing requests; see `link`, which leaves them out."""
    waiting: dict[Extra, list[StatedRequirement]] = {}
    lines: list[tuple[Package, StatedRequirement]] = []
    requested: set[Extra] = set()
    for package in graph.packages:
        if package.kind != "pypi":
            continue
        for depends in {package.depends, *(one.depends for one in package.artifacts if one.depends is not None)}:
            for text in depends:
                if "[" not in text and "extra" not in text:
                    continue  # it requests no extra, and is for none
                stated = StatedRequirement.read(text)
                if stated.only_for:
                    lines.append((package, stated))
                    for extra in stated.only_for:
                        waiting.setdefault((package.name, extra), []).append(stated)
                else:
                    requested.update(stated.requested_extras)
    requested.update(
        extra for environment in graph.environments for one in environment.requires for extra in one.extras
    )
    pending = list(requested)
    while pending:
        for stated in waiting.pop(pending.pop(), ()):
            new = set(stated.requested_extras) - requested
            requested |= new
            pending += new
    for package, stated in lines:
        if not any((package.name, extra) in requested for extra in stated.only_for):
            yield f"{package.id} depends on {stated.text}, for an extra that nothing requests"


def _source_names(step_target: StepTarget) -> SourceNames:
    groups = (step_target.indexes, step_target.dedicated, step_target.channels)
    return tuple([tuple([source.name for source in group]) for group in groups])


def _misfit(pin: Pin, step_target: StepTarget) -> str:
    return f"{pin[0].id} has the file {pin[1].file}, whose tags do not fit {step_target.key}"


def _python_of(step_target: StepTarget, by_kind: Mapping[str, Mapping[str, Pin]], closures: Closures) -> Python:
    """A Python with the same answers as the one that was solved for: with the patch release of a locked interpreter,
    or the oldest one that the lock states.
    """
    if step_target.interpreter == "host":
        return closures.python(step_target)
    locked = by_kind["interpreter"].get(step_target.python.implementation)
    if step_target.interpreter == "conda":
        locked = by_kind["conda"].get("python")
    patch = patch_of(locked[0].version) if locked is not None else None
    if patch is None:
        return step_target.python
    return msgspec.structs.replace(step_target.python, patch=patch)


def _provided(pins: LockedPins) -> dict[str, tuple[str, ...]]:
    """The projects that conda packages supply, with the versions of those packages."""
    from envc_solvers.mixed.names import python_version

    found: dict[str, tuple[str, ...]] = {}
    for package, _ in pins:
        version = python_version(package.version[:200])
        for project in package.pypi:
            found[project] = (*found.get(project, ()), *([version] if version is not None else []))
    return found


def _is_origin(dependency: PyPIDependency, artifact: Artifact, builds: tuple[Build, ...]) -> bool:
    """Whether an artifact is what a direct requirement points at, or was built from it, as far as the lock tells."""
    if dependency.git is not None:
        rev = dependency.rev or ""
        is_commit = len(rev) in (40, 64) and not rev.strip("0123456789abcdef")
        return any(build.commit and (not is_commit or build.commit == rev) for build in builds)
    if dependency.requirement.url:
        file, digest = file_name_of(dependency.requirement.url), dependency.sha256
        if file.endswith(".whl"):
            return artifact.file == file and digest in (None, artifact.sha256)
        sdists = [build.sdist for build in builds if build.sdist is not None]
        return any(sdist.file == file and digest in (None, sdist.sha256) for sdist in sdists)
    if (dependency.path or "").endswith(".whl"):
        return artifact.file == (dependency.path or "").rpartition("/")[2]
    return bool(builds) and any(not build.commit for build in builds)
