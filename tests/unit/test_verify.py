"""verify finds and names every kind of damage, and reports nothing if all is well."""

from __future__ import annotations

import json
import os
import py_compile
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from envc.model.progress import Silent
from envc.shipping.deliver.hydrate import Loading, StoredEnvironment, hydrate
from envc.shipping.deliver.made_bytecode import judge_of
from envc.shipping.deliver.pack import Bundled, StepBundle
from envc.shipping.deliver.verify import NotAPrefix, Verified, verify_environments, verify_prefix, verify_store
from envc.shipping.format.encode import Entry
from envc.shipping.store.keys import code_key, environment_key, lock_key, object_key, step_key
from envc.shipping.store.open import open_store
from tests.support.environments import HOST, PYTHON, bundle, environment
from tests.support.stores import MemoryBlobs
from tests.support.wheels import build_wheel

ALPHA = build_wheel("alpha", "1.0", files={"alpha.py": "x = 1\n"}, entry_points={"console_scripts": {"al": "alpha:x"}})
BETA = build_wheel("beta", "1.0", files={"beta/__init__.py": "", "beta/data.bin": bytes(range(256)) * 99})
POSIX_ONLY = pytest.mark.skipif(os.name != "posix", reason="modes and links are POSIX features")


class Bench:
    """A store with one step, with code, and a prefix of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = MemoryBlobs()
        code = (Entry(path="main.py", content=b"print()\n"),)
        steps = (StepBundle(step="step", target=HOST.platform, environment=environment(ALPHA, BETA), code=code),)
        self.bundled: Bundled = bundle(self.store, folder, ALPHA, BETA, steps=steps)[0]
        (self.record,) = self.bundled.records
        (self.pointer,) = self.bundled.pointers.values()
        self.prefix = folder / "prefix"
        hydrate(
            StoredEnvironment(self.store, self.record),
            self.prefix,
            interpreter=HOST,
            cache=folder / "cache",
            progress=Silent(),
        )

    @property
    def site(self) -> Path:
        return next(self.prefix.rglob("alpha.py")).parent

    def object_key(self, number: int) -> str:
        index = self.record.objects[number].index
        return object_key(index.layout, index.artifact)

    def environments(self) -> Verified:
        return verify_environments(self.store, [(self.record, self.pointer)], Silent())

    def whole(self) -> Verified:
        return verify_store(self.store, Silent())

    def places(self) -> dict[str, str]:
        """Return the problems of the prefix, by path relative to the modules."""
        base = self.site.relative_to(self.prefix).as_posix()
        problems = verify_prefix(self.prefix, Silent()).problems
        return {problem.where.removeprefix(f"{base}/"): problem.reason for problem in problems}


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_a_new_prefix_has_no_problems(bench: Bench) -> None:
    assert bench.environments() == Verified(checked=3, problems=())
    assert bench.whole() == Verified(checked=6, problems=())
    verified = verify_prefix(bench.prefix, Silent())
    assert verified.problems == ()
    assert verified.checked == sum(len(item.index.members) for item in bench.record.objects)


def test_every_changed_byte_of_every_blob_is_found(bench: Bench) -> None:
    """A change of any single byte in a store is found, and reported with its key."""
    for key, data in sorted(bench.store.blobs.items()):
        for place in range(0, len(data), max(1, len(data) // 9)):
            damaged = bytearray(data)
            damaged[place] ^= 0x20
            bench.store.blobs[key] = bytes(damaged)
            found = {problem.where for problem in bench.whole().problems}
            assert key in found or (key.startswith("v1/steps") and found), (key, place)
        bench.store.blobs[key] = data
    assert bench.whole().problems == ()


@pytest.mark.parametrize("part", ["first object", "second object", "code"])
@pytest.mark.parametrize("damage", ["missing", "shorter", "longer", "another"])
def test_everything_reachable_from_the_lock_is_read_completely(bench: Bench, part: str, damage: str) -> None:
    assert bench.pointer.code is not None
    keys = {
        "first object": bench.object_key(0),
        "second object": bench.object_key(1),
        "code": code_key(bench.pointer.code),
    }
    key, other = keys[part], keys["code" if part == "first object" else "first object"]
    changes: dict[str, Callable[[bytes], bytes]] = {
        "shorter": lambda data: data[:-1],
        "longer": lambda data: data + b"\0",
        "another": lambda data: bench.store.blobs[other],
    }
    if damage == "missing":
        bench.store.delete(key)
    else:
        bench.store.blobs[key] = changes[damage](bench.store.blobs[key])
    (problem,) = bench.environments().problems
    assert problem.where == key
    assert problem.reason


def test_an_object_with_other_frames_does_not_match_the_record(bench: Bench, tmp_path: Path) -> None:
    """Hydrate reads by the record's frames, so it would refuse the object."""
    again = MemoryBlobs()
    big = build_wheel("big", "1.0", files={"big.txt": "words and words\n" * 9000})
    record = bundle(again, tmp_path / "one", big, level=1)[0].records[0]
    small = MemoryBlobs()
    bundle(small, tmp_path / "two", big, level=19)
    index = record.objects[0].index
    key = object_key(index.layout, index.artifact)
    assert len(small.blobs[key]) != len(again.blobs[key])
    again.blobs[key] = small.blobs[key]
    pointer = next(iter(bench.bundled.pointers.values()))
    problems = verify_environments(again, [(record, pointer)], Silent()).problems
    assert [p.reason for p in problems if p.where == key] == ["is not the object that the record describes"]


