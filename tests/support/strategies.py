"""The hypothesis strategies of all tests, one section for each part of the project."""

from __future__ import annotations

import posixpath
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import strategies as st

from envc.fetch.pypi.listing import Hashes, Listing, PageEntry
from envc.locking.lockfile.canonical import canonical
from envc.locking.manifest.load import parse_manifest
from envc.model.digest import Sha256
from envc.model.graph import (
    Artifact,
    Build,
    BuildRequirement,
    LockedEnvironment,
    LockGraph,
    Package,
    PackageRef,
    PythonFrom,
    SourceFile,
)
from envc.model.lock_lines import LockedInput
from envc.model.manifest import KeyPath, Manifest
from envc.model.record import MTIME
from envc.shipping.format.encode import Entry
from envc.shipping.format.errors import UnsafePath
from envc.shipping.format.paths import check_tree
from envc.shipping.format.tar import MAX_OCTAL
from envc_solvers.conda.language.record import Record
from envc_solvers.pypi.language.index import File, Release, View
from envc_solvers.pypi.language.requirement import Metadata, Requirement
from envc_solvers.target import PLATFORMS, Python, Target
from tests.support.toml_texts import TomlText
from tests.support.universe import Version

# Trees of an object


_PART_CHARACTERS = st.characters(exclude_categories=("Cs", "Cc"), exclude_characters='/\\:<>"|?*')
_PARTS = st.one_of(
    st.sampled_from(["lib", "bin", "share", "pkg", "__init__.py", "a", "METADATA"]),
    st.text(_PART_CHARACTERS, min_size=1, max_size=12),
    st.text("xyz", min_size=90, max_size=120),
)
_TIMES = st.one_of(st.just(MTIME), st.integers(0, MAX_OCTAL))


@st.composite
def entries(draw: st.DrawFn, *, max_size: int = 12) -> list[Entry]:
    """Entries of one valid tree, unordered: files with contents, and links to some of them."""
    found: dict[str, Entry] = {}
    for parts in draw(st.lists(st.lists(_PARTS, min_size=1, max_size=5), max_size=max_size)):
        path = "/".join(parts)
        entry = Entry(
            path=path, content=draw(st.binary(max_size=1200)), executable=draw(st.booleans()), mtime=draw(_TIMES)
        )
        if found and draw(st.integers(0, 4)) == 0:
            target = posixpath.relpath(draw(st.sampled_from(sorted(found))), posixpath.dirname(path) or ".")
            entry = Entry(path=path, link=target)
        try:
            members = [each.member() for each in sorted([*found.values(), entry], key=lambda each: each.path)]
            check_tree(members, windows=True, fold_case=True)
        except UnsafePath:
            continue
        found[path] = entry
    return draw(st.permutations(list(found.values())))


# TOML texts, and the positions of their keys and items


_TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=8)
_KEYS = st.one_of(st.sampled_from(["a", "b", "steps", "on", "linux-64", "a.b", "", "é"]), _TEXT)
_SCALARS = st.one_of(
    _TEXT,
    st.sampled_from(["#", '"', "'", "]", "}", "=", ",", "\\", "a\nb", '""', "x''"]),
    st.integers(-10, 10),
    st.booleans(),
    st.sampled_from([1.5, -0.25]),
)
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(_KEYS, inner, max_size=4)),
    max_leaves=12,
)


@st.composite
def toml_texts(draw: st.DrawFn) -> tuple[str, dict[str, Any], dict[KeyPath, tuple[int, int]]]:
    """A TOML text, its value, and the line and column of every key and item."""
    value = draw(st.dictionaries(_KEYS, _VALUES, max_size=5))
    writer = TomlText(lambda ways: draw(st.integers(0, ways - 1)))
    writer.table(value)
    return writer.text, value, writer.places


# Locks


