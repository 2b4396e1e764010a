"""Finds conda packages with scripts that conda would run on installation, to warn about them when they are locked.

The names of a package's files are at the end of its `.conda` file, so one ranged request is enough. The result is used
for a warning only, since the file is not verified. For packages in the old format, and for servers without ranges, the
warning comes when they are bundled.
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import msgspec

from envc.errors import EnvcError
from envc.fetch.conda.channel_locations import ChannelLocation
from envc.fetch.context import FetchContext
from envc.fetch.net.http import Stopped, Truncated
from envc.fetch.net.urls import local_path
from envc.model.decoders import decode
from envc.model.digest import sha256
from envc.model.environment import EnvironmentMember
from envc.model.limits import INFO_BYTES
from envc.system.atomic_file import write_file
from envc.system.single_stream import decompress
from envc.system.tar_entries import read_entries
from envc.system.zip_directory import STORED, read_directory
from envc.system.zip_reader import read_member
from envc_solvers.malformed import FOREIGN, malformed

TAIL = 1 << 18  # bytes at the end of a package; they hold all of `info/` for 19 packages in 20
_REQUESTS = 16  # concurrent requests
_ENTRIES = 100  # of a `.conda` file, which has three


class _Path(msgspec.Struct, frozen=True):
    path: str = msgspec.field(name="_path")


class _Paths(msgspec.Struct, frozen=True):
    paths: tuple[_Path, ...]


def script_names(name: str) -> frozenset[str]:
    """The paths that conda would run for a package of that name."""
    return frozenset(
        f"{folder}/.{name}-{when}.{suffix}"
        for folder, suffix in (("bin", "sh"), ("Scripts", "bat"))
        for when in ("pre-link", "post-link", "pre-unlink")
    )


class LinkScripts:
    """Reads the file names of channel packages. Results are cached by channel and digest of the package.

    Ranged reads are not verified, so what one channel serves says nothing about the package of another.
    """

    def __init__(self, locations: dict[str, ChannelLocation], context: FetchContext) -> None:
        self._locations = locations
        self._client = context.client
        self._notes = context.cache / "scripts"
        self._artifacts = context.cache / "artifacts"
        self._offline = context.offline

    def find(self, members: Iterable[EnvironmentMember]) -> dict[EnvironmentMember, tuple[str, ...]]:
        """The scripts of those packages that have some, as far as one request per package can tell."""
        ordered = sorted(set(members))
        with ThreadPoolExecutor(_REQUESTS, thread_name_prefix="envc-scripts") as pool:
            return {member: found for member, found in zip(ordered, pool.map(self._of, ordered), strict=True) if found}

    def _of(self, member: EnvironmentMember) -> tuple[str, ...]:
        if not member.file.endswith(".conda"):
            return ()
        location = self._locations.get(member.source)
        key = sha256(f"{location.key if location is not None else ''}\0{member.sha256}".encode())
        note = self._notes / key[:2] / key
        with suppress(OSError, UnicodeDecodeError):
            return tuple(sorted(script_names(member.name).intersection(note.read_text(encoding="utf-8").splitlines())))
        try:
            tail = self._tail(member)
            if tail is None:
                return ()
            found = tuple(sorted(script_names(member.name) & _paths(tail, member.size)))
        except malformed(*FOREIGN, OSError, EnvcError, Truncated, Stopped):
            return ()
        with suppress(OSError):
            note.parent.mkdir(parents=True, exist_ok=True)
            write_file(note, "".join(f"{path}\n" for path in found).encode())
        return found

    def _tail(self, member: EnvironmentMember) -> bytes | None:
        """The end of a package file, from the cheapest source; None if there is none."""
        with suppress(OSError):
            return _end_of(self._artifacts / member.sha256[:2] / member.sha256 / member.file)
        location = self._locations.get(member.source)
        if location is None:
            return None
        url = f"{location.url}/{member.subdir}/{member.file}"
        if url.startswith("file:"):
            return _end_of(local_path(url))
        if self._offline:
            return None
        span = {"Range": f"bytes={max(0, member.size - TAIL)}-{member.size - 1}", "Accept-Encoding": "identity"}
        with self._client.open(member.source, f"the end of {member.file}", url, headers=span) as stream:
            return stream.read(TAIL) if stream.status == 206 else None


def _end_of(path: Path) -> bytes:
    with path.open("rb") as stream:
        stream.seek(max(0, path.stat().st_size - TAIL))
        return stream.read(TAIL)


def _paths(tail: bytes, size: int) -> set[str]:
    """The paths that a package of `size` bytes lists, from the end of its file.

    Raises one of `malformed` if that is not enough.
    """

    def read(offset: int, length: int) -> bytes:
        if offset < size - len(tail):
            raise ValueError("its list of files is longer than usual")
        return tail[offset - size + len(tail) :][:length]

    members = read_directory(size, read, most=_ENTRIES)
    (entry,) = (member for member in members if member.name.startswith("info-"))
    if entry.method != STORED:
        raise ValueError("not a package that `bundle` accepts")
    packed = read_member(entry, read)
    info = io.BytesIO()
    for chunk in decompress(io.BytesIO(packed), "zst"):
        if info.write(chunk) and info.tell() > INFO_BYTES:
            raise ValueError("its description is too large")
    for member in read_entries(info):
        if member.path == "info/paths.json" and member.kind == "file":
            data = info.getbuffer()[member.offset : member.offset + member.size]
            return {each.path for each in decode(data, _Paths).paths}
    raise ValueError("it lists no paths")
