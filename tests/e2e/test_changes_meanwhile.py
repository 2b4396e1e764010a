"""Files that another program changes while a command works: each is read once, and nothing that changed is lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from envc.context import Context
from envc.locking.plan.project import Project, Selection
from envc.model.digest import sha256
from envc.model.progress import Silent
from envc.pipeline.bundle import BundleRequest, bundle
from envc.pipeline.locate import locate
from envc.pipeline.project import open_project
from envc.pipeline.single_file import open_bundle, write
from envc.pipeline.upkeep import tag
from tests.e2e.command import HOST_PYTHON, Workplace, host_platform
from tests.support.servers import IndexServer
from tests.support.wheels import Distribution, build_wheel

MANIFEST = f"""\
[project]
name = "demo"
targets = ["{host_platform()}"]
python = "{HOST_PYTHON}"
[steps.train]
pypi = ["alpha"]
"""


class WatchedIndex(IndexServer):
    """An index that calls a function before it serves a file."""

    def __init__(self) -> None:
        super().__init__([build_wheel("alpha", "1.0"), build_wheel("beta", "1.0")])
        self.meanwhile: Callable[[], object] = lambda: None

    def file(self, name: str) -> Distribution | None:
        self.meanwhile()
        return super().file(name)


@pytest.fixture
def index() -> Iterator[WatchedIndex]:
    with WatchedIndex() as server:
        yield server


@pytest.fixture
def place(tmp_path: Path, index: WatchedIndex) -> Workplace:
    place = Workplace(tmp_path, index.url)
    place.write(MANIFEST)
    place.ok("lock")
    return place


@pytest.fixture
def other(place: Workplace) -> bytes:
    """Another lock of the same project."""
    before = place.lock.read_bytes()
    place.write(MANIFEST.replace('"alpha"', '"alpha", "beta"'))
    place.ok("lock")
    other = place.lock.read_bytes()
    place.write(MANIFEST)
    place.lock.write_bytes(before)
    return other


def opened(place: Workplace) -> tuple[Project, Context]:
    """Open the project as a verb does: everything that it reads is read now."""
    context = Context(environ=place.env, cwd=place.checkout, progress=Silent())
    return open_project(None, context), context


def stored_locks(place: Workplace) -> set[bytes]:
    return {path.read_bytes() for path in (place.store / "v1/locks").rglob("*") if path.is_file()}


def named_in_store(place: Workplace, lock: bytes) -> bool:
    """Return whether the store has any key with the digest of that lock."""
    return any(sha256(lock) in str(path) for path in place.store.rglob("*"))


def test_what_is_bundled_is_named_by_the_lock_that_was_read(place: Workplace, other: bytes) -> None:
    read = place.lock.read_bytes()
    project, context = opened(place)
    place.lock.write_bytes(other)
    bundled = bundle(project, BundleRequest(), context)
    assert bundled.lock == sha256(read)
    assert stored_locks(place) == {read}
    assert not named_in_store(place, other)
    # The other lock has other packages, so it must not find these environments.
    place.write(MANIFEST.replace('"alpha"', '"alpha", "beta"'))
    assert "does not hold train" in place.fails(1, "hydrate", "train").err


def test_what_is_located_shipped_and_tagged_is_that_of_the_lock_that_was_read(place: Workplace, other: bytes) -> None:
    place.ok("bundle")
    read = place.lock.read_bytes()
    project, context = opened(place)
    place.lock.write_bytes(other)
    assert tag(project, "kept", Selection(), context) == sha256(read)
    assert locate(project, project.step_targets[0], Selection(), context).pointer is not None
    write(project, BundleRequest(), Path("train.envc"), context)
    assert open_bundle(place.checkout / "train.envc").card.lock == sha256(read)


def test_a_lock_that_changes_during_a_bundle_is_not_mixed_with_the_one_that_was_read(
    place: Workplace, index: WatchedIndex, other: bytes
) -> None:
    read = place.lock.read_bytes()
    index.meanwhile = lambda: place.lock.write_bytes(other)
    place.ok("bundle")
    assert place.lock.read_bytes() == other
    assert stored_locks(place) == {read}
    assert named_in_store(place, read)
    assert not named_in_store(place, other)


def test_a_lock_that_changes_before_its_contents_are_recorded_is_not_overwritten(
    place: Workplace, index: WatchedIndex, other: bytes
) -> None:
    index.meanwhile = lambda: place.lock.write_bytes(other)
    done = place.fails(1, "bundle", "--record")
    assert "manifest.lock was changed by another program in the meantime" in done.err
    assert place.lock.read_bytes() == other
    index.meanwhile = lambda: None
    place.write(MANIFEST.replace('"alpha"', '"alpha", "beta"'))
    place.ok("bundle", "--record")


def test_a_lock_that_changes_during_a_solve_is_not_overwritten(
    place: Workplace, index: WatchedIndex, other: bytes
) -> None:
    index.add(build_wheel("alpha", "1.1"))
    index.meanwhile = lambda: place.lock.write_bytes(other)
    done = place.fails(1, "lock", "--upgrade", "--refresh")
    assert "it was not overwritten" in done.err
    assert place.lock.read_bytes() == other


def test_a_manifest_that_changes_while_it_is_locked_is_not_restored(place: Workplace, index: WatchedIndex) -> None:
    mine = MANIFEST + 'run = "python -V"\n'
    index.add(build_wheel("gamma", "1.0", ["absent"]))
    index.meanwhile = lambda: place.manifest.write_text(mine)
    done = place.fails(1, "add", "gamma>=1")  # it is written before it is locked, since no bound is looked for
    assert "was not restored: it has changed since" in done.err
    assert place.manifest.read_text() == mine


def test_a_manifest_that_changes_while_a_bound_is_looked_for_is_not_overwritten(
    place: Workplace, index: WatchedIndex
) -> None:
    mine, lock = MANIFEST + 'run = "python -V"\n', place.lock.read_bytes()
    index.add(build_wheel("gamma", "1.0"))
    index.meanwhile = lambda: place.manifest.write_text(mine)
    done = place.fails(1, "add", "gamma")
    assert "manifest.toml was changed by another program in the meantime; it was not overwritten" in done.err
    assert place.manifest.read_text() == mine
    assert place.lock.read_bytes() == lock
