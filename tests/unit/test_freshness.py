"""What makes a lock stale: changed options, Pythons and local projects, and missing packages."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from envc.locking.plan.expand import StepTarget, expand, lock_options
from envc.locking.plan.freshness import Checks, Freshness, Reason, Scope, compare
from envc.locking.plan.link import link
from envc.model.digest import Sha256, sha256
from envc.model.graph import Build, Choice, LockGraph, SourceFile
from tests.support.manifests import project_table
from tests.unit.test_stages import TWO_STEPS, choice, linked, manifest_of


def exact(text: str, graph: LockGraph) -> list[tuple[str, str, str]]:
    """Return every reason that concerns an option: key, old, new."""
    manifest = manifest_of(text)
    found = compare(manifest, expand(manifest), graph).reasons
    return [(reason.key, reason.old, reason.new) for reason in found if reason.key.startswith("options.")]


def with_policy(line: str) -> str:
    return TWO_STEPS.replace("[groups.base]", f"[policy]\n{line}\n[groups.base]")


def with_project(line: str) -> str:
    return TWO_STEPS.replace('name = "demo"', f'name = "demo"\n{line}')


SOURCES = "".join(f'[sources.{name}]\nkind = "pypi"\nurl = "https://{name}.example.com"\n' for name in ("one", "other"))


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (TWO_STEPS, with_policy('resolution = "lowest"'), [("resolution", "", "lowest")]),
        (with_policy('resolution = "lowest"'), TWO_STEPS, [("resolution", "lowest", "")]),
        (
            with_policy('resolution = "lowest"'),
            with_policy('resolution = "lowest-direct"'),
            [("resolution", "lowest", "lowest-direct")],
        ),
        (
            with_policy('prereleases = ["alpha", "beta"]'),
            with_policy('prereleases = "allow"'),
            [("prereleases", "alpha, beta", "allow")],
        ),
        (TWO_STEPS, with_policy('build = ["beta", "alpha"]'), [("build", "", "alpha"), ("build", "", "beta")]),
        (
            with_policy('build = ["alpha"]'),
            with_policy('build = ["beta"]'),
            [("build", "", "beta"), ("build", "alpha", "")],
        ),
        (
            with_policy('exclude-newer-package = { alpha = false, beta = "7 days" }'),
            with_policy('exclude-newer-package = { alpha = "7 days", gamma = false }'),
            [
                ("exclude-newer-package.alpha", "false", "P7D"),
                ("exclude-newer-package.beta", "P7D", ""),
                ("exclude-newer-package.gamma", "", "false"),
            ],
        ),
        (with_project('exclude-newer = "7 days"'), TWO_STEPS, [("exclude-newer", "P7D", "")]),
        # The order of indexes matters, so they are compared as a whole.
        (
            with_project('indexes = ["one", "other"]') + SOURCES,
            with_project('indexes = ["other", "one"]') + SOURCES,
            [("indexes", "one, other", "other, one")],
        ),
        (TWO_STEPS, TWO_STEPS + SOURCES, [("sources.one", "", "pypi"), ("sources.other", "", "pypi")]),
        (
            TWO_STEPS + SOURCES,
            TWO_STEPS + SOURCES.replace("[sources.other]", '[sources.other]\nsteps = ["one"]'),
            [("sources.other", "pypi", "pypi steps=one")],
        ),
        (
            TWO_STEPS.replace("[groups.base]", '[constraints]\npypi = ["alpha<9", "beta<9"]\n[groups.base]'),
            TWO_STEPS.replace("[groups.base]", '[constraints]\npypi = ["beta<9"]\n[groups.base]'),
            [("constraints", "pypi:alpha<9", "")],
        ),
    ],
)
def test_each_differing_option_is_named(old: str, new: str, expected: list[tuple[str, str, str]]) -> None:
    found = exact(new, linked(manifest_of(old)))
    assert found == [(f"options.{key}", before, after) for key, before, after in expected]


@pytest.mark.parametrize(
    "option", ['resolution = "lowest"', 'build = ["alpha"]', "exclude-newer-package = { a = false }"]
)
def test_a_differing_option_makes_every_step_stale(option: str) -> None:
    manifest = manifest_of(with_policy(option))
    freshness = compare(manifest, expand(manifest), linked(manifest_of()))
    assert (freshness.is_fresh, freshness.fresh) == (False, frozenset())


@pytest.mark.parametrize(
    ("reason", "text"),
    [
        (Reason("one.python", "3.11", "3.12"), "one.python: 3.11 -> 3.12"),
        (Reason("steps", "", "one"), "step one is not in the lock"),
        (Reason("steps", "one", ""), "step one is in the lock, but not in the manifest"),
        (Reason("steps", "", "one", ("steps", "one")), "step one is not in the lock"),
        (Reason("steps", "", "one", ("steps", "one"), 7), "step one is not in the lock (steps.one, line 7)"),
        (
            Reason("one...", "4ba0", "79a6", ("steps", "one", "pypi", 0), 7, code=".."),
            "the files of .. have changed since step one was locked (steps.one.pypi[0], line 7)",
        ),
    ],
)
def test_a_reason_is_one_line(reason: Reason, text: str) -> None:
    assert str(reason).startswith(text)


def test_added_and_removed_targets_are_named_and_only_they_are_stale() -> None:
    graph = linked(manifest_of())
    moved = manifest_of(TWO_STEPS.replace('"osx-arm64"]', '"win-64"]').replace("on.osx-arm64", "on.win-64"))
    freshness = compare(moved, expand(moved), graph)
    found = {(reason.key, reason.old, reason.new, reason.at) for reason in freshness.reasons}
    assert ("options.targets.osx-arm64", "macos=13.0", "", ()) in found
    assert ("options.targets.win-64", "", "archspec=x86_64_v2", ("project", "targets")) in found
    assert ("one.targets", "osx-arm64/cp312", "", ()) in found
    assert ("one.targets", "", "win-64/cp312", ("project", "targets")) in found
    assert {key for _, key in freshness.fresh} == {"linux-64/cp312"}


@pytest.mark.parametrize(
    ("own", "at"), [("", ("project", "python")), ('python = "3.11"\n', ("steps", "three", "python"))]
)
def test_a_changed_python_makes_the_step_stale_on_every_target(own: str, at: tuple[str, ...]) -> None:
    graph = linked(manifest_of())
    if own:
        changed = manifest_of(TWO_STEPS.replace("[steps.three]\n", f"[steps.three]\n{own}"))
    else:
        changed = manifest_of(TWO_STEPS.replace('python = "3.12"', 'python = "3.11"'))
    freshness = compare(changed, expand(changed), graph)
    (reason,) = (reason for reason in freshness.reasons if reason.key == "three.python")
    assert (reason.old, reason.new, reason.at) == ("3.12", "3.11", at)
    assert {step for step, _ in freshness.fresh} == ({"one", "two"} if own else set())


def test_a_changed_interpreter_makes_its_step_stale() -> None:
    changed = manifest_of(TWO_STEPS.replace("[steps.three]\n", '[steps.three]\ninterpreter = "standalone"\n'))
    freshness = compare(changed, expand(changed), linked(manifest_of()))
    assert [(reason.key, reason.old, reason.new) for reason in freshness.reasons] == [
        ("three.interpreter", "host", "standalone")
    ]
    assert {step for step, _ in freshness.fresh} == {"one", "two"}


def test_a_step_with_a_missing_package_is_stale_on_that_target_only() -> None:
    manifest = manifest_of()
    graph = linked(manifest)
    without = msgspec.structs.replace(
        graph, packages=tuple(package for package in graph.packages if package.name != "gamma")
    )
    freshness = compare(manifest, expand(manifest), without)
    assert [(reason.key, reason.old, reason.new) for reason in freshness.reasons] == [
        ("two.packages", "pypi:gamma on osx-arm64/cp312 cannot be found", "")
    ]
    assert freshness.fresh == {each.id for each in expand(manifest)} - {("two", "osx-arm64/cp312")}


def test_each_reason_names_the_part_of_the_lock_it_concerns() -> None:
    text = with_policy('resolution = "lowest"').replace("[steps.three]\n", '[steps.three]\npython = "3.11"\n')
    text = text.replace("beta[fast]", "beta") + '[targets.linux-64]\nglibc = "2.31"\n[steps.four]\n'
    manifest = manifest_of(text)
    freshness = compare(manifest, expand(manifest), linked(manifest_of()))
    assert set(freshness.scopes) == set(freshness.reasons)
    assert [reason.key for reason, scope in freshness.scopes.items() if scope.all_targets] == ["three.python"]
    assert {reason.key: scope for reason, scope in freshness.scopes.items()} == {
        "options.resolution": Scope("lock"),
        "options.targets.linux-64": Scope("target", "linux-64"),
        "steps": Scope("step", "four"),
        "three.python": Scope("step", "three", all_targets=True),
        "three.targets": Scope("step", "three"),
        "two.requires": Scope("step", "two"),
    }


# local projects and files

LOCAL = f"""\
{project_table("linux-64")}
[steps.one]
pypi = [{{ name = "made", path = "libs/made" }}, "alpha"]

