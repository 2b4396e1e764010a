"""`envc verify`, `gc`, `tag`, `cache`, and stores at URLs, through the installed command."""

from __future__ import annotations

import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import jsonschema
import pytest

from envc.shipping.store.open import open_store
from envc.shipping.store.upkeep.leases import leased
from tests.e2e.command import ENVC, Workplace, host_platform
from tests.e2e.conftest import MANIFEST
from tests.support.blob_servers import FolderServer, S3Server
from tests.support.servers import IndexServer

SCHEMAS = Path(__file__).parents[2] / "schemas"
LATER = "2027-12-01T00:00:00Z"  # later than every file that a test writes


def checked(schema: str, document: object) -> object:
    """Return the document, and assert that it satisfies that schema."""
    jsonschema.validate(document, json.loads((SCHEMAS / f"{schema}.schema.json").read_text()))
    return document


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def blobs(store: Path) -> list[str]:
    """Return the keys of the blobs of a store in a folder."""
    return [f"v1/{name}" for name in files(store / "v1")]


def age(store: Path, days: int = 400) -> None:
    """Make the blobs of a store that much older, by the clock of the store."""
    for name in blobs(store):
        path = store / name
        moment = path.stat().st_mtime - days * 24 * 3600
        os.utime(path, (moment, moment))


@pytest.fixture
def bundled(workplace: Workplace) -> Workplace:
    workplace.ok("lock")
    workplace.ok("bundle", "--platform", host_platform())
    return workplace


def an_object(workplace: Workplace) -> Path:
    return next(path for path in sorted((workplace.store / "v1/objects").rglob("*")) if path.is_file())


