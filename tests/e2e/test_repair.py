"""Damage in a store is found and repaired, by the machine that made the bundle as by any other."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.command import Workplace, host_platform
from tests.e2e.test_places import conda_place
from tests.e2e.test_trust import HONEST, another_machine

Damage = Callable[[bytes], bytes]


def flip(at: float) -> Damage:
    """Change one bit at that part of the bytes."""

    def damage(data: bytes) -> bytes:
        place = min(len(data) - 1, int(len(data) * at))
        return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]

    return damage


KINDS: dict[str, Damage] = {
    "one bit of the first frame": lambda data: data[:20] + bytes([data[20] ^ 1]) + data[21:],
    "one bit in the middle": flip(0.5),
    "one bit of the index": flip(0.97),
    "one bit of the end": flip(1.0),
    "truncated": lambda data: data[: len(data) // 2],
    "empty": lambda data: b"",
    "longer": lambda data: data + b"more",
    "zeros": lambda data: bytes(len(data)),
}


def tree(store: Path) -> dict[str, bytes]:
    """Every blob that has a name by its content."""
    kept = ("objects", "environments", "code", "locks")
    return {
        path.relative_to(store).as_posix(): path.read_bytes()
        for kind in kept
        for path in sorted((store / "v1" / kind).rglob("*"))
        if path.is_file()
    }


def harm(store: Path, key: str, damage: Damage) -> None:
    path = store / key
    data = path.read_bytes()
    path.chmod(0o644)
    path.write_bytes(damage(data))
    assert path.read_bytes() != data


@pytest.fixture
def bundled(workplace: Workplace) -> Workplace:
    workplace.ok("lock")
    workplace.ok("bundle", "--step", "train", "--platform", host_platform())
    return workplace


BUNDLE = ("bundle", "--step", "train", "--platform", host_platform())


@pytest.mark.parametrize("kind", KINDS)
def test_any_damage_is_repaired_by_the_machine_that_made_the_bundle(kind: str, bundled: Workplace) -> None:
    before = tree(bundled.store)
    for key in before:
        harm(bundled.store, key, KINDS[kind])
    assert bundled.fails(1, "verify", "--all").out
    shutil.rmtree(bundled.cache / "derived")  # what `verify` noted: each way works alone
    shutil.copytree(bundled.store, bundled.folder / "damaged")
    bundled.ok(*BUNDLE)  # this machine no longer knows that it made the objects
    assert tree(bundled.store) == before
    for key in before:
        harm(bundled.store, key, KINDS[kind])
    repaired = bundled.ok(*BUNDLE, "--repair")
    assert "made again" in repaired.err
    assert tree(bundled.store) == before
    assert "0 problems" in bundled.ok("verify", "--all").err
    assert bundled.ok("run", "--from-store", "train").out == HONEST


def test_verify_makes_the_next_bundle_repair_what_it_found(bundled: Workplace) -> None:
    before = tree(bundled.store)
    objects = [key for key in before if "/objects/" in key]
    for options in ((), ("--all",)):
        for key in objects:
            harm(bundled.store, key, KINDS["one bit of the first frame"])
        # Without `verify`, this machine believes in what it made itself.
        assert "0 new objects" in bundled.ok(*BUNDLE).err
        steps = () if options else BUNDLE[1:]
        assert "frame 0 does not match its digest" in bundled.fails(1, "verify", *options, *steps).out
        assert f"{len(objects)} new objects" in bundled.ok(*BUNDLE).err
        assert tree(bundled.store) == before


@pytest.mark.parametrize("record", [(), ("--record",)])
def test_hydrate_names_a_way_out_that_works_from_any_machine(
    record: tuple[str, ...], bundled: Workplace, tmp_path: Path
) -> None:
    bundled.ok(*BUNDLE, *record)
    before = tree(bundled.store)
    other, third = (another_machine(bundled, tmp_path / name) for name in ("other", "third"))
    for repairing in (bundled, other, third):
        for key in before:
            if "/objects/" in key:
                harm(bundled.store, key, KINDS["one bit of the first frame"])
        refused = third.fails(1, "hydrate", "train", "--no-cache", "--prefix", str(tmp_path / "prefix"))
        assert "envc bundle --repair" in refused.err
        repairing.ok(*BUNDLE, *record, "--repair")
        assert tree(bundled.store) == before


def test_a_damaged_prefix_record_of_a_conda_package_is_made_again(tmp_path: Path) -> None:
    """`bundle` itself reads these records, so it finds the damage without --repair."""
    place = conda_place(tmp_path)
    before = tree(place.store)
    for key in before:
        if "/objects/" in key:
            harm(place.store, key, KINDS["one bit of the first frame"])  # which has the record
    for options in ((), ("--repair",)):
        done = place.ok("bundle", "--fast", *options)
        assert ("made again" in done.err) == (not options)
        assert tree(place.store) == before
    assert place.ok("run", "one").out == "locked python\n"


def test_repairing_what_is_intact_makes_nothing(bundled: Workplace) -> None:
    before = tree(bundled.store)
    done = bundled.ok(*BUNDLE, "--repair", "--offline")
    assert "0 new objects" in done.err and "warning" not in done.err
    assert tree(bundled.store) == before
