"""The hypothesis strategies of all tests, one section for each room of the project."""

from __future__ import annotations

import posixpath
from typing import Any

import msgspec
from hypothesis import strategies as st

from envc.lockfile import canonical
from envc.model.digest import Sha256
from envc.model.graph import Artifact, LockedEnvironment, LockGraph, Package, PackageRef
from envc.model.manifest import KeyPath
from envc.model.record import MTIME
from envc.store.encode import Entry
from envc.store.errors import UnsafePath
from envc.store.paths import check_tree
from envc.store.tar import MAX_OCTAL
from tests.toml_texts import TomlText
from tests.universe import Version

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
    """Entries of one tree that may be written, in no order: files with contents, links to some of them."""
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


# TOML texts, and where things stand in them


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
    """A TOML text, what it says, and the line and column of every key and item in it."""
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


_ARTIFACTS = st.builds(
    Artifact,
    file=_FILES,
    size=st.integers(0, 2**60),
    sha256=_DIGESTS,
    targets=_tuples(_TARGET_KEYS, max_size=3),
    depends=st.none() | _ANY_LINES.map(tuple),
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
    depends=_ANY_LINES.map(tuple),
    artifacts=_tuples(_ARTIFACTS, max_size=3),
)
_ENVIRONMENTS = st.builds(
    LockedEnvironment,
    steps=_tuples(_STEPS, min_size=1, max_size=3),
    targets=_tuples(_TARGET_KEYS, max_size=3),
    python=st.sampled_from(["", "3.12", "3.13t"]),
    interpreter=st.sampled_from(["", "host", "conda"]),
    requires=_ANY_LINES.map(tuple),
    packages=_tuples(st.builds(PackageRef, _IDS, _tuples(_TARGETS, max_size=2)), max_size=4),
)


@st.composite
def shuffled_locks(draw: st.DrawFn) -> LockGraph:
    """Lock graphs in no order, with doubles among their sets, and with names and texts as odd as a lock may hold."""
    return LockGraph(
        options=draw(st.dictionaries(_OPTION_KEYS, _OPTION_VALUES, max_size=4)),
        environments=draw(_tuples(_ENVIRONMENTS, max_size=3)),
        packages=draw(_tuples(_PACKAGES, max_size=4)),
    )


def locks() -> st.SearchStrategy[LockGraph]:
    """Lock graphs in canonical form."""
    return shuffled_locks().map(canonical)


def shuffle_lock(graph: LockGraph, draw: st.DrawFn) -> LockGraph:
    """The same graph with all that is a set in another order."""

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
                        key: shuffled(getattr(environment, key)) for key in ("steps", "targets", "requires", "packages")
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
    )


# Universes of packages for the PyPI solver


_PROJECTS = ("ant", "bee", "cat", "dog", "elk")
_VERSIONS = ("1.0", "1.1", "2.0", "3.0b1")
_SPECIFIERS = ("", "", ">=1.1", "<2", "==1.0", "!=1.1", ">1.1,<3", "~=1.0", "==1.*", ">=3.0b1")
_EXTRAS = ("x", "y")


@st.composite
def requirement_texts(draw: st.DrawFn, *, conditional: bool = True) -> str:
    """A requirement on a project of a universe, or now and then on one that does not exist."""
    name = draw(st.sampled_from((*_PROJECTS, *_PROJECTS, "missing") if conditional else _PROJECTS))
    extra = draw(st.sampled_from(("", "", "", "[x]", "[x,y]")))
    specifier = draw(st.sampled_from(_SPECIFIERS))
    markers = ("", "", "", "; extra == 'x'", "; extra == 'y'", "; sys_platform == 'linux'", "; os_name == 'nt'")
    return f"{name}{extra}{specifier}{draw(st.sampled_from(markers)) if conditional else ''}"


@st.composite
def universes(draw: st.DrawFn) -> dict[str, dict[str, Version]]:
    """A few projects with a few versions each; some of them cannot be used."""
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
