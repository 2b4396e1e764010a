"""The cache counts every byte once, and is pruned by last use, one whole item at a time.

Tests cannot make a file older, because its ctime cannot be set. So unused files are new, used files have access times
in the future, and pruning also takes place in the future.
"""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import pytest

from envc.fetch.cache.index_cache import Cache, PageState, Proof
from envc.fetch.pypi.listing import Listing, PageEntry
from envc.model.progress import Progress, Silent
from envc.shipping.deliver import caches
from envc.shipping.deliver.caches import Pruned, prune, show
from envc.system.locks import in_use, shared_lock
from envc_solvers.pypi.language.requirement import Metadata

A, B, C, D, E = (letter * 64 for letter in "abcde")
NEW, OLD = "1" * 24, "2" * 24
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
    fill(cache, f"artifacts/aa/{A}/new.whl", 100, used=True)
    fill(cache, f"artifacts/bb/{B}/old.whl", 1000)
    fill(cache, f"artifacts/partial/{C}", 10)
    fill(cache, f"envs/{NEW}/lib/python/a.py", 5)
    fill(cache, f"envs/{NEW}/.envc/prefix.json", 2, used=True)
    fill(cache, f"envs/{OLD}/lib/python/a.py", 7)
    fill(cache, f"envs/{OLD}/.envc/prefix.json", 2)
    fill(cache, f"code/{C}/main.py", 3)
    fill(cache, f"derived/py3.12-posix/aa/{A}", 64)
    fill(cache, "index-v1.sqlite", 500)
    fill(cache, f"locks/{D}.lock", 0)
    return cache


def prune_unused(cache: Path, progress: Progress | None = None, *, dry_run: bool = False) -> Pruned:
    """Prune in sixty days what was not used for thirty."""
    return prune(cache, 30 * DAY, progress or Silent(), now=NOW + 60 * DAY, dry_run=dry_run)


def prune_all(cache: Path, progress: Progress | None = None) -> Pruned:
    return prune(cache, None, progress or Silent(), now=NOW)


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
    first = fill(cache, f"objects/py3.12-posix/ee/{E}/0", 700)
    os.link(first, cache / f"envs/{NEW}/lib/python/b.py")
    assert sizes(cache)["environments"] == (2, 716)
    assert sizes(cache)["unpacked objects"] == (1, 0)


def test_used_items_stay_and_the_rest_is_removed(cache: Path) -> None:
    assert prune_unused(cache, dry_run=True) == Pruned(entries=5, size=1522)
    assert sizes(cache)["artifacts"] == (3, 1110)
    assert prune_unused(cache) == Pruned(entries=5, size=1522)
    assert sizes(cache) == {
        "artifacts": (1, 100),
        "derived digests": (1, 64),
        "environments": (1, 7),
    }
    assert (cache / f"envs/{NEW}/lib/python/a.py").exists()
    assert [path.name for path in (cache / "envs").iterdir()] == [NEW]
    assert prune_unused(cache) == Pruned(entries=0, size=0)


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
    assert prune_unused(cache, dry_run=True).entries == 5 + 2
    assert sizes(cache)["index"] == before
    gone = prune_unused(cache)
    assert gone.entries == 5 + 2 and gone.size > 1522
    assert sizes(cache)["index"][0] == 4
    index = Cache(cache, Silent(), now=int(NOW))
    assert index.page("default", "old") is None and index.listing("default", "old") is None
    assert index.page("default", "used") is not None and index.metadata(Proof("artifact", "f.whl", "used")) is not None
    index.close()
    assert prune_all(cache).entries > 0
    assert sizes(cache) == {}


def test_reading_counts_as_using(cache: Path) -> None:
    old = cache / f"envs/{OLD}/lib/python/a.py"
    use(old)
    prune_unused(cache)
    assert old.exists()


@pytest.mark.skipif(not hasattr(os, "link"), reason="needs hard links")
def test_linking_counts_as_using(cache: Path) -> None:
    """The files of an object have the times of their artifact, and can be used without being read."""
    unpacked = fill(cache, f"objects/py3.12-posix/ee/{E}/0", 700)
    time.sleep(0.05)
    moment = time.time()
    time.sleep(0.05)
    os.link(unpacked, cache / f"envs/{NEW}/lib/python/b.py")
    prune(cache, 0, Silent(), now=moment)
    assert unpacked.exists()
    assert not (cache / "artifacts/bb").is_dir() or not list((cache / "artifacts/bb").iterdir())


def test_everything_but_locks_is_removed(cache: Path) -> None:
    assert prune_all(cache).entries == 8
    assert show(cache, Silent()) == ()
    assert (cache / f"locks/{D}.lock").exists()
    assert not (cache / "trash").exists()


