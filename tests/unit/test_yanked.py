"""Yanked files in a lock: where the fact comes from, how long it is kept, and which steps it concerns."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from envc.locking.lockfile.dump import dumps
from envc.locking.lockfile.load import loads
from envc.locking.lockfile.merge import merge
from envc.locking.manifest.load import parse_manifest
from envc.locking.plan.closure import Closures
from envc.locking.plan.expand import StepTarget, StepTargetId, expand, lock_options
from envc.locking.plan.link import link
from envc.locking.review.yanked import Place, with_yanked, yanked
from envc.model.digest import Sha256, sha256
from envc.model.graph import Choice, LockGraph
from tests.support.lock_samples import WHOLE
from tests.support.manifests import project_table

MANIFEST = parse_manifest(
    f"""\
{project_table("linux-64", "osx-arm64")}
[steps.one]
pypi = ["alpha"]

[steps.two]
pypi = ["alpha", "native"]

[steps.three]
pypi = ["native"]
""",
    Path("manifest.toml"),
)
STEP_TARGETS = expand(MANIFEST)
OPTIONS = lock_options(MANIFEST, STEP_TARGETS)


def _choice(name: str, platform: str = "any") -> Choice:
    file = f"{name}-1.0-py3-none-{platform}.whl"
    return Choice(kind="pypi", name=name, version="1.0", source="pypi", file=file, size=7, sha256=digest(file))


def digest(file: str) -> Sha256:
    return sha256(file.encode())


def _answer(step_target: StepTarget) -> tuple[Choice, ...]:
    platforms = {"alpha": "any", "native": step_target.target.platform.replace("-", "_")}
    names = [dependency.requirement.name for dependency in step_target.pypi]
    return tuple(_choice(name, platforms[name]) for name in names)


def _lock(step_targets: tuple[StepTarget, ...] = STEP_TARGETS, previous: LockGraph | None = None) -> LockGraph:
    choices: dict[StepTargetId, tuple[Choice, ...]] = {
        (step_target.step, step_target.key): _answer(step_target) for step_target in step_targets
    }
    return link(step_targets, choices, OPTIONS, previous)


ALPHA = ("pypi", digest("alpha-1.0-py3-none-any.whl"))
LINUX, MAC = (("pypi", digest(f"native-1.0-py3-none-{platform}.whl")) for platform in ("linux_64", "osx_arm64"))


def test_steps_and_targets_that_use_the_files_are_named() -> None:
    graph = with_yanked(_lock(), {ALPHA: "leaks", LINUX: "", MAC: None})
    alpha, native = yanked(graph)
    assert alpha.files == ("alpha-1.0-py3-none-any.whl",)
    assert alpha.places == (Place(("one", "two"), ("linux-64", "osx-arm64")),)
    assert str(alpha) == "one, two on linux-64, osx-arm64: alpha 1.0 was yanked: leaks"
    assert "`envc lock -P alpha`" in alpha.hint
    assert native.files == ("native-1.0-py3-none-linux_64.whl",)
    assert str(native) == "three, two on linux-64: native 1.0 was yanked"


def test_files_of_one_version_may_be_yanked_for_several_reasons() -> None:
    graph = with_yanked(_lock(), {LINUX: "needs another libc", MAC: "not signed"})
    assert [(one.reason, one.places) for one in yanked(graph)] == [
        ("needs another libc", (Place(("three", "two"), ("linux-64",)),)),
        ("not signed", (Place(("three", "two"), ("osx-arm64",)),)),
    ]


def test_only_requested_steps_are_reported() -> None:
    graph = with_yanked(_lock(), {ALPHA: "leaks", LINUX: "old"})
    assert [
        one.name for one in yanked(graph, [step_target for step_target in STEP_TARGETS if step_target.step == "one"])
    ] == ["alpha"]
    on_mac = [
        step_target
        for step_target in STEP_TARGETS
        if step_target.step == "two" and step_target.target.name == "osx-arm64"
    ]
    assert [str(one) for one in yanked(graph, on_mac)] == ["two on osx-arm64: alpha 1.0 was yanked: leaks"]


def test_many_steps_are_counted() -> None:
    [environment, *_] = _lock().environments
    steps = tuple(f"step-{number:04}" for number in range(1_000))
    many = msgspec.structs.replace(environment, steps=steps)
    graph = with_yanked(msgspec.structs.replace(_lock(), environments=(many,)), {ALPHA: "leaks"})
    assert str(yanked(graph)[0]).startswith(
        "step-0000, step-0001, step-0002, step-0003, step-0004 and 995 more on linux"
    )


def test_a_lock_broken_by_a_merge_is_reported_as_far_as_possible() -> None:
    graph = with_yanked(_lock(), {ALPHA: "leaks"})
    assert yanked(msgspec.structs.replace(graph, environments=()))[0].places == ()
    twice = msgspec.structs.replace(graph, packages=graph.packages * 2)
    assert [one.name for one in yanked(twice)] == ["alpha", "alpha"]
    assert yanked(msgspec.structs.replace(graph, packages=())) == ()


def test_a_recorded_yank_stays_until_an_index_reports_otherwise() -> None:
    before = with_yanked(_lock(), {ALPHA: "leaks"})
    assert _lock(previous=before) == before
    assert with_yanked(_lock(previous=before), {LINUX: None}) == before
    assert with_yanked(_lock(previous=before), {ALPHA: None}) == _lock()
    assert with_yanked(_lock(previous=before), {ALPHA: "leaks much"}) != before
    # Each index decides this for the files that it serves.
    assert with_yanked(_lock(), {("elsewhere", ALPHA[1]): "leaks"}) == _lock()


def test_removing_a_step_removes_its_yanks() -> None:
    before = with_yanked(_lock(), {ALPHA: "leaks"})
    rest = tuple(step_target for step_target in STEP_TARGETS if step_target.step == "three")
    assert not _lock(rest, before).holds_yanked


def test_a_yank_changes_the_text_of_the_lock_but_no_environment() -> None:
    plain, marked = _lock(), with_yanked(_lock(), {ALPHA: "leaks", LINUX: ""})
    for step_target in STEP_TARGETS:
        assert Closures(plain).environment(step_target) == Closures(marked).environment(step_target)
        assert Closures(plain).environment(step_target).id == Closures(marked).environment(step_target).id
    assert loads(dumps(marked)) == marked
    assert dumps(plain) == dumps(marked).replace(', yanked = "leaks"', "").replace(', yanked = ""', "")


@pytest.mark.parametrize(
    ("ours", "theirs", "merged"),
    [(None, "leaks", "leaks"), ("", "leaks", "leaks"), (None, "", ""), ("a", "b", "b"), (None, None, None)],
)
def test_merging_branches_with_other_yanks_is_symmetric(
    ours: str | None, theirs: str | None, merged: str | None
) -> None:
    left, right = with_yanked(_lock(), {ALPHA: ours}), with_yanked(_lock(), {ALPHA: theirs})
    assert merge(left, right) == merge(right, left) == with_yanked(_lock(), {ALPHA: merged})


def test_yanked_build_requirements_are_reported_for_steps_that_use_the_wheels() -> None:
    steps = f"{', '.join(f'train-with-seed-{seed}' for seed in range(10, 15))} and 3 more"
    built, on_linux, on_gpu = yanked(WHOLE)
    assert str(on_gpu) == f'{steps} on gpu: torch 2.3.1 was yanked: wrong "rpath"'
    assert str(on_linux) == f"{steps} on linux-64: torch 2.3.1 was yanked"
    assert str(built) == (
        f"{steps} on linux-64: torch-2.3.1-py3-none-any.whl is built with a yanked file: setuptools 75.0 was yanked: "
        "breaks `pip install -e .`"
    )
    assert built.hint.startswith("`envc lock -P torch` builds with another version;")
    # A wheel that is only used for builds belongs to no step.
    alone = msgspec.structs.replace(WHOLE, packages=(), environments=())
    assert [str(one).partition(" ")[0] for one in yanked(alone)] == ["torch-2.3.1-py3-none-any.whl"]
    assert yanked(alone, ()) == ()
    setuptools = ("pypi", digest("setuptools"))
    assert not with_yanked(alone, {setuptools: None}).holds_yanked
