"""Writes zip archives byte by byte, so that every field may be wrong, and reads them with other programs."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import sys
import sysconfig
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from envc.system import zip_structures as zips

Tree = dict[str, bytes]  # content by path


class Part(msgspec.Struct, kw_only=True):
    """One member. `local` and `central` replace fields of its header and of its entry in the directory."""

    name: bytes
    content: bytes = b""
    method: int = 8
    flags: int = 0
    raw: bytes | None = None  # the packed content; by default the compressed content
    local: Mapping[str, int | bytes] = {}
    central: Mapping[str, int | bytes] = {}
    local_name: bytes | None = None
    local_extra: bytes = b""
    central_extra: bytes = b""
    comment: bytes = b""
    after: bytes = b""  # bytes behind the content: a descriptor or something else
    is_listed: bool = True

    @property
    def packed(self) -> bytes:
        if self.raw is not None:
            return self.raw
        return deflated(self.content) if self.method == 8 else self.content

    @property
    def crc(self) -> int:
        return zlib.crc32(self.content)

    def header(self) -> bytes:
        name = self.name if self.local_name is None else self.local_name
        streamed = bool(self.flags & zips.STREAMED)
        sizes = (0, 0, 0) if streamed else (self.crc, len(self.packed), len(self.content))
        header = zips.LocalHeader(
            zips.LOCAL_MAGIC, 20, self.flags, self.method, 0, 0x21, *sizes, len(name), len(self.local_extra)
        )
        return zips.LOCAL.pack(*header._replace(**self.local)) + name + self.local_extra

    def entry(self, offset: int) -> bytes:
        entry = zips.Entry(
            magic=zips.ENTRY_MAGIC,
            made_by=0x0314,
            version=20,
            flags=self.flags,
            method=self.method,
            time=0,
            date=0x21,
            crc=self.crc,
            packed=len(self.packed),
            unpacked=len(self.content),
            name_length=len(self.name),
            extra_length=len(self.central_extra),
            comment_length=len(self.comment),
            disk=0,
            internal=0,
            external=0o100644 << 16,
            offset=offset,
        )
        return zips.ENTRY.pack(*entry._replace(**self.central)) + self.name + self.central_extra + self.comment


class Archive(msgspec.Struct, kw_only=True):
    """The members of an archive, and what differs in its end records."""

    parts: list[Part]
    prefix: bytes = b""
    shifted: bool = False  # whether the offsets count the prefix
    before_directory: bytes = b""
    after_directory: bytes = b""
    end: Mapping[str, int | bytes] = {}
    zip64: Mapping[str, int | bytes] | None = None  # fields to replace; None for no zip64 end record
    locator: Mapping[str, int | bytes] = {}
    comment: bytes = b""

    def bytes(self) -> bytes:
        out = bytearray(self.prefix)
        base = 0 if self.shifted else len(self.prefix)
        directory = b""
        listed = 0
        for part in self.parts:
            if part.is_listed:
                directory += part.entry(len(out) - base)
                listed += 1
            out += part.header() + part.packed + part.after
        out += self.before_directory
        offset = len(out) - base
        out += directory + self.after_directory
        end = zips.End(zips.END_MAGIC, 0, 0, listed, listed, len(directory), offset, len(self.comment))
        if self.zip64 is not None:
            large = zips.Zip64End(zips.ZIP64_END_MAGIC, 44, 45, 45, 0, 0, listed, listed, len(directory), offset)
            locator = zips.Zip64Locator(zips.ZIP64_LOCATOR_MAGIC, 0, len(out) - base, 1)
            out += zips.ZIP64_END.pack(*large._replace(**self.zip64))
            out += zips.ZIP64_LOCATOR.pack(*locator._replace(**self.locator))
        return bytes(out + zips.END.pack(*end._replace(**self.end)) + self.comment)


def deflated(content: bytes) -> bytes:
    compressor = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return compressor.compress(content) + compressor.flush()


def extra(kind: int, field: bytes) -> bytes:
    return struct.pack("<HH", kind, len(field)) + field


def descriptor(part: Part, *, signature: bool = True, large: bool = False) -> bytes:
    """The descriptor that follows a part."""
    layout = zips.ZIP64_DESCRIPTOR if large else zips.DESCRIPTOR
    magic = zips.DESCRIPTOR_MAGIC if signature else b""
    return magic + layout.pack(part.crc, len(part.packed), len(part.content))


def files_below(folder: Path) -> Tree:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def by_zipfile(path: Path, folder: Path) -> Tree | None:
    del folder
    try:
        with zipfile.ZipFile(path) as archive:
            return {info.filename: archive.read(info) for info in archive.infolist() if not info.is_dir()}
    except (zipfile.BadZipFile, ValueError, NotImplementedError, RuntimeError, EOFError, OSError, zlib.error):
        return None


def by_unzip(path: Path, folder: Path) -> Tree | None:
    return _unpacked(["unzip", "-qq", "-o", str(path), "-d", str(folder)], folder)


def by_bsdtar(path: Path, folder: Path) -> Tree | None:
    return _unpacked(["bsdtar", "-xf", str(path), "-C", str(folder)], folder)


def by_bsdtar_from_a_pipe(path: Path, folder: Path) -> Tree | None:
    """A streaming reader, which sees headers and no directory."""
    return _unpacked(["bsdtar", "-xf", "-", "-C", str(folder)], folder, path.read_bytes())


def by_uv(path: Path, folder: Path) -> Tree | None:
    """The files of a wheel of that name, as uv installs it, without those that installers write themselves."""
    command = ["uv", "pip", "install", "-q", "--no-deps", "--no-index", "--no-cache", "--link-mode", "copy"]
    command += ["--python", sys.executable]
    tree = _unpacked([*command, "--target", str(folder), str(path)], folder)
    made = ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json", "uv_cache.json", "uv_build.json", ".lock")
    return tree and {name: content for name, content in tree.items() if not name.endswith(made)}


Judge = Callable[[Path, Path], "Tree | None"]
PROGRAMS: dict[str, tuple[str, Judge]] = {  # by name: the program that is needed, and the reader
    "zipfile": ("", by_zipfile),
    "unzip": ("unzip", by_unzip),
    "bsdtar": ("bsdtar", by_bsdtar),
    "bsdtar from a pipe": ("bsdtar", by_bsdtar_from_a_pipe),
    "uv": ("uv", by_uv),
}


def program(name: str) -> str | None:
    """The path of a judge's program. None if this machine lacks it; "" for a part of Python."""
    needed = PROGRAMS[name][0]
    return _which(needed) if needed else ""


def _which(program: str) -> str | None:
    return shutil.which(program, path=f"{sysconfig.get_path('scripts')}{os.pathsep}{os.environ['PATH']}")


def _unpacked(command: list[str], folder: Path, data: bytes | None = None) -> Tree | None:
    folder.mkdir()
    environment = {"LC_ALL": "C.UTF-8", "HOME": str(folder.parent), "PATH": "/usr/local/bin:/usr/bin:/bin"}
    command[0] = _which(command[0]) or command[0]
    done = subprocess.run(command, input=data or b"", capture_output=True, env=environment, check=False)
    return files_below(folder) if done.returncode == 0 else None