_DIGESTS = st.binary(min_size=32, max_size=32).map(lambda data: Sha256(data.hex()))
_IDS = st.builds(
    lambda kind, name, further: f"{kind}:{name}{further}",
    st.sampled_from(["pypi", "conda", "interpreter"]),
    st.from_regex(r"[a-z0-9]([a-z0-9._-]{0,8}[a-z0-9])?", fullmatch=True),
    st.one_of(st.just(""), st.from_regex(r"@[0-9][0-9a-z.+!]{0,6}", fullmatch=True)),
)
_TARGETS = st.sampled_from(["linux-64", "osx-arm64", "win-64", "gpu", "T_1.x"])
_TARGET_KEYS = st.builds(
    lambda name, key: f"{name}/{key}", _TARGETS, st.sampled_from(["cp311", "cp313t", "pp310", "-"])
)
_STEPS = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,6}", fullmatch=True)
_FILES = st.text(st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="/\\:"), min_size=3, max_size=20)
_ANY_LINES = st.lists(st.text(st.characters(exclude_categories=("Cs",)), max_size=30), max_size=4)
_OPTION_VALUES = st.recursive(
    st.one_of(_TEXT, st.integers(), st.booleans(), st.dates(), st.floats(allow_nan=False)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(_TEXT, inner, max_size=3)),
    max_leaves=6,
)
_OPTION_KEYS = st.one_of(st.sampled_from(["targets", "channels", "exclude-newer", "mapping", "constraints"]), _TEXT)


def _tuples(values: st.SearchStrategy[Any], **sizes: int) -> st.SearchStrategy[Any]:
    return st.lists(values, **sizes).map(tuple)


_YANKED = st.none() | st.text(max_size=30) | st.just("see https://user:secret@issues.example.com/7")
_ARTIFACTS = st.builds(
    Artifact,
    file=_FILES,
    size=st.integers(0, 2**60),
    sha256=_DIGESTS,
    targets=_tuples(_TARGET_KEYS, max_size=3),
    depends=st.none() | _ANY_LINES.map(tuple),
    noarch=st.sampled_from(["", "python", "generic"]),
    site_packages=st.sampled_from(["", "lib/python/site-packages"]),
    yanked=_YANKED,
    content=st.dictionaries(st.sampled_from(["py3.11-posix", "nt", "any"]), _DIGESTS, max_size=2),
)
_PACKAGES = st.builds(
    Package,
    id=_IDS,
    version=st.from_regex(r"[A-Za-z0-9._+!~-]{1,8}", fullmatch=True),
    build=st.from_regex(r"[A-Za-z0-9._+-]{0,8}", fullmatch=True),
    source=st.sampled_from(["pypi", "conda-forge", "internal_1.x"]),
    released=st.none() | st.dates(),
    license=_TEXT | st.just("https://licenses.example.com/MIT"),
    pypi=_tuples(st.sampled_from(["torch", "opencv-python", "numpy"]), max_size=2),
    depends=_ANY_LINES.map(tuple),
    artifacts=_tuples(_ARTIFACTS, max_size=3),
)
# Texts that end like a list of targets collide with inputs for these targets.
_INPUTS = st.builds(
    LockedInput,
    st.sampled_from(("pypi:a", "pypi:a @ linux-64", "pypi:a @ gpu, linux-64", "conda:a >=1", " @ gpu")) | _TEXT,
    _tuples(_TARGETS, max_size=2),
)
_ENVIRONMENTS = st.builds(
    LockedEnvironment,
    steps=_tuples(_STEPS, min_size=1, max_size=3),
    targets=_tuples(_TARGET_KEYS, max_size=3),
    python=st.sampled_from(["", "3.12", "3.13t"]),
    python_from=_tuples(
        st.builds(PythonFrom, st.sampled_from(["3.12.0", "3.12.2", "3.12.11", "3.9.2"]), _tuples(_TARGETS, max_size=2)),
        max_size=2,
    ),
    interpreter=st.sampled_from(["", "host", "conda"]),
    requires=_tuples(_INPUTS, max_size=4),
    packages=_tuples(st.builds(PackageRef, _IDS, _tuples(_TARGETS, max_size=2)), max_size=4),
)
_SDISTS = st.builds(SourceFile, file=_FILES, size=st.integers(0, 2**60), sha256=_DIGESTS)
_BUILT_WITH = st.builds(
    BuildRequirement,
    name=st.sampled_from(["hatchling", "setuptools", "flit-core"]),
    version=st.from_regex(r"[A-Za-z0-9._+!~-]{1,8}", fullmatch=True),
    source=st.sampled_from(["pypi", "internal_1.x"]),
    file=_FILES,
    size=st.integers(0, 2**60),
    sha256=_DIGESTS,
    yanked=_YANKED,
)
_ORIGINS = st.one_of(
    st.fixed_dictionaries({"commit": _DIGESTS.map(lambda digest: digest[:40]) | _DIGESTS}),
    st.fixed_dictionaries({"tree": _DIGESTS}),
    st.fixed_dictionaries({"sdist": _SDISTS}),
)


