"""Prefixes share files that were unpacked before, but none that have changed since."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from envc.errors import Unwritable
from envc.model.digest import sha256
from envc.model.progress import Silent
from envc.model.record import Record, RecordObject
from envc.shipping.deliver.hydrate import Loading, StoredEnvironment, hydrate
from envc.shipping.prefix.object_cache import LinkMode, ObjectCache
from envc.shipping.prefix.tree import Part, write_tree
from envc.shipping.store.keys import object_key
from tests.support.environments import HOST, record_of
from tests.support.stores import MemoryBlobs
from tests.support.wheels import build_wheel

ALPHA = build_wheel(
    "alpha",
    files={"alpha/__init__.py": "name = 'alpha'\n", "alpha/data.bin": bytes(range(256)), "alpha/run.sh": "#!/bin/sh\n"},
    executables=["alpha/run.sh"],
)
BETA = build_wheel("beta", files={"beta.py": "one = 1\n", "shared/text.txt": "same"})
GAMMA = build_wheel("gamma", files={"gamma.py": "two = 2\n", "shared/text.txt": "same"})
LARGE = build_wheel("large", files={"large.bin": os.urandom(20_000_000)}, compression=0)


class CachedPrefixes:
    """A store with an environment, a cache, and prefixes made from both."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = MemoryBlobs()
        self.record = record_of(self.store, folder, ALPHA, BETA)
        self.cache = folder / "cache"

    def make(self, name: str, record: Record | None = None, **loading: object) -> Path:
        self.store.requests.clear()
        prefix = self.folder / name
        assert hydrate(
            StoredEnvironment(self.store, record or self.record),
            prefix,
            interpreter=HOST,
            cache=self.cache,
            progress=Silent(),
            loading=Loading(**loading),  # type: ignore[arg-type]
        )
        return prefix

    def objects(self) -> list[Path]:
        return sorted(path for path in (self.cache / "objects").glob("*/??/*"))


def find(prefix: Path, name: str) -> Path:
    (path,) = prefix.rglob(name)
    return path


def check(prefix: Path, record: Record) -> None:
    """Assert that every member exists, with its content, mode and time."""
    for item in record.objects:
        for member in item.index.members:
            path = prefix / member.path
            status = path.stat()
            assert sha256(path.read_bytes()) == member.sha256
            assert status.st_mtime == member.mtime
            assert os.name == "nt" or bool(status.st_mode & 0o100) == (member.mode == 0o755)


@pytest.fixture
def prefixes(tmp_path: Path) -> CachedPrefixes:
    return CachedPrefixes(tmp_path)


@pytest.mark.parametrize("mode", [None, "hardlink", "copy"])
def test_a_second_prefix_requests_no_object(prefixes: CachedPrefixes, mode: LinkMode | None) -> None:
    first = prefixes.make("first", link_mode=mode)
    second = prefixes.make("second", link_mode=mode)
    assert prefixes.store.requests == []
    check(first, prefixes.record)
    check(second, prefixes.record)
    shared = find(first, "data.bin").samefile(find(second, "data.bin"))
    assert shared == (mode != "copy") or mode is None


def test_members_of_many_frames_are_shared_too(tmp_path: Path) -> None:
    prefixes = CachedPrefixes(tmp_path)
    record = record_of(prefixes.store, tmp_path, LARGE)
    prefixes.make("first", record)
    second = prefixes.make("second", record)
    assert prefixes.store.requests == []
    check(second, record)


def test_without_the_cache_no_object_is_kept(prefixes: CachedPrefixes) -> None:
    prefixes.make("first", cached=False)
    assert prefixes.objects() == []
    prefixes.make("second", cached=False)
    assert prefixes.store.requests


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root can give files away")
@pytest.mark.parametrize("mode", [None, "hardlink"])
def test_files_of_another_user_are_copied_and_compared(prefixes: CachedPrefixes, mode: LinkMode | None) -> None:
    """A prefix that is given to another user gives away the files that it shares with the cache."""
    first = prefixes.make("first", link_mode="hardlink")
    for path in first.rglob("*"):
        os.chown(path, 12345, 12345, follow_symlinks=False)
    second = prefixes.make("second", link_mode=mode)
    assert prefixes.store.requests == [], "nothing has changed"
    assert not find(first, "data.bin").samefile(find(second, "data.bin"))
    assert find(second, "data.bin").stat().st_uid == 0
    changed = find(first, "data.bin")
    times = changed.stat()
    changed.write_bytes(bytes(256))
    os.utime(changed, ns=(times.st_atime_ns, times.st_mtime_ns))
    third = prefixes.make("third", link_mode=mode)
    assert prefixes.store.requests, "the object is made again"
    check(third, prefixes.record)
    assert find(third, "data.bin").samefile(find(prefixes.make("fourth", link_mode="hardlink"), "data.bin"))


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX features")
def test_files_that_every_user_may_write_are_copied_and_compared(prefixes: CachedPrefixes) -> None:
    first = prefixes.make("first", link_mode="hardlink")
    find(first, "data.bin").chmod(0o666)
    second = prefixes.make("second", link_mode="hardlink")
    assert not find(first, "data.bin").samefile(find(second, "data.bin"))
    assert find(first, "beta.py").samefile(find(second, "beta.py"))