def damage(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[10] ^= 0xFF
    path.chmod(0o644)
    path.write_bytes(data)


# verify


def test_an_intact_store_is_reported_as_intact(bundled: Workplace) -> None:
    done = bundled.ok("verify", "--platform", host_platform(), "--json")
    assert checked("verified", done.json)["problems"] == []  # type: ignore[index]
    assert "0 problems" in bundled.ok("verify", "--all").err


def test_damage_is_reported_and_repaired_by_bundle(bundled: Workplace) -> None:
    damage(an_object(bundled))
    key = an_object(bundled).relative_to(bundled.store).as_posix()
    for scope in (("--platform", host_platform()), ("--all",)):
        done = bundled.fails(1, "verify", *scope, "--json")
        (problem,) = checked("verified", done.json)["problems"]  # type: ignore[index]
        assert problem["where"] == key
        assert key in bundled.fails(1, "verify", *scope).out
    an_object(bundled).unlink()
    assert "holds no" in bundled.fails(1, "verify", "--platform", host_platform()).out
    bundled.ok("bundle", "--platform", host_platform())
    bundled.ok("verify", "--platform", host_platform())


def test_an_environment_that_was_never_bundled_is_a_problem_of_its_step(bundled: Workplace) -> None:
    done = bundled.fails(1, "verify", "--step", "train")
    assert f"train on win-64: {bundled.store}: does not hold train on win-64 as it is locked" in done.out
    done = bundled.fails(1, "hydrate", "train", "--platform", "win-64", "--prefix", "windows")
    assert "run `envc bundle --step train --platform win-64`" in done.err
    assert "did you mean" in bundled.fails(2, "verify", "--step", "trian").err


def test_a_stale_lock_cannot_be_verified_unless_frozen(bundled: Workplace) -> None:
    bundled.write(MANIFEST.replace("alpha>=1", "alpha>=1.0.1"))
    assert "out of date" in bundled.fails(1, "verify").err
    bundled.ok("verify", "--frozen", "--platform", host_platform())


def test_a_prefix_is_compared_with_its_record_without_manifest_or_store(bundled: Workplace, tmp_path: Path) -> None:
    prefix = tmp_path / "prefix"
    bundled.ok("hydrate", "train", "--prefix", str(prefix))
    shutil.rmtree(bundled.store)
    bundled.manifest.unlink()
    assert "0 problems" in bundled.ok("verify", "--prefix", str(prefix)).err
    module = next(prefix.rglob("native.py"))
    module.write_text("PLATFORM = 'changed'\n")
    module.with_name("usercustomize.py").write_text("")
    done = bundled.fails(1, "verify", "--prefix", str(prefix), "--json")
    problems = checked("verified", done.json)["problems"]  # type: ignore[index]
    assert [(Path(each["where"]).name, each["reason"]) for each in problems] == [
        ("native.py", "has other content"),
        ("usercustomize.py", "was added"),
    ]
    assert "envc did not make it" in bundled.fails(1, "verify", "--prefix", str(tmp_path)).err
    assert "--all and --prefix cannot be combined" in bundled.fails(2, "verify", "--prefix", str(prefix), "--all").err


# stores in folders that hold other files


def test_a_folder_with_other_files_becomes_a_store_only_on_request(workplace: Workplace) -> None:
    (workplace.store / "tmp").mkdir(parents=True)
    (workplace.store / "tmp/results.csv").write_text("years of work")
    os.utime(workplace.store / "tmp/results.csv", (0, 0))
    workplace.ok("lock")
    bundling = ("bundle", "--platform", host_platform())
    for arguments in (bundling, ("run", "train"), (*bundling, "--step", "train", "--output", "train.tar.zst")):
        failed = workplace.fails(1, *arguments)
        assert f"error: {workplace.store}: is not empty, and is no store of envc; nothing was written" in failed.err
        assert f"run `envc bundle --store {workplace.store} --init-store`" in failed.err
    assert workplace.fails(1, *bundling, "--json").json["error"]["code"] == "not-a-store"
    assert workplace.ok("gc", "--delete", "--json").json["garbage"] == 0
    assert files(workplace.store) == ["tmp/results.csv"]
    workplace.ok(*bundling, "--init-store")
    assert workplace.ok("run", "train").out == "step train alpha 1.1 hello there\n"
    workplace.ok(*bundling)
    age(workplace.store)
    count = len(blobs(workplace.store))
    assert workplace.ok("gc", "--delete", "--json").json["garbage"] == count
    assert files(workplace.store) == [".envc-store", "tmp/results.csv"]


# gc and tag


def test_gc_removes_nothing_without_delete(bundled: Workplace) -> None:
    before = blobs(bundled.store)
    assert bundled.ok("gc", "--delete", "--json").json["garbage"] == 0
    age(bundled.store)
    done = bundled.ok("gc", "--json")
    assert checked("collected", done.json)["garbage"] == len(before)  # type: ignore[index]
    assert done.json["removed"] is False
    assert "pass --delete" in bundled.ok("gc").err
    assert blobs(bundled.store) == before
    removed = bundled.ok("gc", "--delete", "--json").json
    assert (removed["removed"], removed["garbage"]) == (True, len(before))
    assert blobs(bundled.store) == []


def test_gc_on_a_machine_whose_clock_is_far_ahead_removes_nothing(bundled: Workplace) -> None:
    with leased(open_store(bundled.store), ["v1/a"]):
        before = blobs(bundled.store)
        assert bundled.ok("gc", "--delete", "--json", ENVC_NOW=LATER).json["garbage"] == 0
        assert blobs(bundled.store) == before


def test_gc_accepts_a_time_span_and_needs_no_manifest(bundled: Workplace) -> None:
    count = len(blobs(bundled.store))
    bundled.manifest.unlink()
    age(bundled.store)
    assert bundled.ok("gc", "--json", "--recent", "5000 days").json["garbage"] == 0
    assert bundled.ok("gc", "--json", "--recent", "P2D").json["garbage"] == count
    assert "neither a moment nor a span" in bundled.fails(2, "gc", "--recent", "soon").err
    assert "is a point in time, not a span" in bundled.fails(2, "gc", "--recent", "2026-01-01").err
    other = bundled.folder / "empty"
    assert bundled.ok("gc", "--json", "--store", str(other)).json["kept"] == 0
    assert not other.exists()


def test_a_tag_keeps_an_old_release(bundled: Workplace) -> None:
    bundled.ok("tag", "v1.0")
    bundled.ok("tag", "v1.0")
    kept = blobs(bundled.store)
    listed = checked("tags", bundled.ok("tag", "--json").json)["tags"]  # type: ignore[index]
    assert [(tag["project"], tag["name"]) for tag in listed] == [("demo", "v1.0")]
    assert bundled.ok("tag").out.startswith("v1.0  ")
    age(bundled.store)
    assert bundled.ok("gc", "--delete", "--json").json["garbage"] == 0
    assert blobs(bundled.store) == kept
    bundled.ok("verify", "--platform", host_platform())
    bundled.ok("tag", "--delete", "v1.0")
    assert "has no tag" in bundled.fails(2, "tag", "--delete", "v1.0").err
    bundled.ok("gc", "--delete")
    assert blobs(bundled.store) == []


def test_a_tag_needs_a_bundled_lock_and_an_option_to_move(bundled: Workplace) -> None:
    bundled.ok("tag", "v1.0")
    bundled.write(MANIFEST.replace('"native", ', ""))
    assert "out of date" in bundled.fails(1, "tag", "v2.0").err
    bundled.ok("lock")
    assert "envc bundle" in bundled.fails(1, "tag", "v2.0").err
    bundled.ok("bundle", "--platform", host_platform())
    assert "--move" in bundled.fails(2, "tag", "v1.0").err
    bundled.ok("tag", "--move", "v1.0")
    assert "need the name" in bundled.fails(2, "tag", "--move").err


# cache


def test_the_cache_can_be_shown_and_pruned_and_is_filled_again(bundled: Workplace) -> None:
    bundled.ok("run", "train")
    shown = checked("cache", bundled.ok("cache", "show", "--json").json)
    parts = {part["part"]: part for part in shown["parts"]}  # type: ignore[index]
    assert {"artifacts", "environments", "index"} <= parts.keys()
    assert parts["environments"]["entries"] == 1
    assert "environments" in bundled.ok("cache", "show").out
    assert bundled.ok("cache").out == bundled.ok("cache", "show").out
    assert bundled.ok("cache", "prune", "--json").json["entries"] == 0
    later = bundled.ok("cache", "prune", "--json", ENVC_NOW=LATER)
    assert "was last used" in later.err and list(bundled.cache.glob("envs/*")), "a wrong clock makes nothing old"
    time.sleep(1.2)
    (state,) = bundled.cache.glob("envs/*/.envc/prefix.json")
    os.utime(state)
    unused = ["cache", "prune", "--unused", "1s", "--json"]
    dry = checked("cache", bundled.ok(*unused, "--dry-run", ENVC_NOW=LATER).json)
    assert dry["entries"] > 0 and dry["removed"] is False  # type: ignore[index]
    assert bundled.ok(*unused, ENVC_NOW=LATER).json["entries"] == dry["entries"]  # type: ignore[index]
    assert state.exists() and not list(bundled.cache.glob("artifacts/*/*/*.whl"))
    assert bundled.ok("run", "train").out == "step train alpha 1.1 hello there\n"
    bundled.ok("cache", "prune", "--all")
    assert bundled.ok("cache", "show", "--json").json["parts"] == []
    assert bundled.ok("run", "train").out == "step train alpha 1.1 hello there\n"
    assert "contradict" in bundled.fails(2, "cache", "prune", "--all", "--unused", "1 day").err


def test_a_home_folder_is_no_cache_and_loses_nothing(bundled: Workplace, tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / "Documents").mkdir(parents=True)
    (home / "Documents/thesis.tex").write_text("years of work")
    (home / "code").mkdir()
    for arguments in (["cache", "prune", "--all"], ["cache", "show"], ["run", "train"], ["bundle"], ["lock", "-U"]):
        failed = bundled.fails(1, *arguments, ENVC_CACHE_DIR=str(home))
        assert f"{home} is not empty, and is no cache of envc" in failed.err
        assert str(home / "envc-cache") in failed.err
    assert files(home) == ["Documents/thesis.tex"]
    # Earlier versions used it, and left an index there. It stays a cache, and the user's files stay as well.
    (home / "index-v3.sqlite").write_bytes(b"")
    bundled.ok("run", "train", ENVC_CACHE_DIR=str(home))
    assert (home / ".envc-cache").exists()
    bundled.ok("cache", "prune", "--all", ENVC_CACHE_DIR=str(home))
    assert files(home / "Documents") == ["thesis.tex"]
    assert (home / "code").is_dir() and not list(home.glob("envs/*"))


@pytest.mark.skipif(sys.platform == "win32", reason="modes are POSIX features")
def test_a_cache_that_every_user_may_change_is_not_used(bundled: Workplace, tmp_path: Path) -> None:
    cache, temporary = tmp_path / "shared", tmp_path / "tmp"
    cache.mkdir(mode=0o777)
    temporary.mkdir()
    cache.chmod(0o777)
    places = {"ENVC_CACHE_DIR": str(cache), "TMPDIR": str(temporary)}
    first = bundled.ok("run", "train", **places)
    (private,) = temporary.glob("envc-*")
    assert first.err.count("warning") == 1
    assert f"{cache} may be written by every user (mode 0777)" in first.err and str(private) in first.err
    assert stat.S_IMODE(private.stat().st_mode) == 0o700
    assert list(cache.iterdir()) == [] and list(private.glob("envs/*"))
    cache.chmod(0o755)
    assert bundled.ok("run", "train", **places).err.count("warning") == 0
    assert list(cache.glob("envs/*"))


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() != 0, reason="only root can give files away")
def test_a_cache_of_another_user_or_group_is_used_only_if_it_is_shared_on_purpose(
    bundled: Workplace, tmp_path: Path
) -> None:
    cache, temporary = tmp_path / "shared", tmp_path / "tmp"
    cache.mkdir()
    temporary.mkdir()
    places = {"ENVC_CACHE_DIR": str(cache), "TMPDIR": str(temporary)}
    for owner, group, mode, reason in (
        (12345, 0, 0o755, "belongs to user 12345"),
        (0, 12345, 0o2775, "may be written by its group (mode 2775)"),
    ):
        os.chown(cache, owner, group)
        cache.chmod(mode)
        refused = bundled.ok("run", "train", **places)
        assert f"{cache} {reason}" in refused.err and "ENVC_CACHE_SHARED=1" in refused.err
        assert list(cache.iterdir()) == []
    used = bundled.ok("run", "train", **places, ENVC_CACHE_SHARED="1")
    assert "warning" not in used.err and list(cache.glob("envs/*"))
    cache.chmod(0o2777)
    assert "every user" in bundled.ok("run", "train", **places, ENVC_CACHE_SHARED="1").err