@st.composite
def _builds(draw: st.DrawFn) -> Build:
    return Build(
        wheel=draw(_FILES),
        sha256=draw(_DIGESTS),
        python=draw(_TARGET_KEYS),
        requires=draw(_ANY_LINES.map(tuple)),
        packages=draw(_tuples(_BUILT_WITH, max_size=3)),
        **draw(_ORIGINS),
    )


@st.composite
def shuffled_locks(draw: st.DrawFn) -> LockGraph:
    """Lock graphs in random order, with duplicates in their sets, and the oddest names and texts that a lock allows."""
    return LockGraph(
        options=draw(st.dictionaries(_OPTION_KEYS, _OPTION_VALUES, max_size=4)),
        environments=draw(_tuples(_ENVIRONMENTS, max_size=3)),
        packages=draw(_tuples(_PACKAGES, max_size=4)),
        builds=draw(_tuples(_builds(), max_size=2)),
    )


def locks() -> st.SearchStrategy[LockGraph]:
    """Lock graphs in canonical form."""
    return shuffled_locks().map(canonical)


def shuffle_lock(graph: LockGraph, draw: st.DrawFn) -> LockGraph:
    """Return the same graph with every set in another order."""

    def shuffled(values: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(draw(st.permutations(values)))

    return LockGraph(
        version=graph.version,
        options=dict(shuffled(tuple(graph.options.items()))),
        environments=shuffled(
            tuple(
                msgspec.structs.replace(
                    environment,
                    **{
                        key: shuffled(getattr(environment, key))
                        for key in ("steps", "targets", "python_from", "requires", "packages")
                    },
                )
                for environment in graph.environments
            )
        ),
        packages=shuffled(
            tuple(
                msgspec.structs.replace(
                    package, depends=shuffled(package.depends), artifacts=shuffled(package.artifacts)
                )
                for package in graph.packages
            )
        ),
        builds=shuffled(
            tuple(
                msgspec.structs.replace(build, requires=shuffled(build.requires), packages=shuffled(build.packages))
                for build in graph.builds
            )
        ),
    )


# Manifests whose sources, projects and steps share a few names with the hosts, users and folders of URLs


_WORDS = st.sampled_from(("a", "acme", "b.example", "pypi"))
_PROJECT_WORDS = st.sampled_from(("a", "acme", "b-example"))


@st.composite
def addresses(draw: st.DrawFn) -> str:
    """The URL of a source, an index page or a file, sometimes with credentials."""
    user = draw(st.sampled_from(("", "", "{}@", "{}:{}@")))
    scheme = draw(st.sampled_from(("https", "http", "file", "s3")))
    return f"{scheme}://{user.format(draw(_WORDS), draw(_WORDS))}{draw(_WORDS)}/{draw(_WORDS)}"


@st.composite
def placed_manifests(draw: st.DrawFn) -> Manifest:
    """Manifests of a few steps with declared sources. `replaced` changes the addresses of the sources."""
    names = draw(st.lists(_WORDS.filter(lambda word: word != "pypi"), min_size=1, max_size=3, unique=True))
    steps = draw(st.lists(_PROJECT_WORDS, min_size=1, max_size=3, unique=True))
    kinds = {name: draw(st.sampled_from(("pypi", "find-links"))) for name in names}
    indexes = draw(st.permutations(["pypi", *(name for name in names if kinds[name] == "pypi")]))
    lines = ["[project]", 'name = "demo"', 'targets = ["linux-64"]', 'python = "3.12"', f"indexes = {indexes}"]
    for name in names:
        claimed = f"\nprojects = ['{name}-*']" if draw(st.booleans()) else ""
        lines.append(f"[sources.'{name}']\nkind = '{kinds[name]}'\nurl = 'https://example.com'{claimed}")
        lines.append(f"steps = {[draw(st.sampled_from(steps))]}" if draw(st.booleans()) else "")
    for step in steps:
        wanted = draw(st.lists(_PROJECT_WORDS, max_size=2, unique=True))
        git = f"{{ name = 'made', git = 'https://{draw(_WORDS)}/made', rev = '{40 * 'a'}' }}"
        entries = [*map(repr, wanted), *([git] if draw(st.booleans()) else [])]
        lines.append(f"[steps.{step}]\npypi = [{', '.join(entries)}]")
    return replaced(parse_manifest("\n".join(lines), Path("manifest.toml")), draw)


def replaced(manifest: Manifest, draw: st.DrawFn) -> Manifest:
    """Return the same manifest with other addresses for its declared sources."""
    sources = {
        name: msgspec.structs.replace(source, url=draw(addresses())) if source.url is not None else source
        for name, source in manifest.sources.items()
    }
    return msgspec.structs.replace(manifest, sources=sources)


# Universes of packages for the PyPI solver


_PROJECTS = ("ant", "bee", "cat", "dog", "elk")
_VERSIONS = ("1.0", "1.1", "2.0", "3.0b1")
_SPECIFIERS = ("", "", ">=1.1", "<2", "==1.0", "!=1.1", ">1.1,<3", "~=1.0", "==1.*", ">=3.0b1")
_EXTRAS = ("x", "y")


@st.composite
def requirement_texts(draw: st.DrawFn, *, conditional: bool = True) -> str:
    """A requirement on a project of a universe, or sometimes on one that does not exist."""
    name = draw(st.sampled_from((*_PROJECTS, *_PROJECTS, "missing") if conditional else _PROJECTS))
    extra = draw(st.sampled_from(("", "", "", "[x]", "[x,y]")))
    specifier = draw(st.sampled_from(_SPECIFIERS))
    markers = ("", "", "", "; extra == 'x'", "; extra == 'y'", "; sys_platform == 'linux'", "; os_name == 'nt'")
    return f"{name}{extra}{specifier}{draw(st.sampled_from(markers)) if conditional else ''}"


@st.composite
def universes(draw: st.DrawFn) -> dict[str, dict[str, Version]]:
    """A few projects with a few versions each, some of them unusable."""
    universe: dict[str, dict[str, Version]] = {}
    for name in draw(st.lists(st.sampled_from(_PROJECTS), min_size=1, max_size=5, unique=True)):
        universe[name] = {}
        for version in draw(st.lists(st.sampled_from(_VERSIONS), min_size=1, max_size=4, unique=True)):
            universe[name][version] = Version(
                requires=tuple(draw(st.lists(requirement_texts(), max_size=3))),
                extras=_EXTRAS,
                requires_python=draw(st.sampled_from(("", "", "", "", ">=3.12"))),
                broken=draw(st.sampled_from((None, None, None, None, "unreadable"))),
            )
    return universe


# Wheel names, targets, markers and specifiers


_INTERPRETERS = ("cp311", "cp310", "cp312", "cp313", "py3", "py2.py3", "py311", "pp310", "cp38.cp39.cp311")
_ABIS = ("cp311", "cp313t", "abi3", "none", "pypy310_pp73", "cp311.abi3")
_PLATFORM_TAGS = (
    "any",
    "win_amd64",
    "linux_x86_64",
    "manylinux1_x86_64",
    "manylinux_2_17_x86_64.manylinux2014_x86_64",
    "manylinux_2_28_x86_64",
    "manylinux_2_34_x86_64",
    "manylinux_2_28_aarch64",
    "musllinux_1_2_x86_64",
    "macosx_10_9_universal2",
    "macosx_14_0_arm64",
)


@st.composite
def version_texts(draw: st.DrawFn) -> str:
    """Versions as people spell them (PEP 440), mostly plain ones."""
    release = ".".join(str(part) for part in draw(st.lists(st.integers(0, 12), min_size=1, max_size=4)))
    endings = ("", "", "", "a1", "b2", "rc1", ".dev3", ".post1", "rc1.dev2", ".post2.dev1", "+local.1", "+cu124")
    return draw(st.sampled_from(("", "", "", "1!", "v"))) + release + draw(st.sampled_from(endings))


@st.composite
def specifier_texts(draw: st.DrawFn) -> str:
    """One clause of a specifier set."""
    operator = draw(st.sampled_from((">=", "<=", ">", "<", "==", "!=", "~=", "===", "==*", "!=*")))
    if operator.endswith("*"):
        release = ".".join(str(part) for part in draw(st.lists(st.integers(0, 12), min_size=1, max_size=3)))
        return f"{operator[:-1]}{release}.*"
    version = draw(version_texts())
    if operator not in ("==", "!=", "==="):
        version = version.partition("+")[0]
    if operator == "~=":  # needs at least two parts of a release
        version = f"{draw(st.integers(0, 12))}.{version.rpartition('!')[2].lstrip('v')}"
    return operator + version


@st.composite
def wheel_names(draw: st.DrawFn, project: str) -> str:
    """Names of wheels of a project. Some are malformed, some are of another project."""
    spelling = draw(st.sampled_from((project, project, project.title(), f"{project}__x", "other", f"{project}.")))
    version = draw(st.one_of(st.sampled_from(("1.0", "1.0.0", "2.0", "2.0rc1", "1_x")), version_texts()))
    build = draw(st.sampled_from(("", "", "-1", "-10", "-2b", "-2a", "-x1")))
    interpreter, abi = draw(st.sampled_from(_INTERPRETERS)), draw(st.sampled_from(_ABIS))
    end = draw(st.sampled_from((".whl", ".whl", ".whl", ".whl", ".tar.gz", ".WHL")))
    return f"{spelling}-{version}{build}-{interpreter}-{abi}-{draw(st.sampled_from(_PLATFORM_TAGS))}{end}"


@st.composite
def targets(draw: st.DrawFn) -> Target:
    """Targets of every family, with high and low floors."""
    platform = draw(st.sampled_from(sorted(PLATFORMS)))
    family = PLATFORMS[platform].family
    name = draw(st.sampled_from((platform, "gpu")))
    if family == "linux":
        if draw(st.booleans()):
            return Target(name=name, platform=platform, musl=draw(st.sampled_from(("1.1", "1.2"))))
        return Target(name=name, platform=platform, glibc=draw(st.sampled_from(("2.17", "2.28", "2.39"))))
    if family == "macos":
        return Target(name=name, platform=platform, macos=draw(st.sampled_from(("10.15", "11.0", "13.0", "15.2"))))
    return Target(name=name, platform=platform)


@st.composite
def pythons(draw: st.DrawFn) -> Python:
    """Pythons of both implementations, with and without a patch release."""
    minor = 3, draw(st.integers(9, 14))
    patch = draw(st.sampled_from((None, 0, 4, 11)))
    if draw(st.integers(0, 4)) == 0:
        return Python(implementation="pypy", minor=minor, patch=patch)
    return Python(minor=minor, patch=patch, free_threaded=minor[1] >= 13 and draw(st.booleans()))


_FLOORS: dict[str, tuple[str | None, ...]] = {
    "glibc": (None, "2.5", "2.12", "2.17", "2.28"),
    "musl": (None, "1.1", "1.2"),
    "macos": (None, "10.15", "11.0", "13.0"),
    "cuda": (None, "12.4"),
    "archspec": (None, "x86_64_v2"),
}


@st.composite
def near_pairs(draw: st.DrawFn) -> tuple[tuple[Target, Python], tuple[Target, Python]]:
    """Two targets, each with a Python, that differ in a few fields: some that a key must distinguish, and others."""
    # PyPy's ABI changed with 3.11.16.
    changing = st.builds(
        Python, implementation=st.just("pypy"), minor=st.just((3, 11)), patch=st.sampled_from((15, 16))
    )
    target, python = draw(targets()), draw(st.one_of(pythons(), pythons(), changing))
    family = PLATFORMS[target.platform].family
    floors = {"linux": ("glibc", "musl"), "macos": ("macos",), "windows": ()}[family]
    field = draw(st.sampled_from(("", "name", "platform", *floors, "cuda", "archspec")))
    other = target
    if field == "name":
        other = msgspec.structs.replace(target, name="other")
    elif field == "platform":
        siblings = [name for name, platform in PLATFORMS.items() if platform.family == family]
        other = msgspec.structs.replace(target, platform=draw(st.sampled_from(siblings)))
    elif field:
        excluded = {"glibc": {"musl": None}, "musl": {"glibc": None}}.get(field, {})
        other = msgspec.structs.replace(target, **{field: draw(st.sampled_from(_FLOORS[field]))}, **excluded)
    field = draw(st.sampled_from(("", "", "minor", "patch", "implementation", "free_threaded")))
    values: dict[str, Any] = {
        "minor": (3, python.minor[1] + draw(st.sampled_from((-1, 1)))),
        "patch": draw(st.sampled_from((None, 0, 4, 15, 16))),
        "implementation": "cpython" if python.implementation == "pypy" else "pypy",
        "free_threaded": not python.free_threaded,
    }
    another = msgspec.structs.replace(python, **{field: values[field]}) if field else python
    return (target, python), (other, another)


_MARKER_ATOMS = (
    "sys_platform == 'linux'",
    "'win' in sys_platform",
    'platform_system != "Windows"',
    "platform_machine in 'x86_64 arm64'",
    "os_name == 'nt'",
    "python_version >= '3.11'",
    "python_version < '3.10'",
    "python_full_version >= '3.11.4'",
    "'3.1' <= python_version",
    "implementation_name == 'pypy'",
    "platform_python_implementation == 'CPython'",
    "platform_release >= '20.0'",
    "platform_version == ''",
    "extra == 'x'",
    "extra == 'Fast_Path'",
    "extra != 'x'",
    "'x' == extra",
    "extra in 'x fast-path'",
)


def marker_texts() -> st.SearchStrategy[str]:
    """PEP 508 markers, nested, with every variable that packages use."""
    return st.recursive(
        st.sampled_from(_MARKER_ATOMS),
        lambda parts: st.tuples(parts, st.sampled_from(("and", "or")), parts).map(
            lambda three: f"({three[0]}) {three[1]} ({three[2]})"
        ),
        max_leaves=4,
    )


# Index pages


_HEX_DIGESTS = st.text("0123456789abcdef", min_size=64, max_size=64)
_ANY_TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=30)
_SMALL_NAMES = st.from_regex(r"[a-z][a-z0-9]{0,8}(-[a-z0-9]{1,5})?", fullmatch=True)


