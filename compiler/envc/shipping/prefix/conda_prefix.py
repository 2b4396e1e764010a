"""Completes a tree of conda packages in a prefix: replaces placeholders with its path, and writes its history.

Objects contain files with placeholders, and prefix records that list these files (`unpack.conda_meta`). Here each of
them is replaced with a file that contains the path of the prefix. No file is changed in place, since it may share its
content with the cache, and so with other prefixes.

`system.atomic_file` is not used here: the tree is not published yet, and files keep their modes and times.
"""

from __future__ import annotations

import hashlib
import mmap
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec

from envc.errors import EnvcError
from envc.model.digest import Sha256, sha256
from envc.model.limits import ARCHIVE_TEXT_BYTES
from envc.model.progress import Progress
from envc.model.record import MTIME, Member, Record, RecordObject
from envc.shipping.format.errors import CorruptBlob
from envc.shipping.format.paths import check_path
from envc.shipping.unpack.conda_meta import (
    HISTORY,
    InstalledPath,
    PathsData,
    PrefixRecord,
    PrefixRecordSummary,
    decode_record,
    decode_summary,
    encode_record,
    meta_path,
    with_origin,
)
from envc.shipping.unpack.placeholders import (
    LONG_FIRST_LINES,
    PrefixTooLong,
    check_placeholder,
    is_rewritten,
    restore_binary,
    restore_text,
    rewrite_binary,
    rewrite_text,
    spell_prefix,
)
from envc.system.beneath import Beneath
from envc.system.buffers import write_all

UNKNOWN = "envc://bundle"  # the channel of packages from a single-file bundle, which does not name it
_GROWTH = 64 << 20  # bytes by which any text may grow
_WORTH_THREADS = 16 << 20  # bytes to be rewritten; fewer are rewritten faster than threads start
_DRAFTS = ".envc/drafts"
_WRITE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
CODESIGN = "/usr/bin/codesign"
# 64-bit files, and two kinds of universal files.
_MACH_O = (b"\xcf\xfa\xed\xfe", b"\xca\xfe\xba\xbe", b"\xca\xfe\xba\xbf")


class PrefixTooLongFor(EnvcError):
    """The path of the prefix is too long for a file of a package."""

    hint = "choose a shorter --prefix, or a shorter ENVC_CACHE_DIR"

    def __init__(self, prefix: str, package: str, path: str, limit: int) -> None:
        super().__init__(prefix, package, path, limit)
        self.prefix = prefix
        self.package = package
        self.path = path
        self.limit = limit  # bytes

    def __str__(self) -> str:
        length = len(self.prefix.encode())
        return f"{self.path} of {self.package} has room for a prefix of {self.limit} bytes; {self.prefix} has {length}"

    def data(self) -> dict[str, object]:
        return {"package": self.package, "path": self.path, "room": self.limit, "length": len(self.prefix.encode())}


def complete_prefix(
    root: Path,
    prefix: Path,
    record: Record,
    *,
    origins: Mapping[Sha256, str],
    progress: Progress,
    threads: int | None = None,
    codesign: str = CODESIGN,
) -> None:
    """Complete the tree at `root`, which will be renamed to `prefix`.

    `origins` maps each artifact to the address of its channel, without credentials. Raises CorruptBlob for a prefix
    record that does not match the object, PrefixTooLongFor, and OSErrors if the files cannot be written.
    """
    spelt = spell_prefix(str(prefix), record.platform)
    if not spelt.isprintable():
        raise EnvcError(
            f"{str(prefix)!r} cannot be written into files: it contains control characters, or is not Unicode"
        )
    packages = [_read(root, item, record) for item in record.objects if item.kind == "conda"]
    work: list[_Rewrite] = []
    for package in packages:
        for entry in package.meta.paths_data.paths if package.meta else ():
            member = package.members.get(entry.path)
            if entry.path_type == "directory":
                (root / entry.path).mkdir(parents=True, exist_ok=True)
            elif member is not None and member.type == "file" and (entry.no_link or is_changed(entry, record)):
                work.append(_Rewrite(package.item, entry, member))
    drafts = root / _DRAFTS
    drafts.mkdir(parents=True)
    digests = _rewrite_all(root, work, _Prefix(spelt, record.platform), threads)
    drafts.rmdir()
    changed = {each.entry.path for each in work if each.entry.file_mode == "binary" and is_changed(each.entry, record)}
    digests |= _sign(root, sorted(changed), record.platform, codesign, progress)
    for package in packages:
        channel = origins.get(Sha256(package.summary.sha256), UNKNOWN)
        url = f"{channel}/{package.summary.subdir or record.platform}/{package.summary.fn}"
        text = encode_record(_completed(package.meta, package.members, digests)) if package.meta else package.data
        _replace(root / meta_path(package.item.file), drafts, with_origin(text, url, channel))
    channels = ((package.summary, origins.get(package.item.index.artifact, UNKNOWN)) for package in packages)
    (root / HISTORY).write_bytes(history_text(channels))
    os.utime(root / HISTORY, (MTIME, MTIME))


