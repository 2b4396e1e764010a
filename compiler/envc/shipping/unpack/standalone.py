"""Reads a standalone interpreter as the files of a prefix: the archives of python-build-standalone and of PyPy.

Both consist of one relocatable folder, which becomes the prefix. The packages in its site-packages, such as pip, are
left out with their scripts: an environment contains only what its lock names.
"""

from __future__ import annotations

import csv
import hashlib
import io
import posixpath
import re
from calendar import timegm
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import BinaryIO, cast

import msgspec

from envc.shipping.format.encode import Content, Entry
from envc.shipping.format.paths import check_tree, rules
from envc.shipping.unpack.contents import Contents
from envc.shipping.unpack.errors import BadArtifact
from envc.shipping.unpack.tars import open_tar
from envc.shipping.unpack.zips import Limits, open_zip
from envc.system.single_stream import Compression
from envc.system.zip_reader import BadMember
from envc_solvers.malformed import malformed, reason_of

_SITE = re.compile(r"(?:lib/(?:python|pypy)3\.\d+t?|Lib)/site-packages/")
_RECORD = re.compile(r".*/site-packages/[^/]+\.dist-info/RECORD")
_NAMED = re.compile(r"bin/(?:python|pypy)3\.\d+t?")
_SUFFIXES: dict[str, Compression] = {".tar.gz": "gz", ".tar.bz2": "bz2"}
_WINDOWS = "python.exe"
_POSIX = "bin/python"
_CHUNK = 1 << 20


class _File(msgspec.Struct, frozen=True):
    """A file or link in an archive, with its path in the prefix."""

    path: str
    content: Content = b""
    size: int = 0
    executable: bool = False
    mtime: int = 0
    link: str = ""

    def read(self) -> bytes:
        with self.open() as stream:
            return stream.read()

    def open(self) -> BinaryIO:
        return cast("Callable[[], BinaryIO]", self.content)()

    def digest(self) -> str:
        digest = hashlib.sha256()
        with self.open() as stream:
            while chunk := stream.read(_CHUNK):
                digest.update(chunk)
        return digest.hexdigest()


@contextmanager
def open_standalone(path: Path, file: str, limits: Limits | None = None) -> Iterator[Contents]:
    """Read the archive at `path`, which its source calls `file`. Nothing is executed.

    Its bytes must have been verified, and the caller must read the entries before leaving the context. Raises
    BadArtifact for an archive that cannot be unpacked safely, or that contains no interpreter.
    """
    with ExitStack() as stack:
        stream = stack.enter_context(path.open("rb"))
        try:
            files = _read(stream, file, limits or Limits(), stack)
            contents = _contents(file, files)
        except malformed() as error:
            raise BadArtifact(file, reason_of(error)) from None
        try:
            yield contents
        except BadMember as error:
            raise BadArtifact(file, str(error)) from None


def _read(stream: BinaryIO, file: str, limits: Limits, stack: ExitStack) -> dict[str, _File]:
    """All files of the archive by their paths in its only folder."""
    found: list[_File] = []
    if file.endswith(".zip"):
        archive, infos = open_zip(stream, limits)
        for info in infos:
            opened = partial(archive.open, info)
            found.append(_File(info.name, opened, info.size, mtime=timegm(info.date_time)))
    else:
        compression = next((kind for suffix, kind in _SUFFIXES.items() if file.endswith(suffix)), None)
        if compression is None:
            raise ValueError("it is not an archive of a kind that envc supports")
        size = stream.seek(0, io.SEEK_END)
        stream.seek(0)
        tar = stack.enter_context(open_tar(stream, compression, limits, size=size))
        for member in tar.members:
            content = tar.content(member) if not member.link else b""
            found.append(_File(member.path, content, member.size, member.executable, member.mtime, member.link))
    tops = {each.path.partition("/")[0] for each in found}
    if len(tops) != 1 or any("/" not in each.path for each in found):
        raise ValueError("it is not one folder")
    top = f"{tops.pop()}/"
    below = [msgspec.structs.replace(each, path=each.path.removeprefix(top)) for each in found]
    return {each.path: each for each in below}


def _contents(file: str, files: dict[str, _File]) -> Contents:
    _remove_packages(files)
    if _WINDOWS not in files and _POSIX not in files:
        # Archives of PyPy for some platforms contain the interpreter only under its own name.
        named = sorted(path for path in files if _NAMED.fullmatch(path))
        if not named:
            raise ValueError("it holds no interpreter")
        files[_POSIX] = _File(_POSIX, link=posixpath.basename(named[0]), mtime=files[named[0]].mtime)
    ordered = [files[path] for path in sorted(files)]
    entries = tuple(
        Entry(
            path=each.path,
            content=each.content,
            size=each.size,
            executable=each.executable,
            link=each.link,
            mtime=each.mtime,
        )
        for each in ordered
    )
    members = tuple(
        entry.member() if each.link else msgspec.structs.replace(entry.member(), sha256=each.digest())
        for entry, each in zip(entries, ordered, strict=True)
    )
    check_tree(members, **rules("any"))
    return Contents(file, entries, members, "the archive")


def _remove_packages(files: dict[str, _File]) -> None:
    """Remove the files in site-packages, and all other files that the RECORDs there list (PEP 376)."""
    removed = {path for path in files if _SITE.match(path)}
    for path in [path for path in files if _RECORD.fullmatch(path)]:
        site = posixpath.dirname(posixpath.dirname(path))
        for row in csv.reader(io.StringIO(files[path].read().decode("utf-8", "replace"))):
            if row:
                removed.add(posixpath.normpath(f"{site}/{row[0]}"))
    for path in removed & files.keys():
        if not files[path].link:
            files[path].digest()  # their contents are checked like all others
        del files[path]