def index_files() -> st.SearchStrategy[File]:
    """Files as listed on an index page."""
    return st.builds(
        File,
        name=_ANY_TEXT,
        sha256=st.one_of(st.just(""), _HEX_DIGESTS),
        size=st.integers(0, 1 << 53),
        uploaded=st.one_of(st.none(), st.integers(-(1 << 40), 1 << 40)),
        requires_python=_ANY_TEXT,
        yanked=st.one_of(st.none(), _ANY_TEXT),
    )


def listings() -> st.SearchStrategy[Listing]:
    """Whole pages as they are cached, before any file is evaluated."""
    cores = st.one_of(st.none(), st.booleans(), st.dictionaries(_ANY_TEXT, _ANY_TEXT, max_size=2))
    entries = st.builds(
        PageEntry,
        filename=_ANY_TEXT,
        url=_ANY_TEXT,
        hashes=st.builds(Hashes, _ANY_TEXT),
        requires_python=st.one_of(st.none(), _ANY_TEXT),
        size=st.one_of(st.none(), st.integers(-(1 << 63), (1 << 64) - 1)),
        upload_time=st.one_of(st.none(), _ANY_TEXT),
        yanked=st.one_of(st.none(), st.booleans(), _ANY_TEXT),
        core_metadata=cores,
        dist_info_metadata=cores,
    )
    return st.builds(Listing, _ANY_TEXT, st.lists(entries, max_size=8).map(tuple))


