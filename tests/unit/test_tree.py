"""Forked processes write objects as threads do. Each test runs in its own process: with threads it cannot fork."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from envc.model.digest import sha256
from envc.shipping.format.documents import canonical_json
from envc.shipping.format.encode import Entry
from tests.support.stores import encode, tree_of

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="envc forks only on Linux")

NOISE = os.urandom(12 << 20)  # more than fits into one frame, and enough to be worth a fork
OBJECTS = {
    "large": [Entry(path="lib/large.bin", content=NOISE, executable=True), Entry(path="lib/link", link="large.bin")],
    "pressed": [Entry(path="lib/pressed.bin", content=bytes(12 << 20))],  # two frames, written by one process
    "small": [Entry(path=f"small/{number}.txt", content=b"%d" % number) for number in range(300)],
    "other": [Entry(path="other/deep/text.txt", content=b"text"), Entry(path="other/none", content=b"")],
}
START = """
import os, resource, sys
from pathlib import Path
import msgspec
from envc.shipping.prefix.tree import CorruptObject, Part, write_tree
from envc.shipping.prefix.object_cache import ObjectCache
from envc.model.record import ObjectIndex
from envc.shipping.store.objects import bytes_reader

class Count:
    advanced = 0

    def advance(self, amount):
        self.advanced += amount

def part(path):
    index = msgspec.json.decode(path.with_suffix(".json").read_bytes(), type=ObjectIndex)
    return Part(index=index, what=path.stem, read_range=bytes_reader(path.read_bytes()), names=(index.content,))

def of_copies():
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_minflt

folder = Path(sys.argv[1])
parts, task = [part(path) for path in sorted(folder.glob("*.object"))], Count()
root, cache = folder / "root", ObjectCache(folder / "cache")
root.mkdir()
"""


def make(folder: Path, damaged: str = "", at: int = 0, *, mistaken: str = "") -> None:
    """Make the objects. `damaged` has one changed byte, at `at`. The index of `mistaken` has wrong digests."""
    for name, entries in OBJECTS.items():
        data, index = encode(entries, artifact=sha256(name.encode()), layout="any")
        if name == damaged:
            data = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
        if name == mistaken:
            members = [msgspec.structs.replace(member, sha256=sha256(b"other")) for member in index.members]
            index = msgspec.structs.replace(index, members=tuple(members))
        (folder / f"{name}.object").write_bytes(data)
        (folder / f"{name}.json").write_bytes(canonical_json(index))


def run(folder: Path, program: str) -> None:
    command = [sys.executable, "-W", "error", "-c", START + program, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def refusing(name: str) -> str:
    """Return a program that writes the objects with a forked process, and expects an error about one of them."""
    return f"""
try:
    write_tree(root, parts, task, cache=cache, threads=2)
except CorruptObject as error:
    assert error.what == {name!r} and "does not match its digest" in error.reason, error
    assert of_copies()
else:
    raise SystemExit("no error")
assert not any(cache.holds("any", part.index.content) for part in parts if part.what == {name!r})
"""


def found(root: Path) -> dict[str, tuple[int, int, str, bytes]]:
    """Return the result of `tests.support.stores.tree_of` for a folder."""
    tree = {}
    for path in root.rglob("*"):
        status = path.lstat()
        if path.is_symlink():
            tree[path.relative_to(root).as_posix()] = (0o777, 0, str(path.readlink()), b"")
        elif path.is_file():
            name = path.relative_to(root).as_posix()
            tree[name] = (status.st_mode & 0o777, int(status.st_mtime), "", path.read_bytes())
    return tree


@pytest.mark.parametrize("threads", [2, 1], ids=["copies", "threads"])
def test_the_tree_is_the_same(tmp_path: Path, threads: int) -> None:
    make(tmp_path)
    program = f"""
write_tree(root, parts, task, cache=cache, threads={threads})
assert task.advanced == sum(part.size for part in parts), task.advanced
assert (of_copies() > 0) == ({threads} > 1)
assert all(cache.holds("any", part.index.content) for part in parts)
"""
    run(tmp_path, program)
    expected = {path: fields for entries in OBJECTS.values() for path, fields in tree_of(entries).items()}
    links = {path for path, fields in expected.items() if fields[2]}
    actual = found(tmp_path / "root")
    assert {path: fields for path, fields in actual.items() if path not in links} == {
        path: fields for path, fields in expected.items() if path not in links
    }
    assert {actual[path][2] for path in links} == {"large.bin"}


@pytest.mark.parametrize(
    ("name", "at"),
    [("large", 9), ("large", 10 << 20), ("pressed", 300), ("small", 9), ("other", 9)],
    ids=["first", "later", "pressed", "small", "last"],
)
def test_damage_is_reported_for_the_damaged_object(tmp_path: Path, name: str, at: int) -> None:
    """The program of `refusing` asserts it; `run` checks that the program ends without an error."""
    make(tmp_path, name, at)
    run(tmp_path, refusing(name))


@pytest.mark.parametrize("name", ["pressed", "small"])
def test_contents_with_wrong_digests_are_reported(tmp_path: Path, name: str) -> None:
    """The program of `refusing` asserts it; `run` checks that the program ends without an error."""
    make(tmp_path, mistaken=name)
    run(tmp_path, refusing(name))


def test_two_members_at_one_path_are_reported(tmp_path: Path) -> None:
    """The program asserts it; `run` checks that the program ends without an error."""
    make(tmp_path)
    program = """
try:
    write_tree(root, [*parts, parts[1]], task, threads=2)
except FileExistsError as error:
    assert error.filename.endswith("other/deep/text.txt"), error
    assert of_copies()
else:
    raise SystemExit("no error")
"""
    run(tmp_path, program)
