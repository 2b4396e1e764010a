"""The wheel tags of a target and a Python, and the files of a project that they select (PEP 425, 427, 600, 656).

Tags are built by functions of packaging.tags with explicit arguments, so they never depend on the machine that locks. A
view is a pure function of the files on a page and the tags.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING

import msgspec

from envc_solvers.pypi.language.requirement import canonicalize_name
from envc_solvers.target import Python, Target

if TYPE_CHECKING:
    from packaging.version import Version

    from envc_solvers.pypi.language.index import File, Release, View

_LEGACY_MANYLINUX = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}
_LEGACY_GLIBC = {alias: (2, minor) for minor, alias in _LEGACY_MANYLINUX.items()}
_PROJECT_NAME = r"[\w\d._]+"
_BUILD_TAG = r"([0-9]+)(.*)"
_MANYLINUX = r"manylinux_([0-9]{1,9})_([0-9]{1,9})_(.+)"
_LEGACY = r"(manylinux(?:1|2010|2014))_(.+)"
_MUSLLINUX = r"musllinux_([0-9]{1,9})_([0-9]{1,9})_(.+)"
_MACOS = r"macosx_([0-9]{1,9})_([0-9]{1,9})_(.+)"
_LONGEST_TAGS = 200  # characters, of those that are read without packaging
_IMPLEMENTATIONS = {"cp": "CPython", "pp": "PyPy", "py": "Python"}


# Sort key of the wheels of one version, best first: rank of the tags, negated build number, rest of the build tag.
Kind = tuple[int, int, tuple[int, ...]]


class Tags:
    """The wheel tags that can be installed for one Python on one target, best first."""

    __slots__ = ("_compressed", "_kinds", "order", "python", "ranks", "target")

    def __init__(self, target: Target, python: Python) -> None:
        self.target = target
        self.python = python
        self.order = tuple(_tags(target, python))  # "cp311-cp311-manylinux_2_28_x86_64", best first
        self.ranks = {tag: rank for rank, tag in reversed(list(enumerate(self.order)))}
        self._compressed: dict[str, int | None] = {}
        self._kinds: dict[str, Kind | None] = {}

    def rank(self, text: str) -> int | None:
        """The best rank (0 is best) of the tags in a file name, which may be a compressed set; None if none matches.

        A malformed set matches nothing.
        """
        try:
            return self._compressed[text]
        except KeyError:
            found = [self.ranks[tag] for tag in _expand(text) if tag in self.ranks]
            return self._compressed.setdefault(text, min(found, default=None))

    def kind(self, suffix: str) -> Kind | None:
        """The sort key of a wheel, from the part of its name after the version; None if its tags do not match."""
        try:
            return self._kinds[suffix]
        except KeyError:
            return self._kinds.setdefault(suffix, self._kind(suffix.removesuffix(".whl").split("-")))

    def _kind(self, parts: list[str]) -> Kind | None:
        build, rest = 0, ""
        if len(parts) == 4:
            match = re.match(_BUILD_TAG, parts.pop(0))
            if match is None:
                return None
            # int() raises for thousands of digits, which a hostile name may have.
            build, rest = int(match[1][:18]) + 1, match[2]
        rank = self.rank("-".join(parts)) if len(parts) == 3 else None
        # The rest of a build tag sorts as a string, in descending order.
        return None if rank is None else (rank, -build, (*(-ord(letter) for letter in rest), 1))


@lru_cache(maxsize=64)
def wheel_tags(target: Target, python: Python) -> Tags:
    """The tags of that Python on that target. Computed once for each pair."""
    return Tags(target, python)


def fits(text: str, target: Target, python: Python) -> bool:
    """Whether that Python on that target can install a wheel with these tags, as the end of its name writes them.

    The result is that of `wheel_tags`. For the usual tags of CPython it is found without making the list of all tags,
    which takes as long as reading a lock.
    """
    if python.implementation == "cpython" and _fits_plainly(text, target, python):
        return True
    return wheel_tags(target, python).rank(text) is not None


def _fits_plainly(text: str, target: Target, python: Python) -> bool:
    """True only if one of the tags can be installed; False if that takes more to find out."""
    words = text.replace("-", ".").split(".")
    if text.count("-") != 2 or len(text) > _LONGEST_TAGS or not all(map(str.isidentifier, words)):
        return False
    interpreters, abis, platforms = (part.split(".") for part in text.split("-"))
    is_pure = platforms == ["any"]
    if not is_pure and not any(platform in _plain_platforms(target) for platform in platforms):
        return False
    major, minor = python.minor
    if "none" in abis and (f"py{major}" in interpreters or python.key in interpreters):
        return True
    if is_pure:
        return False
    if python.key.removesuffix("t") in interpreters and python.key in abis:
        return True
    older = {f"cp{major}{number}" for number in range(2, minor + 1)}
    return "abi3" in abis and not python.free_threaded and not older.isdisjoint(interpreters)


@lru_cache(maxsize=64)
def _plain_platforms(target: Target) -> frozenset[str]:
    """The usual platform tags of a target, without those of macOS that packaging has to list."""
    if target.facts.family != "macos":
        return frozenset(_platforms(target))
    arch, newest = target.facts.arch, _numbers(target.macos or "11.0")[0]
    found = {f"macosx_{major}_0_{cpu}" for major in range(11, newest + 1) for cpu in (arch, "universal2")}
    old = [f"macosx_10_{minor}" for minor in range(9, 17)] if newest > 10 else []
    return frozenset(
        found.union(f"{each}_universal2" for each in old).union(f"{each}_x86_64" for each in old if arch == "x86_64")
    )


def tag_key(target: Target, python: Python) -> str:
    """A short name for the tag list. Equal keys imply equal tags, so views are cached under it.

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
    # 3.11 is the only minor version that had both ABIs of PyPy.
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
        # As in packaging's sys_tags and pip: pure wheels for PyPy have the tag pp3.
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

    A plain ``linux_x86_64`` comes last, as in uv, because such a wheel states no floor. packaging puts it first, which
    is right only for a wheel that was just built on the machine that installs it.
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
            # PEP 600: x86 starts with glibc 2.5 (manylinux1), every other CPU with 2.17 (manylinux2014).
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
    """The single tags of a compressed set, lower case; none if it is malformed (PEP 425)."""
    parts = text.lower().split("-")
    if len(parts) != 3:
        return []
    interpreters, abis, platforms = (part.split(".") for part in parts)
    if "" in interpreters or "" in abis or "" in platforms or not all(map(str.isidentifier, interpreters)):
        return []
    # A hostile page may name a set with an astronomical number of tags. No real wheel comes near this limit.
    if len(interpreters) * len(abis) * len(platforms) > 4096:
        return []
    return [f"{one}-{two}-{three}" for one in interpreters for two in abis for three in platforms]