def changed_paths(record: Record, metas: Mapping[Sha256, PrefixRecord]) -> set[str]:
    """The paths that `complete_prefix` creates or rewrites. `metas` are the prefix records of the artifacts."""
    found = {HISTORY} if metas else set()
    for item in record.objects:
        meta = metas.get(item.index.artifact)
        if meta is not None:
            members = _members(record, item)
            found.add(meta_path(item.file))
            found |= {
                entry.path for entry in meta.paths_data.paths if entry.path in members and is_changed(entry, record)
            }
    return found


def rewritten_entries(root: Path, record: Record) -> dict[str, InstalledPath]:
    """The files of a prefix that contain its path, according to its prefix records. Broken records are skipped."""
    found: dict[str, InstalledPath] = {}
    below = Beneath(root)
    for item in record.objects:
        if item.kind != "conda":
            continue
        try:
            meta = decode_record(below.read(meta_path(item.file), ARCHIVE_TEXT_BYTES))
        except (OSError, ValueError):
            continue
        members = _members(record, item)
        found |= {e.path: e for e in meta.paths_data.paths if e.path in members and is_changed(e, record)}
    return found


def original_digest(path: Path, entry: InstalledPath, prefix: str, platform: str) -> str | None:
    """The digest that a file had before the path `prefix` was written into it. None if that cannot be determined.

    This is the case for first lines that became too long, and for programs that were signed again. Raises OSError.
    """
    spelt, old = spell_prefix(prefix, platform), entry.prefix_placeholder
    data = path.read_bytes()
    if entry.file_mode == "text":
        if data.startswith(LONG_FIRST_LINES):
            return None
        return sha256(restore_text(data, old, spelt))
    if platform == "osx-arm64" and data[:4] in _MACH_O:
        return None
    digest = hashlib.sha256()
    for piece in restore_binary(data, old, spelt):
        digest.update(piece)
    return digest.hexdigest()


def is_changed(entry: InstalledPath, record: Record) -> bool:
    """Whether the path of the prefix is written into a file."""
    return bool(entry.prefix_placeholder) and is_rewritten(entry.file_mode, record.platform)


def _members(record: Record, item: RecordObject) -> dict[str, Member]:
    """The members of a package that are in the tree. Other packages win the paths of its other members."""
    artifact = item.index.artifact
    winners = record.winners
    return {member.path: member for member in item.index.members if winners.get(member.path, artifact) == artifact}


class _Package(msgspec.Struct, frozen=True, kw_only=True):
    """A conda package in the tree, with the prefix record of its object."""

    item: RecordObject
    data: bytes
    summary: PrefixRecordSummary
    meta: PrefixRecord | None = None  # only if the package needs changes in the prefix
    members: dict[str, Member] = {}  # likewise


def _read(root: Path, item: RecordObject, record: Record) -> _Package:
    """The prefix record of a package. Its digest is checked, since the file may come from the cache."""
    path, what = meta_path(item.file), f"the object of {item.name} {item.version}"
    expected = next((member.sha256 for member in item.index.members if member.path == path), "")
    data = (root / path).read_bytes() if expected else b""
    if sha256(data) != expected:
        raise CorruptBlob(
            what,
            f"has no {path!r} that matches its digest",
            "run `envc cache prune --all`, then run the same command again",
        )
    try:
        summary = decode_summary(data)
        if summary.is_plain and not record.winners:
            return _Package(item=item, data=data, summary=summary)
        members = _members(record, item)
        if summary.is_plain and len(members) == len(item.index.members):
            return _Package(item=item, data=data, summary=summary)
        meta = decode_record(data)
        for entry in meta.paths_data.paths:
            if entry.path_type == "directory":
                check_path(entry.path)
            if entry.prefix_placeholder:
                check_placeholder(entry.prefix_placeholder)
    except ValueError as error:
        raise CorruptBlob(what, str(error)) from None
    return _Package(item=item, data=data, summary=summary, meta=meta, members=members)


class _Rewrite(NamedTuple):
    """A file of a package that is to be rewritten."""

    item: RecordObject
    entry: InstalledPath
    member: Member

    @property
    def package(self) -> str:
        """Name and version, for errors."""
        return f"{self.item.name} {self.item.version}"


class _Prefix(NamedTuple):
    """The prefix as it is written into files."""

    spelling: str
    platform: str


def _rewrite_all(root: Path, work: list[_Rewrite], prefix: _Prefix, threads: int | None) -> dict[str, str]:
    """Write the path of the prefix into files of packages. Returns the digests of their new contents by path."""

    def rewrite(number: int) -> tuple[str, str]:
        return work[number].entry.path, _rewrite(root, root / _DRAFTS / str(number), work[number], prefix)

    if sum(each.member.size for each in work) < _WORTH_THREADS:
        return dict(map(rewrite, range(len(work))))
    from concurrent.futures import ThreadPoolExecutor

    from envc.system.cores import usable_cores

    with ThreadPoolExecutor(threads or usable_cores(), thread_name_prefix="envc-rewrite") as pool:
        return dict(pool.map(rewrite, range(len(work))))


