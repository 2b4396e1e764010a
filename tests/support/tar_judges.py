"""Other readers of tar archives, as functions that unpack an archive, and the trees that they make of it."""

from __future__ import annotations

import bz2
import gzip
import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from functools import lru_cache, partial
from pathlib import Path
from typing import NamedTuple

import zstandard

from envc.shipping.unpack.tars import Tar, open_tar
from tests.support.tar_bytes import END, member


class Leaf(NamedTuple):
    """A file or link of an unpacked archive."""

    link: str  # target of a symbolic link
    content: bytes
    executable: bool  # for anybody


class Refused(Exception):
    """A reader that does not accept an archive."""


Tree = dict[str, Leaf]
Judge = Callable[[bytes], Tree]  # from the uncompressed archive; raises Refused

# A project whose build backend reports the files that the installer has unpacked.
_BACKEND = b"""
import os, shutil

def build_wheel(folder, config_settings=None, metadata_directory=None):
    shutil.copytree(".", os.environ["TREE"], symlinks=True)
"""
_PROJECT = b"""
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]

[project]
name = "p"
version = "1.0"
"""

_TARFILE = """
import os, sys, tarfile
policy, folder, *archives = sys.argv[1:]
if hasattr(tarfile, policy):
    tarfile.TarFile.extraction_filter = staticmethod(getattr(tarfile, policy))
for archive in archives:
    tarfile.open(archive, "r:", errorlevel=2).extractall(os.path.join(folder, os.path.basename(archive)))
"""


def project_files(magic: bytes) -> bytes:
    """Return the entries that make an archive a project which uv unpacks for a build."""
    return member(b"p/backend.py", _BACKEND, magic=magic) + member(b"p/pyproject.toml", _PROJECT, magic=magic)


def our_tree(data: bytes) -> Tree:
    """Return the tree that this package reads. Raises Refused."""
    packed = gzip.compress(data, 0)
    try:
        with open_tar(io.BytesIO(packed), "gz", size=len(packed)) as tar:
            return tree_of_members(tar)
    except ValueError as error:
        raise Refused(str(error)) from None


def tree_of_members(tar: Tar) -> Tree:
    """Return the tree of an archive that this package has opened."""
    return {each.path: Leaf(each.link, b"" if each.link else tar.read(each), each.executable) for each in tar.members}


def quick_judges() -> dict[str, Judge]:
    """Return the judges of this machine that take a few milliseconds."""
    found: dict[str, Judge] = {}
    if (gnu := _gnu_tar()) is not None:
        found["GNU tar"] = partial(_unpacked_by, [gnu, "--warning=no-unknown-keyword", "-xf"])
    if (bsdtar := shutil.which("bsdtar")) is not None:
        found["bsdtar"] = partial(_unpacked_by, [bsdtar, "-xf"])
    if (busybox := shutil.which("busybox")) is not None:
        found["busybox tar"] = partial(_unpacked_by, [busybox, "tar", "-xf"])
    found["tarfile"] = lambda data: trees_of_tarfile(sys.executable, "data", [data])[0]
    try:
        import rattler  # noqa: F401
    except ImportError:
        return found
    return found | {"rattler (.tar.bz2)": _rattler_bz2, "rattler (.conda)": _rattler_conda}


def trees_of_tarfile(python: str, policy: str, archives: list[bytes]) -> list[Tree]:
    """Return what `tarfile` unpacks in another version of Python, with one of its filters. Raises Refused."""
    with tempfile.TemporaryDirectory() as work:
        paths = [Path(work) / str(number) for number in range(len(archives))]
        for path, data in zip(paths, archives, strict=True):
            path.write_bytes(data)
        folder = Path(work) / "out"
        command = [python, "-I", "-c", _TARFILE, f"{policy}_filter", folder, *paths]
        result = subprocess.run(command, capture_output=True, text=True)
        if result.returncode:
            raise Refused(result.stderr.strip()[-300:])
        return [tree_of(folder / path.name) for path in paths]


def uv_judge() -> Judge | None:
    """Return uv, which refuses some archives that every other installer takes, such as those in the V7 format."""
    uv = _uv()
    return None if uv is None else partial(_unpacked_by_uv, uv)


def missing_judges() -> str:
    """Return the names of judges that this machine lacks."""
    wanted = {"GNU tar", "bsdtar", "rattler (.conda)", "uv"}
    return ", ".join(sorted(wanted - quick_judges().keys() - ({"uv"} if _uv() else set())))


def opinion(judge: Judge, data: bytes) -> Tree | str:
    """Return the tree that a judge unpacks, or the reason for which it refuses the archive."""
    try:
        return judge(data)
    except Refused as error:
        return f"refused: {error}"


