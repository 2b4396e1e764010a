"""Wheel tags of a target and a Python, and what they make of a project's files (PEP 425, 427, 600, 656).

Tags are built from packaging.tags' building blocks with explicit arguments, so that they never depend on the machine
that locks. A view is a pure function of a page's files and the tags.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import TYPE_CHECKING

from envc_solvers.pypi.language.index import File, Release, View
from envc_solvers.pypi.language.requirement import canonicalize_name
from envc_solvers.target import Python, Target

if TYPE_CHECKING:
    from packaging.version import Version

_LEGACY_MANYLINUX = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}
_LEGACY_GLIBC = {alias: (2, minor) for minor, alias in _LEGACY_MANYLINUX.items()}
_PROJECT_NAME = re.compile(r"[\w\d._]+", re.UNICODE)
_BUILD_TAG = re.compile(r"(\d+)(.*)")
_MANYLINUX = r"manylinux_(\d+)_(\d+)_(.+)"
_LEGACY = r"(manylinux(?:1|2010|2014))_(.+)"
_MUSLLINUX = r"musllinux_(\d+)_(\d+)_(.+)"
_MACOS = r"macosx_(\d+)_(\d+)_(.+)"
_IMPLEMENTATIONS = {"cp": "CPython", "pp": "PyPy", "py": "Python"}


Kind = tuple[int, int, tuple[int, ...]]  # of a wheel, best first: rank of its tags, build number, rest of its build


class Tags:
    """The wheel tags that one Python on one target can install, best first."""

    __slots__ = ("_compressed", "_kinds", "order", "python", "ranks", "target")

    def __init__(self, target: Target, python: Python) -> None:
        self.target = target
        self.python = python
        self.order = tuple(_tags(target, python))  # "cp311-cp311-manylinux_2_28_x86_64", best first
        self.ranks = {tag: rank for rank, tag in reversed(list(enumerate(self.order)))}
        self._compressed: dict[str, int | None] = {}
        self._kinds: dict[str, Kind | None] = {}

    def rank(self, text: str) -> int | None:
        """The best rank (0 is best) of a file name's tag part, which may be a compressed set; None when none fits.

        A set that is not well-formed fits nothing.
        """
        try:
            return self._compressed[text]
        except KeyError:
            found = [self.ranks[tag] for tag in _expand(text) if tag in self.ranks]
            return self._compressed.setdefault(text, min(found, default=None))

    def kind(self, behind: str) -> Kind | None:
        """What sorts a wheel of a version, from what stands behind that in its name; None when it does not fit."""
        try:
            return self._kinds[behind]
        except KeyError:
            return self._kinds.setdefault(behind, self._kind(behind.removesuffix(".whl").split("-")))

    def _kind(self, parts: list[str]) -> Kind | None:
        build, rest = 0, ""
        if len(parts) == 4:
            match = _BUILD_TAG.match(parts.pop(0))
            if match is None:
                return None
            # int() of a hostile number with thousands of digits would raise.
            build, rest = int(match[1][:18]) + 1, match[2]
        rank = self.rank("-".join(parts)) if len(parts) == 3 else None
        # The rest of a build tag sorts like a string, later ones first.
        return None if rank is None else (rank, -build, (*(-ord(letter) for letter in rest), 1))


@lru_cache(maxsize=64)
def wheel_tags(target: Target, python: Python) -> Tags:
    """The tags of that Python on that target. Computed once for each pair."""
    return Tags(target, python)


def tag_key(target: Target, python: Python) -> str:
    """A short name for the tag list: equal keys have equal tags. Views are cached by it.

    >>> from envc_solvers.target import default_target
    >>> tag_key(default_target("linux-64"), Python(minor=(3, 12)))
    'cp312-linux-64-glibc2.28'
    """
    family = target.facts.family
    if family == "linux" and target.musl:
        floor = f"-musl{target.musl}"
    elif family == "linux" and target.glibc:
        floor = f"-glibc{target.glibc}"
    elif family == "macos" and target.macos:
        floor = f"-macos{target.macos}"
    else:
        floor = ""
    # 3.11 is the one minor that has had both ABIs of PyPy.
    abi = "-pp80" if python.implementation == "pypy" and python.minor == (3, 11) and python.pypy_abi == "pp80" else ""
    return f"{python.key}{abi}-{target.platform}{floor}"


def _tags(target: Target, python: Python) -> Iterator[str]:
    from packaging import tags

    platforms = list(_platforms(target))
    minor = python.minor
    digits = f"{minor[0]}{minor[1]}"
    if python.implementation == "pypy":
        interpreter = f"pp{digits}"
        specific = tags.generic_tags(interpreter, [f"pypy{digits}_{python.pypy_abi}"], platforms)
        # As packaging's sys_tags and pip do it: pure wheels for PyPy are tagged pp3.
        compatible = tags.compatible_tags(minor, "pp3", platforms)
    else:
        interpreter = f"cp{digits}"
        specific = tags.cpython_tags(minor, [f"{interpreter}{'t' if python.free_threaded else ''}"], platforms)
        compatible = tags.compatible_tags(minor, interpreter, platforms)
    for tag in specific:
        yield str(tag)
    for tag in compatible:
        yield str(tag)


def _platforms(target: Target) -> Iterator[str]:
    """Platform tags, best first.

    A plain ``linux_x86_64`` comes last, as in uv: such a wheel states no floor. packaging puts it first, which suits a
    wheel that was just built on the machine that installs it, and nothing else.
    """
    family, arch = target.facts.family, target.facts.arch
    if family == "windows":
        yield arch if arch == "win32" else f"win_{arch}"
    elif family == "macos":
        from packaging.tags import mac_platforms

        yield from mac_platforms(_numbers(target.macos or "11.0"), arch)
    else:
        if target.musl:
            major, minor = _numbers(target.musl)
            yield from (f"musllinux_{major}_{step}_{arch}" for step in range(minor, -1, -1))
        elif target.glibc:
            # PEP 600: x86 begins with manylinux1's glibc 2.5, every other CPU with manylinux2014's 2.17.
            oldest = 5 if arch in ("x86_64", "i686") else 17
            major, minor = _numbers(target.glibc)
            for step in range(minor, oldest - 1, -1):
                yield f"manylinux_{major}_{step}_{arch}"
                if step in _LEGACY_MANYLINUX:
                    yield f"{_LEGACY_MANYLINUX[step]}_{arch}"
        yield f"linux_{arch}"


def _numbers(text: str) -> tuple[int, int]:
    major, _, minor = text.partition(".")
    return int(major), int(minor.partition(".")[0] or 0)


def _expand(text: str) -> list[str]:
    """The single tags of a compressed set, lower case; none when it is malformed (PEP 425)."""
    parts = text.lower().split("-")
    if len(parts) != 3:
        return []
    interpreters, abis, platforms = (part.split(".") for part in parts)
    if "" in interpreters or "" in abis or "" in platforms or not all(map(str.isidentifier, interpreters)):
        return []
    # A hostile page may name a set whose product is astronomical; no real wheel comes near this.
    if len(interpreters) * len(abis) * len(platforms) > 4096:
        return []
    return [f"{one}-{two}-{three}" for one in interpreters for two in abis for three in platforms]


def rank_files(name: str, source: str, files: Iterable[File], tags: Tags) -> View:
    """A page as those tags see it: versions newest first, the usable wheels of each with the best tag first.

    `name` is normalised. Files with a malformed name, or of another project, do not exist. Of equal tags the higher
    build number comes first (PEP 427), then the name decides, so that the order of the page never matters.
    """
    known = list(files)
    return rank_names(name, source, [file.name for file in known], known.__getitem__, tags)


def rank_names(name: str, source: str, names: Iterable[str], file_at: Callable[[int], File | None], tags: Tags) -> View:
    """As `rank_files`, for a page that is known by the names of its files: `file_at` is asked for those that fit alone,
    by their place in the page, and may say that there is no such file.
    """
    from packaging.version import InvalidVersion, Version

    fits: dict[str, bool] = {}  # name part of a file: whether it spells this project
    versions: dict[str, Version | None] = {}  # text: parsed, None when malformed
    found: dict[Version, list[tuple[Kind, str, str, int]]] = {}
    for number, text in enumerate(names):
        if not text.endswith(".whl"):
            continue
        project, _, rest = text.partition("-")
        spelling, _, behind = rest.partition("-")
        kind = tags.kind(behind)
        if kind is None:
            continue
        fit = fits.get(project)
        if fit is None:
            fit = "__" not in project and bool(_PROJECT_NAME.fullmatch(project)) and canonicalize_name(project) == name
            fits[project] = fit
        if not fit:
            continue
        if spelling not in versions:
            try:
                versions[spelling] = Version(spelling)
            except InvalidVersion:
                versions[spelling] = None
        version = versions[spelling]
        if version is not None:
            found.setdefault(version, []).append((kind, text, spelling, number))
    releases = []
    for version in sorted(found, reverse=True):
        wheels = [(wheel, file_at(wheel[3])) for wheel in sorted(found[version])]
        files = [(wheel[2], file) for wheel, file in wheels if file is not None]
        if files:
            releases.append(Release.of(files[0][0], (file for _, file in files)))
    return View(name, source, tuple(releases))


def version_of(file: str, name: str) -> Version | None:
    """The version that a wheel's or an sdist's file name states for that project; None when it states none."""
    from packaging.version import InvalidVersion, Version

    if file.endswith(".whl"):
        parts = file[:-4].split("-")
        if len(parts) not in (5, 6) or canonicalize_name(parts[0]) != name:
            return None
        text = parts[1]
    else:
        stem = next((file.removesuffix(end) for end in (".tar.gz", ".zip", ".tar.bz2") if file.endswith(end)), "")
        project, _, text = stem.rpartition("-")
        if canonicalize_name(project) != name:
            return None
    try:
        return Version(text)
    except InvalidVersion:
        return None


def explain_file(file: str, tags: Tags) -> str | None:
    """Why a file cannot be installed with those tags; None when it can be.

    The reason completes a sentence that begins with the file: "needs glibc 2.34, target has 2.28".
    """
    if not file.endswith(".whl"):
        is_sdist = file.endswith((".tar.gz", ".zip", ".tar.bz2", ".tgz"))
        return "is a source distribution" if is_sdist else f"is a .{file.rpartition('.')[2]} file, not a wheel"
    text = "-".join(file[:-4].split("-")[-3:])
    if tags.rank(text) is not None:
        return None
    single = [tuple(tag.split("-")) for tag in _expand(text)]
    if not single:
        return "has a malformed name"
    platforms = {tag.rpartition("-")[2] for tag in tags.order} | {"any"}
    here = [tag for tag in single if tag[2] in platforms]
    if here:
        return _explain_python([(tag[0], tag[1]) for tag in here], tags.python)
    reason = _explain_platform(sorted({tag[2] for tag in single}), tags.target)
    pairs = {tag.rpartition("-")[0] for tag in tags.order}
    if any(f"{tag[0]}-{tag[1]}" in pairs for tag in single):
        return reason
    return f"{reason} and {_explain_python([(tag[0], tag[1]) for tag in single], tags.python)}"


def _explain_python(pairs: list[tuple[str, str]], python: Python) -> str:
    names = []
    for interpreter, abi in pairs:
        implementation = _IMPLEMENTATIONS.get(interpreter[:2], interpreter[:2])
        digits = interpreter[2:]
        version = f"{digits[0]}.{digits[1:]}" if len(digits) > 1 else digits
        if abi == "abi3" and python.free_threaded:
            reason = f"uses the stable ABI, which free-threaded {python.text} does not offer"
        elif abi == "abi3":
            reason = f"needs {implementation} {version} or newer"
        elif abi.startswith("cp") and abi.endswith("t"):
            reason = f"is for free-threaded {implementation} {version}"
        else:
            reason = f"is for {implementation} {version}"
        if reason not in names:
            names.append(reason)
    return " and ".join(names)


def _explain_platform(platforms: list[str], target: Target) -> str:
    """The nearest platform's reason: a floor that is too low before a different system."""
    family, arch = target.facts.family, target.facts.arch
    floors: list[tuple[tuple[int, int], str]] = []
    for platform in platforms:
        if (match := re.fullmatch(_MANYLINUX, platform)) and match[3] == arch and target.glibc:
            version = int(match[1]), int(match[2])
            floors.append((version, f"needs glibc {version[0]}.{version[1]}, target has {target.glibc}"))
        elif (match := re.fullmatch(_LEGACY, platform)) and match[2] == arch and target.glibc:
            version = _LEGACY_GLIBC[match[1]]
            floors.append((version, f"needs glibc {version[0]}.{version[1]}, target has {target.glibc}"))
        elif (match := re.fullmatch(_MUSLLINUX, platform)) and match[3] == arch and target.musl:
            version = int(match[1]), int(match[2])
            floors.append((version, f"needs musl {version[0]}.{version[1]}, target has {target.musl}"))
        elif (match := re.fullmatch(_MACOS, platform)) and family == "macos" and match[3] in (arch, "universal2"):
            version = int(match[1]), int(match[2])
            floors.append((version, f"is for macOS {version[0]}.{version[1]}, target has {target.macos}"))
    if floors:
        return min(floors)[1]
    if family == "linux" and target.musl and any(p.startswith("manylinux") and p.endswith(arch) for p in platforms):
        return f"is for glibc, target has musl {target.musl}"
    if family == "linux" and target.glibc and any(p.startswith("musllinux") and p.endswith(arch) for p in platforms):
        return f"is for musl, target has glibc {target.glibc}"
    return f"is for {', '.join(platforms)}"