def views() -> st.SearchStrategy[View]:
    """Views with arbitrary files, whatever their tags."""
    releases = st.builds(Release.of, _ANY_TEXT, st.lists(index_files(), max_size=3).map(tuple))
    return st.builds(View, _SMALL_NAMES, _SMALL_NAMES, st.lists(releases, max_size=4).map(tuple))


def metadatas() -> st.SearchStrategy[Metadata]:
    """Core metadata with arbitrary texts as requirements."""
    requirements = st.builds(
        Requirement, _SMALL_NAMES, _ANY_TEXT, st.lists(_SMALL_NAMES, max_size=2).map(tuple), _ANY_TEXT, _ANY_TEXT
    )
    texts = st.lists(_ANY_TEXT, max_size=3).map(tuple)
    return st.builds(
        Metadata, _SMALL_NAMES, _ANY_TEXT, st.lists(requirements, max_size=4).map(tuple), _ANY_TEXT, texts, _ANY_TEXT
    )


# Channels of conda packages: tiny, and contradictory on purpose


_CONDA_NAMES = st.sampled_from(["a", "b", "c", "d", "e"])
_CONDA_SPECS = st.sampled_from(["", "", "", ">=2", "<2", "1.*", "==3", "!=2", ">=1,<3", "* x*", "2.* y0"])