def disagreements(judges: dict[str, Judge], data: bytes, expected: Tree) -> list[str]:
    """Return one text for each judge that refuses an archive, or unpacks another tree than expected."""
    found = []
    for name, judge in judges.items():
        seen = opinion(judge, data)
        if seen != expected:
            found.append(f"{name}: {seen}")
    return found


def tree_of(folder: Path) -> Tree:
    """Return the files and links below a folder."""
    found: Tree = {}
    for parent, folders, files in os.walk(folder):
        for name in files + [each for each in folders if (Path(parent) / each).is_symlink()]:
            path = Path(parent) / name
            if path.is_symlink():
                leaf = Leaf(str(path.readlink()), b"", False)
            elif not path.is_file():
                leaf = Leaf("", b"a device or pipe", False)
            else:
                leaf = Leaf("", path.read_bytes(), bool(path.stat().st_mode & 0o111))
            found[path.relative_to(folder).as_posix()] = leaf
    return found


def _unpacked_by(command: list[str], data: bytes) -> Tree:
    """Run a program with an archive, ``-C`` and a folder."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as work:
        archive, folder = Path(work) / "a.tar", Path(work) / "tree"
        archive.write_bytes(data)
        folder.mkdir()
        env = os.environ | {"LC_ALL": "C.UTF-8"}
        result = subprocess.run([*command, archive, "-C", folder], capture_output=True, text=True, env=env)
        if result.returncode:
            raise Refused((result.stderr or result.stdout).strip()[-300:])
        return tree_of(folder)


def _unpacked_by_uv(uv: str, data: bytes) -> Tree:
    with tempfile.TemporaryDirectory() as work:
        archive, folder = Path(work) / "p-1.0.tar.gz", Path(work) / "tree"
        archive.write_bytes(gzip.compress(data))
        env = os.environ | {"TREE": str(folder), "UV_CACHE_DIR": f"{work}/cache"}
        command = [uv, "build", "--wheel", "--offline", "--no-config", "--python", sys.executable, archive]
        result = subprocess.run([*command, "-o", f"{work}/out"], capture_output=True, text=True, env=env)
        if not folder.is_dir():
            raise Refused(result.stderr.strip()[-300:])
        return {f"p/{path}": leaf for path, leaf in tree_of(folder).items() if "__pycache__" not in path}


def _rattler_bz2(data: bytes) -> Tree:
    return _unpacked_by_rattler(bz2.compress(data, 1), "p-1.0-0.tar.bz2")


def _rattler_conda(data: bytes) -> Tree:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("metadata.json", '{"conda_pkg_format_version": 2}')
        archive.writestr("pkg-p-1.0-0.tar.zst", zstandard.compress(data, 1))
        archive.writestr("info-p-1.0-0.tar.zst", zstandard.compress(END, 1))
    return _unpacked_by_rattler(buffer.getvalue(), "p-1.0-0.conda")


def _unpacked_by_rattler(data: bytes, file: str) -> Tree:
    from rattler import package_streaming

    with tempfile.TemporaryDirectory() as work:
        archive, folder = Path(work) / file, Path(work) / "tree"
        archive.write_bytes(data)
        try:
            package_streaming.extract(archive, folder)
        except Exception as error:
            raise Refused(f"{type(error).__name__}: {error}"[:300]) from None
        return tree_of(folder)


@lru_cache(maxsize=1)
def _gnu_tar() -> str | None:
    for name in ("gtar", "tar"):
        path = shutil.which(name)
        if path is not None and "GNU tar" in subprocess.run([path, "--version"], capture_output=True, text=True).stdout:
            return path
    return None


def _uv() -> str | None:
    beside = Path(sys.executable).with_name("uv")
    return str(beside) if beside.exists() else shutil.which("uv")


@lru_cache(maxsize=1)
def pythons() -> dict[str, str]:
    """Return one interpreter for each version of Python on this machine."""
    found = {f"{sys.version_info.major}.{sys.version_info.minor}": sys.executable}
    folders = [Path(each) for each in os.environ["PATH"].split(os.pathsep)]
    folders += sorted(Path("~/.pyenv/versions").expanduser().glob("*/bin"))
    for path in (path for folder in folders for path in sorted(folder.glob("python3.*"))):
        match = re.fullmatch(r"python(3\.\d+)", path.name)
        if match is None or match[1] in found:
            continue
        if subprocess.run([path, "-c", ""], capture_output=True).returncode == 0:
            found[match[1]] = str(path)
    return found