# stores at URLs


def test_machines_without_write_access_use_a_store_on_a_web_server(bundled: Workplace, index: IndexServer) -> None:
    index.stop()
    with FolderServer(bundled.store, every=3) as server:
        url = server.url.replace("://", "://me:hunter2@")
        away = {"ENVC_STORE": url, "ENVC_CACHE_DIR": str(bundled.folder / "away")}
        assert bundled.ok("run", "train", **away).out == "step train alpha 1.1 hello there\n"
        assert set(server.methods()) == {"GET"}
        bundled.ok("verify", "--platform", host_platform(), **away)
        refused = bundled.fails(1, "bundle", "--platform", host_platform(), **away)
        assert "can only be read" in refused.err
        assert "hunter2" not in refused.err


def test_a_ready_step_starts_without_asking_its_store_and_when_the_store_is_gone(bundled: Workplace) -> None:
    with FolderServer(bundled.store) as server:
        away = {"ENVC_STORE": server.url, "ENVC_CACHE_DIR": str(bundled.folder / "away")}
        first = bundled.ok("run", "train", **away)
        asked = len(server.log)
        assert bundled.ok("run", "train", **away).out == first.out
        assert len(server.log) == asked
    assert bundled.ok("run", "train", **away).out == first.out


def test_a_store_is_asked_again_after_a_day_and_its_answer_used_if_it_is_gone(bundled: Workplace) -> None:
    with FolderServer(bundled.store) as server:
        away = {"ENVC_STORE": server.url, "ENVC_CACHE_DIR": str(bundled.folder / "away")}
        first = bundled.ok("run", "train", **away)
        asked = len(server.log)
        (entry,) = (bundled.folder / "away" / "pointers").iterdir()
        os.utime(entry, (time.time() - 90_000,) * 2)
        bundled.ok("run", "train", **away)
        assert [request.method for request in server.log[asked:]] == ["GET"]  # the pointer
        bundled.ok("run", "train", **away)
        assert len(server.log) == asked + 1
        os.utime(entry, (time.time() - 90_000,) * 2)
    gone = bundled.ok("run", "train", **away)
    assert gone.out == first.out
    assert "connection refused" in gone.err
    assert "using the environment that it led to before" in gone.err


