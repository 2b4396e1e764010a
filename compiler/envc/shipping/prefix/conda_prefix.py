"""What a tree of conda packages still lacks where it is to stand: its own path in the files, and its history.

The objects hold files with placeholders, and prefix records that say where those are (`envc.install.conda_meta`). Here
each such file is replaced by one that names the prefix. None is written in place: it may share its content with the
cache, and so with other prefixes.
"""

from __future__ import annotations

import hashlib
import mmap
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import msgspec

from envc.errors import EnvcError
from envc.model.digest import Sha256, sha256
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
from envc.system.buffers import write_all

UNKNOWN = "envc://bundle"  # where packages come from, as far as a single-file bundle knows
_GROWTH = 64 << 20  # bytes by which a text may grow, however small it was
_WORTH_THREADS = 16 << 20  # bytes to be rewritten; fewer are done before threads are there
_DRAFTS = ".envc/drafts"
_WRITE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
CODESIGN = "/usr/bin/codesign"
_MACH_O = (b"\xcf\xfa\xed\xfe", b"\xca\xfe\xba\xbe", b"\xca\xfe\xba\xbf")  # 64 bits, and two kinds of fat files


class PrefixTooLongFor(EnvcError):
    """A file of a package has no room for the path of the prefix."""

    hint = "choose a shorter --prefix, or a shorter ENVC_CACHE_DIR"

    def __init__(self, prefix: str, package: str, path: str, room: int) -> None:
        super().__init__(prefix, package, path, room)
        self.prefix = prefix
        self.package = package
        self.path = path
        self.room = room  # bytes

    def __str__(self) -> str:
        length = len(self.prefix.encode())
        return f"{self.path} of {self.package} has room for a prefix of {self.room} bytes; {self.prefix} has {length}"

    def data(self) -> dict[str, object]:
        return {"package": self.package, "path": self.path, "room": self.room, "length": len(self.prefix.encode())}


def settle(
    root: Path,
    prefix: Path,
    record: Record,
    *,
    origins: Mapping[Sha256, str],
    progress: Progress,
    threads: int | None = None,
    codesign: str = CODESIGN,
) -> None:
    """Complete the tree at `root`, which is about to become `prefix`.

    `origins` say for each artifact which channel it is from, as an address without credentials. Raises CorruptBlob for
    a prefix record that is not the object's, PrefixTooLongFor, and OSErrors for a disk that cannot take the files.
    """
    spelt = spell_prefix(str(prefix), record.platform)
    if not spelt.isprintable():
        raise EnvcError(f"{str(prefix)!r} cannot stand in files: it holds control characters, or is not Unicode")
    packages = [_read(root, item, record) for item in record.objects if item.kind == "conda"]
    work: list[tuple[RecordObject, InstalledPath, Member]] = []
    for package in packages:
        for entry in package.meta.paths_data.paths if package.meta else ():
            member = package.own.get(entry.path)
            if entry.path_type == "directory":
                (root / entry.path).mkdir(parents=True, exist_ok=True)
            elif member is not None and member.type == "file" and (entry.no_link or _is_changed(entry, record)):
                work.append((package.item, entry, member))
    drafts = root / _DRAFTS
    drafts.mkdir(parents=True)
    digests = _rewrite_all(root, drafts, work, spelt, record.platform, threads)
    drafts.rmdir()
    changed = {entry.path for _, entry, _ in work if entry.file_mode == "binary" and _is_changed(entry, record)}
    digests |= _sign(root, sorted(changed), record.platform, codesign, progress)
    for package in packages:
        channel = origins.get(Sha256(package.summary.sha256), UNKNOWN)
        url = f"{channel}/{package.summary.subdir or record.platform}/{package.summary.fn}"
        settled = encode_record(_settled(package.meta, package.own, digests)) if package.meta else package.data
        _replace(root / meta_path(package.item.file), drafts, with_origin(settled, url, channel))
    (root / HISTORY).write_text(_history(packages, origins), encoding="utf-8", newline="\n")
    os.utime(root / HISTORY, (MTIME, MTIME))


