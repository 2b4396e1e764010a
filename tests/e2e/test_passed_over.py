"""Newer releases that a lock does not have: never in silence, and each with the way to get it."""

from __future__ import annotations

from pathlib import Path

import pytest
import tomli

from tests.e2e.command import HOST_PYTHON, Workplace, host_platform
from tests.support.projects import backend_wheel, project_files, sdist
from tests.support.servers import IndexServer
from tests.support.wheels import build_wheel

CP = f"cp{HOST_PYTHON.replace('.', '')}"


def manifest(*requirements: str, policy: str = "", more: str = "", targets: tuple[str, ...] = ()) -> str:
    return f"""\
[project]
name = "demo"
targets = {list(targets or (host_platform(),))}
python = "{HOST_PYTHON}"
[steps.train]
pypi = [{", ".join(f'"{one}"' for one in requirements)}]
run = "python -c 'import app; print(app.__version__)'"
{more}
[policy]
{policy}
"""


@pytest.fixture
def place(tmp_path: Path, index: IndexServer) -> Workplace:
    """An application of which only the old release needs no sources."""
    index.add(backend_wheel())
    index.add(build_wheel("app", "0.1", ["gamma"]))
    index.add(build_wheel("app", "1.3", ["runtime==4.9.*"]))
    index.add(build_wheel("runtime", "4.13"))
    index.add(sdist("runtime", "4.9", project_files("runtime", "4.9")))
    return Workplace(tmp_path, index.url)


def noted(place: Workplace) -> list[str]:
    """What the lock records as passed over."""
    return [
        line for table in tomli.loads(place.lock.read_text())["environment"] for line in table.get("passed-over", ())
    ]


def test_a_release_that_needs_sources_is_not_replaced_by_an_older_one_in_silence(place: Workplace) -> None:
    place.write(manifest("app"))
    failed = place.fails(1, "lock")
    assert (
        failed.err
        == f"""\
error: cannot solve step train on {host_platform()} (Python {HOST_PYTHON})
    app  (steps.train.pypi[0], line 6)
  app would fall back to 0.1: 1.3 needs runtime, which exists as source only
  try: build = ["runtime"] under [policy], which `envc lock --build runtime` writes (a build runs code of the package \
on this machine); or policy.sdist = "older", which locks app 0.1
"""
    )
    assert not place.lock.exists()
    (problem,) = place.fails(1, "lock", "--json").json["error"]["problems"]
    assert problem["passed-over"] == [
        {
            "name": "app",
            "version": "0.1",
            "newer": "1.3",
            "reason": "sdist",
            "text": "needs runtime, which exists as source only",
            "build": ["runtime"],
            "requirements": [{"requirement": "app", "origin": "steps.train.pypi[0], line 6"}],
        }
    ]


def test_the_build_option_writes_the_policy_and_the_newest_release_is_locked(place: Workplace) -> None:
    place.write(manifest("app"))
    place.ok("lock", "--build", "runtime")
    assert tomli.loads(place.manifest.read_text())["policy"] == {"build": ["runtime"]}
    assert '"pypi:app"\nversion = "1.3"' in place.lock.read_text()
    assert noted(place) == []
    before = place.manifest.read_bytes()
    assert "unchanged" in place.ok("lock", "--build", "Runtime").err
    assert place.manifest.read_bytes() == before
    place.ok("bundle")
    assert place.ok("run", "train").out == "1.3\n"


def test_the_manifest_is_restored_if_a_build_does_not_help(place: Workplace) -> None:
    place.write(manifest("app", "nothing-of-that-name"))
    before = place.manifest.read_bytes()
    assert "was restored" in place.fails(1, "lock", "--build", "runtime").err
    assert place.manifest.read_bytes() == before
    assert "--build changes the manifest" in place.fails(2, "lock", "--build", "runtime", "--check").err
    assert "is not a requirement" in place.fails(2, "lock", "--build", "not a name").err


def test_an_older_version_that_the_policy_allows_is_reported_by_every_verb(
    place: Workplace, index: IndexServer
) -> None:
    place.write(manifest("app", policy='sdist = "older"'))
    told = f"train on {host_platform()}: app 0.1 is locked: 1.3 needs runtime, which exists as source only"
    hint = "`envc lock --build runtime -P app` builds from source"
    assert f"warning: {told}\n  hint: {hint}\n" in place.ok("lock").err
    assert noted(place) == ["app 1.3: sdist runtime"]
    before = place.lock.read_bytes()
    index.forget()
    assert f"warning: {told}\n  hint: {hint}\n" in place.ok("lock", "--check").err
    assert f"{told}; {hint}" in place.ok("status").out
    assert "1 newer release was passed over; `envc status` says why" in place.ok("lock").err
    expected = {
        "name": "app",
        "version": "0.1",
        "newer": "1.3",
        "reason": "sdist",
        "text": "needs runtime, which exists as source only",
        "direct": True,
        "steps": ["train"],
        "targets": [host_platform()],
        "hint": hint,
    }
    for arguments in (["lock", "--json"], ["lock", "--check", "--json"], ["status", "--json"]):
        assert place.ok(*arguments).json["passed_over"] == [expected]
    assert index.log == []
    # A step that is solved again keeps the version and what is known about it; --verify finds the same lock.
    place.write(manifest("app", policy='sdist = "older"', more='[steps.other]\npypi = ["app", "delta"]'))
    place.ok("lock")
    assert noted(place) == ["app 1.3: sdist runtime"] * 2
    place.write(manifest("app", policy='sdist = "older"'))
    place.ok("lock")
    assert place.lock.read_bytes() == before
    place.ok("lock", "--verify")
    place.ok("lock", "--build", "runtime", "-P", "app")
    assert noted(place) == []
    assert '"pypi:app"\nversion = "1.3"' in place.lock.read_text()


