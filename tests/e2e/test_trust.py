"""The chain from the lock to every byte that a step loads: each test breaks one link of it, as an attacker would.

An attacker with write access to the store can also forge everything that refers to a forged object. The lock stops
this once `envc bundle --record` has recorded the content of every artifact in it.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Literal

import msgspec
import pytest

from envc.fetch.pypi.listing import JSON_TYPE
from envc.model.digest import Sha256, sha256
from envc.model.record import Record, RecordObject
from envc.shipping.deliver.reuse import Ledger
from envc.shipping.format.encode import Entry
from envc.shipping.format.record_rules import winners
from envc.shipping.store.keys import object_key, step_key
from envc.shipping.store.open import open_store
from envc.shipping.store.records import get_pointer, get_record, put_pointer, put_record
from tests.e2e.command import Workplace, host_platform
from tests.e2e.conftest import MANIFEST
from tests.support.servers import IndexServer
from tests.support.stores import encode, tree
from tests.support.wheels import build_wheel

HONEST = "step train alpha 1.1 hello there\n"
Reach = Literal["object", "record", "pointer"]


def poison(workplace: Workplace, reach: Reach) -> RecordObject:
    """Forge the content of the package alpha in the store. `reach` is the last kind of blob that is made to match."""
    store = open_store(workplace.store)
    key = step_key("demo", sha256(workplace.lock.read_bytes()), "train", host_platform())
    pointer = get_pointer(store, key)
    record = record_of(workplace)
    item = next(each for each in record.objects if each.name == "alpha")
    place = object_key(item.index.layout, item.index.artifact)
    members = tree(item.index, store.read(place, 1 << 20))
    entries = [
        Entry(path=path, content=b"raise SystemExit('poisoned')\n" if path.endswith("alpha.py") else content,
              executable=mode == 0o755)
        for path, (mode, _, _, content) in members.items()
    ]  # fmt: skip
    data, index = encode(entries, layout=item.index.layout, artifact=item.index.artifact)
    evil = msgspec.structs.replace(item, index=index, content=index.content, size=len(data))
    store.write(place, data)
    if reach == "object":
        return evil
    objects = tuple(evil if each is item else each for each in record.objects)
    forged: Record = msgspec.structs.replace(record, objects=objects, winners=winners(objects, record.platform))
    digest = put_record(store, forged, replace=True)
    if reach == "pointer":
        put_pointer(store, key, msgspec.structs.replace(pointer, record=digest))
    return evil


def record_of(workplace: Workplace) -> Record:
    """Return the step's record in the store."""
    store = open_store(workplace.store)
    pointer = get_pointer(store, step_key("demo", sha256(workplace.lock.read_bytes()), "train", host_platform()))
    return get_record(store, pointer.environment, pointer.record)


def another_machine(workplace: Workplace, folder: Path) -> Workplace:
    """Return a machine with the same checkout and store, and an empty cache."""
    place = Workplace(folder, workplace.env["ENVC_INDEX_URL"])
    place.checkout = workplace.checkout
    place.env["ENVC_STORE"] = str(workplace.store)
    return place


@pytest.fixture
def recorded(workplace: Workplace) -> Workplace:
    workplace.ok("lock")
    workplace.ok("bundle", "--platform", host_platform(), "--record")
    return workplace


def test_the_lock_records_the_content_of_every_artifact(recorded: Workplace) -> None:
    text = recorded.lock.read_text()
    # alpha, beta, delta, gamma, and the native wheel of this platform
    assert sum("content = {" in line for line in text.splitlines()) == 5
    assert recorded.ok("lock").err.endswith("is unchanged\n")
    assert recorded.ok("status", "--json").json["fresh"] is True
    assert recorded.ok("bundle", "--platform", host_platform(), "--record", "--json").json["made"] == []
    assert recorded.lock.read_text() == text
    recorded.ok("lock", "--upgrade")
    assert recorded.lock.read_text() == text
    recorded.write(MANIFEST.replace('"native", ', ""))
    recorded.ok("lock")
    assert recorded.lock.read_text().count("content = {") == 4
    assert recorded.ok("run", "train").out == HONEST


@pytest.mark.parametrize(
    ("reach", "says"),
    [
        ("object", "frame 0 does not match its digest"),
        ("record", "does not match its digest"),
        ("pointer", "contains different content for alpha 1.1 than the lock records"),
    ],
)
def test_a_poisoned_store_is_refused_and_repaired(
    reach: Reach, says: str, recorded: Workplace, tmp_path: Path, index: IndexServer
) -> None:
    poison(recorded, reach)
    other = another_machine(recorded, tmp_path / "other")
    refused = other.fails(1, "hydrate", "train", "--prefix", str(tmp_path / "prefix"))
    assert says in refused.err
    assert not (tmp_path / "prefix").exists()
    assert other.fails(1, "run", "--offline", "train").out == ""
    healed = other.ok("run", "train")
    assert healed.out == HONEST
    assert f"{says}; deriving it again\n" in healed.err
    assert recorded.ok("hydrate", "train", "--prefix", str(tmp_path / "prefix"))
    assert "poisoned" not in next((tmp_path / "prefix").rglob("alpha.py")).read_text()