def test_the_bundled_code_is_always_asked_for(bundled: Workplace) -> None:
    with FolderServer(bundled.store) as server:
        away = {"ENVC_STORE": server.url, "ENVC_CACHE_DIR": str(bundled.folder / "away")}
        bundled.ok("run", "train", "--from-store", **away)
        asked = len(server.log)
        bundled.ok("run", "train", "--from-store", **away)
        assert len(server.log) == asked + 1


@pytest.mark.skipif(sys.platform == "win32", reason="SIGINT cannot be sent to a single process")
def test_ctrl_c_does_not_wait_for_a_stalled_store(bundled: Workplace) -> None:
    """Otherwise each running request would be waited for until it times out, several times half a minute."""
    requested, go = threading.Event(), threading.Event()

    class Stalling(FolderServer):
        def answer(
            self, method: str, path: str, headers: dict[str, str], body: bytes
        ) -> tuple[int, dict[str, str], bytes]:
            if "/objects/" in path:
                requested.set()
                go.wait(120)
            return super().answer(method, path, headers, body)

    away = {"ENVC_CACHE_DIR": str(bundled.folder / "away")}
    with Stalling(bundled.store) as server:
        away["ENVC_STORE"] = server.url
        command = subprocess.Popen(
            [ENVC, "hydrate", "train", "--prefix", str(bundled.folder / "prefix")],
            cwd=bundled.checkout,
            env=bundled.env | away,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            assert requested.wait(60)
            command.send_signal(signal.SIGINT)
            _, errors = command.communicate(timeout=60)
        finally:
            command.kill()
            go.set()
    assert command.returncode == 130, errors
    assert errors.strip() == "interrupted: no file is half-written; run the same command again to continue"
    assert not [path for path in bundled.folder.iterdir() if "prefix" in path.name]


@pytest.mark.slow
def test_bundle_and_run_through_s3(workplace: Workplace, s3_server: S3Server) -> None:
    settings = s3_server.environ() | {"ENVC_STORE": s3_server.bucket()}
    workplace.env |= settings
    workplace.ok("lock")
    workplace.ok("bundle", "--platform", host_platform())
    assert workplace.ok("run", "train").out == "step train alpha 1.1 hello there\n"
    workplace.ok("verify", "--platform", host_platform())
    workplace.ok("tag", "v1")
    assert workplace.ok("gc", "--delete", "--json").json["garbage"] == 0
    assert not workplace.store.exists()
    for secret in ("secret", s3_server.url):
        assert secret not in workplace.lock.read_text()
