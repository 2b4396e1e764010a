"""A prefix matches its record, appears atomically, and behaves like a virtual environment."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
import threading
from pathlib import Path

import msgspec
import pytest

from envc.errors import EnvcError, Unwritable
from envc.model.digest import Sha256, sha256
from envc.model.progress import Silent
from envc.model.record import Record
from envc.shipping.deliver.hydrate import (
    Loading,
    StoredEnvironment,
    check_record,
    find_ready,
    hydrate,
    ready_code,
    ready_environment,
    record_digest,
    record_python,
)
from envc.shipping.deliver.pack import StepBundle
from envc.shipping.format.encode import Entry
from envc.shipping.format.errors import CorruptBlob
from envc.shipping.machine.floors import WrongMachine
from envc.shipping.prefix.tree import CorruptObject
from envc.shipping.store.blobs import Blobs
from envc.shipping.store.keys import object_key
from envc.shipping.store.open import open_store
from envc.system.atomic_folder import PrefixOccupied
from envc_solvers.target import Python
from tests.support.environments import HOST, bundle, environment, record_of
from tests.support.stores import MemoryBlobs
from tests.support.wheels import Distribution, build_wheel

ALPHA = build_wheel(
    "alpha",
    "1.0",
    ["beta>=1"],
    files={"alpha/__init__.py": "def main():\n    print('alpha')\n", "alpha/run.sh": "#!/bin/sh\n"},
    executables=["alpha/run.sh"],
    entry_points={"console_scripts": {"alpha": "alpha:main"}},
)
BETA = build_wheel("beta", "1.0")
LARGE = build_wheel("large", files={"large.bin": os.urandom(20_000_000)}, compression=0)


class Bench:
    """A store with one environment, and how to hydrate it."""

    def __init__(self, folder: Path, *wheels: Distribution) -> None:
        self.folder = folder
        self.store = MemoryBlobs()
        self.record = record_of(self.store, folder, *wheels)
        self.progress = Silent()

    def hydrate(
        self, prefix: Path, record: Record | None = None, store: Blobs | None = None, **options: object
    ) -> bool:
        arguments = {"interpreter": HOST, "cache": self.folder / "cache", "progress": self.progress} | options
        return hydrate(StoredEnvironment(store or self.store, record or self.record), prefix, **arguments)  # type: ignore[arg-type]

    def siblings(self, prefix: Path) -> list[str]:
        return sorted(entry.name for entry in prefix.parent.iterdir() if entry.name.startswith("."))


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path, ALPHA, BETA)


def python_of(prefix: Path) -> Path:
    return prefix / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


def ask(prefix: Path, code: str) -> str:
    return subprocess.run(
        [python_of(prefix), "-I", "-c", code], check=True, capture_output=True, text=True
    ).stdout.strip()


def test_the_prefix_matches_the_record(bench: Bench, tmp_path: Path) -> None:
    prefix = tmp_path / "prefix"
    assert bench.hydrate(prefix)
    for item in bench.record.objects:
        for member in item.index.members:
            path = prefix / member.path
            assert sha256(path.read_bytes()) == member.sha256
            assert bool(path.stat().st_mode & stat.S_IXUSR) == (member.mode == 0o755)
    made = {"pyvenv.cfg", ".envc/record.json", ".envc/prefix.json"}
    expected = {member.path for item in bench.record.objects for member in item.index.members} | made
    found = {
        path.relative_to(prefix).as_posix() for path in prefix.rglob("*") if path.is_file() and not path.is_symlink()
    }
    assert found == expected
    assert set(bench.record.made) <= {path.relative_to(prefix).as_posix() for path in prefix.rglob("*")}
    assert bench.siblings(prefix) == []


def test_a_member_of_many_frames_is_written_completely(tmp_path: Path) -> None:
    bench = Bench(tmp_path, LARGE)
    assert len(bench.record.objects[0].index.frames) >= 3
    for threads in (1, 4):
        prefix = tmp_path / f"prefix-{threads}"
        bench.hydrate(prefix, loading=Loading(threads=threads))
        (path,) = prefix.rglob("large.bin")
        assert path.stat().st_size == 20_000_000


def test_it_behaves_like_a_virtual_environment(bench: Bench, tmp_path: Path) -> None:
    prefix = tmp_path / "a prefix"
    bench.hydrate(prefix)
    facts = json.loads(
        ask(
            prefix,
            "import sys, json, importlib.metadata as m, alpha; names = sorted(d.name for d in m.distributions());"
            "print(json.dumps([sys.prefix, sys.base_prefix, alpha.__file__, names]))",
        )
    )
    assert facts[0] == str(prefix)
    assert facts[1] != str(prefix)
    assert Path(facts[2]).is_relative_to(prefix)
    assert facts[3] == ["alpha", "beta"]
    script = prefix / ("Scripts/alpha.exe" if sys.platform == "win32" else "bin/alpha")
    assert subprocess.run([script], check=True, capture_output=True, text=True).stdout == "alpha\n"


def test_a_prefix_can_be_moved(bench: Bench, tmp_path: Path) -> None:
    bench.hydrate(tmp_path / "here")
    (tmp_path / "here").rename(tmp_path / "there")
    script = tmp_path / ("there/Scripts/alpha.exe" if sys.platform == "win32" else "there/bin/alpha")
    assert subprocess.run([script], check=True, capture_output=True, text=True).stdout == "alpha\n"


@pytest.mark.engines
def test_pip_finds_nothing_wrong(bench: Bench, tmp_path: Path) -> None:
    prefix = tmp_path / "prefix"
    bench.hydrate(prefix)
    checked = subprocess.run(
        [sys.executable, "-m", "pip", "--python", prefix, "check"], capture_output=True, text=True, check=False
    )
    assert (checked.returncode, checked.stdout) == (0, "No broken requirements found.\n"), checked.stderr


def test_an_existing_prefix_needs_no_request(bench: Bench, tmp_path: Path) -> None:
    prefix = tmp_path / "prefix"
    assert bench.hydrate(prefix)
    bench.store.requests.clear()
    assert not bench.hydrate(prefix)
    assert bench.store.requests == []


def test_hydrating_requests_only_frames(bench: Bench, tmp_path: Path) -> None:
    bench.store.requests.clear()
    bench.hydrate(tmp_path / "prefix")
    frames = sum(len(item.index.frames) for item in bench.record.objects)
    assert [request for request, _ in bench.store.requests] == ["read_range"] * frames


def test_an_older_prefix_of_envc_is_replaced(bench: Bench, tmp_path: Path) -> None:
    prefix = tmp_path / "prefix"
    bench.hydrate(prefix)
    (prefix / "stray.txt").write_text("made by the step\n")
    other = record_of(bench.store, tmp_path, BETA)
    assert bench.hydrate(prefix, record=other)
    assert not (prefix / "stray.txt").exists()
    assert ask(prefix, "import importlib.metadata as m; print(*[d.name for d in m.distributions()])") == "beta"
    assert bench.siblings(prefix) == []


def test_another_interpreter_makes_another_prefix(bench: Bench, tmp_path: Path) -> None:
    prefix = tmp_path / "prefix"
    bench.hydrate(prefix)
    assert bench.hydrate(prefix, interpreter=msgspec.structs.replace(HOST, version=HOST.version + "0"))


@pytest.mark.parametrize("kind", ["file", "folder", "link", "broken link", "virtual environment"])
def test_folders_not_made_by_envc_are_never_replaced(kind: str, bench: Bench, tmp_path: Path) -> None:
    prefix = tmp_path / "prefix"
    other = tmp_path / "other"
    other.mkdir()
    match kind:
        case "file":
            prefix.write_text("precious")
        case "folder":
            prefix.mkdir()
            (prefix / "precious").write_text("")
        case "link":
            prefix.symlink_to(other)
        case "broken link":
            prefix.symlink_to(tmp_path / "nowhere")
        case "virtual environment":
            prefix.mkdir()
            (prefix / "pyvenv.cfg").write_text("home = /usr/bin\n")
    with pytest.raises(PrefixOccupied, match="envc did not make it"):
        bench.hydrate(prefix)
    assert os.path.lexists(prefix)
    assert bench.siblings(prefix) == []
    assert list(other.iterdir()) == []


def test_an_empty_folder_is_used(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "prefix").mkdir()
    assert bench.hydrate(tmp_path / "prefix")


def test_a_prefix_replaced_by_a_killed_run_is_removed_too(bench: Bench, tmp_path: Path) -> None:
    """The new prefix is already in its place, but the old one was still being removed."""
    prefix = tmp_path / "prefix"
    bench.hydrate(prefix)
    old = tmp_path / ".prefix.envc-0123456789abcdef"
    (old / "lib").mkdir(parents=True)
    assert bench.hydrate(prefix) is False
    assert not old.exists()


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root can give files away")
def test_the_prefix_of_another_user_is_made_again(bench: Bench, tmp_path: Path) -> None:
    """Its owner may have changed every file. In a cache that users share on purpose, it is used."""
    prefix, cache = tmp_path / "prefix", tmp_path / "cache"
    assert bench.hydrate(prefix) and not bench.hydrate(prefix)
    inside = cache / "envs/one"
    assert bench.hydrate(inside)
    for place in (prefix, inside):
        os.chown(place / ".envc/prefix.json", 12345, 12345)
    assert bench.hydrate(prefix) and bench.hydrate(inside)
    assert (prefix / ".envc/prefix.json").stat().st_uid == 0
    os.chown(inside / ".envc/prefix.json", 12345, 12345)
    cache.chmod(0o2775)
    assert not bench.hydrate(inside)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root can give files away")
@pytest.mark.parametrize("stolen", [".envc", ".envc/prefix.json", "."])
def test_a_folder_of_another_user_with_a_link_to_the_state_of_an_own_prefix_is_not_believed(
    bench: Bench, tmp_path: Path, stolen: str
) -> None:
    """Its other files are those of the other user, who can also let the link lead elsewhere afterwards."""
    own, planted = tmp_path / "own", tmp_path / "planted"
    bench.hydrate(own)
    link = planted / stolen
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(own / stolen)
    for place in (link, planted):
        os.chown(place, 12345, 12345, follow_symlinks=False)
    try:
        assert bench.hydrate(planted)
        assert planted.stat().st_uid == 0
        assert not (planted / ".envc").is_symlink()
    except PrefixOccupied:
        pass
    assert not bench.hydrate(own)


def test_a_checkout_with_the_state_of_a_prefix_is_not_replaced(bench: Bench, tmp_path: Path) -> None:
    """The author of a commit could add it, so that `hydrate --prefix .` would replace the user's work."""
    made, checkout = tmp_path / "made", tmp_path / "checkout"
    bench.hydrate(made)
    (checkout / ".git").mkdir(parents=True)
    (checkout / "precious").write_text("")
    shutil.copytree(made / ".envc", checkout / ".envc")
    state = checkout / ".envc/prefix.json"
    state.write_text(json.dumps(json.loads(state.read_text()) | {"record": "0" * 64}))  # of another environment
    with pytest.raises(PrefixOccupied):
        bench.hydrate(checkout)
    assert (checkout / "precious").exists()


