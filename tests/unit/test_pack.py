"""What pack writes to a store, what it makes again, and what it refuses."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from envc.errors import DigestMismatch, StoreError
from envc.fetch.pypi.metadata import parse_metadata
from envc.model.digest import Sha256, sha256
from envc.model.environment import EnvironmentMember
from envc.model.progress import Silent
from envc.shipping.deliver.pack import StepBundle
from envc.shipping.deliver.path_conflicts import Unjoinable
from envc.shipping.deliver.reuse import Ledger
from envc.shipping.deliver.stated_metadata import MetadataMismatch, Stated, uses_of
from envc.shipping.format.encode import Entry
from envc.shipping.store.keys import environment_key, object_key, step_key
from envc.shipping.store.objects import get_code, get_object, verify_object
from envc.shipping.store.open import open_store
from envc.shipping.store.records import get_lock, get_pointer, get_record
from envc.shipping.unpack.errors import BadArtifact, BadWheel
from envc.shipping.unpack.layout import parse_layout
from envc_solvers.target import Python, default_target
from tests.support.environments import HOST, PYTHON, bundle, environment
from tests.support.stores import MemoryBlobs
from tests.support.wheels import Distribution, build_wheel

ALPHA = build_wheel("alpha", "1.0", ["beta>=1"])
BETA = build_wheel("beta", "1.0")
LAYOUT = environment(ALPHA).members[0].layout


def key_of(wheel: Distribution) -> str:
    return object_key(LAYOUT, Sha256(wheel.sha256))


def test_a_step_is_found_under_its_lock(tmp_path: Path) -> None:
    store = MemoryBlobs()
    steps = (
        StepBundle(
            step="train",
            target=HOST.platform,
            environment=environment(ALPHA, BETA),
            code=(Entry(path="main.py", content=b"print()\n"),),
            run="python main.py",
            env={"A": "b"},
        ),
    )
    bundled, _ = bundle(store, tmp_path, ALPHA, BETA, steps=steps)
    assert bundled.lock == sha256(b"the lock\n")
    assert get_lock(store, bundled.lock) == b"the lock\n"
    pointer = get_pointer(store, step_key("demo", bundled.lock, "train", HOST.platform))
    assert pointer == bundled.pointers["train", HOST.platform]
    assert (pointer.run, pointer.env) == ("python main.py", {"A": "b"})
    record = get_record(store, pointer.environment, pointer.record)
    assert [item.name for item in record.objects] == ["alpha", "beta"]
    assert record == bundled.records[0]
    code = get_code(store, pointer)
    assert code is not None and [member.path for member in code[0].members] == ["main.py"]


def test_blobs_are_published_before_references_to_them(tmp_path: Path) -> None:
    store = MemoryBlobs()
    bundle(store, tmp_path, ALPHA, BETA)
    written = [key.split("/")[1] for request, key in store.requests if request.startswith("write")]
    assert written == ["leases", "objects", "objects", "environments", "leases", "locks", "steps"]
    assert store.requests[-1][0] == "delete"
    assert list(store.list("v1/leases")) == []


def test_equal_environments_are_stored_once(tmp_path: Path) -> None:
    store = MemoryBlobs()
    same = environment(ALPHA, BETA)
    steps = tuple(StepBundle(step=name, target=HOST.platform, environment=same) for name in ("one", "two", "three"))
    bundled, artifacts = bundle(store, tmp_path, ALPHA, BETA, steps=steps)
    assert len(bundled.records) == 1
    assert len({pointer.record for pointer in bundled.pointers.values()}) == 1
    assert sorted(artifacts.fetched) == [ALPHA.file, BETA.file]


def test_an_artifact_in_two_layouts_is_fetched_once(tmp_path: Path) -> None:
    store = MemoryBlobs()
    steps = tuple(
        StepBundle(step="step", target=target, environment=environment(BETA, target=target))
        for target in ("linux-64", "osx-arm64", "win-64", "win-arm64")
    )
    bundled, artifacts = bundle(store, tmp_path, BETA, steps=steps)
    assert artifacts.fetched == [BETA.file]
    assert sorted(layout for _, layout in bundled.content) == sorted([LAYOUT.replace("pypy", "py"), "nt", "nt-arm64"])
    assert len(bundled.records) == 4
    assert len(bundled.made) == 3


def test_existing_objects_are_not_made_again(tmp_path: Path) -> None:
    store = MemoryBlobs()
    first, _ = bundle(store, tmp_path, ALPHA, BETA)
    before = dict(store.blobs)
    second, artifacts = bundle(store, tmp_path, ALPHA, BETA)
    assert (artifacts.fetched, second.made) == ([], ())
    assert second.pointers == first.pointers
    assert store.blobs == before


def test_an_interrupted_run_is_resumed(tmp_path: Path) -> None:
    store = MemoryBlobs()
    bundle(store, tmp_path, BETA)
    bundled, artifacts = bundle(store, tmp_path, ALPHA, BETA)
    assert artifacts.fetched == [ALPHA.file]
    assert [member.file for member in bundled.made] == [ALPHA.file]


def test_a_foreign_object_is_derived_again_and_kept_if_equal(tmp_path: Path) -> None:
    store = MemoryBlobs()
    bundle(store, tmp_path / "there", BETA)
    before = dict(store.blobs)
    progress = Silent()
    _, artifacts = bundle(store, tmp_path / "here", BETA, progress=progress)
    assert artifacts.fetched == [BETA.file]
    assert (store.blobs, progress.warnings) == (before, [])
    _, artifacts = bundle(store, tmp_path / "here", BETA)
    assert artifacts.fetched == []


def test_a_poisoned_object_is_named_and_replaced(tmp_path: Path) -> None:
    store = MemoryBlobs()
    evil = build_wheel("beta", "1.0", files={"beta.py": "evil = True\n"})
    other = MemoryBlobs()
    bundle(other, tmp_path / "evil", evil)
    forged = _rename_artifact(other.blobs[key_of(evil)], evil, BETA)
    store.blobs[key_of(BETA)] = forged
    progress = Silent()
    bundle(store, tmp_path, BETA, progress=progress)
    assert store.blobs[key_of(BETA)] != forged
    assert len(progress.warnings) == 1 and BETA.file in progress.warnings[0]
    stored = get_object(store, artifact=Sha256(BETA.sha256), layout=LAYOUT)
    verify_object(store, stored)


def test_objects_with_other_contents_are_reported_in_one_line(tmp_path: Path) -> None:
    """A store that another version of envc has filled, whose rules of unpacking differ, is no flood of warnings."""
    store, progress = MemoryBlobs(), Silent()
    wheels = [build_wheel(name, "1.0") for name in ("one", "two", "three", "four", "five")]
    for wheel in wheels:
        other = MemoryBlobs()
        changed = build_wheel(wheel.name, "1.0", files={f"{wheel.name}.py": "changed = True\n"})
        bundle(other, tmp_path / wheel.name, changed)
        store.blobs[key_of(wheel)] = _rename_artifact(other.blobs[key_of(changed)], changed, wheel)
    bundle(store, tmp_path, *wheels, progress=progress)
    (warning,) = progress.warnings
    assert (
        "objects of five-1.0-py3-none-any.whl, four-1.0-py3-none-any.whl, one-1.0-py3-none-any.whl and 2 more"
        in warning
    )
    assert "\n" not in warning and "Run `envc bundle` also for other locks" in warning


def _rename_artifact(data: bytes, old: Distribution, new: Distribution) -> bytes:
    """Replace the artifact in the object's index, as an attacker with write access to the store could."""
    from envc.shipping.format.object_index import encode_trailer, read_index
    from envc.shipping.store.objects import bytes_reader

    index = read_index(len(data), bytes_reader(data))
    assert index.artifact == old.sha256
    end = sum(frame.length for frame in index.frames)
    return data[:end] + encode_trailer(msgspec.structs.replace(index, artifact=new.sha256), end)


