"""Builds small conda packages, valid or hostile, with the same bytes every time.

package = build_conda("tool", "1.2", files={"bin/tool": File(f"#!{PLACEHOLDER}/bin/python\\n", mode=0o755)})
    write_channel(folder, package)        # tests.support.conda_channels

Formats: `info/` and both archives as conda-package-handling writes them, `paths.json` version 1 as in conda-build.
"""

from __future__ import annotations

import bz2
import hashlib
import io
import json
import tarfile
import zipfile
from collections.abc import Iterable, Mapping
from typing import Any, Literal

import msgspec
import zstandard

from tests.support.wheels import zip_bytes

# As long as conda-build's: its replacement in binary files may have up to 255 bytes.
PLACEHOLDER = ("/opt/built" + "_placehold" * 25)[:255]
SECONDS = 1_580_601_600  # of every member unless a file says otherwise
TIMESTAMP = 1_700_000_000_000  # milliseconds, of every record


class File(msgspec.Struct, frozen=True):
    """One path of a package. `paths.json` declares content that contains the placeholder, in text or in binary mode."""

    content: str | bytes = b""
    mode: int = 0o644
    link: str | None = None  # target: the path is a soft link
    hard: str | None = None  # path of an earlier file: the tar member is a hard link to it
    directory: bool = False
    placeholder: str | None = PLACEHOLDER  # the placeholder to declare, if the content has it; None declares nothing
    mtime: int = SECONDS
    no_link: bool = False  # must be copied into the prefix, never hard-linked

    @property
    def data(self) -> bytes:
        return self.content.encode() if isinstance(self.content, str) else self.content


class Package(msgspec.Struct, frozen=True):
    """A package file and its record in a channel."""

    file: str  # "tool-1.2-h0_0.conda"
    subdir: str
    data: bytes
    index: dict[str, Any]  # the content of `info/index.json`

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()

    @property
    def record(self) -> dict[str, Any]:
        """The record in a channel's repodata: `index.json`, with the file's digests and size."""
        return self.index | {
            "md5": hashlib.md5(self.data, usedforsecurity=False).hexdigest(),
            "sha256": self.sha256,
            "size": len(self.data),
        }


def build_conda(
    name: str,
    version: str = "1.0",
    build: str = "h0_0",
    files: Mapping[str, str | bytes | File] | None = None,
    depends: Iterable[str] = (),
    *,
    subdir: str = "linux-64",
    noarch: Literal["python", "generic"] | None = None,
    entry_points: Iterable[str] = (),
    build_number: int = 0,
    format: Literal["conda", "tar.bz2"] = "conda",
    level: int = 1,
    legacy: bool = False,
    index: Mapping[str, Any] | None = None,
    paths: Iterable[Mapping[str, Any]] | None = None,
    link: Mapping[str, Any] | None = None,
    info: Mapping[str, str | bytes] | None = None,
    members: Iterable[tuple[tarfile.TarInfo, bytes]] = (),
    file: str | None = None,
) -> Package:
    """Return a package of these files. Paths are relative to the prefix, or to the folders that layouts replace.

    Those folders, for noarch python, are ``site-packages`` and ``python-scripts``. Its `entry_points` are lines such as
    ``tool = tool.cli:main``. `legacy` leaves out `paths.json` and declares paths and placeholders in `info/files` and
    `info/has_prefix` only, as packages before 2017 did.

    For hostile packages: `index` adds to `index.json` or overrides it; `paths` replaces the entries of `paths.json`;
    `link` replaces `link.json`; `info` adds or overrides files below ``info/``, with paths relative to it; `members`
    adds tar members unchanged; `file` replaces the file's name.
    """
    if noarch is not None:
        subdir = "noarch"
    tree = {path: _file(value) for path, value in (files or {}).items()}
    about: dict[str, Any] = {
        "name": name,
        "version": version,
        "build": build,
        "build_number": build_number,
        "depends": list(depends),
        "subdir": subdir,
        "arch": {"noarch": None, "64": "x86_64"}.get(arch := subdir.rpartition("-")[2], arch),
        "platform": None if subdir == "noarch" else subdir.partition("-")[0],
        "license": "MIT",
        "timestamp": TIMESTAMP,
    }
    about |= {"noarch": noarch} if noarch else {}
    about |= index or {}
    documents: dict[str, str | bytes] = {
        "index.json": _json(about),
        "about.json": _json({"summary": f"{name}, for tests"}),
        "files": "".join(f"{path}\n" for path in tree),
        "hash_input.json": "{}",
    }
    if legacy:
        announced = ((item.placeholder, _announced(path, tree), path) for path, item in tree.items())
        documents["has_prefix"] = "".join(f'"{text}" {mode} "{path}"\n' for text, mode, path in announced if mode)
    else:
        entries = [path_entry(path, tree) for path in tree] if paths is None else list(paths)
        documents["paths.json"] = _json({"paths": entries, "paths_version": 1})
    if noarch == "python" or link is not None:
        own = {"noarch": {"type": "python", "entry_points": list(entry_points)}, "package_metadata_version": 1}
        documents["link.json"] = _json(own if link is None else dict(link))
    documents |= info or {}
    content = [_member(path, item) for path, item in tree.items()] + list(members)
    info_members = [_member(f"info/{path}", _file(text)) for path, text in documents.items()]
    stem = f"{name}-{version}-{build}"
    data = (
        _conda(stem, content, info_members, level)
        if format == "conda"
        else bz2.compress(_tar([*info_members, *content]), 1)
    )
    return Package(file=file or f"{stem}.{format}", subdir=subdir, data=data, index=about)


