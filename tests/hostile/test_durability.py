"""Whatever happens to a run, other processes see no partial results, and the next run succeeds."""

from __future__ import annotations

import gc
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from envc.errors import EnvcError, StoreError
from envc.model.digest import Sha256
from envc.model.progress import Silent
from envc.shipping.deliver.hydrate import Loading, StoredEnvironment, hydrate
from envc.shipping.store.keys import object_key
from envc.shipping.store.objects import get_object, verify_object
from envc.shipping.store.open import open_store
from envc.shipping.store.records import get_record
from envc.shipping.unpack.conda import open_conda
from envc.system.scratch import NoScratch
from tests.support.conda_packages import build_conda
from tests.support.environments import HOST, bundle, record_of
from tests.support.wheels import Distribution, build_wheel

ROOT = Path(__file__).parents[2]
BIG = [build_wheel(f"big{number}", files={f"big{number}.bin": os.urandom(6 << 20)}, compression=0) for number in (1, 2)]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("times", [4, pytest.param(100, marks=pytest.mark.slow)])
@pytest.mark.parametrize("work", ["bundle", "hydrate"])
def test_killed_at_random_moments(work: str, times: int, tmp_path: Path) -> None:
    """`tests.support.killing` makes the assertions, and exits with an error at the first failure."""
    command = [sys.executable, "-m", "tests.support.killing", work, str(tmp_path), str(os.getpid()), str(times)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{times} killed")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 16 MiB."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(place)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        yield place
    finally:
        gc.collect()  # a store that a traceback refers to keeps folders open
        subprocess.run(["umount", str(place)], check=True)


def test_a_full_disk_leaves_no_partial_prefix(small_disk: Path, tmp_path: Path) -> None:
    store = open_store(tmp_path / "store")
    one, both = record_of(store, tmp_path, BIG[0]), record_of(store, tmp_path, *BIG)
    prefix, cache = small_disk / "prefix", small_disk / "cache"
    assert hydrate(StoredEnvironment(store, one), prefix, interpreter=HOST, cache=cache, progress=Silent())
    with pytest.raises(EnvcError, match="cannot be written: No space left on device"):
        # Copies, so that files unpacked before take up space.
        hydrate(
            StoredEnvironment(store, both),
            prefix,
            interpreter=HOST,
            cache=cache,
            progress=Silent(),
            loading=Loading(cached=False),
        )
    # The previous prefix still exists and works.
    assert not hydrate(StoredEnvironment(store, one), prefix, interpreter=HOST, cache=cache, progress=Silent())
    assert [path.name for path in small_disk.iterdir() if path.name.startswith(".")] == []
    # With more free space the same command succeeds.
    shutil.rmtree(prefix)
    shutil.rmtree(cache / "objects")
    assert hydrate(
        StoredEnvironment(store, both), small_disk / "other", interpreter=HOST, cache=cache, progress=Silent()
    )


def test_a_full_disk_of_the_cache_does_not_stop_hydrate(small_disk: Path, tmp_path: Path) -> None:
    store = open_store(tmp_path / "store")
    record = record_of(store, tmp_path, *BIG)
    loading = Loading(link_mode="copy")
    assert hydrate(
        StoredEnvironment(store, record),
        small_disk / "prefix",
        interpreter=HOST,
        cache=small_disk / "cache",
        progress=Silent(),
        loading=loading,
    )
    assert list((small_disk / "cache/objects/tmp").iterdir()) == []
    assert list((small_disk / "cache/objects").glob("*/??/*")) == []


def test_a_full_disk_leaves_no_partial_object(small_disk: Path, tmp_path: Path) -> None:
    store = open_store(small_disk / "store")
    with pytest.raises(StoreError, match="its disk is full"):
        bundle(store, tmp_path, *BIG, build_wheel("more", files={"more.bin": os.urandom(6 << 20)}, compression=0))
    assert list((small_disk / "store/v1/drafts").iterdir()) == []
    assert list(store.list("v1/environments")) == list(store.list("v1/steps")) == []
    for key in store.list("v1/objects"):
        layout, _, artifact = key.removeprefix("v1/objects/").split("/")
        verify_object(store, get_object(store, artifact=artifact, layout=layout))


@pytest.mark.parametrize("work", ["unpack", "upload"])
def test_a_full_temporary_folder_is_not_blamed_on_an_artifact(
    work: str, small_disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(small_disk))
    noise = os.urandom(20 << 20)
    with pytest.raises(NoScratch, match="cannot be written: No space left on device"):
        if work == "upload":
            try:
                bundle(open_store("memory://"), tmp_path, build_wheel("large", files={"noise": noise}, compression=0))
            finally:
                fsspec.filesystem("memory").store.clear()
        else:
            package = build_conda("large", files={"noise": noise})
            (tmp_path / "package").write_bytes(package.data)
            with open_conda(tmp_path / "package", package.file, "any", Sha256(package.sha256)):
                pass
    assert list(small_disk.iterdir()) == []


WRITER = """
import sys
from pathlib import Path
from envc.shipping.store.open import open_store
from tests.support.environments import bundle
from tests.hostile.test_durability import wheels

folder, number = Path(sys.argv[1]), sys.argv[2]
for turn in range(3):
    store = open_store(folder / f"store-{turn}")
    bundled, _ = bundle(store, folder / number, *wheels())
    print(bundled.records[0].environment)
"""


def wheels() -> list[Distribution]:
    """Return the same wheels in every process."""
    files = {f"many/m{number}.py": f"number = {number}\n" * 99 for number in range(200)}
    return [build_wheel("many", files=files), build_wheel("heavy", files={"heavy.bin": bytes(10 << 20)})]


def test_two_concurrent_bundles_give_the_same_store(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WRITER, str(tmp_path)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    running = [subprocess.Popen([*command, name], cwd=ROOT, **pipes) for name in "ab"]  # type: ignore[call-overload]
    answers = {process.communicate() for process in running}
    (environments,) = {out for out, _ in answers}
    assert all(process.returncode == 0 for process in running), answers
    for turn, environment in enumerate(environments.split()):
        store = open_store(tmp_path / f"store-{turn}")
        for item in get_record(store, environment).objects:
            key = object_key(item.index.layout, item.index.artifact)
            stored = get_object(store, artifact=item.index.artifact, layout=item.index.layout)
            assert stored.key == key
            verify_object(store, stored, item.content)
        assert list((tmp_path / f"store-{turn}/v1/drafts").iterdir()) == []