def test_trust_store_accepts_objects_of_others(tmp_path: Path) -> None:
    store = MemoryBlobs()
    bundle(store, tmp_path / "there", BETA)
    _, artifacts = bundle(store, tmp_path / "here", BETA, trust_store=True)
    assert artifacts.fetched == []


@pytest.mark.parametrize("damage", ["truncated", "empty", "index", "frames"])
def test_a_corrupt_object_is_named_and_made_again(damage: str, tmp_path: Path) -> None:
    store = MemoryBlobs()
    bundle(store, tmp_path, BETA)
    good = store.blobs[key_of(BETA)]
    flipped = bytearray(good)
    flipped[40 if damage == "frames" else len(good) - 30] ^= 0xFF
    store.blobs[key_of(BETA)] = {"truncated": good[:-1], "empty": b""}.get(damage, bytes(flipped))
    if damage == "frames":
        # The index is intact, so only reading the frames finds this. hydrate then removes the object from the ledger.
        Ledger(tmp_path / "cache/derived").mark_doubtful(LAYOUT, Sha256(BETA.sha256))
    progress = Silent()
    bundle(store, tmp_path, BETA, progress=progress)
    assert store.blobs[key_of(BETA)] == good
    assert len(progress.warnings) == 1 and BETA.file in progress.warnings[0]


