"""sdists: whether envc reads published source distributions, and unpacks them as other programs do.

The newest sdist of each project in `sdists.txt` is fetched with envc's own client; nothing is built. With `--judges`,
the trees are compared with those that pip, GNU tar, bsdtar and `tarfile` unpack.
"""

from __future__ import annotations

import argparse
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from packaging.version import InvalidVersion, Version

from envc.errors import EnvcError
from envc.fetch.pypi.indexes import Indexes
from envc.locking.builds.errors import BadSource
from envc.locking.builds.origin import Archive
from envc.model.digest import sha256
from envc.model.graph import SourceFile
from envc.model.manifest import Source
from envc.system.single_stream import Compression, decompress
from envc_solvers.pypi.language.index import File
from tests.support.fetching import fetching
from tests.support.tar_judges import Refused, Tree, quick_judges, tree_of

SDISTS = Path(__file__).with_suffix(".txt")
_KINDS: dict[str, Compression | None] = {".tar.gz": "gz", ".tgz": "gz", ".tar.bz2": "bz2", ".zip": None}
_LARGEST = 60 << 20  # bytes


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="sdists", description=__doc__)
    parser.add_argument("--folder", type=Path, help="a folder of sdists, to which those in the list are added")
    parser.add_argument("--list", type=Path, default=SDISTS, help="the list to download; /dev/null for none")
    parser.add_argument("--judges", action="store_true", help="compare with pip, GNU tar, bsdtar and tarfile")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        folder.mkdir(exist_ok=True)
        projects = [line for line in options.list.read_text().splitlines() if line and not line.startswith("#")]
        for reason in download(projects, folder):
            print(reason)
        paths = sorted(path for path in folder.iterdir() if kind_of(path.name) is not None)
        problems = [line for path in paths for line in compare(path, judges=options.judges)]
        print("\n".join(problems))
        print(f"{len(paths)} sdists, {len(problems)} refusals and differences")
    return 1 if problems else 0


def download(projects: list[str], folder: Path) -> Iterator[str]:
    """Add one sdist of each project to a folder. Yields a reason for each that is not there."""
    with (
        tempfile.TemporaryDirectory() as cache,
        Indexes({"pypi": Source(name="pypi", kind="pypi")}, fetching(Path(cache), now=int(time.time()))) as indexes,
    ):
        for line in projects:
            project, _, version = line.partition("==")
            name = re.sub(r"[-_.]+", "-", project).lower()
            try:
                listed = [file for file in indexes.files("pypi", name) if kind_of(file.name) is not None]
                wanted = [file for file in listed if not version or f"-{version}." in file.name]
                if not wanted:
                    yield f"{line} has no sdist"
                    continue
                file = max(wanted, key=_newest)
                if file.size > _LARGEST:
                    yield f"{file.name} is too large"
                elif not (folder / file.name).exists():
                    shutil.copy(indexes.obtain("pypi", name, file)[0], folder / file.name)
            except EnvcError as error:
                yield f"{line}: {error}"


def compare(path: Path, *, judges: bool) -> Iterator[str]:
    """Yield a text if envc refuses an archive, and one for each program that unpacks another tree."""
    data = path.read_bytes()
    source = Archive(path, SourceFile(file=path.name, size=len(data), sha256=sha256(data)))
    with tempfile.TemporaryDirectory() as work:
        try:
            source.read("PKG-INFO")
            source.unpack(Path(work) / "ours")
        except BadSource as error:
            yield str(error)
            return
        if not judges:
            return
        ours = tree_of(Path(work) / "ours")
        seen: dict[str, Callable[[], Tree]] = {"pip": lambda: _unpacked_by_pip(path, Path(work) / "pip")}
        compression = _KINDS[kind_of(path.name) or ""]
        if compression is not None:
            with path.open("rb") as stream:
                raw = b"".join(decompress(stream, compression))
            for name, judge in quick_judges().items():
                if not name.startswith("rattler"):
                    seen[name] = lambda judge=judge: judge(raw)  # type: ignore[misc]
        for name, unpack in seen.items():
            try:
                theirs = unpack()
            except Refused as error:
                yield f"{path.name}: {name} refuses it: {error}"
                continue
            expected = _below_top(ours) if name == "pip" else ours
            if theirs != expected:
                different = sorted(each for each in expected | theirs if expected.get(each) != theirs.get(each))
                yield f"{path.name}: {name} unpacks {len(different)} files differently, such as {different[0]!r}"


def _unpacked_by_pip(path: Path, folder: Path) -> Tree:
    from pip._internal.exceptions import InstallationError
    from pip._internal.utils.unpacking import unpack_file

    try:
        unpack_file(str(path), str(folder))
    except InstallationError as error:
        raise Refused(str(error)) from None
    return tree_of(folder)


def _below_top(tree: Tree) -> Tree:
    """The tree without its top folder, if it has only one, as pip unpacks it."""
    if len({path.partition("/")[0] for path in tree}) != 1:
        return tree
    return {path.partition("/")[2]: leaf for path, leaf in tree.items()}


def kind_of(name: str) -> str | None:
    return next((suffix for suffix in _KINDS if name.endswith(suffix)), None)


def _newest(file: File) -> tuple[bool, Version]:
    match = re.search(r"-([0-9][^-]*)$", file.name.removesuffix(kind_of(file.name) or ""))
    try:
        version = Version(match[1] if match else "0")
    except InvalidVersion:
        version = Version("0")
    return not version.is_prerelease, version