def test_a_dangling_pointer_is_found(bench: Bench) -> None:
    assert bench.pointer.code is not None
    for key in (environment_key(bench.record.environment), code_key(bench.pointer.code)):
        data = bench.store.blobs.pop(key)
        pointer = step_key("demo", bench.bundled.lock, "step", HOST.platform)
        assert pointer in {problem.where for problem in bench.whole().problems}
        bench.store.blobs[key] = data


def test_misnamed_blobs_are_found_and_unknown_files_ignored(bench: Bench) -> None:
    bench.store.blobs["v1/objects/any/aa/readme"] = b"x"
    bench.store.blobs[object_key("nt", bench.record.objects[0].index.artifact)] = bench.store.blobs[bench.object_key(0)]
    bench.store.blobs[lock_key(bench.record.environment)] = b"not that lock"
    bench.store.blobs["v1/reports/of-another-program"] = b"x"
    assert len(bench.whole().problems) == 2


def test_a_folder_store_is_verified_too(tmp_path: Path) -> None:
    store = open_store(tmp_path / "store")
    bundle(store, tmp_path, ALPHA)
    assert verify_store(store, Silent()).problems == ()
    (path,) = (path for path in (tmp_path / "store/v1/objects").rglob("*") if path.is_file())
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-1])
    assert len(verify_store(store, Silent()).problems) == 1


# prefixes


def test_changed_missing_and_added_files_are_named(bench: Bench) -> None:
    (bench.site / "alpha.py").write_text("x = 2\n")
    (bench.site / "beta/data.bin").unlink()
    (bench.site / "sitecustomize.py").write_text("")
    (bench.site / "beta/native.so").write_bytes(b"")
    assert bench.places() == {
        "alpha.py": "has other content",
        "beta/data.bin": "is missing",
        "beta/native.so": "was added",
        "sitecustomize.py": "was added",
    }


def test_byte_code_and_the_folder_of_envc_may_change(bench: Bench) -> None:
    cache = bench.site / "__pycache__"
    cache.mkdir(exist_ok=True)
    (cache / "alpha.cpython-312.pyc").write_bytes(b"x")
    (bench.prefix / ".envc/note").write_text("x")
    assert bench.places() == {}
    (cache / "native.so").write_bytes(b"x")
    assert bench.places() == {"__pycache__/native.so": "was added"}


