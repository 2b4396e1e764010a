"""The cache counts every byte once, and is pruned by last use, one whole item at a time.

Tests cannot make a file older, because its ctime cannot be set. So unused files are new, used files have access times
in the future, and pruning also takes place in the future.
"""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest
from filelock import FileLock

from envc.fetch.cache.index_cache import Cache, PageState, Proof
from envc.fetch.pypi.listing import Listing, PageEntry
from envc.model.progress import Silent
from envc.shipping.deliver.caches import Pruned, prune, show
from envc.system.atomic_folder import publish_folder, remove_folder
from envc_solvers.pypi.language.requirement import Metadata

DAY = 24 * 3600.0
NOW = time.time()


def fill(cache: Path, name: str, size: int, *, used: bool = False) -> Path:
    path = cache / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(size))
    use(path) if used else os.utime(path, (0, 0))
    return path


def use(path: Path) -> None:
    """Set a file's access time to fifty days from now."""
    os.utime(path, (NOW + 50 * DAY, 0))


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """A cache as the verbs leave it, with some parts used again."""
    cache = tmp_path / "cache"
    fill(cache, "artifacts/aa/aa11/new.whl", 100, used=True)
    fill(cache, "artifacts/bb/bb22/old.whl", 1000)
    fill(cache, "artifacts/partial/bb33", 10)
    fill(cache, "envs/new/lib/python/a.py", 5)
    fill(cache, "envs/new/.envc/prefix.json", 2, used=True)
    fill(cache, "envs/old/lib/python/a.py", 7)
    fill(cache, "envs/old/.envc/prefix.json", 2)
    fill(cache, "code/cc44/main.py", 3)
    fill(cache, "derived/py3.12-posix/aa/aa11", 64)
    fill(cache, "index-v1.sqlite", 500)
    fill(cache, "locks/dd.lock", 0)
    return cache


def sizes(cache: Path) -> dict[str, tuple[int, int]]:
    return {part.part: (part.entries, part.size) for part in show(cache, Silent())}


def test_parts_are_counted_in_whole_items(cache: Path) -> None:
    assert sizes(cache) == {
        "artifacts": (3, 1110),
        "code": (1, 3),
        "derived digests": (1, 64),
        "environments": (2, 16),
        "other": (1, 500),
    }
    assert show(cache / "nothing", Silent()) == ()


@pytest.mark.skipif(not hasattr(os, "link"), reason="needs hard links")
def test_a_file_with_two_names_is_counted_once(cache: Path) -> None:
    first = fill(cache, "objects/py3.12-posix/ee/ee55/0", 700)
    os.link(first, cache / "envs/new/lib/python/b.py")
    assert sizes(cache)["environments"] == (2, 716)
    assert sizes(cache)["unpacked objects"] == (1, 0)


def test_used_items_stay_and_the_rest_is_removed(cache: Path) -> None:
    assert prune(cache, NOW + 30 * DAY, Silent(), dry_run=True) == Pruned(entries=5, size=1522)
    assert sizes(cache)["artifacts"] == (3, 1110)
    assert prune(cache, NOW + 30 * DAY, Silent()) == Pruned(entries=5, size=1522)
    assert sizes(cache) == {
        "artifacts": (1, 100),
        "derived digests": (1, 64),
        "environments": (1, 7),
    }
    assert (cache / "envs/new/lib/python/a.py").exists()
    assert [path.name for path in (cache / "envs").iterdir()] == ["new"]
    assert prune(cache, NOW + 30 * DAY, Silent()) == Pruned(entries=0, size=0)


