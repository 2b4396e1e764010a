"""Reads a conda package, ``.conda`` or ``.tar.bz2``, as the files of a layout. No conda program is used.

Files stay as they are in the package, including placeholders. Placeholders are replaced in the prefix; the prefix
record in the object lists the files (`unpack.conda_meta`). The launchers of noarch python packages are final, since
they find the interpreter in their own folder. Every content is hashed while the object is written, and compared with
``paths.json``, which must list exactly the paths of the archive. Nothing is executed, in particular no link script.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, cast

import msgspec

from envc.model.decoders import decode
from envc.model.digest import Sha256, sha256
from envc.model.record import Member
from envc.shipping.format.encode import Entry
from envc.shipping.format.paths import check_path, check_tree, fold, rules
from envc.shipping.unpack.conda_info import (
    Index,
    PackagePath,
    above,
    read_entry_points,
    read_index,
    read_legacy_paths,
    read_paths,
)
from envc.shipping.unpack.conda_meta import (
    InstalledPath,
    PathsData,
    PathType,
    PrefixRecord,
    encode_record,
    is_meta,
    meta_path,
    stem_of,
)
from envc.shipping.unpack.contents import Contents
from envc.shipping.unpack.errors import BadPackage
from envc.shipping.unpack.launchers import (
    is_file_name,
    is_interpreter,
    no_script,
    posix_launcher,
    windows_launcher,
)
from envc.shipping.unpack.layout import Layout, parse_layout
from envc.shipping.unpack.left_out import is_cached_bytecode, source_of
from envc.shipping.unpack.tars import Tar, TarMember, open_tar
from envc.shipping.unpack.zips import Limits, open_zip
from envc.system.zip_directory import STORED, ZipMember
from envc.system.zip_reader import ZipArchive
from envc.system.zip_structures import STREAMED
from envc_solvers.malformed import malformed, reason_of

ANY = "any"  # the layout of packages whose files do not depend on the folders of Python
_METADATA = "metadata.json"


@contextmanager
def open_conda(
    path: Path, file: str, layout: str, artifact: Sha256, limits: Limits | None = None
) -> Iterator[Contents]:
    """Read the package at `path` for a layout. In its channel it is called `file`; its digest is `artifact`.

    The bytes at `path` must have been verified, and the caller must read the entries before leaving the context. Raises
    BadPackage, which names file and reason, for a package that violates the specification or is unsafe to unpack.
    """
    with ExitStack() as stack:
        try:
            info, content = _open(path, file, limits or Limits(), stack)
            package = _Reader(file, layout, artifact, path.stat().st_size, info, content, limits or Limits()).read()
        except malformed() as error:
            raise BadPackage(file, reason_of(error)) from None
        yield package


def _open(path: Path, file: str, limits: Limits, stack: ExitStack) -> tuple[Tar, Tar]:
    """The archive with ``info/``, and the archive with everything else. In the old format they are the same archive."""
    stream = stack.enter_context(path.open("rb"))
    if file.endswith(".tar.bz2"):
        tar = stack.enter_context(open_tar(stream, "bz2", limits, size=path.stat().st_size))
        return tar, tar
    if not file.endswith(".conda"):
        raise ValueError("its name ends neither in .conda nor in .tar.bz2")
    archive, infos = open_zip(stream, limits)
    for info in infos:
        if info.flags & STREAMED:  # rattler reads packages from the start, and needs the sizes there
            raise ValueError(f"the size of {info.name} is stated only after it")
    by_name = {info.name: info for info in infos}
    tars = []
    for part in ("info", "pkg"):
        name = f"{part}-{stem_of(file)}.tar.zst"
        named = sorted(other for other in by_name if other.startswith(f"{part}-"))
        if named != [name]:
            raise ValueError(f"it contains {', '.join(named)[:200] or 'nothing'} instead of {name}")
        info = by_name[name]
        if info.method != STORED:
            raise ValueError(f"{name} is compressed twice")
        tars.append(stack.enter_context(open_tar(archive.open(info), "zst", limits, size=info.size)))
    _check_format(archive, by_name.get(_METADATA), limits)
    read = {f"{part}-{stem_of(file)}.tar.zst" for part in ("info", "pkg")}
    archive.check(info for info in infos if info.name not in read)
    return tars[0], tars[1]


class _Format(msgspec.Struct, frozen=True):
    conda_pkg_format_version: int


def _check_format(archive: ZipArchive, info: ZipMember | None, limits: Limits) -> None:
    if info is None or info.size > limits.small:
        raise ValueError(f"it has no {_METADATA}")
    try:
        stated = decode(archive.read(info), _Format).conda_pkg_format_version
    except malformed() as error:
        raise ValueError(f"its {_METADATA} cannot be read ({reason_of(error)})") from None
    if stated != 2:
        raise ValueError(f"it has conda package format {stated}; this envc reads 2")


class _Reader:
    """The steps of reading one package. Every step raises ValueError with its reason."""

    def __init__(
        self, file: str, layout: str, artifact: Sha256, size: int, info: Tar, content: Tar, limits: Limits
    ) -> None:
        self.file = file
        self.layout_name = layout
        self.layout: Layout | None = None if layout == ANY else parse_layout(layout)
        self.artifact = artifact
        self.size = size
        self.info = info
        self.limits = limits
        self.info_members = {member.path: member for member in info.members if member.path.startswith("info/")}
        self.content = content
        self.files = {member.path: member for member in content.members if not member.path.startswith("info/")}
        if info is not content:
            self._check_split()
        self.entries: dict[str, tuple[Entry, Member]] = {}  # by path in the prefix
        self.installed: dict[str, InstalledPath] = {}  # by path in the prefix
        self.remarks: list[str] = []

    def _check_split(self) -> None:
        """Raise ValueError for a member in the wrong archive: only some readers would see it."""
        misplaced = [member.path for member in self.info.members if member.path not in self.info_members]
        misplaced += [member.path for member in self.content.members if member.path not in self.files]
        if misplaced:
            raise ValueError(f"{misplaced[0]!r} is in the wrong one of its two archives")

    def read(self) -> Contents:
        index = read_index(self._required("index.json"))
        if f"{index.name}-{index.version}-{index.build}" != stem_of(self.file):
            raise ValueError(f"it is {index.name[:80]!r} {index.version[:80]!r} {index.build[:80]!r} by its index.json")
        if (index.kind == "python") != (self.layout is not None):
            kind = "a noarch python package" if index.kind == "python" else "not a noarch python package"
            raise ValueError(f"it is {kind} by its index.json, but the lock says otherwise: run `envc lock --upgrade`")
        paths = self._paths()
        sources = {fold(path) for path in paths if path.lower().endswith(".py")}
        for path, entry in paths.items():
            # Byte-code belongs to conda packages, which contain the source as well. Noarch ones fit any Python.
            if not is_cached_bytecode(path) or (self.layout is None and source_of(path) in sources):
                self._add(path, entry)
        self._add_launchers(index)
        self._add_record(index)
        ordered = [self.entries[path] for path in sorted(self.entries)]
        members = tuple(member for _, member in ordered)
        check_tree(members, **rules(self.layout_name))
        self._check_folders(members)
        entries = tuple(entry for entry, _ in ordered)
        return Contents(self.file, entries, members, "info/paths.json", remarks=tuple(self.remarks))

    def _paths(self) -> dict[str, PackagePath]:
        """The paths that the package lists, which must be exactly those that it contains."""
        listed = self._optional("paths.json")
        name = "info/paths.json"
        if listed is not None:
            paths = read_paths(listed)
        else:
            name = "info/files"
            links = (path for path, member in self.files.items() if member.link)
            folders = (path for path in self.content.folders if f"{path}/".partition("/")[0] != "info")
            has_prefix, no_link = (self._optional(part) or b"" for part in ("has_prefix", "no_link"))
            paths = read_legacy_paths(self._required("files"), has_prefix, no_link, links, folders)
        for path, entry in paths.items():
            if entry.path_type == "directory":
                if path in self.files:
                    raise ValueError(f"{path!r} is a folder in {name}, but a file in the archive")
            elif path not in self.files:
                raise ValueError(f"{name} lists {path!r}, which is not in the archive")
        unlisted = sorted(self.files.keys() - paths.keys())
        if unlisted:
            raise ValueError(f"the archive contains {unlisted[0]!r}, which {name} does not list")
        return paths

    def _add(self, path: str, entry: PackagePath) -> None:
        place = self._place(path)
        self._check_place(place)
        original = path if place != path else ""
        if entry.path_type == "directory":
            self.installed[place] = InstalledPath(path=place, path_type="directory", original_path=original)
            return
        member = self.files[path]
        if (entry.path_type == "softlink") != bool(member.link):
            kind = "a link" if member.link else "a file"
            raise ValueError(f"{path!r} is a {entry.path_type} in info/paths.json, but {kind} in the archive")
        if member.link:
            made = Member(path=place, type="link", mode=0o777, link=member.link, mtime=member.mtime)
            self.entries[place] = Entry(path=place, link=member.link, mtime=member.mtime), made
            self.installed[place] = InstalledPath(path=place, path_type="softlink", original_path=original)
            return
        if entry.size_in_bytes not in (None, member.size):
            raise ValueError(f"{path!r} has {member.size} bytes; info/paths.json says {entry.size_in_bytes}")
        digest = entry.sha256 or self._digest(member)
        self._put(place, member, digest)
        is_rewritten = entry.prefix_placeholder is not None
        self.installed[place] = InstalledPath(
            path=place,
            path_type="hardlink",
            sha256=digest,
            size_in_bytes=member.size,
            sha256_in_prefix=None if is_rewritten else digest,
            prefix_placeholder=entry.prefix_placeholder or "",
            file_mode=entry.file_mode or "" if is_rewritten else "",
            no_link=entry.no_link,
            original_path=original,
        )

    def _put(self, place: str, member: TarMember, digest: str) -> None:
        entry = Entry(
            path=place,
            content=self.content.content(member),
            size=member.size,
            executable=member.executable,
            mtime=member.mtime,
        )
        self.entries[place] = entry, msgspec.structs.replace(entry.member(), sha256=digest)

    def _place(self, path: str) -> str:
        """The path in the prefix. For noarch python packages as in conda's `get_python_noarch_target_path`."""
        if self.layout is not None:
            first, _, rest = path.partition("/")
            if rest and first == "site-packages":
                return f"{self.layout.site}/{rest}"
            if rest and first == "python-scripts":
                return f"{self.layout.scripts}/{rest}"
        return path

    def _check_place(self, place: str) -> None:
        check_path(place, windows=self.layout is not None and self.layout.windows is not None)
        if place in self.installed:
            raise ValueError(f"two of its paths would become {place!r}")
        if fold(place) == "pyvenv.cfg":
            raise ValueError("it would turn the prefix into a virtual environment of another Python")
        if is_meta(place):
            raise ValueError(f"{place!r} may only be written by the program that installs packages")
        if self.layout is not None:
            folder, _, name = place.rpartition("/")
            interpreters = {self.layout.scripts.lower(), self.layout.python.lower().rpartition("/")[0]}
            if fold(folder) in interpreters and is_interpreter(fold(name)):
                raise ValueError(f"it would replace the environment's own {place}")

    def _add_launchers(self, index: Index) -> None:
        """Add one launcher for each entry point. It replaces a script of that name, as in conda."""
        link = self._optional("link.json") if self.layout is not None else None
        if link is None or self.layout is None:
            return
        points, left_out = read_entry_points(link)
        self.remarks += left_out
        for point in points:
            place = f"{self.layout.scripts}/{point.name}"
            if self.layout.windows is not None and not is_file_name(f"{point.name}.exe", windows=True):
                self.remarks.append(no_script(point.name))
            elif self.layout.windows is None:
                self._add_generated(place, posix_launcher(point), "unix_python_entry_point")
            else:
                content = windows_launcher(point, self.layout.windows, self.layout.to_python)
                self._add_generated(f"{place}.exe", content, "windows_python_entry_point_exe")

    def _add_generated(self, place: str, content: bytes, path_type: PathType) -> None:
        self.installed.pop(place, None)
        self._check_place(place)
        digest = sha256(content)
        entry = Entry(path=place, content=content, executable=True)
        self.entries[place] = entry, msgspec.structs.replace(entry.member(), sha256=digest)
        self.installed[place] = InstalledPath(
            path=place,
            path_type=path_type,
            sha256=digest,
            size_in_bytes=len(content),
            sha256_in_prefix=digest,
        )

    def _add_record(self, index: Index) -> None:
        paths = tuple(self.installed[path] for path in sorted(self.installed))
        features = index.track_features or ""
        record = PrefixRecord(
            name=index.name,
            version=index.version,
            build=index.build,
            build_number=index.build_number,
            subdir=index.subdir,
            noarch=index.kind,
            depends=index.depends,
            constrains=index.constrains,
            track_features=features if isinstance(features, str) else " ".join(features),
            features=index.features or "",
            license=index.license or "",
            license_family=index.license_family or "",
            timestamp=index.timestamp,
            python_site_packages_path=index.python_site_packages_path or "",
            arch=index.arch,
            platform=index.platform,
            fn=self.file,
            sha256=self.artifact,
            size=self.size,
            files=tuple(path.path for path in paths if path.path_type != "directory"),
            paths_data=PathsData(paths=paths),
        )
        place, content = meta_path(self.file), encode_record(record)
        check_path(place)
        entry = Entry(path=place, content=content)
        self.entries[place] = entry, msgspec.structs.replace(entry.member(), sha256=sha256(content))

    def _check_folders(self, members: tuple[Member, ...]) -> None:
        """Raise ValueError if a listed folder has the path of a file, or is below one."""
        member_paths = {member.path for member in members}
        for entry in self.installed.values():
            if entry.path_type == "directory" and not member_paths.isdisjoint((entry.path, *above(entry.path))):
                raise ValueError(f"the folder {entry.path!r} is in the place of a file")

    def _digest(self, member: TarMember) -> str:
        digest = hashlib.sha256()
        stream = cast("IO[bytes]", self.content.content(member)())  # type: ignore[operator]
        with stream:
            while chunk := stream.read(1 << 20):
                digest.update(chunk)
        return digest.hexdigest()

    def _required(self, name: str) -> bytes:
        data = self._optional(name)
        if data is None:
            raise ValueError(f"it has no info/{name}")
        return data

    def _optional(self, name: str) -> bytes | None:
        member = self.info_members.get(f"info/{name}")
        if member is None:
            return None
        if member.link or member.size > self.limits.small:
            raise ValueError(f"info/{name} is a link, or larger than {self.limits.small} bytes")
        return self.info.read(member)