def test_without_a_recorded_content_the_store_is_trusted(workplace: Workplace, tmp_path: Path) -> None:
    """This is why --record exists. A `bundle` that derives the object itself also detects the forgery."""
    workplace.ok("lock")
    workplace.ok("bundle", "--platform", host_platform())
    poison(workplace, "pointer")
    other = another_machine(workplace, tmp_path / "other")
    assert "poisoned" in other.fails(1, "run", "train").err
    bundled = other.ok("bundle", "--platform", host_platform())
    assert "the object of alpha-1.1-py3-none-any.whl is made again" in bundled.err
    assert other.ok("run", "train").out == HONEST


def test_an_environment_made_before_contents_were_recorded_is_not_reused(workplace: Workplace, tmp_path: Path) -> None:
    workplace.ok("lock")
    workplace.ok("bundle", "--platform", host_platform())
    poison(workplace, "pointer")
    victim = another_machine(workplace, tmp_path / "victim")
    victim.fails(1, "run", "train")  # now the poisoned environment is in the cache
    another_machine(workplace, tmp_path / "release").ok("bundle", "--platform", host_platform(), "--record")
    poison(workplace, "pointer")
    refused = victim.fails(1, "run", "--offline", "train")
    assert "contains different content for alpha 1.1 than the lock records" in refused.err


def poison_ledger(workplace: Workplace, evil: RecordObject) -> None:
    """Let the ledger know an object that this machine did not make."""
    ledger, index = Ledger(workplace.cache / "derived"), evil.index
    assert ledger.get(index.layout, index.artifact)
    ledger.put(index.layout, index.artifact, index.bytes_digest)


def test_a_poisoned_ledger_does_not_poison_the_lock(workplace: Workplace) -> None:
    workplace.ok("lock")
    workplace.ok("bundle", "--platform", host_platform())
    honest = next(part.content for part in record_of(workplace).objects if part.name == "alpha")
    evil = poison(workplace, "object")
    poison_ledger(workplace, evil)
    recorded = workplace.ok("bundle", "--platform", host_platform(), "--record")
    assert "the object of alpha-1.1-py3-none-any.whl is made again" in recorded.err
    assert evil.content not in workplace.lock.read_text()
    assert honest in workplace.lock.read_text()
    # From then on the ledger is not used for it.
    poison_ledger(workplace, poison(workplace, "pointer"))
    workplace.ok("bundle", "--platform", host_platform())
    assert workplace.ok("run", "train").out == HONEST


def test_a_poisoned_artifact_is_fetched_again(recorded: Workplace, tmp_path: Path, index: IndexServer) -> None:
    (cached,) = recorded.cache.rglob("alpha-1.1-py3-none-any.whl")
    cached.chmod(0o644)
    cached.write_bytes(next(recorded.cache.rglob("gamma-2.0-py3-none-any.whl")).read_bytes())
    recorded.env["ENVC_STORE"] = str(tmp_path / "new store")
    bundle = ("bundle", "--step", "train", "--platform", host_platform())
    assert "alpha-1.1-py3-none-any.whl" in recorded.fails(1, *bundle, "--offline").err
    before = index.requests_for("/files/alpha-1.1-py3-none-any.whl")
    recorded.ok(*bundle)
    assert index.requests_for("/files/alpha-1.1-py3-none-any.whl") > before
    assert recorded.ok("run", "train").out == HONEST


def test_a_recorded_content_that_the_artifact_does_not_have_is_refused(recorded: Workplace) -> None:
    """A lock with a wrong content digest is refused with a hint, and --record corrects it."""
    text = recorded.lock.read_text()
    lied = re.sub(r'(alpha-1\.1.*content = \{ "?[a-z0-9.-]+"? = )"[0-9a-f]{64}"', rf'\1"{Sha256("0" * 64)}"', text)
    assert lied != text
    recorded.lock.write_text(lied)
    refused = recorded.fails(1, "bundle", "--platform", host_platform())
    assert "the content of alpha-1.1-py3-none-any.whl" in refused.err
    assert "envc bundle --record" in refused.err
    recorded.ok("bundle", "--platform", host_platform(), "--record")
    assert recorded.lock.read_text() == text


def test_recorded_contents_are_derived_locally(workplace: Workplace) -> None:
    workplace.ok("lock")
    assert "leave out one" in workplace.fails(2, "bundle", "--record", "--trust-store").err
    workplace.write(MANIFEST.replace("alpha>=1", "alpha>=1.0.1"))
    assert "is out of date" in workplace.fails(1, "bundle", "--record", "--frozen").err
    assert "content = {" not in workplace.lock.read_text()


def test_a_bundle_file_is_not_written_from_a_poisoned_store(recorded: Workplace, tmp_path: Path) -> None:
    recorded.ok("bundle", "--output", "good.zst", "--step", "train")
    poison(recorded, "object")
    # The object's index is still read from the store, but does not match the lock.
    bundled = recorded.ok("bundle", "--output", "healed.zst", "--step", "train")
    assert "is made again" in bundled.err
    good, healed = (recorded.checkout / name for name in ("good.zst", "healed.zst"))
    assert good.read_bytes() == healed.read_bytes()
    damage(recorded)
    healed.unlink()
    assert "deriving it again" in recorded.ok("bundle", "--output", "healed.zst", "--step", "train").err
    assert good.read_bytes() == healed.read_bytes()


