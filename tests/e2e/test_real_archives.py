"""Archives that were made by real programs are accepted, and unpacked as other installers unpack them.

These are short forms of `python -m tests.benchmarks sdists --judges` and `python -m tests.benchmarks conda-packages`.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.benchmarks import conda_packages, sdists
from tests.support.conda_builders import packages_in

pytestmark = [pytest.mark.network, pytest.mark.slow]

# Of setuptools, flit, poetry, hatchling, maturin and meson, of git, and of old versions of distutils.
SDISTS = [
    "attrs",
    "docopt==0.6.2",
    "docutils",
    "flit-core",
    "html5lib==0.999",
    "meson-python",
    "ordereddict==1.1",
    "poetry-core",
    "PyPDF2==1.26.0",
    "requests",
    "rpds-py",
    "uwsgi",
]


def test_sdists_are_unpacked_as_pip_and_tars_unpack_them(tmp_path: Path) -> None:
    assert list(sdists.download(SDISTS, tmp_path)) == []
    paths = sorted(tmp_path.iterdir())
    assert len(paths) == len(SDISTS)
    assert [line for path in paths for line in sdists.compare(path, judges=True)] == []


def test_packages_of_conda_builders_are_unpacked_as_py_rattler_unpacks_them(tmp_path: Path) -> None:
    pytest.importorskip("rattler")
    conda_packages.make_packages(tmp_path, tmp_path / "packages", ["plain", "links", "scripts", "long", "modes"])
    packages = packages_in(tmp_path / "packages")
    assert len(packages) > 40
    assert [line for path in packages for line in conda_packages.compare(path)] == []
