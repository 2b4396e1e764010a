"""The metadata of a conda package below ``info/``: `index.json`, its paths, and its launchers.

Sources: conda's documentation "Conda package specification", and CEP-26 for names. Packages older than `paths.json`
(2017) have the three lists ``files``, ``has_prefix`` and ``no_link``, which are read as in conda's `read_paths_json`.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator
from typing import Literal, TypeVar

import msgspec

from envc.model.decoders import decode
from envc.model.limits import INFO_LINE_BYTES
from envc.shipping.format.paths import check_path
from envc.shipping.unpack.conda_meta import FileMode
from envc.shipping.unpack.launchers import EntryPoint, is_file_name, no_script, parse_entry_point
from envc.shipping.unpack.placeholders import check_placeholder
from envc_solvers.malformed import malformed, reason_of

LEGACY_PLACEHOLDER = "/opt/anaconda1anaconda2anaconda3"  # for a `has_prefix` that names none (conda.base.constants)
_HEX = re.compile(r"[0-9a-f]{64}").fullmatch

V = TypeVar("V")


class Index(msgspec.Struct, frozen=True, kw_only=True):
    """The fields of ``info/index.json`` that are used here."""

    name: str
    version: str
    build: str
    build_number: int = 0
    subdir: str = ""
    noarch: str | bool | None = None
    depends: tuple[str, ...] = ()
    constrains: tuple[str, ...] = ()
    track_features: str | tuple[str, ...] | None = None
    features: str | None = None
    license: str | None = None
    license_family: str | None = None
    timestamp: int = 0
    python_site_packages_path: str | None = None
    arch: str | None = None
    platform: str | None = None

    @property
    def kind(self) -> str:
        """``python``, ``generic``, or "" for a package of one platform. ``true`` is the old spelling of ``generic``."""
        return "generic" if self.noarch is True else self.noarch or ""


class PackagePath(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of ``paths.json``."""

    path: str = msgspec.field(name="_path")
    path_type: Literal["hardlink", "softlink", "directory"] = "hardlink"
    sha256: str | None = None
    size_in_bytes: int | None = None
    prefix_placeholder: str | None = None
    file_mode: FileMode | None = None
    no_link: bool = False


class _Paths(msgspec.Struct, frozen=True):
    paths: tuple[PackagePath, ...]
    paths_version: int = 1


class _Noarch(msgspec.Struct, frozen=True):
    type: str | bool
    entry_points: tuple[str, ...] = ()


class _Link(msgspec.Struct, frozen=True):
    noarch: _Noarch | None = None


def read_index(data: bytes) -> Index:
    """Raises ValueError for an invalid index."""
    index = _decode(data, Index, "index.json")
    if index.kind not in ("", "python", "generic"):
        raise ValueError(f"info/index.json states the noarch kind {index.kind[:40]!r}")
    return index


def read_paths(data: bytes) -> dict[str, PackagePath]:
    """The entries of ``paths.json`` by path. Raises ValueError for an invalid document, and for two different entries
    of one path.
    """
    document = _decode(data, _Paths, "paths.json")
    if document.paths_version != 1:
        raise ValueError(f"info/paths.json has version {document.paths_version}; envc reads version 1")
    found: dict[str, PackagePath] = {}
    for entry in document.paths:
        check_path(entry.path)
        if found.setdefault(entry.path, entry) != entry:
            raise ValueError(f"info/paths.json lists {entry.path!r} twice, and differently")
        _check(entry)
    return found


