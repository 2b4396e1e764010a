"""What the name of an artifact says, compared with what a lock says about it. Pure functions.

The name of a wheel, of a conda package and of the archive of an interpreter states project, version and more. A lock
that was merged or edited by hand may state something else, and would be reviewed as one version and run as another.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from envc.locking.plan.package_ids import spellings
from envc.model.graph import Artifact, Build, Package, build_string
from envc.model.kinds import DIRECT_SOURCES
from envc_solvers.pypi.language.requirement import canonicalize_name
from envc_solvers.target import PLATFORMS, Python, Target

STANDALONE = "standalone"  # the source of the archives of interpreters
_CONDA = (".conda", ".tar.bz2")
_STANDALONE = r"cpython-(3\.\d+\.\d+)\+(\d+)-([a-z0-9_]+)-(.+)\.tar\.gz"
_PYPY = r"pypy(3\.\d+)-v.+"
_SYSTEMS = {"linux": "linux", "macos": "apple-darwin", "windows": "windows"}
_CPUS = {"amd64": "x86_64", "arm64": "aarch64", "win32": "i686"}


def package_faults(package: Package) -> Iterator[str]:
    """Why the id and the fields of a package contradict each other."""
    kind, name = package.kind, package.name
    if package.id not in spellings((kind, name, package.version, package.source, package.variant)):
        yield f"{package.id} is not an id of version {package.version} from {package.source}"
    if kind == "pypi" and canonicalize_name(name) != name:
        yield f"{package.id} is not the normalised name of a project"
    if kind not in ("pypi", "conda", "interpreter"):
        yield f"{package.id} is of an unknown kind"
    if (kind == "pypi" and package.build) or (kind != "conda" and package.pypi):
        yield f"{package.id} has fields of a conda package"


def artifact_faults(package: Package, artifact: Artifact) -> Iterator[str]:
    """Why an artifact cannot be one of its package."""
    match package.kind:
        case "pypi":
            fault = wheel_fault(package.name, package.version, artifact.file)
        case "conda":
            fault = _conda_fault(package, artifact)
        case _:
            fault = _standalone_fault(package, artifact.file)
    if fault is not None:
        yield f"{package.id} {package.version} has the file {fault}"
    if (artifact.noarch and package.kind != "conda") or (artifact.site_packages and package.id != "conda:python"):
        yield f"{package.id} has the file {artifact.file} with fields of another kind of package"


def wheel_fault(name: str, version: str, file: str) -> str | None:
    """Why a file cannot be a wheel of that version of a project (PEP 427); None if it can. The file comes first."""
    parts = file.removesuffix(".whl").split("-")
    if not file.endswith(".whl") or len(parts) not in (5, 6) or (len(parts) == 6 and not parts[2][:1].isdigit()):
        return f"{file}, which is not the name of a wheel"
    if canonicalize_name(parts[0]) != name:
        return f"{file}, which is of {canonicalize_name(parts[0])}"
    return None if _is_same(parts[1], version) else f"{file}, which is of version {parts[1]}"


def tags_of(wheel: str) -> str:
    """The tags in the name of a wheel: ``cp312-cp312-manylinux_2_28_x86_64``."""
    return "-".join(wheel.removesuffix(".whl").split("-")[-3:])


def build_faults(package: Package, artifact: Artifact, build: Build) -> Iterator[str]:
    """Why the build of a wheel contradicts the wheel or itself."""
    if build.wheel != artifact.file:
        yield f"{package.id} has the file {artifact.file}, and its build made {build.wheel}"
    if build.sdist is not None and package.source not in DIRECT_SOURCES:
        from envc_solvers.pypi.language.tags import version_of  # late: few wheels are built

        version = version_of(build.sdist.file, package.name)
        if version is None or not _is_same(str(version), package.version):
            yield f"{package.id} {package.version} was built from {build.sdist.file}"
    for one in build.packages:
        fault = wheel_fault(one.name, one.version, one.file)
        if fault is not None:
            yield f"the build of {build.wheel} has {one.name} {one.version} with the file {fault}"


def _is_same(text: str, version: str) -> bool:
    """Whether the version in the name of a wheel is that version. Old names have ``_`` where versions have ``-``."""
    if text == version:
        return True
    from packaging.version import InvalidVersion, Version

    try:
        expected = Version(version[:200])
    except InvalidVersion:
        return False
    for spelling in (text[:200], text[:200].replace("_", "-")):
        try:
            if Version(spelling) == expected:
                return True
        except InvalidVersion:
            pass
    return False


def _conda_fault(package: Package, artifact: Artifact) -> str | None:
    file = artifact.file
    stem = next((file.removesuffix(end) for end in _CONDA if file.endswith(end)), "")
    name, _, rest = stem.rpartition("-")[0].rpartition("-")
    build = stem.rpartition("-")[2]
    if not name:
        return f"{file}, which is not the name of a conda package"
    if (name, rest) != (package.name, package.version):
        return f"{file}, which is {name} {rest}"
    if build != build_string(package, artifact) or package.variant not in ("", build):
        return f"{file}, which is build {build}"
    return None


def _standalone_fault(package: Package, file: str) -> str | None:
    """Only names in the form of python-build-standalone are compared: a table of one's own may have any."""
    found = re.fullmatch(_STANDALONE, file)
    if found is not None and ("cpython", found[1], found[2]) != (package.name, package.version, package.build):
        return f"{file}, which is cpython {found[1]}, build {found[2]}"
    found = re.fullmatch(_PYPY, file)
    if found is not None and (package.name != "pypy" or not package.version.startswith(f"{found[1]}.")):
        return f"{file}, which is pypy {found[1]}"
    return None


def interpreter_faults(package: Package, artifact: Artifact, target: Target, python: Python) -> tuple[str, ...]:
    """Why the archive of a standalone interpreter is not that Python for that target, as far as its name says."""
    found = [*package_faults(package), *artifact_faults(package, artifact)]
    if package.source != STANDALONE:
        found.append(f"{package.id} is from {package.source}")
    version = package.version
    expected = f"{python.minor[0]}.{python.minor[1]}.{'' if python.patch is None else python.patch}"
    is_expected = version.startswith(expected) if python.patch is None else version == expected
    if not is_expected or patch_of(version) is None:
        found.append(f"{package.id} {version} is not Python {python.text}")
    if not _is_for_platform(artifact.file, target.platform):
        found.append(f"{package.id} has the file {artifact.file}, which is not for {target.platform}")
    return tuple(found)


def patch_of(version: str) -> int | None:
    """The patch release of a version of Python with at least three parts; None for other texts."""
    parts = version.split(".")
    return int(parts[2]) if len(parts) > 2 and parts[2].isdecimal() and len(parts[2]) < 6 else None


def _is_for_platform(file: str, platform: str) -> bool:
    """Whether the archive of an interpreter may be for that platform, as far as its name says."""
    found = re.fullmatch(_STANDALONE, file)
    if found is None:
        return True
    facts = PLATFORMS[platform]
    return found[3].startswith(_CPUS.get(facts.arch, facts.arch)) and _SYSTEMS[facts.family] in found[4]
