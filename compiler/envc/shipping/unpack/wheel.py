"""Reads a wheel as the files of a layout (PyPA specification "Binary distribution format", PEP 427).

All decisions are based on the archive's directory, RECORD and the small files of the dist-info folder. Contents are
read once, while the object is written; `Wheel.check` then compares their digests with those in RECORD. Files without a
good digest in RECORD, and scripts that get another beginning, are read twice.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from packaging.utils import canonicalize_name, parse_wheel_filename
from packaging.version import Version

from envc.fetch.pypi.metadata import parse_metadata
from envc.model.digest import sha256
from envc.model.record import Member
from envc.shipping.format.encode import Entry
from envc.shipping.format.paths import check_path, check_tree, fold, rules
from envc.shipping.unpack.contents import Contents
from envc.shipping.unpack.errors import BadWheel
from envc.shipping.unpack.launchers import (
    check_script_name,
    is_file_name,
    is_interpreter,
    no_script,
    parse_entry_points,
    posix_launcher,
    posix_script,
    windows_launcher,
)
from envc.shipping.unpack.layout import Layout, parse_layout
from envc.shipping.unpack.left_out import is_cached_bytecode, is_condas, source_of
from envc.shipping.unpack.records import WheelRecord, parse_record, render_record
from envc.shipping.unpack.zips import Limits, open_zip
from envc.system.zip_directory import ZipMember
from envc.system.zip_reader import BadMember
from envc_solvers.errors import MetadataUnusable
from envc_solvers.malformed import malformed, reason_of
from envc_solvers.pypi.language.requirement import Metadata

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

INSTALLER = b"envc\n"  # content of the INSTALLER file (PEP 376)

_CHUNK = 1 << 20  # bytes read at once
_SCRIPT_START = 1 << 20  # bytes of a script in which its docstring ends

_SIGNATURES = frozenset(("RECORD.jws", "RECORD.p7s"))  # of the RECORD, which is replaced; it need not list them
_REPLACED = _SIGNATURES | {"RECORD", "INSTALLER", "REQUESTED", "direct_url.json"}  # written by installers


class Wheel(Contents, frozen=True, kw_only=True):
    """An open wheel, whose RECORD states the digests of its files."""

    metadata: Metadata  # of the wheel itself; an index may state another one


@contextmanager
def open_wheel(path: Path, file: str, layout: str, limits: Limits | None = None) -> Iterator[Wheel]:
    """Read the wheel at `path`, whose name on the index is `file`, for a layout. Nothing is executed.

    The bytes at `path` must have been verified, and the caller must read the entries before leaving the context. Raises
    BadWheel, which names file and reason, for a wheel that violates the specification or is unsafe to unpack.
    """
    with path.open("rb") as stream:
        try:
            wheel = _Reader(stream, file, parse_layout(layout), limits or Limits()).read()
        except MetadataUnusable as error:
            raise BadWheel(file, error.reason) from None
        except malformed() as error:
            raise BadWheel(file, reason_of(error)) from None
        try:
            yield wheel
        except BadMember as error:
            raise BadWheel(file, str(error)) from None


class _Reader:
    """The steps of reading one wheel. Every step raises ValueError with its reason."""

    def __init__(self, stream: BinaryIO, file: str, layout: Layout, limits: Limits) -> None:
        self.file = file
        self.layout = layout
        self.limits = limits
        self.archive, infos = open_zip(stream, limits, fold_case=False)
        self.infos = {info.name: info for info in infos}
        self.entries: dict[str, tuple[Entry, Member]] = {}  # by path
        self.sources: dict[str, str] = {}  # the path in the wheel of each entry that is copied from it
        self.record = WheelRecord({}, ())
        self.remarks: list[str] = []

    def read(self) -> Wheel:
        name, version = _parse_file_name(self.file)
        stem = self._find_dist_info(name, version)
        self._check_wheel_version(f"{stem}.dist-info/WHEEL")
        self.record = parse_record(self._text(f"{stem}.dist-info/RECORD"))
        self._check_sizes()
        metadata = parse_metadata(self.file, self._bytes(f"{stem}.dist-info/METADATA"))
        places = {path: place for path in self.infos if (place := self._place(path, stem)) is not None}
        left_out = self._left_out(places)
        for path, place in places.items():
            if path not in left_out:
                self._add(place, self.infos[path], is_script=path.startswith(f"{stem}.data/scripts/"))
        self._add_launchers(f"{stem}.dist-info/entry_points.txt")
        folder = f"{self.layout.site}/{stem}.dist-info"
        self._add_generated(f"{folder}/INSTALLER", INSTALLER)
        members = [member for _, member in self.entries.values()]
        record = f"{folder}/RECORD"
        self._add_generated(record, render_record(members, record, self.layout.site, self.layout.to_prefix))
        copied = {self.sources[path] for path in self.entries.keys() & self.sources.keys()}
        self.archive.check(info for path, info in self.infos.items() if path not in copied)
        ordered = [self.entries[path] for path in sorted(self.entries)]
        promised = tuple(member for _, member in ordered)
        check_tree(promised, **rules(self.layout.name))
        return Wheel(
            self.file,
            tuple(entry for entry, _ in ordered),
            promised,
            "RECORD",
            tuple(sorted(place for place in left_out.values() if is_condas(place))),
            tuple(self.remarks),
            self.record.faults(self.infos, {f"{stem}.dist-info/{name}" for name in (*_SIGNATURES, "RECORD")}),
            metadata=metadata,
        )

    def _find_dist_info(self, name: str, version: Version) -> str:
        """The common stem of the dist-info and data folders, as spelt in the wheel."""
        tops = {path.partition("/")[0] for path in self.infos if "/" in path}
        found = sorted(top for top in tops if top.lower().endswith(".dist-info"))
        if len(found) != 1:
            raise ValueError(f"it contains {len(found)} dist-info folders instead of one: {', '.join(found)[:200]}")
        stem, dot, suffix = found[0].rpartition(".")
        if not dot or suffix != "dist-info" or not _is_stem(stem, name, version):
            raise ValueError(f"its dist-info folder {found[0]!r} belongs to another package or version")
        folders = [top for top in tops if top.endswith(".data") and top != f"{stem}.data"]
        for folder in folders:
            if _is_stem(folder.removesuffix(".data"), name, version):
                raise ValueError(f"its folders {found[0]!r} and {folder!r} are spelt differently")
        return stem

    def _check_wheel_version(self, path: str) -> None:
        from email.parser import HeaderParser

        stated = str(HeaderParser().parsestr(self._text(path)).get("Wheel-Version", "")).strip()
        if not re.fullmatch(r"[0-9]{1,9}\.[0-9]{1,9}", stated):
            raise ValueError(f"its Wheel-Version {stated[:40]!r} cannot be read")
        if int(stated.partition(".")[0]) != 1:
            raise ValueError(f"it is of wheel format {stated}, and this envc reads 1.x")

    def _check_sizes(self) -> None:
        for path, info in self.infos.items():
            stated = self.record.row(path).size
            if stated not in (None, info.size):
                raise ValueError(f"{path} has {info.size} bytes; RECORD says {stated}")

    def _place(self, path: str, stem: str) -> str | None:
        """The path of a file relative to the prefix. None for files that envc rewrites."""
        site = self.layout.site
        first, _, rest = path.partition("/")
        if first == f"{stem}.dist-info":
            return None if rest in _REPLACED else f"{site}/{path}"
        if first != f"{stem}.data":
            return f"{site}/{path}"
        key, _, below = rest.partition("/")
        folder = {
            "purelib": site,
            "platlib": site,
            "scripts": self.layout.scripts,
            "headers": f"{self.layout.headers}/{canonicalize_name(stem.rpartition('-')[0])}",
            "data": "",
        }.get(key)
        if folder is None or not below:
            raise ValueError(f"{path!r} is in none of the data folders that a wheel may have")
        if key == "scripts":
            check_script_name(below)
        return f"{folder}/{below}" if folder else below

    def _left_out(self, places: dict[str, str]) -> dict[str, str]:
        """The files that are not installed, with their paths in the prefix: byte-code of sources, and what only conda
        packages may write.
        """
        sources = {fold(place) for place in places.values() if place.lower().endswith(".py")}
        return {
            path: place
            for path, place in places.items()
            if is_condas(place)
            or is_cached_bytecode(place)
            or (place.lower().endswith(".pyc") and source_of(place) in sources)
        }

    def _add(self, place: str, info: ZipMember, *, is_script: bool) -> None:
        name = place.rpartition("/")[2]
        if is_script and not is_file_name(name, windows=self.layout.windows is not None):
            self.remarks.append(no_script(name))
            return
        self._check_place(place)
        if is_script and self.layout.windows is None and self._add_python_script(place, info):
            return
        executable = is_script or info.is_executable
        mode = 0o755 if executable else 0o644
        member = Member(path=place, mode=mode, size=info.size, sha256=self._digest(info))
        content = partial(self.archive.open, info)
        self.entries[place] = Entry(path=place, content=content, size=info.size, executable=executable), member
        self.sources[place] = info.name

    def _add_python_script(self, place: str, info: ZipMember) -> bool:
        """Add a script that has to find its interpreter. Returns whether it is one."""
        with io.BufferedReader(cast("io.RawIOBase", self.archive.open(info))) as content:
            made = posix_script(content.read(_SCRIPT_START))
        if made is None:
            return False
        begin, replaced = made
        self._read_digest(info)  # of the script as it is in the wheel
        script = partial(self._open_script, info, begin, replaced)
        size = info.size - replaced + len(begin)
        member = Member(path=place, mode=0o755, size=size, sha256=_sha256(script))
        self.entries[place] = Entry(path=place, content=script, size=size, executable=True), member
        return True

    def _open_script(self, info: ZipMember, begin: bytes, replaced: int) -> BinaryIO:
        """A script with another beginning in place of its first bytes."""
        content = self.archive.open(info)
        while replaced:
            replaced -= len(content.read(replaced))
        return cast("BinaryIO", io.BufferedReader(_Joined(begin, content)))

    def _add_launchers(self, path: str) -> None:
        """Add one launcher for each entry point. It replaces a script of that name, as in pip."""
        if path not in self.infos:
            return
        entry_points, left_out = parse_entry_points(self._text(path))
        self.remarks += left_out
        for entry_point in entry_points:
            place = f"{self.layout.scripts}/{entry_point.name}"
            if self.layout.windows is not None and not is_file_name(f"{entry_point.name}.exe", windows=True):
                self.remarks.append(no_script(entry_point.name))
            elif self.layout.windows is None:
                self.entries.pop(place, None)
                self._add_generated(place, posix_launcher(entry_point), executable=True)
            else:
                self.entries.pop(f"{place}.exe", None)
                launcher = windows_launcher(entry_point, self.layout.windows, self.layout.to_python)
                self._add_generated(f"{place}.exe", launcher, executable=True)

    def _add_generated(self, place: str, content: bytes, *, executable: bool = False) -> None:
        self._check_place(place)
        member = Member(path=place, mode=0o755 if executable else 0o644, size=len(content), sha256=sha256(content))
        self.entries[place] = Entry(path=place, content=content, executable=executable), member
        self.sources.pop(place, None)

    def _check_place(self, place: str) -> None:
        check_path(place, windows=self.layout.windows is not None)
        if place in self.entries:
            raise ValueError(f"two of its files would become {place!r}")
        folder, _, name = place.rpartition("/")
        if fold(place) == "pyvenv.cfg":
            raise ValueError("it would replace the environment's own pyvenv.cfg")
        interpreters = {self.layout.scripts.lower(), self.layout.python.lower().rpartition("/")[0]}
        if fold(folder) in interpreters and is_interpreter(fold(name)):
            raise ValueError(f"it would replace the environment's own {place}")

    def _digest(self, info: ZipMember) -> str:
        """The sha256 of a file, from RECORD where that states it. What is written is compared with it."""
        row = self.record.row(info.name)
        return row.digest.hex() if row.algorithm == "sha256" else self._read_digest(info)

    def _read_digest(self, info: ZipMember) -> str:
        """The sha256 of a file, which is read and compared with its digest in RECORD."""
        row = self.record.row(info.name)
        own = hashlib.sha256()
        stated = hashlib.new(row.algorithm, usedforsecurity=False) if row.algorithm else None
        with self.archive.open(info) as content:
            while chunk := content.read(_CHUNK):
                own.update(chunk)
                if stated is not None:
                    stated.update(chunk)
        if stated is not None and stated.digest() != row.digest:
            raise ValueError(f"{info.name} does not match its digest in RECORD")
        return own.hexdigest()

    def _bytes(self, path: str) -> bytes:
        info = self.infos.get(path)
        if info is None:
            raise ValueError(f"it has no {path}")
        if info.size > self.limits.small:
            raise ValueError(f"{path} is {info.size} bytes long")
        return self.archive.read(info)

    def _text(self, path: str) -> str:
        try:
            return self._bytes(path).decode()
        except UnicodeDecodeError:
            raise ValueError(f"{path} is not UTF-8") from None


class _Joined(io.RawIOBase):
    """Bytes, followed by the rest of a stream."""

    def __init__(self, begin: bytes, rest: BinaryIO) -> None:
        self._begin, self._rest = begin, rest

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer).cast("B")
        data = self._begin[: len(view)] or self._rest.read(len(view))
        self._begin = self._begin[len(view) :]
        view[: len(data)] = data
        return len(data)


def _sha256(opened: Callable[[], BinaryIO]) -> str:
    digest = hashlib.sha256()
    with opened() as content:
        while chunk := content.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _parse_file_name(file: str) -> tuple[str, Version]:
    try:
        name, version, _, _ = parse_wheel_filename(file)
    except ValueError as error:
        raise ValueError(reason_of(error)) from None
    return name, version


def _is_stem(stem: str, name: str, version: Version) -> bool:
    stated_name, _, stated_version = stem.rpartition("-")
    return canonicalize_name(stated_name) == name and _is_version(stated_version, version)


def _is_version(text: str, version: Version) -> bool:
    """Whether a text is that version. Folder names may use an underscore for a hyphen (PEP 427, "Escaping")."""
    try:
        return Version(text.replace("_", "-")) == version or Version(text) == version
    except ValueError:
        return False
