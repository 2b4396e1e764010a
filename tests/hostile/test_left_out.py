"""Files of packages that would act unseen are not installed: byte-code of sources, and what only conda tools read."""

from __future__ import annotations

import io
import json
import py_compile
import subprocess
import sys
from pathlib import Path

import pytest

from envc.model.digest import Sha256
from envc.model.progress import Silent
from envc.model.record import Member, content_digest
from envc.shipping.format.encode import write_object
from envc.shipping.store.backends.folder import FolderBlobs
from envc.shipping.unpack.conda import open_conda
from envc.shipping.unpack.wheel import open_wheel
from tests.support.conda_packages import Package, build_conda
from tests.support.environments import bundle
from tests.support.wheels import Distribution, build_wheel

LAYOUT = "py3.12-posix"
SITE = "lib/python3.12/site-packages"
SOURCE = "print('the source')\n"
SOURCES = {"demo.py": SOURCE, "pkg/__init__.py": "", "pkg/module.py": SOURCE}


class Hearing(Silent):
    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warn(self, message: str) -> None:
        self.warnings.append(message)


def members_of(wheel: Distribution, folder: Path, layout: str = LAYOUT) -> tuple[Member, ...]:
    path = wheel.write(folder)
    with open_wheel(path, wheel.file, layout) as opened:
        index, _ = write_object(opened.entries, io.BytesIO(), layout=layout, artifact=Sha256("0" * 64), level=1)
        opened.check(index.members)
    return index.members


def conda_paths(package: Package, folder: Path, layout: str = "any") -> set[str]:
    path = folder / package.file
    path.write_bytes(package.data)
    with open_conda(path, package.file, layout, Sha256("0" * 64)) as opened:
        return {member.path for member in opened.members}


@pytest.mark.parametrize(
    "path",
    [
        "__pycache__/demo.cpython-312.pyc",
        "__pycache__/demo.cpython-312.opt-1.pyc",
        "__pycache__/demo.pypy310.pyc",
        "__PYCACHE__/demo.cpython-312.PYC",
        "pkg/__pycache__/module.cpython-312.pyc",
        "__pycache__/of_another_package.cpython-312.pyc",
        "demo-1.0.data/purelib/__pycache__/demo.cpython-312.pyc",
        "demo-1.0.data/data/lib/python3.12/__pycache__/os.cpython-312.pyc",
        "demo-1.0.data/data/bin/__pycache__/tool.cpython-312.pyc",
        "demo.pyc",
        "pkg/module.pyc",
        "demo-1.0.data/platlib/pkg/__init__.pyc",
    ],
)
def test_a_wheel_with_byte_code_of_sources_becomes_the_object_of_one_without(path: str, tmp_path: Path) -> None:
    plain = members_of(build_wheel("demo", files=SOURCES), tmp_path)
    assert content_digest(members_of(build_wheel("demo", files=SOURCES | {path: b"evil"}), tmp_path)) == content_digest(
        plain
    )


def test_byte_code_without_a_source_and_other_files_of_caches_are_installed(tmp_path: Path) -> None:
    files = {"closed.pyc": b"code", "pkg/__init__.pyc": b"code", "__pycache__/kernel.nbi": b"a cache of numba"}
    paths = {member.path for member in members_of(build_wheel("demo", files=files), tmp_path)}
    assert paths >= {f"{SITE}/{path}" for path in files}


def test_python_would_run_byte_code_in_place_of_a_source(tmp_path: Path) -> None:
    """The reason for the rule: byte-code may say that it need not be compared with its source (PEP 552)."""
    (tmp_path / "evil.py").write_text("print('something else')\n")
    (tmp_path / "demo.py").write_text(SOURCE)
    (tmp_path / "__pycache__").mkdir()
    py_compile.compile(
        str(tmp_path / "evil.py"),
        str(tmp_path / f"__pycache__/demo.{sys.implementation.cache_tag}.pyc"),
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
    )
    done = subprocess.run(
        [sys.executable, "-c", "import demo"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout == "something else\n"


CONDAS = [
    "etc/conda/activate.d/evil.sh",
    "etc/conda/deactivate.d/evil.sh",
    "etc/conda/env_vars.d/evil.json",
    "ETC/Conda/Activate.d/evil.sh",
    "conda-meta/evil-1.0-0.json",
    "conda-meta/history",
    "conda-meta/state",
    "Conda-Meta/pinned",
]


@pytest.mark.parametrize("path", CONDAS)
@pytest.mark.parametrize("layout", [LAYOUT, "nt-own"])
def test_a_wheel_does_not_write_what_conda_tools_act_upon(path: str, layout: str, tmp_path: Path) -> None:
    wheel = build_wheel("demo", files=SOURCES | {f"demo-1.0.data/data/{path}": "echo evil\n"})
    assert members_of(wheel, tmp_path, layout) == members_of(build_wheel("demo", files=SOURCES), tmp_path, layout)


def test_what_a_wheel_may_not_write_is_told_when_it_is_bundled(tmp_path: Path) -> None:
    """Intel's wheels contain the activation scripts of the conda packages that are made from the same files."""
    files = {f"demo-1.0.data/data/etc/conda/{folder}.d/vars.sh": "" for folder in ("activate", "deactivate")}
    heard = Hearing()
    bundle(FolderBlobs(tmp_path / "store"), tmp_path, build_wheel("demo", files=SOURCES | files), progress=heard)
    assert heard.warnings == [
        "demo-1.0-py3-none-any.whl is installed without etc/conda/activate.d/vars.sh and 1 more: "
        "only conda packages may write there"
    ]


def test_a_conda_package_keeps_byte_code_of_its_own_sources_alone(tmp_path: Path) -> None:
    """Conda packages are published with byte-code, which paths.json lists. That of other packages would shadow them."""
    own = f"{SITE}/pkg/__pycache__/module.cpython-312.pyc"
    others = (f"{SITE}/other/__pycache__/module.cpython-312.pyc", "lib/python3.12/__pycache__/os.cpython-312.pyc")
    files = {f"{SITE}/pkg/module.py": SOURCE, own: b"code", **dict.fromkeys(others, b"evil")}
    for kind in ("conda", "tar.bz2"):
        package = build_conda("demo", files=files, format=kind)  # type: ignore[arg-type]
        paths = conda_paths(package, tmp_path)
        assert own in paths
        assert paths.isdisjoint(others)


def test_the_record_of_a_conda_package_does_not_list_what_is_left_out(tmp_path: Path) -> None:
    other = f"{SITE}/__pycache__/other.cpython-312.pyc"
    package = build_conda("demo", files={"share/a.txt": "a", other: b"evil"})
    path = tmp_path / package.file
    path.write_bytes(package.data)
    with open_conda(path, package.file, "any", Sha256("0" * 64)) as opened:
        (entry,) = (entry for entry in opened.entries if entry.path.startswith("conda-meta/"))
        record = json.loads(entry.open().read())
    assert record["files"] == ["share/a.txt"]
    assert [each["_path"] for each in record["paths_data"]["paths"]] == ["share/a.txt"]


def test_a_noarch_python_package_ships_no_byte_code(tmp_path: Path) -> None:
    """It is the same file for every Python, so its byte-code can be right for one of them at most."""
    files = {"site-packages/m.py": SOURCE, "site-packages/__pycache__/m.cpython-312.pyc": b"evil"}
    package = build_conda("demo", files=files, depends=["python"], noarch="python")
    paths = conda_paths(package, tmp_path, LAYOUT)
    assert f"{SITE}/m.py" in paths
    assert not any(path.endswith(".pyc") for path in paths)