@st.composite
def conda_specs(draw: st.DrawFn, *, virtual: bool = True) -> str:
    """One match spec on a name of a small universe, sometimes on a virtual package or on an unknown name."""
    if virtual and draw(st.integers(0, 19)) == 0:
        return draw(st.sampled_from(["__glibc >=2.17", "__glibc >=2.34", "__cuda", "missing"]))
    return f"{draw(_CONDA_NAMES)} {draw(_CONDA_SPECS)}".strip()


@st.composite
def conda_records(draw: st.DrawFn) -> list[Record]:
    """Records of four or five names, each with at most three files, in one channel and subdir."""
    records: dict[str, Record] = {}
    for name in draw(st.lists(_CONDA_NAMES, min_size=4, max_size=5, unique=True)):
        for _ in range(draw(st.integers(1, 3))):
            version = draw(st.sampled_from(["1.0", "1.1", "2.0", "3"]))
            build = draw(st.sampled_from(["x0", "y0", "y1"]))
            file = f"{name}-{version}-{build}.conda"
            records[file] = Record(
                name=name,
                version=version,
                build=build,
                build_number=int(build[-1]),
                depends=tuple(draw(st.lists(conda_specs(), max_size=2))),
                constrains=tuple(draw(st.lists(conda_specs(), max_size=1))),
                track_features=("slow",) if draw(st.integers(0, 9)) == 0 else (),
                timestamp=draw(st.integers(0, 3)) * 10**12,
                channel="main",
                subdir="linux-64",
                file=file,
            )
    return list(records.values())