def test_a_locked_version_is_kept_when_a_release_as_source_appears(place: Workplace, index: IndexServer) -> None:
    place.write(manifest("delta"))
    place.ok("lock")
    index.add(sdist("delta", "0.6", project_files("delta", "0.6")))
    place.write(manifest("delta", "gamma"))
    done = place.ok("lock", "--refresh")
    assert "delta 0.5 is locked: 0.6 exists as source only" in done.err
    assert "delta would fall back to 0.5: 0.6 exists as source only" in place.fails(1, "lock", "-U").err


def test_a_development_release_does_not_stand_in_for_final_sources(place: Workplace, index: IndexServer) -> None:
    index.add(sdist("hive", "0.7.0", project_files("hive", "0.7.0")))
    index.add(build_wheel("hive", "0.7.0.dev0"))
    place.write(manifest("hive"))
    refused = place.fails(1, "lock").err
    assert "hive: there are only source distributions" in refused
    assert 'try: build = ["hive"] under [policy], which `envc lock --build hive` writes' in refused
    place.write(manifest("hive", policy='sdist = "older"'))
    assert "hive 0.7.0.dev0 is locked: 0.7.0 exists as source only" in place.ok("lock").err


def test_a_release_that_requires_a_url_is_refused_or_named_in_the_manifest(
    place: Workplace, index: IndexServer
) -> None:
    inner = index.add(build_wheel("inner", "2.0"))
    url = f"{index.base}/files/{inner.file}".replace("http://", "http://user:secret@")
    index.add(build_wheel("outer", "1.0"))
    index.add(build_wheel("outer", "1.1", [f"inner @ {url}"]))
    place.write(manifest("outer"))
    refused = place.fails(1, "lock").err
    assert "outer would fall back to 1.0: 1.1 requires inner from a URL" in refused
    assert 'policy.direct-dependencies = "older", which locks outer 1.0' in refused
    assert '"inner @ http' in refused
    assert "secret" not in refused
    place.write(manifest("outer", policy='direct-dependencies = "older"'))
    assert "outer 1.0 is locked: 1.1 requires inner from a URL" in place.ok("lock").err
    assert noted(place) == ["outer 1.1: url inner"]


def test_files_for_a_higher_floor_are_told_for_default_floors(place: Workplace, index: IndexServer) -> None:
    for version, glibc in (("1.0", "2_17"), ("2.0", "2_34")):
        index.add(build_wheel("fast", version, tag=f"{CP}-{CP}-manylinux_{glibc}_x86_64"))
    place.write(manifest("fast", targets=("linux-64",)))
    done = place.ok("lock")
    assert "warning: train on linux-64: fast 1.0 is locked: 2.0 needs glibc 2.34, target has 2.28\n" in done.err
    assert '  hint: glibc = "2.34" under [targets.linux-64]\n' in done.err
    assert noted(place) == ["fast 2.0: no-file needs glibc 2.34, target has 2.28"]
    # Sources beside such files are not needed, only another floor.
    index.add(sdist("fast", "2.0", project_files("fast", "2.0")))
    place.ok("lock", "-U", "--refresh")
    place.write(manifest("fast", targets=("linux-64",), more='[targets.linux-64]\nglibc = "2.34"'))
    place.ok("lock", "-U")
    assert noted(place) == []


def test_every_other_reason_is_one_line(place: Workplace, index: IndexServer) -> None:
    old_python = build_wheel("needy", "2.0", requires_python=">=4")
    index.add(build_wheel("needy", "1.0"))
    index.add(old_python)
    index.add(build_wheel("gone", "1.0"))
    index.add(build_wheel("gone", "2.0"), yanked="broken")
    index.add(build_wheel("held", "1.0"))
    index.add(build_wheel("held", "2.0"))
    index.add(build_wheel("holder", "1.0", ["held<2"]))
    index.add(build_wheel("late", "1.0"), uploaded="2025-01-01T00:00:00Z")
    index.add(build_wheel("late", "2.0"), uploaded="2026-05-30T00:00:00Z")
    index.add(build_wheel("wants", "1.0"))
    index.add(build_wheel("wants", "2.0", ["held>=2"]))
    index.add(build_wheel("limited", "1.0"))
    index.add(build_wheel("limited", "2.0"))
    policy = 'exclude-newer-package = { late = "2026-01-01T00:00:00Z" }\n[constraints]\npypi = ["limited<2"]'
    place.write(manifest("needy", "gone", "held", "holder", "late", "wants", "limited", policy=policy))
    done = place.ok("lock")
    assert (
        done.err.partition("solved in")[2].partition("\n")[2]
        == f"""\
newer, and uploaded after the cut-off: late 2.0
train on {host_platform()}: gone 1.0 is locked: 2.0 was yanked: broken
train on {host_platform()}: held 1.0 is locked: 2.0 conflicts with holder 1.0, which requires held<2
train on {host_platform()}: limited 1.0 is locked: 2.0 is outside of the constraint limited<2
train on {host_platform()}: needy 1.0 is locked: 2.0 requires Python >=4
train on {host_platform()}: wants 1.0 is locked: 2.0 conflicts with held 1.0, because it requires held>=2
"""
    )