def test_changed_byte_code_of_hydrate_is_found(bench: Bench) -> None:
    """Python runs it without a look at its source."""
    prefix = bench.folder / "compiled"
    hydrate(
        StoredEnvironment(bench.store, bench.record),
        prefix,
        interpreter=HOST,
        cache=bench.folder / "cache",
        progress=Silent(),
        loading=Loading(bytecode=True),
    )
    assert verify_prefix(prefix, Silent()).problems == ()
    (alpha,) = prefix.rglob("alpha.*.pyc")
    (beta,) = prefix.rglob("beta/__pycache__/__init__.*.pyc")
    evil = bench.folder / "evil.py"
    evil.write_text("print('evil')\n")
    py_compile.compile(str(evil), str(alpha), invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
    beta.unlink()
    found = {problem.where: problem.reason for problem in verify_prefix(prefix, Silent()).problems}
    assert found == {
        alpha.relative_to(prefix).as_posix(): "has other content",
        beta.relative_to(prefix).as_posix(): "is missing",
    }


def test_byte_code_that_python_would_not_check_is_found_if_it_was_added(bench: Bench) -> None:
    pyc = bench.site / "__pycache__" / f"alpha.{sys.implementation.cache_tag}.pyc"
    mode = py_compile.PycInvalidationMode
    for each, problems in ((mode.TIMESTAMP, {}), (mode.CHECKED_HASH, {}), (mode.UNCHECKED_HASH, None)):
        py_compile.compile(str(bench.site / "alpha.py"), str(pyc), invalidation_mode=each)
        expected = {f"__pycache__/{pyc.name}": "is byte-code that Python does not compare with its source"}
        assert bench.places() == (expected if problems is None else problems)


def test_without_the_same_python_byte_code_is_not_compared(bench: Bench) -> None:
    other = msgspec.structs.replace(HOST, version=f"{HOST.version.rpartition('.')[0]}.99")
    progress = Silent()
    assert judge_of(other, bench.record, PYTHON, lambda _: HOST, progress) is None
    assert progress.warnings == [
        f"the byte-code is not compared: this machine has no Python {other.version} to compile it with"
    ]
    assert judge_of(HOST, bench.record, PYTHON, lambda _: None, progress) == HOST


@POSIX_ONLY
def test_the_interpreter_of_a_prefix_cannot_be_replaced(bench: Bench, tmp_path: Path) -> None:
    """Every file that hydrate makes is compared with what it would make now."""
    evil = tmp_path / "python"
    evil.write_text("#!/bin/sh\n")
    binaries = bench.prefix / "bin"
    minor = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    for name, target in (("python", evil), ("python3", evil)):
        (binaries / name).unlink()
        (binaries / name).symlink_to(target)
    (binaries / minor).unlink()
    (binaries / minor).write_text("#!/bin/sh\n")
    config = bench.prefix / "pyvenv.cfg"
    config.write_text(config.read_text().replace("include-system-site-packages = false", "home = /tmp"))
    assert bench.places() == {
        "bin/python": "points elsewhere",
        "bin/python3": "points elsewhere",
        f"bin/{minor}": "is not the link that it was",
        "pyvenv.cfg": "has other content",
    }
    (binaries / "python").unlink()
    config.unlink()
    config.symlink_to(evil)
    found = bench.places()
    assert (found["bin/python"], found["pyvenv.cfg"]) == ("is missing", "is not the plain file that it was")


@POSIX_ONLY
def test_the_link_to_the_interpreter_may_have_either_of_its_names(bench: Bench) -> None:
    """Which one hydrate chose depends on the files beside the executable, which an upgrade may change."""
    python = bench.prefix / "bin/python"
    base = Path(HOST.executable)
    for name in (base.name, f"python{sys.version_info[0]}.{sys.version_info[1]}"):
        python.unlink()
        python.symlink_to(base.with_name(name))
        assert bench.places() == {}


@pytest.mark.parametrize(
    "name",
    [
        "bin/ls",
        "lib/python3.9/site-packages/evil.pth",
        "lib/evil.egg-link",
        "etc/conda/activate.d/evil.sh",
        "conda-meta/state",
        "alpha.pyc",
    ],
)
def test_files_that_a_shell_or_python_would_run_are_named_if_they_were_added(bench: Bench, name: str) -> None:
    (bench.prefix / name).parent.mkdir(parents=True, exist_ok=True)
    (bench.prefix / name).write_text("import os\n")
    assert bench.places() == {name: "was added"}


def test_the_state_of_a_prefix_cannot_exempt_files_from_the_comparison(bench: Bench) -> None:
    """It says how the prefix was made, and must agree with the record and with the files."""
    path = bench.prefix / ".envc/prefix.json"
    state = json.loads(path.read_text())
    path.write_text(json.dumps(state | {"interpreter": None}))
    assert bench.places()["pyvenv.cfg"] == "was added"
    other = state["interpreter"] | {"version": "2.7.18"}
    for change in ({"interpreter": "standalone"}, {"interpreter": "conda", "place": str(bench.prefix)}, other):
        path.write_text(json.dumps(state | (change if "interpreter" in change else {"interpreter": change})))
        with pytest.raises(NotAPrefix, match="names an interpreter"):
            verify_prefix(bench.prefix, Silent())


@POSIX_ONLY
def test_modes_and_links_are_compared(bench: Bench) -> None:
    (bench.prefix / "bin/al").chmod(0o644)
    (bench.site / "alpha.py").chmod(0o755)
    data = bench.site / "beta/data.bin"
    data.rename(bench.folder / "data.bin")
    data.symlink_to(bench.folder / "data.bin")
    (bench.site / "more").symlink_to(bench.folder)
    places = bench.places()
    launcher = next(place for place in places if place.endswith("bin/al"))
    assert places.pop(launcher) == "is not executable any more"
    assert places == {
        "alpha.py": "is executable",
        "beta/data.bin": "is not the plain file that it was",
        "more": "was added",
    }


def test_a_folder_in_the_place_of_a_file(bench: Bench) -> None:
    module = bench.site / "alpha.py"
    module.unlink()
    module.mkdir()
    assert bench.places() == {"alpha.py": "is not the plain file that it was"}


@POSIX_ONLY
@pytest.mark.parametrize("name", ["prefix.json", "record.json"])
@pytest.mark.parametrize("kind", ["fifo", "device", "link"])
def test_only_regular_files_are_read_as_the_state_of_a_prefix(bench: Bench, name: str, kind: str) -> None:
    """A FIFO would make verify wait, and a link to a device would never end."""
    file = bench.prefix / ".envc" / name
    kept = file.rename(bench.folder / name)
    if kind == "fifo":
        os.mkfifo(file)
    else:
        file.symlink_to("/dev/zero" if kind == "device" else kept)
    with pytest.raises(NotAPrefix, match=f"{name} is (a link|not a regular file)"):
        bench.places()


@POSIX_ONLY
@pytest.mark.parametrize("kind", ["fifo", "device"])
def test_byte_code_that_is_not_a_regular_file_is_named(bench: Bench, kind: str) -> None:
    hydrate(
        StoredEnvironment(bench.store, bench.record),
        bench.prefix,
        interpreter=HOST,
        cache=bench.folder / "cache",
        progress=Silent(),
        loading=Loading(bytecode=True),
    )
    (compiled,) = (bench.site / "__pycache__").glob("alpha.*.pyc")
    other = compiled.with_name("other.cpython-999.pyc")
    compiled.unlink()
    for file in (compiled, other):
        if kind == "fifo":
            os.mkfifo(file)
        else:
            file.symlink_to("/dev/zero")
    problems = bench.places()
    assert set(problems) == {f"__pycache__/{compiled.name}", f"__pycache__/{other.name}"}


def test_a_record_changed_with_the_files_is_not_trusted(bench: Bench) -> None:
    record = bench.prefix / ".envc/record.json"
    record.write_bytes(record.read_bytes().replace(b"alpha.py", b"alpha.px"))
    with pytest.raises(NotAPrefix, match="is not the record that it was made from"):
        verify_prefix(bench.prefix, Silent())


@pytest.mark.parametrize("state", [None, b"", b"[]", b'{"record": 1}'])
def test_a_folder_that_envc_did_not_make_is_refused(bench: Bench, state: bytes | None) -> None:
    path = bench.prefix / ".envc/prefix.json"
    path.unlink()
    if state is not None:
        path.write_bytes(state)
    with pytest.raises(NotAPrefix, match="cannot be verified"):
        verify_prefix(bench.prefix, Silent())
    with pytest.raises(NotAPrefix, match="envc did not make it"):
        verify_prefix(bench.folder / "nothing", Silent())