# Versions of conda packages: zeros, words and separators in all combinations


_CONDA_ATOMS = st.sampled_from(["0", "0", "1", "2", "10", "256", "a", "b", "dev", "post", "rc", "alpha", "_", "*"])
_CONDA_PARTS = st.lists(_CONDA_ATOMS, min_size=1, max_size=3).map("".join).filter(lambda part: part != "_")


@st.composite
def conda_versions(draw: st.DrawFn) -> str:
    """A valid conda version, sometimes with an epoch, a local part or the trailing underscore of openssl."""
    epoch = draw(st.sampled_from(["", "", "", "0!", "1!"]))
    parts = draw(st.lists(_CONDA_PARTS.filter(lambda part: "_" not in part), min_size=1, max_size=4))
    tail = draw(st.sampled_from(["", "", "", "_", "+1", "+0", "+1.a"]))
    return epoch + draw(st.sampled_from([".", ".", "_"])).join(parts) + tail


# Files of repodata.json, in every layout


_FILE_STEMS = st.builds(
    "{}-{}-{}".format,
    st.sampled_from(["demo", "demo-base", "demo-base-1", "zlib", "a", "dömo", 'd"m', "d\\u0065mo"]),
    st.sampled_from(["1.0", "2.0", "10"]),
    st.sampled_from(["h_0", "h_1", "h_2", "-"]),
)


# Content of a record that looks like the end of a record, or like another record.
_IN_RECORDS: list[dict[str, Any]] = [
    {"license": "}"},
    {"license": "{"},
    {"license": '},"zlib-1.0-h_0.conda":{'},
    {"license": "},", "zlib-1.0-h_0.conda": "{"},
    {"license": "\\", "url": ":{"},
    {"extra": {}},
    {"extra": {"a": {}, "zlib-1.0-h_0.conda": {}, "zlib-1.0-h_1.conda": {}, "zlib-2.0-h_0.conda": {}}},
    {"extra": [{}, {"zlib-1.0-h_0.conda": {"x": {}}}]},
    {"/run0": 0},
]