def changed_paths(record: Record, metas: Mapping[Sha256, PrefixRecord]) -> set[str]:
    """The paths that `settle` makes or rewrites; `metas` are the prefix records of the artifacts."""
    found = {HISTORY} if metas else set()
    for item in record.objects:
        meta = metas.get(item.index.artifact)
        if meta is not None:
            own = _own(record, item)
            found.add(meta_path(item.file))
            found |= {entry.path for entry in meta.paths_data.paths if entry.path in own and _is_changed(entry, record)}
    return found


def rewritten_entries(root: Path, record: Record) -> dict[str, InstalledPath]:
    """The files of a prefix that name it, by path, as its prefix records tell; broken records tell of none."""
    found: dict[str, InstalledPath] = {}
    for item in record.objects:
        if item.kind != "conda":
            continue
        try:
            meta = decode_record((root / meta_path(item.file)).read_bytes())
        except (OSError, ValueError):
            continue
        own = _own(record, item)
        found |= {e.path: e for e in meta.paths_data.paths if e.path in own and _is_changed(e, record)}
    return found


def original_digest(path: Path, entry: InstalledPath, prefix: str, platform: str) -> str | None:
    """The digest that a file had before it was made to name `prefix`; None where that is lost.

    Lost are first lines that became too long, and programs that were signed again. Raises OSError.
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


def _is_changed(entry: InstalledPath, record: Record) -> bool:
    return bool(entry.prefix_placeholder) and is_rewritten(entry.file_mode, record.platform)


def _own(record: Record, item: RecordObject) -> dict[str, Member]:
    """The members that a package has in the tree; the others belong to whoever else holds their path."""
    artifact = item.index.artifact
    winners = record.winners
    return {member.path: member for member in item.index.members if winners.get(member.path, artifact) == artifact}


class _Package(msgspec.Struct, frozen=True, kw_only=True):
    """A conda package in the tree, with the prefix record that its object holds."""

    item: RecordObject
    data: bytes
    summary: PrefixRecordSummary
    meta: PrefixRecord | None = None  # only where something is to be done for it
    own: dict[str, Member] = {}  # likewise


def _read(root: Path, item: RecordObject, record: Record) -> _Package:
    """The prefix record of a package. Its file may come from the cache, so its digest counts."""
    path, what = meta_path(item.file), f"the object of {item.name} {item.version}"
    expected = next((member.sha256 for member in item.index.members if member.path == path), "")
    data = (root / path).read_bytes() if expected else b""
    if sha256(data) != expected:
        raise CorruptBlob(what, f"has no {path!r} that matches its digest", "run `envc cache prune --all`, then again")
    try:
        summary = decode_summary(data)
        if summary.is_plain and not record.winners:
            return _Package(item=item, data=data, summary=summary)
        own = _own(record, item)
        if summary.is_plain and len(own) == len(item.index.members):
            return _Package(item=item, data=data, summary=summary)
        meta = decode_record(data)
        for entry in meta.paths_data.paths:
            if entry.path_type == "directory":
                check_path(entry.path)
            if entry.prefix_placeholder:
                check_placeholder(entry.prefix_placeholder)
    except ValueError as error:
        raise CorruptBlob(what, str(error)) from None
    return _Package(item=item, data=data, summary=summary, meta=meta, own=own)


def _rewrite_all(
    root: Path,
    drafts: Path,
    work: list[tuple[RecordObject, InstalledPath, Member]],
    prefix: str,
    platform: str,
    threads: int | None,
) -> dict[str, str]:
    """Let files of packages name the prefix; the digests of what they hold then, by path."""

    def rewrite(number: int) -> tuple[str, str]:
        item, entry, member = work[number]
        return entry.path, _rewrite(root / entry.path, drafts / str(number), item, entry, member, prefix, platform)

    if sum(member.size for _, _, member in work) < _WORTH_THREADS:
        return dict(map(rewrite, range(len(work))))
    from concurrent.futures import ThreadPoolExecutor

    from envc.system.cores import usable_cores

    with ThreadPoolExecutor(threads or usable_cores(), thread_name_prefix="envc-rewrite") as pool:
        return dict(pool.map(rewrite, range(len(work))))


def _rewrite(
    path: Path, draft: Path, item: RecordObject, entry: InstalledPath, member: Member, prefix: str, platform: str
) -> str:
    """Let another file take the place of one; the digest of what it holds."""
    digest = hashlib.sha256()
    writing = os.open(draft, _WRITE, member.mode)
    try:
        with path.open("rb") as stream:
            for piece in _pieces(stream.fileno(), item, entry, prefix, platform):
                digest.update(piece)
                write_all(writing, piece)
    finally:
        os.close(writing)
    os.utime(draft, (member.mtime, member.mtime))
    draft.replace(path)
    return digest.hexdigest()


def _pieces(file: int, item: RecordObject, entry: InstalledPath, prefix: str, platform: str) -> Iterator[bytes]:
    size = os.fstat(file).st_size
    if not size:
        return
    with mmap.mmap(file, size, access=mmap.ACCESS_READ) as data:
        if not entry.prefix_placeholder or not is_rewritten(entry.file_mode, platform):
            yield from (data[at : at + (1 << 24)] for at in range(0, size, 1 << 24))
        elif entry.file_mode == "text":
            yield _rewrite_text(data[:], item, entry, prefix, platform)
        else:
            try:
                yield from rewrite_binary(data, entry.prefix_placeholder, prefix)
            except PrefixTooLong as error:
                raise PrefixTooLongFor(prefix, f"{item.name} {item.version}", entry.path, error.room) from None


def _rewrite_text(data: bytes, item: RecordObject, entry: InstalledPath, prefix: str, platform: str) -> bytes:
    old = entry.prefix_placeholder
    if data.count(old.encode()) * len(prefix) > 2 * len(data) + _GROWTH:
        raise CorruptBlob(f"{entry.path} of {item.name} {item.version}", "would grow beyond all measure")
    return rewrite_text(data, old, prefix, platform)


def _sign(root: Path, paths: Iterable[str], platform: str, codesign: str, progress: Progress) -> dict[str, str]:
    """Sign programs again whose bytes have changed: Apple silicon runs none with a signature that is not its own.

    As conda does (`conda.core.portability`). The digests of what was signed; a warning where it cannot be done.
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
            + ", which name the prefix now; Apple silicon may refuse to run them"
        )
    return digests


