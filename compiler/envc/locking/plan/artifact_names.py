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
from envc_solvers.target import PLATFORMS, Python, Target, parse_python_key

STANDALONE = "standalone"  # the source of the archives of interpreters
_CONDA = (".conda", ".tar.bz2")
# Version, build and the rest, which begins with the CPU in archives of python-build-standalone. Other forms are never
# taken from a table (`fetch.standalone`).
_CPYTHON = r"cpython-(3\.[0-9]{1,3}\.[0-9]{1,3})\+([0-9]{8})-([\w.+-]+)\.tar\.gz"
_PYPY = r"pypy(3\.[0-9]{1,3})-v([0-9]{1,9}\.[0-9]{1,9}\.[0-9]{1,9})-(\w+)\.(?:tar\.gz|tar\.bz2|zip)"
_SYSTEMS = {"linux": "linux", "macos": "apple-darwin", "windows": "windows"}
_PYPY_PLATFORMS = {
    "linux64": "linux-64",
    "linux32": "linux-32",
    "aarch64": "linux-aarch64",
    "macos_x86_64": "osx-64",
    "osx64": "osx-64",
    "macos_arm64": "osx-arm64",
    "win64": "win-64",
}
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
    if not _is_python(build.python):
        yield f"the build of {build.wheel} was made by {build.python}, which is no Python of a platform"
    for one in build.packages:
        fault = wheel_fault(one.name, one.version, one.file)
        if fault is not None:
            yield f"the build of {build.wheel} has {one.name} {one.version} with the file {fault}"


def _is_python(key: str) -> bool:
    """Whether a text is a platform with a Python, such as ``linux-64/cp312``."""
    platform, _, python = key.partition("/")
    try:
        parse_python_key(python)
    except ValueError:
        return False
    return platform in PLATFORMS


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
    found = re.fullmatch(_CPYTHON, file)
    if found is not None:
        is_same = ("cpython", found[1], found[2]) == (package.name, package.version, package.build)
        return None if is_same else f"{file}, which is cpython {found[1]}, build {found[2]}"
    found = re.fullmatch(_PYPY, file)
    if found is not None:
        # The name has only the minor version of the language.
        is_same = ("pypy", found[2]) == (package.name, package.build) and package.version.startswith(f"{found[1]}.")
        return None if is_same else f"{file}, which is pypy {found[1]}, build {found[2]}"
    return f"{file}, which is not the name of an interpreter's archive"


def interpreter_faults(package: Package, artifact: Artifact, target: Target, python: Python) -> tuple[str, ...]:
    """Why the archive of a standalone interpreter is not that Python for that target, as far as its name says."""
    found = [*package_faults(package), *artifact_faults(package, artifact)]
    if package.source != STANDALONE:
        found.append(f"{package.id} is from {package.source}")
    version = package.version
    expected = f"{python.minor[0]}.{python.minor[1]}.{'' if python.patch is None else python.patch}"
    is_expected = version.startswith(expected) if python.patch is None else version == expected
    patch = patch_of(version)
    if not is_expected or patch is None or not python.serves_on(patch):
        found.append(f"{package.id} {version} is not Python {python.text}")
    if not _is_for_platform(artifact.file, target.platform):
        found.append(f"{package.id} has the file {artifact.file}, which is not for {target.platform}")
    if "freethreaded" in artifact.file and not python.free_threaded:
        found.append(f"{package.id} has the file {artifact.file}, which is free-threaded")
    return tuple(found)


def patch_of(version: str) -> int | None:
    """The patch release of a version of Python with at least three parts; None for other texts."""
    parts = version.split(".")
    return int(parts[2]) if len(parts) > 2 and parts[2].isdecimal() and len(parts[2]) < 6 else None


def _is_for_platform(file: str, platform: str) -> bool:
    """Whether the archive of an interpreter may be for that platform. A table of one's own may name platforms in
    another form.
    """
    found = re.fullmatch(_PYPY, file)
    if found is not None:
        return _PYPY_PLATFORMS.get(found[3], platform) == platform
    found = re.fullmatch(_CPYTHON, file)
    if found is None or not any(system in found[3] for system in _SYSTEMS.values()):
        return True
    facts = PLATFORMS[platform]
    return found[3].startswith(_CPUS.get(facts.arch, facts.arch)) and _SYSTEMS[facts.family] in found[3]