def append(path: Path) -> None:
    with path.open("a") as stream:
        stream.write("import evil\n")


def overwrite(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def mark(path: Path) -> None:
    path.chmod(path.stat().st_mode ^ 0o111)


def link_elsewhere(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(path.read_bytes())
    os.utime(other, (path.stat().st_mtime, path.stat().st_mtime))
    path.unlink()
    path.symlink_to(other)


POISONS = [append, overwrite, mark, Path.unlink, link_elsewhere]


@pytest.mark.skipif(os.name == "nt", reason="POSIX modes and links")
@pytest.mark.parametrize("poison", POISONS)
def test_a_poisoned_file_reaches_no_other_prefix(prefixes: CachedPrefixes, poison: Callable[[Path], None]) -> None:
    prefixes.make("first")
    for folder in prefixes.objects():
        for path in list(folder.iterdir()):
            poison(path)
    second = prefixes.make("second")
    assert prefixes.store.requests
    check(second, prefixes.record)
    third = prefixes.make("third")
    assert prefixes.store.requests == []
    check(third, prefixes.record)


def test_an_edit_in_one_prefix_does_not_reach_later_ones(prefixes: CachedPrefixes) -> None:
    """Hard links share bytes, so the edit reaches the cache. It must not reach other prefixes."""
    append(find(prefixes.make("first", link_mode="hardlink"), "beta.py"))
    check(prefixes.make("second"), prefixes.record)


def test_a_differing_file_in_the_cache_is_not_used(prefixes: CachedPrefixes) -> None:
    """The digest detects changes that leave the time unchanged."""
    prefixes.make("first", link_mode="copy")
    for folder in prefixes.objects():
        for path in folder.iterdir():
            before = path.stat()
            overwrite(path)
            os.utime(path, (before.st_atime, before.st_mtime))
    second = prefixes.make("second", link_mode="copy")
    assert prefixes.store.requests
    check(second, prefixes.record)


def test_a_partial_object_is_completed_when_its_paths_are_needed(prefixes: CachedPrefixes) -> None:
    both = record_of(prefixes.store, prefixes.folder, BETA, GAMMA)
    prefixes.make("both", both)
    alone = record_of(prefixes.store, prefixes.folder, BETA)
    check(prefixes.make("alone", alone), alone)
    assert prefixes.store.requests  # beta's own shared/text.txt was never written
    check(prefixes.make("again", alone), alone)
    assert prefixes.store.requests == []


def test_an_unwritable_cache_is_not_an_error(prefixes: CachedPrefixes) -> None:
    prefixes.cache.mkdir(exist_ok=True)
    (prefixes.cache / "objects").write_text("in the way")
    check(prefixes.make("first"), prefixes.record)
    check(prefixes.make("second"), prefixes.record)


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="needs a second file system")
def test_across_file_systems_objects_are_kept_for_remote_stores_only(prefixes: CachedPrefixes, tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as other:
        if Path(other).stat().st_dev == tmp_path.stat().st_dev:
            pytest.skip("both folders are on one file system")
        record, item = prefixes.record, prefixes.record.objects[0]
        prefix = prefixes.make("first")
        near = ObjectCache(Path(other) / "near")
        near.keep(prefix, item.index, item.content, frozenset())
        assert not list(Path(other).glob("near/*/??/*"))
        far = ObjectCache(Path(other) / "far", copies=True)
        far.keep(prefix, item.index, item.content, frozenset())
        (kept,) = Path(other).glob("far/*/??/*")
        assert len(list(kept.iterdir())) == len(item.index.members)
        assert record.objects[0] is item


def test_the_cache_is_filled_after_the_prefix(prefixes: CachedPrefixes, tmp_path: Path) -> None:
    """On a nearly full disk the copies for the cache would take the space that the prefix still needs."""
    kept, early = tmp_path / "kept", []

    def part(item: RecordObject, *, last: bool) -> Part:
        key = object_key(item.index.layout, item.index.artifact)

        def read_range(offset: int, length: int) -> bytes:
            end = time.monotonic() + 0.3  # copies that are made too early would happen at once
            while last and not early and time.monotonic() < end:
                early.extend(path for path in kept.rglob("*") if path.is_file())
            return prefixes.store.read_range(key, offset, length)

        return Part(index=item.index, what=item.name, read_range=read_range, names=(item.content,))

    first, second = sorted(prefixes.record.objects, key=lambda item: -sum(frame.length for frame in item.index.frames))
    (tmp_path / "root").mkdir()
    parts = [part(first, last=False), part(second, last=True)]
    unpacked = ObjectCache(kept, mode="copy")
    write_tree(tmp_path / "root", parts, Silent().task("files", 1), cache=unpacked, threads=2)
    assert early == []
    assert len(list(kept.glob("*/??/*"))) == 2


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="needs a second file system")
def test_an_unsupported_link_mode_is_reported(prefixes: CachedPrefixes, tmp_path: Path) -> None:
    prefixes.make("first")
    with tempfile.TemporaryDirectory(dir="/dev/shm") as other:
        if Path(other).stat().st_dev == tmp_path.stat().st_dev:
            pytest.skip("both folders are on one file system")
        with pytest.raises(Unwritable, match="Invalid cross-device link") as refused:
            prefixes.make(f"{other}/second", link_mode="hardlink")
        assert "leave out --link-mode" in str(refused.value.hint)
        assert list(Path(other).iterdir()) == []


def test_drafts_of_killed_runs_are_removed_after_a_day(prefixes: CachedPrefixes) -> None:
    drafts = prefixes.cache / "objects/tmp"
    old, young, foreign = "0" * 32, "1" * 32, "of-a-user"
    for name, age in ((old, 2 * 86400), (young, 60), (foreign, 2 * 86400)):
        (drafts / name).mkdir(parents=True)
        moment = (drafts / name).stat().st_mtime - age
        os.utime(drafts / name, (moment, moment))
    prefixes.make("first")
    assert {path.name for path in drafts.iterdir()} == {young, foreign}


PROGRAM = """
import sys
from pathlib import Path
from envc.shipping.deliver.hydrate import StoredEnvironment, hydrate
from envc.model.progress import Silent
from envc.shipping.store.open import open_store
from envc.shipping.store.records import get_record
from tests.support.environments import HOST

folder, environment, number = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
store = open_store(folder / "store")
for turn in range(4):
    prefix = folder / f"prefix-{number}-{turn}"
    stored = StoredEnvironment(store, get_record(store, environment))
    hydrate(stored, prefix, interpreter=HOST, cache=folder / "cache", progress=Silent())
"""


LARGE_PROGRAM = """
import resource, sys
from pathlib import Path
from envc.shipping.deliver.hydrate import StoredEnvironment, hydrate
from envc.model.progress import Silent
from envc.shipping.store.open import open_store
from envc.system.cores import usable_cores
from envc.shipping.store.records import get_record
from tests.support.environments import HOST

folder, store = Path(sys.argv[1]), open_store(Path(sys.argv[1]) / "store")
record = get_record(store, sys.argv[2])

def make(name):
    stored = StoredEnvironment(store, record)
    hydrate(stored, folder / name, interpreter=HOST, cache=folder / "cache", progress=Silent())

make("first")
(poisoned,) = (folder / "first").rglob("alpha/m7.py")
poisoned.write_text("poison")
before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_minflt
make("second")
assert (resource.getrusage(resource.RUSAGE_CHILDREN).ru_minflt > before) == (usable_cores() > 1)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only there several processes share files")
def test_many_files_are_checked_by_several_processes(tmp_path: Path) -> None:
    """Several processes detect a changed file just as one does."""
    from envc.shipping.store.open import open_store

    wheels = [build_wheel(name, files={f"{name}/m{n}.py": "" for n in range(2100)}) for name in ("alpha", "beta")]
    record = record_of(open_store(tmp_path / "store"), tmp_path, *wheels)
    command = [sys.executable, "-W", "error", "-c", LARGE_PROGRAM, str(tmp_path), record.environment]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    check(tmp_path / "second", record)


def test_many_writers_of_one_object_agree(tmp_path: Path) -> None:
    from envc.shipping.store.open import open_store

    record = record_of(open_store(tmp_path / "store"), tmp_path, ALPHA, BETA)
    command = [sys.executable, "-c", PROGRAM, str(tmp_path), record.environment]
    running = [subprocess.Popen([*command, str(number)], cwd=Path(__file__).parents[2]) for number in range(3)]
    assert [process.wait() for process in running] == [0, 0, 0]
    for prefix in tmp_path.glob("prefix-*"):
        check(prefix, record)
    assert list((tmp_path / "cache/objects/tmp").iterdir()) == []