@st.composite
def repodata_documents(draw: st.DrawFn) -> dict[str, Any]:
    """A ``repodata.json`` as a value: tables with twins, odd names, records in any order, and removed files."""
    document: dict[str, Any] = {}
    for table, ending in (("packages", ".tar.bz2"), ("packages.conda", ".conda")):
        stems = draw(st.lists(st.one_of(_FILE_STEMS, st.sampled_from(["nodash", ""])), max_size=12, unique=True))
        if draw(st.booleans()):
            stems.sort()
        document[table] = {stem + ending: {"stem": stem, "in": table} for stem in stems}
        for file in draw(st.lists(st.sampled_from(sorted(document[table])), max_size=2)) if stems else ():
            document[table][file] |= draw(st.sampled_from(_IN_RECORDS))
    every = [file for table in document.values() for file in table]
    if every:
        document["removed"] = draw(st.lists(st.sampled_from(every), max_size=3))
    document["info"] = {"subdir": draw(st.sampled_from(["linux-64", "packages"]))}
    if draw(st.integers(0, 3)) == 0:
        document |= draw(
            st.sampled_from(
                [
                    {"v3": {"conda": {f"zlib-3.0-h_{build}.conda": {} for build in range(4)}}},
                    {f"zlib-3.0-h_{build}.conda": {} for build in range(4)},
                    {"packages.whl": {"zlib-3.0-py3-none-any.whl": {}, "/run0": {}}},
                ]
            )
        )
    if draw(st.booleans()):
        document = dict(sorted(document.items()))
    return document


# Channels and an index together: tiny, and often in conflict with each other


class Mixture(msgspec.Struct, frozen=True):
    """A mixed problem with its universes. Conda packages that need Python provide the project of the same name."""

    records: list[Record]
    specs: tuple[str, ...]
    packages: dict[str, dict[str, Version]]
    roots: tuple[str, ...]


_SHARED = ("num", "sci", "plot")  # names of both kinds
_MIXED_VERSIONS = ("1", "2", "3")


@st.composite
def mixtures(draw: st.DrawFn, *, closed: bool) -> Mixture:
    """With `closed` the specs name every conda package, so every solution provides the same projects."""
    bounds = st.sampled_from(["", "<2", "<3", ">=2", ">=3", "==2", "!=2"])
    shared = st.sampled_from(_SHARED)

    def spec(name: str, bound: str) -> str:
        return f"{name} {bound}" if bound else name

    records = [_mixed_record("python", "3.11.4", ())]
    for name in _SHARED:
        for version in draw(st.lists(st.sampled_from(_MIXED_VERSIONS), unique=True, min_size=1)):
            others = draw(
                st.lists(st.builds(spec, shared.filter(lambda each, own=name: each != own), bounds), max_size=1)
            )
            needs_python = closed or draw(st.booleans())
            records.append(_mixed_record(name, version, (*(("python",) if needs_python else ()), *others)))
    names = _SHARED if closed else tuple(draw(st.lists(shared, unique=True, max_size=2)))
    specs = tuple(spec(name, draw(bounds)) for name in names)
    projects = st.sampled_from([*_SHARED, "app", "lib", "tool"])
    wanted = st.builds(str.__add__, projects, bounds)
    packages = {
        project: {
            version: Version(requires=tuple(draw(st.lists(wanted, max_size=2))))
            for version in draw(st.lists(st.sampled_from(_MIXED_VERSIONS), unique=True, min_size=1))
        }
        for project in ("app", "lib", "tool", *(() if closed else _SHARED))
    }
    roots = tuple(draw(st.lists(wanted, min_size=1, max_size=3)))
    return Mixture(records, (*specs, "python"), packages, roots)


def _mixed_record(name: str, version: str, depends: tuple[str, ...]) -> Record:
    file = f"{name}-{version}-0.conda"
    return Record(name=name, version=version, build="0", depends=depends, channel="main", subdir="linux-64", file=file)