def rank_files(name: str, source: str, files: Iterable[File], tags: Tags) -> View:
    """The view of a page for these tags: versions newest first, and the usable wheels of each, best tag first.

    `name` is normalised. Files with a malformed name or of another project are ignored. Among equal tags, the higher
    build number comes first (PEP 427), then the order of names, so the order of the page never matters.
    """
    known = list(files)
    return rank_names(name, source, [file.name for file in known], known.__getitem__, tags)


def rank_names(name: str, source: str, names: Iterable[str], file_at: Callable[[int], File | None], tags: Tags) -> View:
    """As `rank_files`, for a page whose files are known by name only.

    `file_at` is called only for files that match, with their position on the page. It may return None for no file.
    """
    from packaging.version import Version

    from envc_solvers.pypi.language.index import SDISTS, Release, View  # late: `fits` needs none of them

    fits: dict[str, bool] = {}  # name part of a file: whether it spells this project
    versions: dict[str, Version | None] = {}  # text: parsed, None when malformed
    found: dict[Version, list[tuple[Kind, str, str, int]]] = {}
    unused: dict[str, list[tuple[bool, str, int]]] = {}  # by version as spelt: whether it is a wheel, name, position
    for number, text in enumerate(names):
        if not text.endswith(".whl"):
            ending = next((ending for ending in SDISTS if text.endswith(ending)), "")
            if ending:
                unused.setdefault(text[: -len(ending)].rpartition("-")[2], []).append((False, text, number))
            continue
        project, _, rest = text.partition("-")
        spelling, _, suffix = rest.partition("-")
        kind = tags.kind(suffix)
        if kind is None:
            unused.setdefault(spelling, []).append((True, text, number))
            continue
        fit = fits.get(project)
        if fit is None:
            is_plain = "__" not in project and re.fullmatch(_PROJECT_NAME, project) is not None
            fit = fits[project] = is_plain and canonicalize_name(project) == name
        if not fit:
            continue
        if spelling not in versions:
            try:
                versions[spelling] = Version(spelling)
            except ValueError:
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
    view = View(name, source, tuple(releases))
    # Most source distributions stand beside a wheel, whose version has been parsed already.
    unused = {spelling: files for spelling, files in unused.items() if spelling not in versions}
    return view.with_others(_others(name, found, unused, file_at)) if releases and unused else view


def _others(
    name: str,
    usable: Collection[Version],
    unused: Mapping[str, list[tuple[bool, str, int]]],
    file_at: Callable[[int], File | None],
) -> Iterator[Release]:
    """The releases for `View.others`, from the files that do not match, by version as spelt."""
    from packaging.version import Version

    from envc_solvers.pypi.language.index import Release

    others: dict[Version, list[tuple[bool, str, int]]] = {}
    for spelling, files in unused.items():
        try:
            version = Version(spelling)
        except ValueError:
            continue
        if version not in usable:
            others.setdefault(version, []).extend(files)
    final = min((version for version in usable if not version.is_prerelease), default=None)
    has_early = final is None or min(usable) < final
    for version in sorted(others, reverse=True):
        is_older = final is not None and version < final
        if is_older and (not has_early or version.is_prerelease):
            continue
        for is_wheel, text, number in sorted(others[version]):
            if not (is_older and is_wheel) and version_of(text, name) == version:
                file = file_at(number)
                if file is not None:
                    yield Release.of(str(version), (file,))
                    break


