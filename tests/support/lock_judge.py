"""A judge of locks that shares no code with `locking.plan.coherence`: whether the packages of a step on a target can be
what a solver chose. Plain loops over packaging's and conda's own values, easy to read and slow.
"""

from __future__ import annotations

from fnmatch import fnmatchcase

from packaging.markers import Marker, default_environment
from packaging.requirements import Requirement
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from packaging.version import Version

from envc.locking.plan.expand import StepTarget
from envc.model.graph import Artifact, LockGraph, Package
from envc.model.kinds import DIRECT_SOURCES
from envc.model.manifest import Manifest
from envc_solvers.conda.language.record import Record
from envc_solvers.conda.language.virtual import virtual_packages
from envc_solvers.pypi.language.markers import marker_environment
from envc_solvers.pypi.language.tags import wheel_tags
from tests.support.conda_judge import complaints

Pins = dict[str, tuple[Package, Artifact]]  # by name


def judged(graph: LockGraph, manifest: Manifest, step_target: StepTarget) -> list[str]:
    """Return everything wrong with what the lock has for a step on a target."""
    found, pins = _pins(graph, step_target)
    if found:
        return found
    conda = {name: pin for (kind, name), pin in pins.items() if kind == "conda"}
    pypi = {name: pin for (kind, name), pin in pins.items() if kind == "pypi"}
    interpreters = {name: pin for (kind, name), pin in pins.items() if kind == "interpreter"}
    if len(conda) + len(pypi) + len(interpreters) != len(pins):
        found.append("a package of another kind")
    if set(interpreters) != ({"cpython"} if step_target.interpreter == "standalone" else set()):
        found.append(f"interpreters {set(interpreters)}")
    for package, artifact in interpreters.values():
        if not artifact.file.startswith(f"cpython-{package.version}+{package.build}-"):
            found.append(f"{package} is not {artifact.file}")
    found += _conda_faults(conda, manifest, step_target)
    supplied = {project: package.version for package, _ in conda.values() for project in package.pypi}
    return found + _pypi_faults(pypi, supplied if step_target.is_mixed else {}, manifest, step_target, graph)


def _pins(
    graph: LockGraph, step_target: StepTarget
) -> tuple[list[str], dict[tuple[str, str], tuple[Package, Artifact]]]:
    environments = [each for each in graph.environments if step_target.step in each.steps]
    if len(environments) != 1 or step_target.key not in environments[0].targets:
        return ["not in one environment"], {}
    found, pins = [], {}
    for ref in environments[0].packages:
        if ref.targets and step_target.target_name not in ref.targets:
            continue
        packages = [package for package in graph.packages if package.id == ref.id]
        artifacts = [
            artifact
            for package in packages
            for artifact in package.artifacts
            if not artifact.targets or step_target.key in artifact.targets
        ]
        if len(packages) != 1 or len(artifacts) != 1:
            found.append(f"{ref.id} has {len(packages)} entries and {len(artifacts)} files")
            continue
        key = packages[0].kind, packages[0].name
        if key in pins:
            found.append(f"{key} twice")
        pins[key] = packages[0], artifacts[0]
    return found, pins