def _rewrite(root: Path, draft: Path, work: _Rewrite, prefix: _Prefix) -> str:
    """Replace a file with one that contains the path of the prefix. Returns the digest of the new content.

    Does not use `atomic_file`: the draft belongs to an unfinished prefix, which is removed whole after a failure, and
    the file needs the mode and time of its member.
    """
    path, member = root / work.entry.path, work.member
    digest = hashlib.sha256()
    writing = os.open(draft, _WRITE, member.mode)
    try:
        with path.open("rb") as stream:
            for piece in _pieces(stream.fileno(), work, prefix):
                digest.update(piece)
                write_all(writing, piece)
    finally:
        os.close(writing)
    os.utime(draft, (member.mtime, member.mtime))
    draft.replace(path)
    return digest.hexdigest()


def _pieces(file: int, work: _Rewrite, prefix: _Prefix) -> Iterator[bytes]:
    entry = work.entry
    size = os.fstat(file).st_size
    if not size:
        return
    with mmap.mmap(file, size, access=mmap.ACCESS_READ) as data:
        if not entry.prefix_placeholder or not is_rewritten(entry.file_mode, prefix.platform):
            yield from (data[at : at + (1 << 24)] for at in range(0, size, 1 << 24))
        elif entry.file_mode == "text":
            yield _rewrite_text(data[:], work, prefix)
        else:
            try:
                yield from rewrite_binary(data, entry.prefix_placeholder, prefix.spelling)
            except PrefixTooLong as error:
                raise PrefixTooLongFor(prefix.spelling, work.package, entry.path, error.room) from None


def _rewrite_text(data: bytes, work: _Rewrite, prefix: _Prefix) -> bytes:
    old = work.entry.prefix_placeholder
    if data.count(old.encode()) * len(prefix.spelling) > 2 * len(data) + _GROWTH:
        raise CorruptBlob(
            f"{work.entry.path} of {work.package}", f"would grow by more than twice its size and {_GROWTH >> 20} MiB"
        )
    return rewrite_text(data, old, prefix.spelling, prefix.platform)


def _sign(root: Path, paths: Iterable[str], platform: str, codesign: str, progress: Progress) -> dict[str, str]:
    """Sign changed programs again: Apple silicon runs only programs with a valid signature.

    As in conda (`conda.core.portability`). Returns the digests of the signed programs by path. Warns if programs cannot
    be signed.
    """
    if platform != "osx-arm64":
        return {}
    import subprocess

    digests: dict[str, str] = {}
    unsigned: list[str] = []
    for path in paths:
        place = root / path
        with place.open("rb") as stream:
            if stream.read(4) not in _MACH_O:
                continue
        try:
            subprocess.run([codesign, "--sign", "-", "--force", str(place)], check=True, capture_output=True)
        except (OSError, subprocess.SubprocessError):
            unsigned.append(path)
            continue
        digests[path] = hashlib.sha256(place.read_bytes()).hexdigest()
    if unsigned:
        progress.warn(
            f"{codesign} could not sign {unsigned[0]}"
            + (f" and {len(unsigned) - 1} others" if unsigned[1:] else "")
            + ", which now contain the path of the prefix; Apple silicon may refuse to run them"
        )
    return digests


def _completed(meta: PrefixRecord, members: Mapping[str, Member], digests: Mapping[str, str]) -> PrefixRecord:
    """The prefix record of a package for the prefix, without paths that other packages overwrote."""
    paths = tuple(
        msgspec.structs.replace(entry, sha256_in_prefix=digests[entry.path]) if entry.path in digests else entry
        for entry in meta.paths_data.paths
        if entry.path_type == "directory" or entry.path in members
    )
    files = tuple(entry.path for entry in paths if entry.path_type != "directory")
    return msgspec.structs.replace(meta, files=files, paths_data=PathsData(paths=paths), url="", channel="", link=None)


def _replace(path: Path, drafts: Path, content: bytes) -> None:
    """Replace a file of an unfinished prefix, as `_rewrite` does."""
    draft = drafts.with_name(f"{drafts.name}-{path.name}"[:200])
    draft.write_bytes(content)
    os.utime(draft, (MTIME, MTIME))
    draft.replace(path)


def history_head() -> list[str]:
    """The first lines of a history. The date is constant, because envc always makes equal bytes."""
    return ["==> 1980-01-01 00:00:00 <==", "# cmd: envc hydrate"]


def history_text(packages: Iterable[tuple[PrefixRecord | PrefixRecordSummary, str]]) -> bytes:
    """The text that conda's `History` reads: which packages were installed, each with the address of its channel."""
    lines = history_head()
    for package, channel in packages:
        subdir = f"/{package.subdir}" if package.subdir else ""
        lines.append(f"+{channel.rpartition('/')[2]}{subdir}::{package.name}-{package.version}-{package.build}")
    return "".join(f"{line}\n" for line in lines).encode()