[steps.two]
pypi = ["alpha"]
"""
TREE, OTHER = sha256(b"tree"), sha256(b"other tree")


def made(source: str = "path") -> Choice:
    return msgspec.structs.replace(choice("made"), source=source)


def build(**origin: Any) -> Build:
    return Build(wheel=made().file, sha256=made().sha256, python="linux-64/cp312", **origin)


def compared(local: dict[str, str] | None, *builds: Build, source: str = "path") -> Freshness:
    """Compare a manifest with a local project with its lock, after the files were replaced by `local`.

    The lock is not checked against itself, since these locks have builds that no solver would have made.
    """
    manifest = manifest_of(LOCAL)
    step_targets: tuple[StepTarget, ...] = expand(manifest)
    choices = {
        step_target.id: (made(source), choice("alpha")) if step_target.step == "one" else (choice("alpha"),)
        for step_target in step_targets
    }
    graph = link(step_targets, choices, lock_options(manifest, step_targets), builds=builds)
    return compare(manifest, step_targets, graph, local, Checks(steps=()))


ONE, TWO = ("one", "linux-64/cp312"), ("two", "linux-64/cp312")
SDIST = SourceFile(file="made-1.0.tar.gz", size=1, sha256=Sha256(TREE))


@pytest.mark.parametrize("local", [None, {}, {"libs/made": TREE}])
def test_an_unchanged_project_is_fresh(local: dict[str, str] | None) -> None:
    freshness = compared(local, build(tree=TREE))
    assert (freshness.reasons, freshness.fresh) == ((), {ONE, TWO})


@pytest.mark.parametrize("origin", [{"tree": TREE}, {"sdist": SDIST}])
@pytest.mark.parametrize("now", [OTHER, ""])
def test_a_changed_project_makes_its_step_stale(origin: dict[str, Any], now: str) -> None:
    freshness = compared({"libs/made": now}, build(**origin))
    code = "libs/made" if now and "tree" in origin else msgspec.UNSET
    reason = Reason("one.libs/made", TREE[:12], now[:12], ("steps", "one", "pypi", 0), code=code)
    assert freshness.reasons == (reason,)
    assert freshness.fresh == {TWO}


def test_a_missing_project_counts_as_changed() -> None:
    freshness = compared({"libs/else": TREE}, build(tree=TREE))
    assert [(reason.key, reason.new) for reason in freshness.reasons] == [("one.libs/made", "")]


def test_a_file_is_compared_with_the_artifact_itself() -> None:
    assert compared({"libs/made": made().sha256}).is_fresh
    freshness = compared({"libs/made": OTHER})
    assert [(reason.old, reason.new) for reason in freshness.reasons] == [(made().sha256[:12], OTHER[:12])]


def test_a_wheel_also_built_from_a_repository_is_compared_with_the_path_only() -> None:
    both = build(tree=TREE), build(commit="a" * 40)
    assert compared({"libs/made": TREE}, *both).is_fresh
    assert [reason.old for reason in compared({"libs/made": OTHER}, *both).reasons] == [TREE[:12]]


def test_a_wheel_built_only_from_a_repository_is_not_compared_with_the_path() -> None:
    assert compared({"libs/made": OTHER}, build(commit="a" * 40)).is_fresh


def test_any_of_several_trees_may_match_and_the_first_is_named() -> None:
    trees = build(tree=TREE), build(tree=OTHER)
    assert compared({"libs/made": TREE}, *trees).is_fresh
    assert compared({"libs/made": OTHER}, *trees).is_fresh
    third = compared({"libs/made": sha256(b"third")}, *trees)
    assert [reason.old for reason in third.reasons] == [min(TREE, OTHER)[:12]]


def test_a_package_from_an_index_is_not_compared_with_the_path() -> None:
    assert compared({"libs/made": OTHER}, build(tree=TREE), source="pypi").is_fresh