@pytest.mark.skipif(os.name != "posix", reason="needs FIFOs")
def test_a_fifo_in_the_place_of_the_state_of_a_prefix_does_not_make_hydrate_wait(bench: Bench, tmp_path: Path) -> None:
    prefix = tmp_path / "prefix"
    (prefix / ".envc").mkdir(parents=True)
    os.mkfifo(prefix / ".envc/prefix.json")
    with pytest.raises(PrefixOccupied):
        bench.hydrate(prefix)


def test_leftovers_of_a_killed_run_are_removed(bench: Bench, tmp_path: Path) -> None:
    prefix = tmp_path / "prefix"
    leftover = tmp_path / f".{prefix.name}.envc-0123456789abcdef"
    (leftover / "lib").mkdir(parents=True)
    bystander = tmp_path / ".prefix2.envc-0123456789abcdef"
    bystander.mkdir()
    bench.hydrate(prefix)
    assert not leftover.exists()
    assert bystander.exists()


KILLED = """
import os, sys
from pathlib import Path
from envc.shipping.deliver.hydrate import Loading, StoredEnvironment, hydrate
from envc.model.progress import Silent
from envc.shipping.store.open import open_store
from envc.shipping.store.records import get_record
from tests.support.environments import HOST

folder, environment, survived = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
store = open_store(folder / "store")
record = get_record(store, environment)
read = store.read_range

def deadly(key, offset, length):
    global survived
    if not survived:
        os.kill(os.getpid(), 9)
    survived -= 1
    return read(key, offset, length)

store.read_range = deadly
once = Loading(threads=1)
stored = StoredEnvironment(store, record)
hydrate(stored, folder / "prefix", interpreter=HOST, cache=folder / "cache", progress=Silent(), loading=once)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
@pytest.mark.parametrize("survived", [0, 2])
def test_a_killed_run_leaves_no_prefix(survived: int, tmp_path: Path) -> None:
    store = open_store(tmp_path / "store")
    record = record_of(store, tmp_path, ALPHA, BETA, LARGE)
    command = [sys.executable, "-c", KILLED, str(tmp_path), record.environment, str(survived)]
    killed = subprocess.run(command, check=False, cwd=Path(__file__).parents[2])
    assert killed.returncode == -9
    prefix = tmp_path / "prefix"
    assert not prefix.exists()
    assert list(tmp_path.glob(".prefix.envc-*"))
    assert hydrate(
        StoredEnvironment(store, record), prefix, interpreter=HOST, cache=tmp_path / "cache", progress=Silent()
    )
    assert not list(tmp_path.glob(".*"))
    assert ask(prefix, "import alpha, beta; print(1)") == "1"


def flip(store: MemoryBlobs, key: str, at: int) -> None:
    data = bytearray(store.blobs[key])
    data[at] ^= 0xFF
    store.blobs[key] = bytes(data)


@pytest.mark.parametrize("damage", ["flipped", "truncated", "missing"])
def test_a_corrupt_object_is_reported_and_leaves_no_files(damage: str, bench: Bench, tmp_path: Path) -> None:
    prefix = tmp_path / "prefix"
    bench.hydrate(prefix)
    item = bench.record.objects[0]
    key = object_key(item.index.layout, item.index.artifact)
    match damage:
        case "flipped":
            flip(bench.store, key, 20)
        case "truncated":
            bench.store.blobs[key] = bench.store.blobs[key][:30]
        case "missing":
            del bench.store.blobs[key]
    with pytest.raises(CorruptObject, match=r"alpha 1\.0") as refused:
        bench.hydrate(tmp_path / "other", cache=tmp_path / "another cache")
    assert (refused.value.layout, refused.value.artifact) == (item.index.layout, item.index.artifact)
    assert not (tmp_path / "other").exists()
    assert bench.siblings(prefix) == []
    assert ask(prefix, "import alpha; print(1)") == "1"


def test_a_corrupt_object_is_repaired_by_the_next_bundle(bench: Bench, tmp_path: Path) -> None:
    """The steps of the pipeline: forget, pack, hydrate."""
    from envc.shipping.deliver.reuse import Ledger

    item = bench.record.objects[0]
    flip(bench.store, object_key(item.index.layout, item.index.artifact), 20)
    with pytest.raises(CorruptObject) as refused:
        bench.hydrate(tmp_path / "prefix")
    Ledger(tmp_path / "cache/derived").mark_doubtful(refused.value.layout, refused.value.artifact)
    bundle(bench.store, tmp_path, ALPHA, BETA)
    assert bench.hydrate(tmp_path / "prefix")


def test_two_objects_that_write_one_path_need_a_winner(tmp_path: Path) -> None:
    first = build_wheel("first", files={"shared.py": "1\n"})
    second = build_wheel("second", files={"shared.py": "2\n"})
    bench = Bench(tmp_path, first, second)
    assert bench.hydrate(tmp_path / "prefix")
    assert ask(tmp_path / "prefix", "import shared; print(open(shared.__file__).read())") == "2"
    with pytest.raises(EnvcError, match=r"two members of the environment have the path .*shared\.py"):
        bench.hydrate(tmp_path / "other", record=msgspec.structs.replace(bench.record, winners={}))


def test_a_file_at_the_path_of_another_packages_folder_is_refused(tmp_path: Path) -> None:
    """`bundle` writes no such record, but another writer of the store might."""
    first = build_wheel("first", files={"shared": "a file"})
    second = build_wheel("second", files={"shared/inner.py": ""})
    bench = Bench(tmp_path, first)
    objects = (*bench.record.objects, *record_of(bench.store, tmp_path, second).objects)
    with pytest.raises(EnvcError, match="two members of the environment have the path"):
        bench.hydrate(tmp_path / "prefix", msgspec.structs.replace(bench.record, objects=objects))
    assert not (tmp_path / "prefix").exists()


def test_an_unwritable_cache_does_not_stop_hydrate(bench: Bench, tmp_path: Path) -> None:
    """The lock of a prefix is beside it."""
    (tmp_path / "cache/locks").write_text("")
    assert bench.hydrate(tmp_path / "prefix")
    assert not list(tmp_path.glob(".envc-*"))


def test_disk_errors_are_reported(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Unwritable, match="cannot be written"):
        bench.hydrate(tmp_path / "file/prefix")


@pytest.mark.parametrize(
    ("platform", "requirements", "has"),
    [
        ("linux-64", {"glibc": "99.0"}, {"platform": "linux-64", "glibc": "2.36"}),
        ("linux-64", {"glibc": "2.17"}, {"platform": "linux-64", "glibc": ""}),
        ("linux-64", {"musl": "1.2"}, {"platform": "linux-64", "glibc": "2.36"}),
        ("osx-arm64", {"macos": "14.0"}, {"platform": "osx-arm64", "macos": "13.6"}),
        ("win-64", {}, {"platform": "linux-64", "glibc": "2.36"}),
        ("linux-aarch64", {}, {"platform": "linux-64", "glibc": "2.36"}),
    ],
)
def test_a_machine_that_cannot_run_the_environment_is_refused(
    platform: str, requirements: dict[str, str], has: dict[str, str], bench: Bench, tmp_path: Path
) -> None:
    machines = {
        "linux-64": {"system": "linux", "machine": "x86_64"},
        "osx-arm64": {"system": "darwin", "machine": "arm64"},
    }
    facts = {"glibc": "", "macos": "", "bits": 64} | machines[has["platform"]] | has
    del facts["platform"]
    host = msgspec.structs.replace(HOST, **facts)
    record = msgspec.structs.replace(bench.record, platform=platform, requirements=requirements)
    with pytest.raises(WrongMachine) as refused:
        bench.hydrate(tmp_path / "prefix", record=record, interpreter=host)
    text = str(refused.value)
    needs = f"{next(iter(requirements))} {next(iter(requirements.values()))}" if requirements else platform
    assert needs in text
    if not requirements:
        assert has["platform"] in text
    assert not (tmp_path / "prefix").exists()


@pytest.mark.parametrize("target", ["linux-aarch64", "osx-arm64", "win-64"])
def test_a_foreign_environment_can_be_unpacked_for_inspection(target: str, tmp_path: Path) -> None:
    store = MemoryBlobs()
    step = StepBundle(step="s", target=target, environment=environment(ALPHA, BETA, target=target))
    record = bundle(store, tmp_path, ALPHA, BETA, steps=(step,))[0].records[0]
    assert hydrate(
        StoredEnvironment(store, record),
        tmp_path / "prefix",
        interpreter=None,
        cache=tmp_path / "cache",
        progress=Silent(),
    )
    scripts = tmp_path / "prefix" / ("Scripts" if target == "win-64" else "bin")
    assert [entry.name for entry in scripts.iterdir()] == ["alpha.exe" if target == "win-64" else "alpha"]
    assert not (tmp_path / "prefix/pyvenv.cfg").exists()


def test_concurrent_runs_make_the_prefix_once(bench: Bench, tmp_path: Path) -> None:
    bench.store.requests.clear()
    ready: list[tuple[Path, bool]] = []

    def work() -> None:
        ready.append(
            ready_environment(
                StoredEnvironment(bench.store, bench.record),
                interpreter=HOST,
                cache=tmp_path / "cache",
                progress=Silent(),
            )
        )

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    prefixes = [prefix for prefix, _ in ready]
    assert len(set(prefixes)) == 1 and len(prefixes) == 8
    assert [made for _, made in ready].count(True) == 1
    assert len(bench.store.requests) == sum(len(item.index.frames) for item in bench.record.objects)
    assert len(prefixes[0].name) == 24, "paths in the prefix's files stay short"
    assert ask(prefixes[0], "import alpha; print(1)") == "1"


def test_a_ready_environment_is_found_without_the_store(bench: Bench, tmp_path: Path) -> None:
    cache, digest, locked = tmp_path / "cache", record_digest(bench.record), environment(ALPHA, BETA)
    assert find_ready(locked, digest, interpreter=HOST, cache=cache) is None
    prefix, made = ready_environment(
        StoredEnvironment(bench.store, bench.record, environment=locked),
        interpreter=HOST,
        cache=cache,
        progress=Silent(),
    )
    assert made
    assert find_ready(locked, digest, interpreter=HOST, cache=cache) == prefix
    other = msgspec.structs.replace(HOST, version=HOST.version + "0")
    assert find_ready(locked, digest, interpreter=other, cache=cache) is None
    # Two records whose digests start alike share a folder name, but not the content of the folder.
    alike = Sha256(digest[:16] + "0" * 48)
    assert find_ready(locked, alike, interpreter=HOST, cache=cache) is None


def test_code_is_unpacked_once(tmp_path: Path) -> None:
    store = MemoryBlobs()
    code = (Entry(path="main.py", content=b"print(1)\n"), Entry(path="lib/tool", content=b"x", executable=True))
    step = StepBundle(step="s", target=HOST.platform, environment=environment(BETA), code=code)
    pointer = bundle(store, tmp_path, BETA, steps=(step,))[0].pointers["s", HOST.platform]
    folder = ready_code(store, pointer, cache=tmp_path / "cache", progress=Silent())
    assert folder is not None
    assert (folder / "main.py").read_bytes() == b"print(1)\n"
    assert os.access(folder / "lib/tool", os.X_OK)
    store.requests.clear()
    assert ready_code(store, pointer, cache=tmp_path / "cache", progress=Silent()) == folder
    assert store.requests == []


def test_a_step_without_code_has_no_folder(tmp_path: Path) -> None:
    store = MemoryBlobs()
    pointer = bundle(store, tmp_path, BETA)[0].pointers["step", HOST.platform]
    assert ready_code(store, pointer, cache=tmp_path / "cache", progress=Silent()) is None


def test_a_record_of_something_else_than_the_lock_is_refused(bench: Bench) -> None:
    """The record is well-formed each time, but belongs to another environment."""
    locked = environment(ALPHA, BETA)
    check_record(bench.record, locked, bench.store)
    others = {
        "another environment": [
            environment(ALPHA),
            environment(ALPHA, BETA, target="win-arm64"),
            msgspec.structs.replace(locked, interpreter="standalone"),
        ],
        "different content for alpha 1.0": [environment(ALPHA, BETA, content=Sha256("0" * 64))],
    }
    for reason, environments in others.items():
        for other in environments:
            with pytest.raises(CorruptBlob, match=reason):
                check_record(bench.record, other, bench.store)
    renamed = msgspec.structs.replace(bench.record.objects[0], name="aleph")
    record = msgspec.structs.replace(bench.record, objects=(renamed, *bench.record.objects[1:]))
    with pytest.raises(CorruptBlob, match="does not contain the artifacts that the lock names"):
        check_record(record, locked, bench.store)


@pytest.mark.parametrize(
    "python",
    [Python(minor=(3, 9)), Python(minor=(3, 13), free_threaded=True), Python(implementation="pypy", minor=(3, 10))],
    ids=lambda python: python.key,
)
def test_a_record_names_its_python(python: Python, bench: Bench) -> None:
    assert record_python(msgspec.structs.replace(bench.record, python=python.key)) == python