def test_a_package_that_another_one_brings_along_is_told(place: Workplace, index: IndexServer) -> None:
    index.add(build_wheel("top", "1.0", ["app"]))
    place.write(manifest("top"))
    done = place.ok("lock")
    assert "app 0.1 is locked: 1.3 needs runtime, which exists as source only" in done.err
    assert noted(place) == ["app 1.3: sdist runtime"]


def test_steps_and_targets_share_one_line(place: Workplace) -> None:
    more = '[steps.other]\npypi = ["app"]'
    place.write(manifest("app", policy='sdist = "older"', more=more, targets=("linux-64", "osx-arm64", "win-64")))
    done = place.ok("lock")
    assert done.err.count("is locked") == 1
    assert "other, train on linux-64, osx-arm64, win-64: app 0.1 is locked" in done.err
    place.write(manifest("app", more=more, targets=("linux-64", "osx-arm64", "win-64")))
    refused = place.fails(1, "lock").err
    assert refused.count("would fall back") == 1


def test_a_lock_with_an_unreadable_reason_is_refused(place: Workplace) -> None:
    place.write(manifest("app", policy='sdist = "older"'))
    place.ok("lock")
    place.lock.write_text(place.lock.read_text().replace("app 1.3: sdist runtime", "app: newer"))
    assert "is not a release with a reason" in place.fails(1, "lock").err


def test_a_release_whose_own_requirements_cannot_be_met_is_told(place: Workplace, index: IndexServer) -> None:
    index.add(build_wheel("whole", "3.17", ["part==3.17"]))
    index.add(build_wheel("whole", "3.18", ["part==3.18"]))
    index.add(build_wheel("part", "3.17"))
    place.write(manifest("whole"))
    told = (
        "whole 3.17 is locked: 3.18 cannot be used: part: there is no version that matches ==3.18; the newest is 3.17"
    )
    assert told in place.ok("lock").err
    assert noted(place) == ["whole 3.18: unmet part: there is no version that matches ==3.18; the newest is 3.17"]


def test_all_sources_below_a_release_are_named_at_once(place: Workplace, index: IndexServer) -> None:
    index.add(build_wheel("deep", "1.0"))
    index.add(build_wheel("deep", "2.0", ["middle"]))
    index.add(build_wheel("middle", "1.0", ["runtime<4.10", "engine"]))
    index.add(sdist("engine", "1.0", project_files("engine", "1.0")))
    place.write(manifest("deep"))
    refused = place.fails(1, "lock").err
    assert "2.0 needs engine and runtime, which exist as source only" in refused
    assert "`envc lock --build engine --build runtime` writes" in refused
    place.ok("lock", "--build", "engine", "--build", "runtime")


def test_a_dependency_for_a_higher_floor_is_named_with_the_floor(place: Workplace, index: IndexServer) -> None:
    index.add(build_wheel("guided", "1.0"))
    index.add(build_wheel("guided", "2.0", ["guide"]))
    index.add(build_wheel("guide", "1.7", tag=f"{CP}-{CP}-manylinux_2_31_x86_64"))
    index.add(sdist("guide", "1.7", project_files("guide", "1.7")))
    place.write(manifest("guided", targets=("linux-64",)))
    done = place.ok("lock")
    assert "guided 1.0 is locked: 2.0 needs guide 1.7, which needs glibc 2.31, target has 2.28" in done.err
    assert 'hint: glibc = "2.31" under [targets.linux-64]' in done.err


def test_a_stricter_policy_applies_to_what_a_weaker_one_has_locked(place: Workplace) -> None:
    place.write(manifest("app", policy='sdist = "older"'))
    place.ok("lock")
    place.write(manifest("app"))
    assert "app would fall back to 0.1: 1.3 needs runtime" in place.fails(1, "lock").err


def test_solve_takes_the_older_version_and_says_so(place: Workplace) -> None:
    done = place.ok("solve", "--pypi", "app")
    assert "app==0.1" in done.out
    assert "warning: app 0.1 is chosen: 1.3 needs runtime, which exists as source only" in done.err


def test_adding_a_requirement_that_would_fall_back_changes_nothing(place: Workplace) -> None:
    place.write(manifest("gamma"))
    before = place.manifest.read_bytes()
    assert "app would fall back to 0.1" in place.fails(1, "add", "app").err
    assert place.manifest.read_bytes() == before