def _pypi_faults(
    pins: Pins, supplied: dict[str, str], manifest: Manifest, step_target: StepTarget, graph: LockGraph
) -> list[str]:
    found = []
    tags = set(wheel_tags(step_target.target, step_target.python).order)
    built = {build.sha256: build for build in graph.builds}
    environment = {**default_environment(), **marker_environment(step_target.target, step_target.python)}
    own = {each.requirement.name: each for each in step_target.pypi if each.is_direct}
    for name, (package, artifact) in pins.items():
        try:
            project, version, _, file_tags = parse_wheel_filename(artifact.file)
        except InvalidWheelFilename as error:
            found.append(str(error))
            continue
        if (project, version) != (canonicalize_name(name), Version(package.version)):
            found.append(f"{package.id} {package.version} is {artifact.file}")
        if tags.isdisjoint(map(str, file_tags)):
            found.append(f"{artifact.file} is not for {step_target.key}")
        if Version(package.version).is_prerelease:
            found.append(f"{package.id} {package.version} is a pre-release")
        dedicated = {each.name for each in step_target.dedicated if any(fnmatchcase(name, g) for g in each.projects)}
        allowed = DIRECT_SOURCES if name in own else dedicated or {each.name for each in step_target.indexes}
        if package.source not in allowed:
            found.append(f"{package.id} from {package.source}")
        if artifact.sha256 in built and name not in manifest.policy.build:
            found.append(f"{package.id} was built")

    overrides = {each.requirement.name: str(each.requirement) for each in manifest.overrides.pypi}
    reached: set[tuple[str, str]] = set()
    queue = [("the step", str(each.requirement), "") for each in step_target.pypi]
    while queue:
        by, text, extra = queue.pop()
        # What stands before a marker that does not hold is not looked at.
        marker = text.partition(";")[2]
        if marker and not Marker(marker).evaluate({**environment, "extra": extra}):
            continue
        requirement = Requirement(text)
        name = canonicalize_name(requirement.name)
        if by != "the step" and not by.startswith("override") and name in overrides:
            queue.append((f"override for {by}", overrides[name], ""))
            continue
        version = pins[name][0].version if name in pins else supplied.get(name)
        if version is None or not requirement.specifier.contains(version, prereleases=True):
            found.append(f"{by} requires {text}, and there is {version}")
            continue
        for wanted in ("", *map(canonicalize_name, requirement.extras)):
            if name in pins and (name, wanted) not in reached:
                reached.add((name, wanted))
                package, artifact = pins[name]
                lines = package.depends if artifact.depends is None else artifact.depends
                queue += [(package.id, line, wanted) for line in lines]
    # A lock does not have requirements that name a URL. Where the manifest replaces them, they still lead to a package.
    found += [f"nothing requires {name}" for name in pins if (name, "") not in reached and name not in overrides]
    found += [f"{name} is supplied by conda" for name in pins if name in supplied]
    for one in manifest.constraints.pypi:
        name = one.requirement.name
        if name in pins and not Requirement(str(one.requirement)).specifier.contains(pins[name][0].version):
            found.append(f"the constraint {one.requirement}")
    return found


def _conda_faults(pins: Pins, manifest: Manifest, step_target: StepTarget) -> list[str]:
    if not step_target.uses_conda:
        return [f"{name} of conda" for name in pins]
    found = []
    overrides = {one.spec.split()[0]: one.spec for one in manifest.overrides.conda}
    records = {}
    for name, (package, artifact) in pins.items():
        build = package.build or artifact.file.removesuffix(".conda").rpartition("-")[2]
        if artifact.file != f"{name}-{package.version}-{build}.conda":
            found.append(f"{package.id} {package.version} {build} is {artifact.file}")
        if package.source not in {channel.name for channel in step_target.channels}:
            found.append(f"{package.id} from {package.source}")
        depends = package.depends if artifact.depends is None else artifact.depends
        records[name] = Record(
            name=name,
            version=package.version,
            build=build,
            channel=package.source,
            subdir="noarch" if artifact.noarch else step_target.target.platform,
            file=artifact.file,
            depends=tuple(overrides.get(line.split()[0], _known_channel(line, step_target)) for line in depends),
        )
    python = step_target.python.minor
    specs = [*(one.spec for one in step_target.conda), f"python {python[0]}.{python[1]}.*"]
    machine = virtual_packages(step_target.target, [])
    limits = Record(
        name="constraints",
        version="1",
        build="0",
        file="",
        channel="",
        subdir="noarch",
        sha256="",
        constrains=tuple(one.spec for one in manifest.constraints.conda),
    )
    wrong = complaints({**records, "constraints": limits}, [*specs, "constraints"], machine)
    return found + wrong


def _known_channel(spec: str, step_target: StepTarget) -> str:
    """A spec without a channel that the step lacks: it may be the address of one, which a lock does not hold."""
    channel, separator, rest = spec.rpartition("::")
    return rest if separator and channel not in {one.name for one in step_target.channels} else spec
