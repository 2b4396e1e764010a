"""The PyPI projects of conda packages: the shipped table, what overrides it, and how it is made."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest

from envc.locking.resolve.names.__main__ import main, render, rows
from envc.locking.resolve.names.table import FILES, load_names, parse_rows
from envc_solvers.mixed.names import MappedProjects, Names, python_version
from tests.support.imports import assert_importable
from tests.support.servers import IndexServer
from tests.support.wheels import build_wheel

ROOT = Path(__file__).parents[2]
PYTHON = ["python >=3.11,<3.12.0a0", "libstdcxx"]


def test_the_manifest_overrides_the_table_and_the_table_the_name() -> None:
    names = Names({"pytorch": ("torch",), "opencv": ("opencv-python",)}, {"pytorch": ("fork", "torch"), "opencv": ()})
    assert names.projects_of("pytorch", []) == MappedProjects(0, ("fork", "torch"))
    assert names.projects_of("opencv", PYTHON) == MappedProjects(0, ())
    names = Names({"pytorch": ("torch",)})
    assert names.projects_of("pytorch", []) == MappedProjects(1, ("torch",))
    assert names.projects_of("typing_extensions", PYTHON) == MappedProjects(2, ("typing-extensions",))


def test_the_name_alone_is_used_only_for_packages_that_need_python() -> None:
    names = Names({})
    assert names.projects_of("graphviz", ["libexpat", "pythonic >=1"]).projects == ()
    assert names.projects_of("ruamel.yaml", ["python"]).projects == ("ruamel-yaml",)
    assert names.projects_of("mod", ["python_abi 3.11.* *_cp311"]).projects == ("mod",)


@pytest.mark.parametrize(
    ("conda", "pypi"),
    [("1.26.4", "1.26.4"), ("2024a", "2024a0"), ("1.0_rc1", "1.0rc1"), ("2023.04_03", None), ("1.1.1w", None)],
)
def test_conda_versions_are_converted_to_pypi_spelling(conda: str, pypi: str | None) -> None:
    assert python_version(conda) == pypi


_OPENCV = ("opencv-contrib-python", "opencv-contrib-python-headless", "opencv-python", "opencv-python-headless")


@pytest.mark.parametrize(
    ("conda", "pypi"),
    [
        ("cupy", "cupy-cuda12x"),
        ("cupy-core", "cupy"),
        ("faiss", "faiss-cpu"),
        ("onnxruntime", "onnxruntime-gpu"),
        ("polars", "polars-lts-cpu"),
        ("psycopg2", "psycopg2-binary"),
        ("rmm", "rmm-cu12"),
        ("tensorflow", "tensorflow-cpu"),
        ("py-xgboost", "xgboost-cpu"),
    ],
)
def test_a_package_supplies_every_project_that_holds_the_same_modules(conda: str, pypi: str) -> None:
    assert pypi in load_names({}).projects_of(conda, PYTHON).projects


def test_the_shipped_table() -> None:
    names = load_names({})
    for conda, projects in {
        "pytorch": ("torch",),
        "matplotlib-base": ("matplotlib",),
        "msgpack-python": ("msgpack",),
        "python-build": ("build",),
        "opencv": _OPENCV,
        "py-opencv": _OPENCV,
        "python-kaleido": ("kaleido",),
        "cudf": ("cudf", "cudf-cu11", "cudf-cu12", "cudf-cu13"),
        "pyarrow-core": ("pyarrow",),
        "psycopg2": ("psycopg2", "psycopg2-binary"),
        "numpy": ("numpy",),
        "pandas": ("pandas",),
    }.items():
        assert names.projects_of(conda, PYTHON).projects == projects


def test_the_shipped_files_are_sorted_normalised_and_small() -> None:
    folder = files("envc.locking.resolve.names")
    for file in FILES:
        text = folder.joinpath(file).read_text(encoding="utf-8")
        found = parse_rows(text)
        assert list(found) == sorted(found)
        for projects in found.values():
            assert projects == tuple(sorted(projects))
            assert all(re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", project) for project in projects)
        assert len(text) < 10_000
    snapshot = folder.joinpath("snapshot.txt").read_text(encoding="utf-8")
    assert re.search(r"# Source: conda-pypi \S+ of 20\d\d-\d\d-\d\d", snapshot)
    assert "MIT License" in folder.joinpath("snapshot.LICENSE").read_text(encoding="utf-8")


def test_only_differing_names_make_rows() -> None:
    table = {
        "torch": {"pypi_name": "torch", "conda_name": "pytorch"},
        "opencv-python": {"pypi_name": "opencv-python", "conda_name": "opencv"},
        "opencv_Python_headless": {"pypi_name": "opencv_Python_headless", "conda_name": "opencv"},
        "numpy": {"pypi_name": "numpy", "conda_name": "numpy"},
        "typing-extensions": {"pypi_name": "typing-extensions", "conda_name": "typing_extensions"},
        "f" * 60: {"pypi_name": "f" * 60, "conda_name": "made-of-an-address"},
    }
    found = rows(table)
    assert found == {"opencv": ("opencv-python", "opencv-python-headless"), "pytorch": ("torch",)}
    assert parse_rows(render(found, "1.0", "2026-01-01", "0" * 64)) == found


def test_a_snapshot_is_made_from_the_newest_release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = '{"torch": {"pypi_name": "torch", "conda_name": "pytorch"}}'
    files = {
        "conda_pypi/grayskull_pypi_mapping.json": table,
        "conda_pypi-2.0.dist-info/licenses/LICENSE": "Do as you like",
    }
    with IndexServer([build_wheel("conda-pypi", "1.0"), build_wheel("conda-pypi", "2.0", files=files)]) as index:
        monkeypatch.setattr(os, "environ", {"ENVC_INDEX_URL": index.url, "ENVC_CACHE_DIR": str(tmp_path / "cache")})
        main(tmp_path)
    text = (tmp_path / "snapshot.txt").read_text()
    assert "# Source: conda-pypi 2.0 of 2026-01-01" in text
    assert text.endswith("\npytorch torch\n")
    assert (tmp_path / "snapshot.LICENSE").read_text() == "Do as you like"


@pytest.mark.network
def test_the_snapshot_matches_its_release(tmp_path: Path) -> None:
    """If there is a newer release, run `python -m envc.locking.resolve.names` to make a new snapshot."""
    subprocess.run([sys.executable, "-m", "envc.locking.resolve.names", str(tmp_path)], check=True)
    shipped = (ROOT / "compiler/envc/locking/resolve/names/snapshot.txt").read_text().splitlines()
    made = (tmp_path / "snapshot.txt").read_text().splitlines()
    if made[1] == shipped[1]:
        assert made == shipped


def test_a_lock_of_one_kind_reads_no_table(tmp_path: Path) -> None:
    heavy = "envc.locking.resolve.names", "envc_solvers.mixed"
    assert_importable(heavy)
    program = (
        "import sys, envc.pipeline.lock, envc.locking.resolve.session, envc.locking.resolve.pypi\n"
        "import envc.locking.resolve.conda\n"
        f"print([name for name in sys.modules if name.startswith({heavy})])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