def test_undeletable_items_are_named_and_the_rest_is_removed(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stuck = cache / f"envs/{OLD}"

    def refuse(folder: Path, **_: object) -> bool:
        raise PermissionError(13, "Permission denied", str(folder))

    monkeypatch.setattr(caches, "remove_folder", refuse)
    progress = Silent()
    assert prune_unused(cache, progress) == Pruned(entries=3, size=1510)
    assert f"{stuck} cannot be removed: Permission denied" in progress.warnings


def test_links_to_outside_are_not_followed(cache: Path, tmp_path: Path) -> None:
    outside = fill(tmp_path, "outside/precious", 10)
    (cache / f"artifacts/aa/{B}").symlink_to(outside.parent)
    (cache / f"envs/{'3' * 24}").symlink_to(outside.parent)
    (cache / f"code/{D}").symlink_to(outside)
    (cache / "git").symlink_to(outside.parent)
    fill(tmp_path, f"outside/{'4' * 32}", 1)
    prune_all(cache)
    assert outside.exists() and (outside.parent / ("4" * 32)).exists()
    assert show(cache, Silent()) == ()


# only what envc makes


def test_files_of_the_user_are_neither_counted_nor_removed(cache: Path) -> None:
    """ENVC_CACHE_DIR may name a home folder, in which earlier versions of envc kept their cache."""
    names = [
        "Documents/thesis.tex",
        "code/project/main.py",
        "git/repository/HEAD",
        f"git/{'a' * 31}/HEAD",
        "envs/science/bin/python",
        "envs/.science.envc-backup/bin/python",
        "builds/store/readme",
        "builds/notes/todo.json",
        "artifacts/2024/report.pdf",
        "artifacts/aa/report.pdf",
        f"artifacts/partial/{'c' * 63}",
        "objects/glass/aa/vase.obj",
        "scripts/aa/backup.sh",
        "repodata/mine/linux-64.json",
        "index-v4.sqlite.bak",
        "locks/door.lock",
        "trash/letter.txt",
        f"trash/{'A' * 32}/letter.txt",
        "something-else",
    ]
    before = sizes(cache)
    for name in names:
        fill(cache, name, 1)
    assert sizes(cache) == before
    assert prune_all(cache).entries == 8
    assert [name for name in names if not (cache / name).exists()] == []


def test_every_kind_of_entry_that_envc_makes_is_known(tmp_path: Path) -> None:
    names = {
        f"artifacts/aa/{A}/one.whl": "artifacts",
        f"artifacts/partial/{A}.lock": "artifacts",
        f"envs/.{OLD}.envc-old-{'0' * 16}/file": "environments",
        f"envs/.{OLD}.envc-{'0' * 16}/file": "environments",
        f"objects/tmp/{'0' * 32}/0": "unpacked objects",
        f"code/.{A}.envc-{'0' * 16}/files/main.py": "code",
        f"repodata/shards/aa/{A}": "channel data",
        f"repodata/shards/aa/.{A[:50]}.{'0' * 16}.partial": "channel data",
        f"repodata/forge-{'0' * 16}/linux-64.json": "channel data",
        f"repodata/forge-{'0' * 16}/noarch-{'0' * 32}.slices": "channel data",
        f"interpreters/{A}.json": "interpreters",
        f"interpreters/{A}.choice": "interpreters",
        f"scripts/aa/{A}": "link scripts",
        f"git/{'0' * 32}/HEAD": "git repositories",
        f"git/{'0' * 32}.lock": "git repositories",
        "builds/store/v1/objects/x": "builds",
        f"builds/notes/{A}.json": "builds",
        f"derived/cp312-posix.2a-x/aa/{A}": "derived digests",
        "index-v3.sqlite-wal": "other",
        "index-v4.sqlite.broken": "other",
    }
    for name in names:
        fill(tmp_path, name, 1)
    found = sizes(tmp_path)
    assert {part: count for part, (count, _) in found.items()} == Counter(names.values())
    prune_all(tmp_path)
    assert show(tmp_path, Silent()) == ()


# what is in use


def test_what_is_running_stays(cache: Path) -> None:
    """A step marks its environment and its code until it ends."""
    fill(cache, f"code/{C}/members.json", 1)
    with in_use(cache / f"envs/{OLD}/.envc/prefix.json") as first, in_use(cache / f"code/{C}/members.json") as second:
        assert first and second
        prune_all(cache)
        assert sizes(cache) == {"code": (1, 4), "environments": (1, 9)}
    prune_all(cache)
    assert sizes(cache) == {}


@pytest.mark.skipif(os.name != "posix", reason="no shared locks; no open file is removed there")
def test_what_other_commands_open_by_name_stays(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caches, "PATIENCE", 0.2)
    progress = Silent()
    with shared_lock(cache / "locks/cache.lock"), shared_lock(cache / "locks/cache.lock"):
        prune_all(cache, progress)
        assert sizes(cache) == {"artifacts": (3, 1110), "derived digests": (1, 64), "other": (1, 500)}
    assert progress.warnings == [
        "other commands use the cache, so 5 of its entries were not removed; "
        "run `envc cache prune` again when they have ended"
    ]
    prune_all(cache)
    assert sizes(cache) == {}


@pytest.mark.skipif(os.name != "posix", reason="no shared locks; no open file is removed there")
def test_commands_that_end_soon_are_waited_for(cache: Path) -> None:
    with ExitStack() as command:
        command.enter_context(shared_lock(cache / "locks/cache.lock"))
        threading.Timer(0.3, command.pop_all().close).start()
        prune_all(cache)
    assert sizes(cache) == {}


# clocks


def test_a_clock_that_is_far_ahead_makes_nothing_old(tmp_path: Path) -> None:
    fill(tmp_path, f"envs/{OLD}/.envc/prefix.json", 2)
    progress = Silent()
    assert prune(tmp_path, 30 * DAY, progress, now=NOW + 4000 * DAY) == Pruned(entries=0, size=0)
    assert progress.warnings == [f"{tmp_path} was last used 4000 days ago; ages are counted from then"]


def test_a_clock_that_is_behind_makes_nothing_old(tmp_path: Path) -> None:
    fill(tmp_path, f"envs/{OLD}/.envc/prefix.json", 2)
    assert prune(tmp_path, 0, Silent(), now=NOW - 4000 * DAY) == Pruned(entries=0, size=0)