def version_of(file: str, name: str) -> Version | None:
    """The version of that project in the name of a wheel or an sdist; None if there is none."""
    from packaging.version import Version

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
    except ValueError:
        return None


class FileMismatch(msgspec.Struct, frozen=True, kw_only=True):
    """Why a file cannot be installed with some tags."""

    file: str
    reason: str  # in words; completes a sentence that begins with the file
    above_floor: bool = False  # it is for this system and CPU, and needs a newer or another C library, or a newer macOS
    platforms: tuple[str, ...] = ()  # its platform tags, if it is for another system or CPU
    other_python: bool = False  # it is for another Python or ABI
    built_for: tuple[bool, int] | None = None  # the first Python that it is for: whether free-threaded, and the minor


def explain_file(file: str, tags: Tags) -> str | None:
    """Why a file cannot be installed with these tags; None if it can be.

    The reason completes a sentence that starts with the file: "needs glibc 2.34, target has 2.28".
    """
    found = mismatch(file, tags)
    return None if found is None else found.reason


def mismatch(file: str, tags: Tags) -> FileMismatch | None:
    """As `explain_file`, as a value."""
    if not file.endswith(".whl"):
        is_sdist = file.endswith((".tar.gz", ".zip", ".tar.bz2", ".tgz"))
        reason = "is a source distribution" if is_sdist else f"is a .{file.rpartition('.')[2]} file, not a wheel"
        return FileMismatch(file=file, reason=reason)
    text = "-".join(file[:-4].split("-")[-3:])
    if tags.rank(text) is not None:
        return None
    single = [tuple(tag.split("-")) for tag in _expand(text)]
    if not single:
        return FileMismatch(file=file, reason="has a malformed name")
    target_platforms = {tag.rpartition("-")[2] for tag in tags.order} | {"any"}
    for_target = [tag for tag in single if tag[2] in target_platforms]
    if for_target:
        reason, built_for = _explain_python([(tag[0], tag[1]) for tag in for_target], tags.python)
        return FileMismatch(file=file, reason=reason, other_python=True, built_for=built_for)
    platforms = sorted({tag[2] for tag in single})
    reason, above_floor = _explain_platform(platforms, tags.target)
    others = () if above_floor else tuple(platforms)
    pairs = {tag.rpartition("-")[0] for tag in tags.order}
    if any(f"{tag[0]}-{tag[1]}" in pairs for tag in single):
        return FileMismatch(file=file, reason=reason, above_floor=above_floor, platforms=others)
    python, built_for = _explain_python([(tag[0], tag[1]) for tag in single], tags.python)
    return FileMismatch(
        file=file,
        reason=f"{reason} and {python}",
        above_floor=above_floor,
        platforms=others,
        other_python=True,
        built_for=built_for,
    )


def _explain_python(pairs: list[tuple[str, str]], python: Python) -> tuple[str, tuple[bool, int] | None]:
    """The reason, and the first Python that the tags name with a minor: whether it is free-threaded, and the minor."""
    names = []
    built_for: tuple[bool, int] | None = None
    for interpreter, abi in pairs:
        implementation = _IMPLEMENTATIONS.get(interpreter[:2], interpreter[:2])
        digits = interpreter[2:]
        version = f"{digits[0]}.{digits[1:]}" if len(digits) > 1 else digits
        is_free_threaded = abi.startswith("cp") and abi.endswith("t")
        if abi == "abi3" and python.free_threaded:
            reason = f"uses the stable ABI, which free-threaded {python.text} does not offer"
        elif abi == "abi3":
            reason = f"needs {implementation} {version} or newer"
        elif is_free_threaded:
            reason = f"is for free-threaded {implementation} {version}"
        else:
            reason = f"is for {implementation} {version}"
        is_named = interpreter[:2] in _IMPLEMENTATIONS and digits[1:].isdecimal()
        if built_for is None and is_named and not (abi == "abi3" and python.free_threaded):
            # int() of a hostile number with thousands of digits would raise.
            built_for = is_free_threaded, int(digits[1:10])
        if reason not in names:
            names.append(reason)
    return " and ".join(names), built_for


def _explain_platform(platforms: list[str], target: Target) -> tuple[str, bool]:
    """The nearest platform's reason, and whether the only mismatch is a floor or the C library."""
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
        return min(floors)[1], True
    if family == "linux" and target.musl and any(p.startswith("manylinux") and p.endswith(arch) for p in platforms):
        return f"is for glibc, target has musl {target.musl}", True
    if family == "linux" and target.glibc and any(p.startswith("musllinux") and p.endswith(arch) for p in platforms):
        return f"is for musl, target has glibc {target.glibc}", True
    return f"is for {', '.join(platforms)}", False