def path_entry(path: str, tree: Mapping[str, File]) -> dict[str, Any]:
    """Return the entry of `paths.json` for one path, as conda-build writes it: a link has the digest of its target."""
    item = tree[path]
    if item.directory:
        return {"_path": path, "path_type": "directory"}
    data = _content(path, tree)
    entry: dict[str, Any] = {
        "_path": path,
        "path_type": "hardlink" if item.link is None else "softlink",
        "sha256": hashlib.sha256(data).hexdigest(),
        "size_in_bytes": len(data),
    }
    mode = _announced(path, tree)
    entry |= {"prefix_placeholder": item.placeholder, "file_mode": mode} if mode else {}
    return entry | ({"no_link": True} if item.no_link else {})


def conda_archive(stem: str, content: bytes, info: bytes, **metadata: Any) -> bytes:
    """Return a ``.conda`` file of two compressed tar streams. `metadata` replaces the content of ``metadata.json``."""
    return zip_bytes(
        {
            "metadata.json": _json(metadata or {"conda_pkg_format_version": 2}).encode(),
            f"pkg-{stem}.tar.zst": content,
            f"info-{stem}.tar.zst": info,
        },
        compression=zipfile.ZIP_STORED,
    )


def tar_member(path: str, *, type: bytes = tarfile.REGTYPE, target: str = "", mode: int = 0o644) -> tarfile.TarInfo:
    """Return a tar member with the given fields, valid or not."""
    member = tarfile.TarInfo(path)
    member.type, member.linkname, member.mode, member.mtime = type, target, mode, SECONDS
    return member


def _conda(
    stem: str, content: list[tuple[tarfile.TarInfo, bytes]], info: list[tuple[tarfile.TarInfo, bytes]], level: int
) -> bytes:
    packer = zstandard.ZstdCompressor(level=level)
    return conda_archive(stem, packer.compress(_tar(content)), packer.compress(_tar(info)))


def _tar(members: Iterable[tuple[tarfile.TarInfo, bytes]]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for member, data in members:
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def _member(path: str, item: File) -> tuple[tarfile.TarInfo, bytes]:
    member = tar_member(path, mode=item.mode)
    member.mtime = item.mtime
    if item.link is not None:
        member.type, member.linkname, member.mode = tarfile.SYMTYPE, item.link, 0o777
    elif item.hard is not None:
        member.type, member.linkname = tarfile.LNKTYPE, item.hard
    elif item.directory:
        member.type, member.mode = tarfile.DIRTYPE, 0o755
    else:
        member.size = len(item.data)
        return member, item.data
    return member, b""


def _content(path: str, tree: Mapping[str, File]) -> bytes:
    """Return the content at a path, with links followed; b"" if they leave the package or form a loop."""
    for _ in range(40):
        item = tree.get(path)
        if item is None:
            return b""
        if item.link is not None:
            parts: list[str] = []
            for part in (path.rpartition("/")[0] + "/" + item.link).split("/"):
                parts = parts[:-1] if part == ".." else parts if part in ("", ".") else [*parts, part]
            path = "/".join(parts)
        elif item.hard is not None:
            path = item.hard
        else:
            return item.data
    return b""


def _announced(path: str, tree: Mapping[str, File]) -> Literal["text", "binary"] | None:
    item, data = tree[path], _content(path, tree)
    if item.link is not None or item.placeholder is None or item.placeholder.encode() not in data:
        return None
    return "binary" if b"\0" in data else "text"


def _file(value: str | bytes | File) -> File:
    return value if isinstance(value, File) else File(value)


def _json(value: Any) -> str:
    return json.dumps(value, indent=2)