def test_a_corrupt_record_is_made_again(tmp_path: Path) -> None:
    store = MemoryBlobs()
    bundled, _ = bundle(store, tmp_path, BETA)
    key = environment_key(bundled.records[0].environment)
    good = store.blobs[key]
    store.blobs[key] = good[:-1]
    bundle(store, tmp_path, BETA)
    assert store.blobs[key] == good


@pytest.mark.parametrize("damage", [20, -1])
def test_corrupt_code_is_made_again(damage: int, tmp_path: Path) -> None:
    store = MemoryBlobs()
    code = (Entry(path="main.py", content=b"print()\n"),)
    step = StepBundle(step="train", target=HOST.platform, environment=environment(BETA), code=code)
    bundle(store, tmp_path, BETA, steps=(step,))
    (key,) = store.list("v1/code")
    good = store.blobs[key]
    flipped = bytearray(good)
    flipped[damage] ^= 0xFF
    store.blobs[key] = bytes(flipped)
    bundle(store, tmp_path, BETA, steps=(step,))
    assert store.blobs[key] == good


def test_a_record_with_other_frames_is_replaced(tmp_path: Path) -> None:
    """Another level gives other bytes for the same content, so a record that no longer matches must be replaced."""
    store = MemoryBlobs()
    big = build_wheel("big", files={"big.py": "".join(f"x{n} = {n * n}\n" for n in range(5000))})
    first, _ = bundle(store, tmp_path, big)
    store.delete(key_of(big))
    second, _ = bundle(store, tmp_path, big)
    assert second.pointers == first.pointers
    store.delete(key_of(big))
    third, _ = bundle(store, tmp_path, big, level=19)
    assert third.pointers != first.pointers
    assert third.records[0].objects[0].content == first.records[0].objects[0].content
    get_record(store, third.records[0].environment, third.pointers["step", HOST.platform].record)


def test_a_recorded_content_must_match(tmp_path: Path) -> None:
    store = MemoryBlobs()
    bundled, _ = bundle(store, tmp_path, BETA)
    content = bundled.content[Sha256(BETA.sha256), LAYOUT]
    for demanded in (content, Sha256("0" * 64)):
        step = StepBundle(step="step", target=HOST.platform, environment=environment(BETA, content=demanded))
        for place in (store, MemoryBlobs()):
            if demanded == content:
                bundle(place, tmp_path / "new", BETA, steps=(step,))
            else:
                with pytest.raises(DigestMismatch, match=f"the content of {BETA.file}"):
                    bundle(place, tmp_path / "new", BETA, steps=(step,))


