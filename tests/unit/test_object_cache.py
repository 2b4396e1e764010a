"""Prefixes share what was unpacked before, and nothing that has changed since."""

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


class Desk:
    """A store with an environment, a cache, and prefixes that are made from them."""

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
    """Every member is there, with its content, mode and time."""
    for item in record.objects:
        for member in item.index.members:
            path = prefix / member.path
            status = path.stat()
            assert sha256(path.read_bytes()) == member.sha256
            assert status.st_mtime == member.mtime
            assert os.name == "nt" or bool(status.st_mode & 0o100) == (member.mode == 0o755)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


@pytest.mark.parametrize("mode", [None, "hardlink", "copy"])
def test_a_second_prefix_asks_the_store_for_no_object(desk: Desk, mode: LinkMode | None) -> None:
    first = desk.make("first", link_mode=mode)
    second = desk.make("second", link_mode=mode)
    assert desk.store.requests == []
    check(first, desk.record)
    check(second, desk.record)
    shared = find(first, "data.bin").samefile(find(second, "data.bin"))
    assert shared == (mode != "copy") or mode is None


def test_members_of_many_frames_are_shared_too(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    record = record_of(desk.store, tmp_path, LARGE)
    desk.make("first", record)
    second = desk.make("second", record)
    assert desk.store.requests == []
    check(second, record)


def test_without_the_cache_nothing_is_kept(desk: Desk) -> None:
    desk.make("first", cached=False)
    assert desk.objects() == []
    desk.make("second", cached=False)
    assert desk.store.requests


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
def test_a_poisoned_file_reaches_no_other_prefix(desk: Desk, poison: Callable[[Path], None]) -> None:
    desk.make("first")
    for folder in desk.objects():
        for path in list(folder.iterdir()):
            poison(path)
    second = desk.make("second")
    assert desk.store.requests
    check(second, desk.record)
    third = desk.make("third")
    assert desk.store.requests == []
    check(third, desk.record)


def test_an_edit_in_one_prefix_reaches_no_later_one(desk: Desk) -> None:
    """Hard links share bytes, so the edit is seen in the cache; it must not go further."""
    append(find(desk.make("first", link_mode="hardlink"), "beta.py"))
    check(desk.make("second"), desk.record)


def test_a_copy_that_differs_is_no_copy(desk: Desk) -> None:
    """What no time betrays, the digest does."""
    desk.make("first", link_mode="copy")
    for folder in desk.objects():
        for path in folder.iterdir():
            before = path.stat()
            overwrite(path)
            os.utime(path, (before.st_atime, before.st_mtime))
    second = desk.make("second", link_mode="copy")
    assert desk.store.requests
    check(second, desk.record)


def test_an_object_that_lost_paths_is_completed_when_they_are_wanted(desk: Desk) -> None:
    both = record_of(desk.store, desk.folder, BETA, GAMMA)
    desk.make("both", both)
    alone = record_of(desk.store, desk.folder, BETA)
    check(desk.make("alone", alone), alone)
    assert desk.store.requests  # beta's own shared/text.txt was never written
    check(desk.make("again", alone), alone)
    assert desk.store.requests == []


def test_a_cache_that_cannot_be_written_costs_time_only(desk: Desk) -> None:
    desk.cache.mkdir(exist_ok=True)
    (desk.cache / "objects").write_text("in the way")
    check(desk.make("first"), desk.record)
    check(desk.make("second"), desk.record)


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="needs a second file system")
def test_across_file_systems_objects_are_kept_where_that_saves_a_network(desk: Desk, tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as other:
        if Path(other).stat().st_dev == tmp_path.stat().st_dev:
            pytest.skip("both folders are on one file system")
        record, item = desk.record, desk.record.objects[0]
        prefix = desk.make("first")
        near = ObjectCache(Path(other) / "near")
        near.keep(prefix, item.index, item.content, frozenset())
        assert not list(Path(other).glob("near/*/??/*"))
        far = ObjectCache(Path(other) / "far", copies=True)
        far.keep(prefix, item.index, item.content, frozenset())
        (kept,) = Path(other).glob("far/*/??/*")
        assert len(list(kept.iterdir())) == len(item.index.members)
        assert record.objects[0] is item


def test_nothing_is_copied_before_the_prefix_has_its_room(desk: Desk, tmp_path: Path) -> None:
    """On a disk that is nearly full the copies for the cache would take what the prefix still needs."""
    kept, early = tmp_path / "kept", []

    def part(item: RecordObject, *, last: bool) -> Part:
        key = object_key(item.index.layout, item.index.artifact)

        def read_range(offset: int, length: int) -> bytes:
            end = time.monotonic() + 0.3  # what copies too early does so at once
            while last and not early and time.monotonic() < end:
                early.extend(path for path in kept.rglob("*") if path.is_file())
            return desk.store.read_range(key, offset, length)

        return Part(index=item.index, what=item.name, read_range=read_range, names=(item.content,))

    first, second = sorted(desk.record.objects, key=lambda item: -sum(frame.length for frame in item.index.frames))
    (tmp_path / "root").mkdir()
    parts = [part(first, last=False), part(second, last=True)]
    unpacked = ObjectCache(kept, mode="copy")
    write_tree(tmp_path / "root", parts, Silent().task("files", 1), cache=unpacked, threads=2)
    assert early == []
    assert len(list(kept.glob("*/??/*"))) == 2


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="needs a second file system")
def test_a_way_of_sharing_that_does_not_work_here_is_told(desk: Desk, tmp_path: Path) -> None:
    desk.make("first")
    with tempfile.TemporaryDirectory(dir="/dev/shm") as other:
        if Path(other).stat().st_dev == tmp_path.stat().st_dev:
            pytest.skip("both folders are on one file system")
        with pytest.raises(Unwritable, match="Invalid cross-device link") as refused:
            desk.make(f"{other}/second", link_mode="hardlink")
        assert "leave out --link-mode" in str(refused.value.hint)
        assert list(Path(other).iterdir()) == []


def test_drafts_of_killed_runs_are_removed_after_a_day(desk: Desk) -> None:
    drafts = desk.cache / "objects/tmp"
    for name, age in (("old", 2 * 86400), ("young", 60)):
        (drafts / name).mkdir(parents=True)
        moment = (drafts / name).stat().st_mtime - age
        os.utime(drafts / name, (moment, moment))
    desk.make("first")
    assert [path.name for path in drafts.iterdir()] == ["young"]


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


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere this process shares all files itself")
def test_many_files_are_shared_by_several_processes(tmp_path: Path) -> None:
    """Which find a file that was changed as one process does."""
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
