"""conda-packages: whether envc reads the packages of real builders, and unpacks them as py-rattler does.

The packages are made by `tests/support/conda_builders.py` in an environment of their own, which pip fills from the
package index.
"""

from __future__ import annotations

import argparse
import io
import subprocess
import tempfile
import venv
from collections.abc import Iterable, Iterator
from pathlib import Path

from envc.model.digest import sha256
from envc.shipping.unpack.conda import ANY, open_conda
from envc.shipping.unpack.errors import BadPackage
from envc.shipping.unpack.tars import open_tar
from envc.shipping.unpack.zips import Limits, open_zip
from tests.support import conda_builders
from tests.support.tar_judges import Tree, tree_of, tree_of_members

BUILDERS = ("py-rattler-build", "conda-package-handling", "whl2conda")
WHEELS = ("attrs", "click", "jinja2", "pytz", "rich", "six")
_PYTHON = "py3.12-posix"


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="conda-packages", description=__doc__)
    parser.add_argument("--folder", type=Path, help="a folder of packages that were made before; none are made then")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary) / "packages"
        if options.folder is None:
            make_packages(Path(temporary), folder)
        packages = sorted(conda_builders.packages_in(folder))
        problems = [line for path in packages for line in compare(path)]
        print("\n".join(problems))
        print(f"{len(packages)} packages, {len(problems)} refusals and differences")
    return 1 if problems or not packages else 0


def make_packages(work: Path, folder: Path, trees: Iterable[str] = tuple(conda_builders.TREES)) -> None:
    """Install the builders, and make packages of these trees with all of them."""
    venv.create(work / "venv", with_pip=True)
    python = work / "venv/bin/python"
    pip = [python, "-m", "pip", "-q"]
    subprocess.run([*pip, "install", *BUILDERS], check=True)
    subprocess.run(
        [*pip, "download", "--no-deps", "--only-binary", ":all:", "-d", work / "wheels", *WHEELS], check=True
    )
    wheels = sorted((work / "wheels").iterdir())
    subprocess.run([python, conda_builders.__file__, folder, ",".join(trees), *wheels], check=True)


def compare(path: Path) -> Iterator[str]:
    """Yield a text if envc refuses a package, or if py-rattler unpacks other files."""
    data = path.read_bytes()
    try:
        ours = _tree(path.name, data)
        layout = _PYTHON if b'"noarch": "python"' in ours["info/index.json"].content else ANY
        with open_conda(path, path.name, layout, sha256(data)) as contents:
            members = len(contents.members)
    except (BadPackage, ValueError) as error:
        yield f"{path.name}: {error}"
        return
    theirs = _unpacked_by_rattler(path)
    if ours != theirs:
        different = sorted(each for each in ours | theirs if ours.get(each) != theirs.get(each))
        yield f"{path.name}: py-rattler unpacks {len(different)} files differently, such as {different[0]!r}"
    elif members == 0:
        yield f"{path.name}: it is empty"


def _tree(file: str, data: bytes) -> Tree:
    """What envc sees in the tar archives of a package."""
    if file.endswith(".tar.bz2"):
        with open_tar(io.BytesIO(data), "bz2", size=len(data)) as tar:
            return tree_of_members(tar)
    found: Tree = {}
    archive, infos = open_zip(io.BytesIO(data), Limits())
    for info in infos:
        if info.name.endswith(".tar.zst"):
            packed = archive.read(info)
            with open_tar(io.BytesIO(packed), "zst", size=len(packed)) as tar:
                found |= tree_of_members(tar)
    return found


def _unpacked_by_rattler(path: Path) -> Tree:
    from rattler import package_streaming

    with tempfile.TemporaryDirectory() as work:
        package_streaming.extract(path, Path(work) / "tree")
        return tree_of(Path(work) / "tree")