def damage(workplace: Workplace) -> None:
    """Flip one bit of an object's first frame. Its index, which claims a content, stays unchanged."""
    path = next(path for path in sorted((workplace.store / "v1/objects").rglob("*")) if path.is_file())
    data = bytearray(path.read_bytes())
    data[20] ^= 1
    path.chmod(0o644)
    path.write_bytes(data)


def test_damage_behind_a_valid_index_is_repaired_although_the_content_is_recorded(
    recorded: Workplace, tmp_path: Path
) -> None:
    damage(recorded)
    other = another_machine(recorded, tmp_path / "other")
    assert "frame 0 does not match its digest" in other.fails(1, "hydrate", "train").err
    assert other.ok("run", "train").out == HONEST
    assert another_machine(recorded, tmp_path / "third").ok("hydrate", "train")


def test_code_in_the_cache_is_verified_before_every_use(recorded: Workplace) -> None:
    assert recorded.ok("run", "--from-store", "train").out == HONEST
    (main,) = recorded.cache.glob("code/*/files/main.py")
    for poisoning in ("content", "link", "missing", "list"):
        listing = main.parent.with_name("members.json")
        match poisoning:
            case "content":
                main.write_text("print('poisoned')\n")
            case "link":
                main.rename(recorded.folder / "main.py")
                main.symlink_to(recorded.folder / "main.py")
            case "missing":
                main.unlink()
            case "list":
                main.write_text("print('poisoned')\n")
                listing.write_text("[]")
        assert recorded.ok("run", "--from-store", "train").out == HONEST
        assert not main.is_symlink()
    (main.parent / "output.txt").write_text("what the step itself wrote stays")
    recorded.ok("run", "--from-store", "train")
    assert (main.parent / "output.txt").exists()


def test_verify_finds_a_poisoned_environment(recorded: Workplace) -> None:
    """A ready environment is used unchecked, like any virtual environment. Verifying it means reading all of it."""
    assert recorded.ok("run", "train").out == HONEST
    (env,) = recorded.cache.glob("envs/*")
    assert recorded.ok("verify", "--prefix", str(env)).code == 0
    alpha = next(env.rglob("alpha.py"))
    alpha.unlink()
    alpha.write_text("raise SystemExit('poisoned')\n")
    assert "alpha.py: has other content" in recorded.fails(1, "verify", "--prefix", str(env)).out
    (env / ".envc/prefix.json").write_text("{}")  # the changed record does not match the pointer
    assert recorded.ok("run", "train").out == HONEST


def test_metadata_that_an_index_invents_reaches_no_other_project_and_no_store(
    workplace: Workplace, index: IndexServer, tmp_path: Path
) -> None:
    """Another index lists alpha under its right digest, and claims that it requires an added package."""
    alpha = index.file("alpha-1.1-py3-none-any.whl")
    assert alpha is not None
    invented = alpha.metadata.replace(b"gamma>=1", b"gamma>=1\nRequires-Dist: added")
    entry = {
        "filename": alpha.file,
        "url": f"/files/{alpha.file}",
        "hashes": {"sha256": alpha.sha256},
        "size": alpha.size,
        "core-metadata": {"sha256": sha256(invented)},
    }
    names = ("gamma-2.0-py3-none-any.whl", alpha.file)
    wheels = [wheel for wheel in map(index.file, names) if wheel is not None]
    with IndexServer([*wheels, build_wheel("added", "1.0")]) as evil:
        evil.behaviour.bodies = {
            "/simple/alpha/": (JSON_TYPE, json.dumps({"files": [entry]}).encode()),
            f"/files/{alpha.file}.metadata": ("text/plain", invented),
        }
        victim = Workplace(tmp_path / "evil", evil.url)
        victim.env |= {"ENVC_CACHE_DIR": str(workplace.cache), "ENVC_STORE": str(workplace.store)}
        text = MANIFEST.replace('pypi = ["native", "beta[fast]>=1; sys_platform != \'win32\'"]\n', "")
        victim.write(text, main__py="")
        victim.ok("lock")
        assert '"pypi:added"' in victim.lock.read_text()
        # The cache is shared, and the honest index is asked second.
        workplace.ok("lock")
        assert "added" not in workplace.lock.read_text()
        workplace.ok("bundle")
        # The object is in the store and the ledger now, and its METADATA is compared nevertheless.
        refused = victim.fails(1, "bundle", "--platform", host_platform())
        assert f"the metadata in {alpha.file} differs from the metadata it was locked with" in refused.err
        assert "the lock says it requires added; the file does not" in refused.err
        assert "envc lock --refresh --upgrade" in refused.err
        # The way out works once the index is honest again.
        evil.behaviour.bodies = {}
        victim.ok("lock", "--refresh", "--upgrade")
        assert "added" not in victim.lock.read_text()
        victim.ok("bundle", "--platform", host_platform())
