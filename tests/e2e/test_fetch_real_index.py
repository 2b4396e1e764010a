"""The real default index, with behaviour that a test server might not have."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from envc.fetch.pypi.indexes import Indexes, SourceOrder
from envc.model.manifest import Source
from envc_solvers.errors import ProjectNotFound
from envc_solvers.pypi.language.requirement import parse
from envc_solvers.target import Python, default_target
from tests.support.fetching import fetching

pytestmark = pytest.mark.network

PYTHON = Python(minor=(3, 12))
TARGETS = [default_target(name) for name in ("linux-64", "linux-aarch64", "osx-arm64", "win-64")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def open_origins(folder: Path, *, offline: bool = False) -> Indexes:
    sources = {"pypi": Source(name="pypi", kind="pypi", url=os.environ.get("ENVC_INDEX_URL"))}
    return Indexes(sources, fetching(folder, now=int(time.time()), offline=offline))


@pytest.fixture
def origins(folder: Path) -> Iterator[Indexes]:
    with open_origins(folder) as origins:
        yield origins


def test_every_target_sees_wheels_with_digest_size_and_time(origins: Indexes) -> None:
    for target in TARGETS:
        index = origins.index(target, PYTHON, SourceOrder(("pypi",)))
        view = index.view("numpy")
        files = [release.files[0] for release in view.releases[:20]]
        assert len(files) == 20
        assert all(file.sha256 and file.size and file.uploaded for file in files)


@pytest.mark.parametrize("name", ["requests", "numpy", "torch", "polars", "boto3", "zstandard"])
def test_metadata_is_read_without_the_wheel(origins: Indexes, folder: Path, name: str) -> None:
    index = origins.index(TARGETS[0], PYTHON, SourceOrder(("pypi",)))
    index.expect([parse(name)])
    view = index.view(name)
    for release in (view.releases[0], view.releases[len(view.releases) // 2]):
        metadata = index.metadata(view, release.files[0])
        assert metadata.name == name
    assert not list((folder / "artifacts").glob("??/*/*.whl"))


def test_a_missing_project_is_reported_by_the_real_index(origins: Indexes) -> None:
    index = origins.index(TARGETS[0], PYTHON, SourceOrder(("pypi",)))
    with pytest.raises(ProjectNotFound, match=r"did you mean apache-airflow-providers-google\?"):
        index.view("apache-airflow-providers-googel")


def test_fetched_data_is_available_offline(folder: Path) -> None:
    with open_origins(folder) as origins:
        index = origins.index(TARGETS[0], PYTHON, SourceOrder(("pypi",)))
        view = index.view("requests")
        metadata = index.metadata(view, view.releases[0].files[0])
    with open_origins(folder, offline=True) as origins:
        index = origins.index(TARGETS[0], PYTHON, SourceOrder(("pypi",)))
        assert index.view("requests") == view
        assert index.metadata(view, view.releases[0].files[0]) == metadata
        assert not origins.is_online
