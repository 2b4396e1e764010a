"""Origins: the sources of a wheel. An archive, a commit of a git repository, or a folder of this machine."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import IO, BinaryIO, Protocol

import msgspec

from envc.fetch.git import Git
from envc.locking.builds.errors import BadSource
from envc.locking.worktree.local import copy_project, local_digest
from envc.model.graph import Build, SourceFile
from envc.model.limits import SOURCE_BYTES, SOURCE_ENTRIES, SOURCE_FREE_BYTES, SOURCE_TEXT_BYTES
from envc.shipping.unpack.tars import open_tar
from envc.shipping.unpack.zips import Limits, open_zip
from envc.system.single_stream import Compression
from envc_solvers.malformed import malformed, reason_of

LIMITS = Limits(entries=SOURCE_ENTRIES, unpacked=SOURCE_BYTES, free=SOURCE_FREE_BYTES)
_COMPRESSIONS: dict[str, Compression] = {".tar.gz": "gz", ".tgz": "gz", ".tar.bz2": "bz2"}


class Origin(Protocol):
    """Sources of one project."""

    @property
    def identity(self) -> str:
        """Equal for equal sources; see `model.graph.Build.identity`."""

    @property
    def file(self) -> str:
        """A file name for the solver, like that of a source distribution."""

    @property
    def label(self) -> str:
        """A name for messages."""

    @property
    def subdirectory(self) -> str:
        """The folder of the project within the sources. Together with the identity, it determines what is built."""

    @property
    def place(self) -> str:
        """What else a build may depend on: the URL of a repository, whose tags are no part of a commit; else ""."""

    @property
    def is_locked(self) -> bool:
        """Whether a build that the lock holds of this identity was made from this place."""

    def read(self, name: str) -> bytes | None:
        """A file at the top of the project; None if there is none. Raises EnvcError."""

    def unpack(self, folder: Path) -> Path:
        """Write the sources below a new folder. Returns the folder of the project in it. Raises EnvcError."""

    def described(self, build: Build) -> Build:
        """The build with its origin filled in."""


class Archive(msgspec.Struct, frozen=True):
    """A source distribution or another archive of a project, on this machine and verified by its digest."""

    path: Path
    source: SourceFile
    subdirectory: str = ""
    place = ""
    is_locked = True

    @property
    def identity(self) -> str:
        return f"sdist {self.source.sha256}"

    @property
    def file(self) -> str:
        return self.source.file

    @property
    def label(self) -> str:
        return self.source.file

    def read(self, name: str) -> bytes | None:
        below = f"{self.subdirectory}/{name}" if self.subdirectory else name
        with self.path.open("rb") as stream:
            try:
                if self.file.endswith(".zip"):
                    archive, infos = open_zip(stream, LIMITS, fold_case=False)
                    top = _top([info.name for info in infos])
                    found = next((info for info in infos if info.name == top + below), None)
                    if found is None:
                        return None
                    if found.size > SOURCE_TEXT_BYTES:
                        raise ValueError(f"its {name} is too large")
                    return archive.read(found)
                with open_tar(stream, self._compression, LIMITS, size=self.source.size) as tar:
                    top = _top([member.path for member in tar.members])
                    member = next((each for each in tar.members if each.path == top + below and not each.link), None)
                    if member is None:
                        return None
                    if member.size > SOURCE_TEXT_BYTES:
                        raise ValueError(f"its {name} is too large")
                    return tar.read(member)
            except malformed() as error:
                raise BadSource(self.file, reason_of(error)) from None

    def unpack(self, folder: Path) -> Path:
        folder.mkdir()
        with self.path.open("rb") as stream:
            try:
                unpack = self._unpack_zip if self.file.endswith(".zip") else self._unpack_tar
                top = unpack(stream, folder)
            except FileExistsError as error:
                raise BadSource(self.file, f"it holds {Path(error.filename).name!r} twice") from None
            except malformed(NotADirectoryError) as error:
                raise BadSource(self.file, reason_of(error)) from None
        return folder / top / self.subdirectory

    def described(self, build: Build) -> Build:
        return msgspec.structs.replace(build, sdist=self.source)

    @property
    def _compression(self) -> Compression:
        for suffix, compression in _COMPRESSIONS.items():
            if self.file.endswith(suffix):
                return compression
        raise ValueError("envc cannot read this kind of archive")

    def _unpack_zip(self, stream: BinaryIO, folder: Path) -> str:
        archive, infos = open_zip(stream, LIMITS, fold_case=False)
        for info in infos:
            with archive.open(info) as content:
                _write(folder / info.name, content, executable=info.is_executable)
        return _top([info.name for info in infos])

    def _unpack_tar(self, stream: BinaryIO, folder: Path) -> str:
        with open_tar(stream, self._compression, LIMITS, size=self.source.size) as tar:
            for member in tar.members:
                if not member.link:
                    with tar.open(member) as content:
                        _write(folder / member.path, content, executable=member.executable)
            # Links are made last, so that nothing is written through one.
            for member in tar.members:
                if member.link:
                    (folder / member.path).parent.mkdir(parents=True, exist_ok=True)
                    (folder / member.path).symlink_to(member.link)
            return _top([member.path for member in tar.members])


class Commit(msgspec.Struct, frozen=True):
    """A commit of a git repository."""

    git: Git
    name: str  # of the project, for messages
    url: str
    commit: str
    subdirectory: str = ""
    is_locked: bool = True

    @property
    def place(self) -> str:
        return self.url

    @property
    def identity(self) -> str:
        return f"commit {self.commit}"

    @property
    def file(self) -> str:
        return f"{self.name}-{self.commit[:12]}.tar.gz"

    @property
    def label(self) -> str:
        return f"commit {self.commit[:12]} of {self.name}"

    def read(self, name: str) -> bytes | None:
        return self.git.read(
            self.name, self.url, self.commit, f"{self.subdirectory}/{name}" if self.subdirectory else name
        )

    def unpack(self, folder: Path) -> Path:
        self.git.checkout(self.name, self.url, self.commit, folder)
        return folder / self.subdirectory

    def described(self, build: Build) -> Build:
        return msgspec.structs.replace(build, commit=self.commit)


class Tree(msgspec.Struct, frozen=True):
    """A local project, with the digest that its files had."""

    folder: Path
    path: str  # as the manifest writes it
    digest: str
    without: Path  # the lock, which is left out
    subdirectory: str = ""
    place = ""
    is_locked = True

    @property
    def identity(self) -> str:
        return f"tree {self.digest}"

    @property
    def file(self) -> str:
        return f"{self.folder.resolve().name}-{self.digest[:12]}.tar.gz"

    @property
    def label(self) -> str:
        return self.path

    def read(self, name: str) -> bytes | None:
        try:
            return (self.folder / name).read_bytes()
        except OSError:
            return None

    def unpack(self, folder: Path) -> Path:
        try:
            copy_project(self.folder, folder, self.without)
        except OSError as error:
            raise BadSource(self.path, f"its files cannot be copied: {error.strerror}") from None
        if local_digest(folder.parent, folder.name, self.without) != self.digest:
            raise BadSource(self.path, "its files changed while they were copied", "run the command again")
        return folder

    def described(self, build: Build) -> Build:
        return msgspec.structs.replace(build, tree=self.digest)


def _top(paths: list[str]) -> str:
    """The single top folder, with a slash (PEP 517); "" if there is none."""
    tops = {path.partition("/")[0] for path in paths}
    return f"{tops.pop()}/" if len(tops) == 1 and all("/" in path for path in paths) else ""


def _write(path: Path, content: IO[bytes], *, executable: bool) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("xb") as out:
        shutil.copyfileobj(content, out, 1 << 20)
    path.chmod(0o755 if executable else 0o644)