def test_the_index_cache_is_pruned_by_its_entries(cache: Path) -> None:
    for project, now in (("old", NOW), ("used", NOW + 50 * DAY), ("new", NOW + 50 * DAY)):
        index = Cache(cache, Silent(), now=int(now))
        state = PageState("abc", "", "", int(now), 600)
        index.save_page(
            "default", project, state, Listing("https://example.com/", (PageEntry(f"{project}.whl", "x"),) * 9)
        )
        index.save_metadata(Proof("artifact", "f.whl", project), Metadata(project, "1.0"))
        index.page("default", "used")
        index.metadata(Proof("artifact", "f.whl", "used"))
        index.close()
    before = sizes(cache)["index"]
    assert before[0] == 6
    assert prune(cache, NOW + 30 * DAY, Silent(), dry_run=True).entries == 5 + 2
    assert sizes(cache)["index"] == before
    gone = prune(cache, NOW + 30 * DAY, Silent())
    assert gone.entries == 5 + 2 and gone.size > 1522
    assert sizes(cache)["index"][0] == 4
    index = Cache(cache, Silent(), now=int(NOW))
    assert index.page("default", "old") is None and index.listing("default", "old") is None
    assert index.page("default", "used") is not None and index.metadata(Proof("artifact", "f.whl", "used")) is not None
    index.close()
    assert prune(cache, None, Silent()).entries > 0
    assert sizes(cache) == {}


def test_reading_counts_as_using(cache: Path) -> None:
    old = cache / "envs/old/lib/python/a.py"
    use(old)
    prune(cache, NOW + 30 * DAY, Silent())
    assert old.exists()


@pytest.mark.skipif(not hasattr(os, "link"), reason="needs hard links")
def test_linking_counts_as_using(cache: Path) -> None:
    """The files of an object have the times of their artifact, and can be used without being read."""
    unpacked = fill(cache, "objects/py3.12-posix/ee/ee55/0", 700)
    time.sleep(0.05)
    moment = time.time()
    time.sleep(0.05)
    os.link(unpacked, cache / "envs/new/lib/python/b.py")
    prune(cache, moment, Silent())
    assert unpacked.exists()
    assert not (cache / "artifacts/bb").is_dir() or not list((cache / "artifacts/bb").iterdir())


def test_everything_but_locks_is_removed(cache: Path) -> None:
    (cache / "something-else").write_bytes(b"x")
    assert prune(cache, None, Silent()).entries == 9
    assert show(cache, Silent()) == ()
    assert (cache / "locks/dd.lock").exists()


def test_undeletable_items_are_named_and_the_rest_is_removed(cache: Path) -> None:
    stuck = "n" * 250  # too long a name to be renamed before removal
    fill(cache, f"envs/{stuck}/a.py", 1)
    progress = Silent()
    assert prune(cache, NOW + 30 * DAY, progress) == Pruned(entries=5, size=1522)
    assert progress.warnings == [f"{cache}/envs/{stuck} cannot be removed: File name too long"]


def test_links_to_outside_are_not_followed(cache: Path, tmp_path: Path) -> None:
    outside = fill(tmp_path, "outside/precious", 10)
    (cache / "artifacts/zz").symlink_to(outside.parent)
    (cache / "envs/linked").symlink_to(outside.parent)
    (cache / "code/linked").symlink_to(outside)
    prune(cache, None, Silent())
    assert outside.exists()
    assert show(cache, Silent()) == ()


# removing folders atomically


def test_a_folder_is_removed_atomically_and_can_be_made_again(tmp_path: Path) -> None:
    place, locks = tmp_path / "envs/one", tmp_path / "locks"

    def make() -> bool:
        return publish_folder(
            place,
            locks=locks,
            is_ours=lambda: False,
            is_made=place.is_dir,
            populate=lambda folder: (folder / "file").write_bytes(b"x") and None,
        )

    assert make()
    remove_folder(place, locks=locks)
    assert list(place.parent.iterdir()) == []
    assert make()


def test_a_folder_that_is_being_made_is_left_alone(tmp_path: Path) -> None:
    place, locks = tmp_path / "envs/one", tmp_path / "locks"
    held, release = threading.Event(), threading.Event()

    def hold(folder: Path) -> None:
        (folder / "file").write_bytes(b"x")
        held.set()
        release.wait(60)

    making = threading.Thread(
        target=lambda: publish_folder(place, locks=locks, is_ours=lambda: False, is_made=place.is_dir, populate=hold)
    )
    making.start()
    held.wait(60)
    remove_folder(place, locks=locks)
    release.set()
    making.join()
    assert (place / "file").exists()
    assert FileLock(next(locks.iterdir())).is_locked is False