def _settled(meta: PrefixRecord, own: Mapping[str, Member], digests: Mapping[str, str]) -> PrefixRecord:
    """The prefix record of a package as it stands in the prefix: what another package overwrote is not in it."""
    paths = tuple(
        msgspec.structs.replace(entry, sha256_in_prefix=digests[entry.path]) if entry.path in digests else entry
        for entry in meta.paths_data.paths
        if entry.path_type == "directory" or entry.path in own
    )
    files = tuple(entry.path for entry in paths if entry.path_type != "directory")
    return msgspec.structs.replace(meta, files=files, paths_data=PathsData(paths=paths), url="", channel="")


def _replace(path: Path, drafts: Path, content: bytes) -> None:
    draft = drafts.with_name(f"{drafts.name}-{path.name}"[:200])
    draft.write_bytes(content)
    os.utime(draft, (MTIME, MTIME))
    draft.replace(path)


def history_head() -> list[str]:
    """The first lines of a history. The day is always the same, as everything is that envc makes."""
    return ["==> 1980-01-01 00:00:00 <==", "# cmd: envc hydrate"]


def _history(packages: Iterable[_Package], origins: Mapping[Sha256, str]) -> str:
    """What conda's `History` reads: when which packages came."""
    lines = history_head()
    for package in packages:
        summary = package.summary
        channel = origins.get(package.item.index.artifact, UNKNOWN).rpartition("/")[2]
        subdir = f"/{summary.subdir}" if summary.subdir else ""
        lines.append(f"+{channel}{subdir}::{summary.name}-{summary.version}-{summary.build}")
    return "".join(f"{line}\n" for line in lines)