def read_legacy_paths(
    files: bytes, has_prefix: bytes, no_link: bytes, links: Iterable[str], folders: Iterable[str]
) -> dict[str, PackagePath]:
    """The lists of an old package as entries of ``paths.json``.

    `links` and `folders` are those of its archive. The lists contain only files; empty folders are added from the
    archive. Raises ValueError for a list that cannot be read.
    """
    placeholders: dict[str, tuple[str, str]] = {}
    for path, stated in (_has_prefix(line) for line in _lines(has_prefix, "has_prefix")):
        if placeholders.setdefault(path, stated) != stated:
            raise ValueError(f"info/has_prefix lists {path!r} twice, and differently")
    unlinked = set(_lines(no_link, "no_link"))
    soft, empty = set(links), set(folders)
    found: dict[str, PackagePath] = {}
    for path in _lines(files, "files"):
        if path in empty:
            continue
        check_path(path)
        empty.difference_update(above(path))
        if path in found:
            continue
        placeholder, mode = placeholders.pop(path, ("", ""))
        entry = PackagePath(
            path=path,
            path_type="softlink" if path in soft else "hardlink",
            prefix_placeholder=placeholder or None,
            file_mode=_mode(mode, path) if placeholder else None,
            no_link=path in unlinked,
        )
        _check(entry)
        found[path] = entry
    found |= {path: PackagePath(path=path, path_type="directory") for path in sorted(empty)}
    if placeholders:
        raise ValueError(f"info/has_prefix lists {min(placeholders)!r}, but info/files does not")
    return found


def read_entry_points(data: bytes) -> tuple[tuple[EntryPoint, ...], tuple[str, ...]]:
    """The entry points in the ``link.json`` of a noarch python package, sorted by name, and the reasons why others get
    no script.

    Raises ValueError for one that is not ``name = module:attribute``, whose name would replace the interpreter, or that
    differs from another one of its name.
    """
    link = _decode(data, _Link, "link.json")
    found: dict[str, EntryPoint] = {}
    left_out: list[str] = []
    for line in link.noarch.entry_points if link.noarch else ():
        name, equals, reference = line.partition("=")
        if not equals:
            raise ValueError(f"the entry point {line[:80]!r} is not name = module:attribute")
        if not is_file_name(name.strip()):
            left_out.append(no_script(name.strip()))
            continue
        point = parse_entry_point(name.strip(), reference.strip(), "console")
        if found.setdefault(point.name, point) != point:
            raise ValueError(f"the entry point {point.name} is declared twice, and differently")
    return tuple(found[name] for name in sorted(found)), tuple(left_out)


def above(path: str) -> Iterator[str]:
    """The folders that contain a path, the innermost first."""
    while path := path.rpartition("/")[0]:
        yield path


def _check(entry: PackagePath) -> None:
    if entry.sha256 is not None and not _HEX(entry.sha256):
        raise ValueError(f"info/paths.json states an invalid sha256 for {entry.path!r}")
    placeholder = entry.prefix_placeholder
    if placeholder is None:
        return
    try:
        check_placeholder(placeholder)
    except ValueError as error:
        raise ValueError(f"{entry.path!r}: {error}") from None
    if not entry.file_mode or entry.path_type != "hardlink":
        raise ValueError(f"{entry.path!r} has a placeholder, but is neither text nor binary")


def _mode(text: str, path: str) -> FileMode:
    if text == "text":
        return "text"
    if text == "binary":
        return "binary"
    raise ValueError(f"info/has_prefix calls {path!r} {text[:40]!r}, which is neither text nor binary")


def _has_prefix(line: str) -> tuple[str, tuple[str, str]]:
    """Path, placeholder and mode of a line. A line is ``"placeholder" mode "path"``, quoted or not, or only a path."""
    try:
        parts = [part.strip("\"'") for part in shlex.split(line, posix=False)]
    except ValueError:
        parts = []
    if len(parts) == 1:
        return parts[0], (LEGACY_PLACEHOLDER, "text")
    if len(parts) == 3:
        return parts[2], (parts[0], parts[1])
    raise ValueError(f"info/has_prefix has the invalid line {line[:80]!r}")


def _lines(data: bytes, name: str) -> list[str]:
    try:
        lines = [line.strip() for line in data.decode().splitlines()]
    except UnicodeDecodeError:
        raise ValueError(f"info/{name} is not UTF-8") from None
    if max(map(len, lines), default=0) > INFO_LINE_BYTES:  # shlex takes time in proportion to the square of a line
        raise ValueError(f"info/{name} has a line of more than {INFO_LINE_BYTES} characters")
    return [line for line in lines if line and not line.startswith("#")]


def _decode(data: bytes, form: type[V], name: str) -> V:
    try:
        return decode(data, form)
    except malformed() as error:
        raise ValueError(f"info/{name} cannot be read ({reason_of(error)})") from None