def test_contents_to_be_recorded_are_always_derived(tmp_path: Path) -> None:
    """Neither a ledger, nor a trusted store, nor an older demand is enough. An equal demand saves the work."""
    store = MemoryBlobs()
    bundle(store, tmp_path, ALPHA, BETA)
    recorded_contents: list[dict[tuple[Sha256, str], Sha256]] = []

    def relock(contents: Mapping[tuple[Sha256, str], Sha256]) -> bytes:
        recorded_contents.append(dict(contents))
        return b"the lock, with contents\n"

    content = bundle(store, tmp_path, ALPHA, BETA)[0].content[Sha256(BETA.sha256), LAYOUT]
    for demanded, fetched in ((None, [BETA.file]), (Sha256("0" * 64), [BETA.file]), (content, [])):
        step = StepBundle(step="step", target=HOST.platform, environment=environment(BETA, content=demanded))
        bundled, artifacts = bundle(store, tmp_path, BETA, steps=(step,), trust_store=True, relock=relock)
        assert artifacts.fetched == fetched
        assert recorded_contents.pop() == {(Sha256(BETA.sha256), LAYOUT): content}
        assert get_lock(store, bundled.lock) == b"the lock, with contents\n"
        get_pointer(store, step_key("demo", sha256(b"the lock, with contents\n"), "step", HOST.platform))


def test_a_doubted_object_is_derived_again_whatever_claims_to_know_it(tmp_path: Path) -> None:
    """The lock records a content digest, the index claims it, but the frames have another content."""
    store = MemoryBlobs()
    content = bundle(store, tmp_path, BETA)[0].content[Sha256(BETA.sha256), LAYOUT]
    honest = store.blobs[key_of(BETA)]
    store.blobs[key_of(BETA)] = bytes([honest[0] ^ 1]) + honest[1:]
    step = StepBundle(step="step", target=HOST.platform, environment=environment(BETA, content=content))
    _, artifacts = bundle(store, tmp_path, BETA, steps=(step,), trust_store=True)
    assert artifacts.fetched == []
    ledger = Ledger(tmp_path / "cache/derived")
    ledger.mark_doubtful(LAYOUT, Sha256(BETA.sha256))
    assert ledger.is_doubtful(LAYOUT, Sha256(BETA.sha256))
    bundle(store, tmp_path, BETA, steps=(step,), trust_store=True)
    assert store.blobs[key_of(BETA)] == honest
    assert not ledger.is_doubtful(LAYOUT, Sha256(BETA.sha256))


@pytest.mark.parametrize(
    ("locked", "message"),
    [
        ((), "the file requires gamma>=1; the lock does not say that"),
        (("gamma>=1", "other"), "the lock says it requires other; the file does not"),
        (("gamma>=2",), "the lock says it requires gamma>=2; the file does not"),
    ],
)
def test_locked_metadata_must_match_the_artifact(locked: tuple[str, ...], message: str, tmp_path: Path) -> None:
    store = MemoryBlobs()
    wheel = build_wheel("alpha", "1.0", ["gamma>=1", 'delta; extra == "fast"'], extras=["fast"])
    step = StepBundle(step="step", target=HOST.platform, environment=environment(wheel, depends=locked))
    with pytest.raises(MetadataMismatch) as refused:
        bundle(store, tmp_path, wheel, steps=(step,))
    assert message in str(refused.value)
    assert not store.blobs


FAST = build_wheel(
    "alpha", "1.0", ["gamma>=1", 'delta; extra == "fast"'], extras=["fast"], requires_python="!=3.1,>=3.9"
)


def step_of(*wheels: Distribution, **fields: Any) -> StepBundle:
    extras = fields.pop("extras", frozenset())
    return StepBundle(step="step", target=HOST.platform, environment=environment(*wheels, **fields), extras=extras)


@pytest.mark.parametrize("way", ["ledger", "recorded", "trusted store"])
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"depends": ()}, "the file requires gamma>=1; the lock does not say that"),
        ({"depends": ("added", "gamma>=1")}, "the lock says it requires added; the file does not"),
        ({"version": "9.0"}, "the lock says it is alpha 9.0; the file says it is alpha 1.0"),
        ({"name": "other"}, "the lock says it is other 1.0; the file says it is alpha 1.0"),
        ({"python": Python(minor=(3, 1))}, "the file requires Python !=3.1,>=3.9, and it is locked for Python 3.1.0"),
        (
            {"extras": frozenset({("alpha", "fast")}), "depends": ("gamma>=1",)},
            'the file requires delta; extra == "fast"; the lock does not say that',
        ),
    ],
)
def test_an_object_that_is_reused_must_state_what_the_lock_says(
    way: str, changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    """The index claimed other metadata when the lock was made. The object was made before, for an honest lock."""
    store = MemoryBlobs()
    content = bundle(store, tmp_path, FAST)[0].content[Sha256(FAST.sha256), LAYOUT]
    before = dict(store.blobs)
    machine = tmp_path if way == "ledger" else tmp_path / "other"
    fields = {"content": content} if way == "recorded" else {}
    with pytest.raises(MetadataMismatch) as refused:
        bundle(
            store,
            machine,
            steps=(step_of(FAST, layout=LAYOUT, **fields, **changes),),
            trust_store=way == "trusted store",
        )
    assert message in str(refused.value)
    assert FAST.file in str(refused.value) and "envc lock --refresh" in refused.value.hint
    assert store.blobs == before


@pytest.mark.parametrize("way", ["ledger", "recorded", "trusted store"])
def test_metadata_of_a_reused_object_is_read_once(way: str, tmp_path: Path) -> None:
    store = MemoryBlobs()
    content = bundle(store, tmp_path, FAST)[0].content[Sha256(FAST.sha256), LAYOUT]
    machine = tmp_path if way == "ledger" else tmp_path / "other"
    fields = {"content": content} if way == "recorded" else {}
    frames = []
    for _ in range(2):
        store.requests.clear()
        bundle(store, machine, steps=(step_of(FAST, **fields),), trust_store=way == "trusted store")
        frames.append(sum(key == key_of(FAST) for _, key in store.requests))
    assert frames[0] - frames[1] == (0 if way == "ledger" else 1)


def test_one_file_of_two_sources_is_compared_with_what_the_lock_says_of_each(tmp_path: Path) -> None:
    honest, invented = environment(FAST), environment(FAST, source="evil", depends=("gamma>=1", "other"))
    assert honest.id == invented.id
    for order in ((honest, invented), (invented, honest)):
        steps = tuple(
            StepBundle(step=f"step{number}", target=HOST.platform, environment=each)
            for number, each in enumerate(order)
        )
        with pytest.raises(MetadataMismatch, match="the lock says it requires other"):
            bundle(MemoryBlobs(), tmp_path, FAST, steps=steps)


def test_the_python_of_the_environment_itself_counts_as_well(tmp_path: Path) -> None:
    """A minor version is solved at its lowest patch release, and an interpreter that is locked has a later one."""
    wheel = build_wheel("alpha", "1.0", requires_python=">=3.12.4")
    base = environment(wheel, python=Python(minor=(3, 12)))
    interpreter = msgspec.structs.replace(base.members[0], kind="interpreter", name="cpython", version="3.12.7")
    stated = Stated.of(parse_metadata(wheel.file, wheel.metadata))
    with pytest.raises(MetadataMismatch, match=r"requires Python >=3\.12\.4, and it is locked for Python 3\.12\.0"):
        next(uses_of(base, ())).check(stated)
    next(uses_of(msgspec.structs.replace(base, members=(*base.members, interpreter)), ())).check(stated)


@pytest.mark.parametrize("locked", [("gamma>=1",), ('delta; extra == "fast"', "gamma>=1")])
def test_requirements_of_extras_need_not_be_locked(locked: tuple[str, ...], tmp_path: Path) -> None:
    """No error is raised: the lock may leave out or keep the requirements of an extra."""
    wheel = build_wheel("alpha", "1.0", ["gamma>=1", 'delta; extra == "fast"'], extras=["fast"])
    step = StepBundle(step="step", target=HOST.platform, environment=environment(wheel, depends=locked))
    bundle(MemoryBlobs(), tmp_path, wheel, steps=(step,))


def test_requirements_that_name_a_url_are_not_locked(tmp_path: Path) -> None:
    """No error is raised: a wheel's requirement that names a URL need not be in the lock."""
    wheel = build_wheel("alpha", "1.0", ["gamma>=1", "delta @ https://example.com/delta-1.0-py3-none-any.whl"])
    step = StepBundle(step="step", target=HOST.platform, environment=environment(wheel, depends=("gamma>=1",)))
    bundle(MemoryBlobs(), tmp_path, wheel, steps=(step,))


def test_a_bad_wheel_leaves_nothing_behind(tmp_path: Path) -> None:
    store = MemoryBlobs()
    bad = build_wheel("bad", files={"../bad.py": ""})
    with pytest.raises(BadWheel, match=r"bad-1\.0-py3-none-any\.whl cannot be installed"):
        bundle(store, tmp_path, bad, BETA)
    assert key_of(bad) not in store.blobs
    assert not [key for key in store.blobs if "steps" in key or "environments" in key]


def test_a_content_that_contradicts_record_is_never_published(tmp_path: Path) -> None:
    wheel = build_wheel("beta", "1.0", files={"beta.py": "x" * 1000}, compression=0)
    bad = msgspec.structs.replace(wheel, data=_with_repaired_checksum(wheel.data))
    store = MemoryBlobs()
    with pytest.raises(BadArtifact, match=r"beta\.py does not match its digest in RECORD"):
        bundle(store, tmp_path, bad)
    assert not store.blobs


def _with_repaired_checksum(data: bytes) -> bytes:
    """Replace a content and its zip checksums, but leave RECORD unchanged."""
    import zlib

    changed = data.replace(b"x" * 1000, b"y" * 1000)
    old, new = (zlib.crc32(letter * 1000).to_bytes(4, "little") for letter in (b"x", b"y"))
    return changed.replace(old, new)


def test_contested_paths_are_reported_once_for_each_pair_of_packages(tmp_path: Path) -> None:
    """A thousand paths make one line, and with three packages the warning for each loser names the real winner."""
    files = {f"shared/part{number}.txt": "{}\n" for number in range(1000)}
    wheels = [
        build_wheel(name, files={path: text.format(name) for path, text in files.items()})
        for name in ("alpha", "beta", "gamma")
    ]
    progress = Silent()
    bundle(MemoryBlobs(), tmp_path, *wheels, progress=progress)
    first = f"{parse_layout(LAYOUT).site}/shared/part0.txt"
    assert progress.warnings == [
        f"alpha and gamma both contain {first} and 999 more; those from gamma are used",
        f"beta and gamma both contain {first} and 999 more; those from gamma are used",
    ]


def test_a_file_where_another_package_needs_a_folder_is_refused(tmp_path: Path) -> None:
    first = build_wheel("first", files={"shared": "a file"})
    second = build_wheel("second", files={"shared/deep/inner.py": ""})
    site, store = parse_layout(LAYOUT).site, MemoryBlobs()
    with pytest.raises(Unjoinable) as refused:
        bundle(store, tmp_path, second, first)
    assert str(refused.value) == (
        f"first contains the file {site}/shared, where second needs a folder for {site}/shared/deep/inner.py"
    )
    assert not list(store.list("v1/environments"))


def test_contested_paths_have_a_winner(tmp_path: Path) -> None:
    store = MemoryBlobs()
    same = {"shared/__init__.py": "", "shared/data.txt": "same\n"}
    first = build_wheel("first", files={**same, "shared/which.py": "1\n"})
    second = build_wheel("second", files={**same, "shared/which.py": "2\n"})
    progress = Silent()
    record = bundle(store, tmp_path, second, first, progress=progress)[0].records[0]
    site = next(member.path for member in record.objects[0].index.members if member.path.endswith("which.py"))
    folder = site.removesuffix("/which.py")
    assert record.winners == {f"{folder}/{name}": second.sha256 for name in ("__init__.py", "data.txt", "which.py")}
    assert progress.warnings == [f"first and second both contain {site}; the one from second is used"]


def test_the_record_lists_what_hydrate_makes_and_what_the_machine_needs(tmp_path: Path) -> None:
    tag = f"cp{PYTHON.minor[0]}{PYTHON.minor[1]}"
    native = build_wheel("native", tag=f"{tag}-{tag}-manylinux_2_17_x86_64.manylinux2014_x86_64.manylinux_2_28_x86_64")
    newer = build_wheel("newer", tag=f"{tag}-{tag}-manylinux_2_24_x86_64")
    steps = (StepBundle(step="s", target="linux-64", environment=environment(native, newer, target="linux-64")),)
    record = bundle(MemoryBlobs(), tmp_path, native, newer, steps=steps)[0].records[0]
    assert record.requirements == {"glibc": "2.24"}
    minor = f"{PYTHON.minor[0]}.{PYTHON.minor[1]}"
    assert record.made == (".envc/prefix.json", "bin/python", "bin/python3", f"bin/python{minor}", "pyvenv.cfg")


def test_failed_downloads_stop_everything(tmp_path: Path) -> None:
    class Broken:
        def fetch(self, members: object) -> object:
            raise StoreError("the cache", "is full")

    from envc.shipping.deliver.pack import BundleRequest, pack

    step = StepBundle(step="s", target="linux-64", environment=environment(ALPHA, target=default_target("linux-64")))
    request = BundleRequest(project="demo", lock=b"", steps=(step,))
    store = MemoryBlobs()
    with pytest.raises(StoreError, match="is full"):
        pack(request, store, Broken(), ledger=Ledger(tmp_path), progress=Silent())  # type: ignore[arg-type]
    assert not store.blobs


def test_a_folder_and_a_memory_store_get_the_same_bytes(tmp_path: Path) -> None:
    memory, folder = MemoryBlobs(), open_store(tmp_path / "store")
    bundle(memory, tmp_path / "a", ALPHA, BETA)
    bundle(folder, tmp_path / "b", ALPHA, BETA)
    assert {key: folder.read(key, 1 << 20) for key in folder.list("v1")} == memory.blobs


def test_members_are_sorted_by_name(tmp_path: Path) -> None:
    members: list[EnvironmentMember] = list(environment(ALPHA, BETA).members)
    turned = msgspec.structs.replace(environment(ALPHA, BETA), members=tuple(reversed(members)))
    record = bundle(
        MemoryBlobs(), tmp_path, ALPHA, BETA, steps=(StepBundle(step="s", target="t", environment=turned),)
    )[0].records[0]
    assert [item.name for item in record.objects] == ["alpha", "beta"]


INTERRUPTED = """
import sys
import signal
import subprocess
import sys
import time
from pathlib import Path
from envc.shipping.store.open import open_store
from tests.support.environments import bundle
from tests.support.wheels import build_wheel
import random

noise = random.Random(0).randbytes(40_000_000)
wheels = (build_wheel("small"), build_wheel("large", files={"large.bin": noise}, compression=0))
print("ready", flush=True)
bundle(open_store(Path(sys.argv[1]) / "store"), Path(sys.argv[1]), *wheels, level=int(sys.argv[2]))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="processes are interrupted differently there")
def test_an_interrupt_ends_a_long_run_soon(tmp_path: Path) -> None:
    """Otherwise compressing would continue for a minute. Finished objects remain for the next run."""
    command = [sys.executable, "-c", INTERRUPTED, str(tmp_path)]
    root = Path(__file__).parents[2]
    process = subprocess.Popen([*command, "19"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=root)
    assert process.stdout is not None
    process.stdout.readline()
    store = open_store(tmp_path / "store")
    for _ in range(200):
        if any(store.list("v1/objects")):
            break
        time.sleep(0.05)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    start = time.monotonic()
    _, errors = process.communicate(timeout=60)
    assert time.monotonic() - start < 15
    assert "KeyboardInterrupt" in errors.splitlines()[-1]
    assert len(list(store.list("v1/objects"))) == 1
    assert not list(store.list("v1/environments"))
    subprocess.run([*command, "1"], check=True, cwd=root, stdout=subprocess.DEVNULL)
    assert len(list(store.list("v1/objects"))) == 2
