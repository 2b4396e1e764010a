"""Merges two locks by key, and detects leftovers of a merge by text."""

from __future__ import annotations

from msgspec.structs import replace

from envc.locking.lockfile.dump import dumps
from envc.locking.lockfile.load import loads
from envc.locking.lockfile.merge import Dangling, dangling, merge
from envc.model.graph import Artifact, LockedEnvironment, LockGraph, Package, PackageRef
from envc.model.lock_lines import LockedInput
from tests.support.lock_samples import SMALL, TORCH, WHOLE, artifact, digest

STEPS = ("evaluate", "train")
TRAIN = SMALL.environments[0]


def _package(name: str, version: str = "1.0") -> Package:
    return Package(
        id=f"pypi:{name}", version=version, source="pypi", artifacts=(artifact(f"{name}-{version}-py3-none-any.whl"),)
    )


def _environment(step: str, *names: str) -> LockedEnvironment:
    return LockedEnvironment(
        steps=(step,),
        targets=("linux-64/cp312",),
        python="3.12",
        requires=tuple(LockedInput(f"pypi:{name}") for name in names),
        packages=tuple(PackageRef(f"pypi:{name}") for name in names),
    )


def _lock(*steps: LockedEnvironment, packages: tuple[Package, ...] = ()) -> LockGraph:
    return LockGraph(environments=steps, packages=packages)


A, B = _package("a"), _package("b")


def test_steps_added_on_both_sides_are_kept() -> None:
    ours = _lock(_environment("x", "a"), packages=(A,))
    theirs = _lock(_environment("y", "a", "b"), packages=(A, B))
    merged = merge(ours, theirs)
    assert merged == _lock(_environment("x", "a"), _environment("y", "a", "b"), packages=(A, B))
    assert dangling(merged) == ()


def test_a_different_version_on_each_side_keeps_both_and_is_stale() -> None:
    ours = _lock(_environment("x", "a"), _environment("y", "b"), packages=(A, B))
    theirs = _lock(_environment("x", "a"), _environment("y", "b"), packages=(_package("a", "2.0"), B))
    merged = merge(ours, theirs)
    assert [package.version for package in merged.packages] == ["1.0", "2.0", "1.0"]
    assert dangling(merged) == (Dangling(("x",), "pypi:a is in the lock 2 times"),)


def test_a_step_solved_differently_on_both_sides_is_left_out() -> None:
    ours = _lock(_environment("x", "a"), _environment("y", "a"), packages=(A,))
    theirs = _lock(_environment("x", "b"), _environment("y", "a"), packages=(A, B))
    assert merge(ours, theirs).environments == (_environment("y", "a"),)


def test_a_step_that_moved_between_environments_is_left_out() -> None:
    shared = replace(_environment("x", "a"), steps=("x", "y"))
    assert merge(_lock(shared), _lock(_environment("x", "a"), _environment("z", "a"))).environments == (
        _environment("z", "a"),
    )


def test_artifacts_of_one_version_are_united() -> None:
    linux, mac = TORCH.artifacts
    mapping = {"py3.11-posix": digest("content")}
    ours = _lock(packages=(replace(TORCH, artifacts=(linux,)),))
    theirs = _lock(packages=(replace(TORCH, artifacts=(replace(linux, targets=("gpu/cp311",), content=mapping), mac)),))
    merged = merge(ours, theirs)
    assert merged == merge(theirs, ours)
    assert merged.packages == (replace(TORCH, artifacts=(replace(linux, content=mapping), mac)),)


def test_contradicting_artifacts_are_not_united() -> None:
    linux, mac = TORCH.artifacts
    for other in (
        replace(linux, size=1),
        replace(linux, sha256=mac.sha256, file="torch-2.5.1-py3-none-any.whl"),
        replace(linux, sha256=digest("other")),
    ):
        merged = merge(_lock(packages=(TORCH,)), _lock(packages=(replace(TORCH, artifacts=(other,)),)))
        assert len(merged.packages) == 2


def test_leftovers_of_a_merge_by_text_are_found() -> None:
    missing = replace(TRAIN, packages=(PackageRef("pypi:gone"), PackageRef("pypi:torch", ("win-64",))))
    assert dangling(replace(SMALL, environments=(missing,))) == (
        Dangling(STEPS, "pypi:gone is not in the lock"),
        Dangling(STEPS, "pypi:torch @ win-64 is for a target that the environment lacks"),
    )
    one_file = replace(TORCH, artifacts=TORCH.artifacts[:1])
    assert dangling(replace(SMALL, packages=(one_file,))) == (
        Dangling(STEPS, "pypi:torch has no files for osx-arm64/cp311"),
    )
    everywhere = replace(TORCH, artifacts=tuple(replace(each, targets=()) for each in TORCH.artifacts))
    assert Dangling(STEPS, "pypi:torch has 2 files for gpu/cp311") in dangling(replace(SMALL, packages=(everywhere,)))
    doubled = replace(SMALL, environments=(TRAIN, replace(TRAIN, steps=("train",))))
    assert dangling(doubled) == (
        Dangling(STEPS, "step train is in 2 environments"),
        Dangling(("train",), "step train is in 2 environments"),
    )
    assert loads(dumps(doubled)) == doubled


def test_projects_found_by_a_mixed_step_of_one_side_are_kept() -> None:
    plain = replace(A, id="conda:a", artifacts=(artifact("a-1.0-0.conda"),))
    with_projects = replace(plain, pypi=("alpha",))
    assert merge(_lock(packages=(plain,)), _lock(packages=(with_projects,))).packages == (with_projects,)
    assert merge(_lock(packages=(with_projects,)), _lock(packages=(plain,))).packages == (with_projects,)
    assert loads(dumps(_lock(packages=(with_projects,)))).packages == (with_projects,)


def test_packages_with_different_folders_on_each_side_are_both_kept() -> None:
    """Then its environments are stale: with either side alone the result would depend on the order."""
    left = SMALL.packages[0].artifacts[0]
    for changes in ({"noarch": "python"}, {"site_packages": "lib/python/site-packages"}):
        right = replace(left, **changes)
        ours, theirs = (
            replace(SMALL, packages=(replace(SMALL.packages[0], artifacts=(each,)),)) for each in (left, right)
        )
        assert merge(ours, theirs) == merge(theirs, ours)
        assert len(merge(ours, theirs).packages) == 2


def test_options_of_both_sides_are_kept_and_ours_win() -> None:
    ours = LockGraph(version=1, options={"align": "off", "build": ["a"]}, environments=(), packages=())
    theirs = LockGraph(version=2, options={"align": "strong", "resolution": "lowest"}, environments=(), packages=())
    merged = merge(ours, theirs)
    assert merged.options == {"align": "off", "build": ["a"], "resolution": "lowest"}
    assert merge(theirs, ours).options == {"align": "strong", "build": ["a"], "resolution": "lowest"}
    assert merged.version == merge(theirs, ours).version == 2


LINUX, MAC = TORCH.artifacts


def united(left: Artifact, right: Artifact) -> tuple[Artifact, ...] | None:
    """Return the artifacts of a package that both sides have; None if the package occurs twice."""
    ours, theirs = (_lock(packages=(replace(TORCH, artifacts=(each,)),)) for each in (left, right))
    assert merge(ours, theirs) == merge(theirs, ours)
    packages = merge(ours, theirs).packages
    return packages[0].artifacts if len(packages) == 1 else None


def test_one_file_serves_the_targets_of_both_sides() -> None:
    left, right = replace(LINUX, targets=("gpu/cp311",)), replace(LINUX, targets=("linux-64/cp311",))
    assert united(left, right) == (LINUX,)
    everywhere = replace(LINUX, targets=())
    assert united(left, everywhere) == (everywhere,)
    assert united(everywhere, everywhere) == (everywhere,)


def test_two_files_serve_different_targets_or_are_not_united() -> None:
    assert united(LINUX, MAC) == (LINUX, MAC)
    assert united(replace(LINUX, targets=()), MAC) is None
    assert united(LINUX, replace(MAC, targets=())) is None
    assert united(LINUX, replace(MAC, targets=(*MAC.targets, LINUX.targets[0]))) is None


def test_a_target_listed_twice_for_a_file_is_kept_once() -> None:
    assert united(replace(LINUX, targets=(*LINUX.targets, *LINUX.targets)), MAC) == (LINUX, MAC)


def test_a_yank_known_to_one_side_is_kept() -> None:
    for one, other, kept in ((None, "", ""), (None, "broken", "broken"), ("", "broken", "broken"), ("a", "b", "b")):
        found = united(replace(LINUX, yanked=one), replace(LINUX, yanked=other))
        assert found is not None and found[0].yanked == kept
    assert united(LINUX, LINUX) == (LINUX,)


def test_contents_of_one_layout_must_agree() -> None:
    left = replace(LINUX, content={"nt": digest("a"), "any": digest("b")})
    assert united(left, replace(LINUX, content={"nt": digest("a"), "code": digest("c")})) == (
        replace(LINUX, content={"nt": digest("a"), "any": digest("b"), "code": digest("c")}),
    )
    assert united(left, replace(LINUX, content={"nt": digest("other")})) is None


def test_facts_of_one_digest_must_agree() -> None:
    for changes in ({"file": "torch-2.5.1-py3-none-any.whl"}, {"size": 1}, {"depends": ()}, {"depends": ("x",)}):
        assert united(LINUX, replace(LINUX, **changes)) is None


def test_packages_that_differ_in_more_than_files_are_both_kept() -> None:
    for changes in ({"license": "MIT"}, {"depends": ("x",)}, {"released": None}, {"source": "inner"}):
        merged = merge(_lock(packages=(TORCH,)), _lock(packages=(replace(TORCH, **changes),)))
        assert len(merged.packages) == 2


def test_merging_again_with_either_side_changes_nothing() -> None:
    other = replace(TORCH, artifacts=(replace(LINUX, size=1), MAC))
    for theirs in (
        other,
        replace(TORCH, version="3"),
        replace(TORCH, artifacts=(MAC,)),
        replace(TORCH, pypi=("torch",)),
    ):
        ours, others = _lock(_environment("x", "a"), packages=(TORCH, A)), _lock(packages=(theirs,))
        merged = merge(ours, others)
        assert merge(merged, others) == merge(others, merged) == merge(merged, ours) == merged


def test_builds_of_both_sides_are_kept() -> None:
    (build,) = WHOLE.builds
    other = replace(build, sha256=digest("another wheel"))
    merged = merge(replace(SMALL, builds=(build,)), replace(SMALL, builds=(other, build)))
    assert {each.sha256 for each in merged.builds} == {build.sha256, other.sha256}
    assert len(merged.builds) == 2


def test_environments_of_one_step_that_differ_in_anything_are_left_out() -> None:
    environment = _environment("x", "a")
    for changes in ({"python": "3.13"}, {"interpreter": "conda"}, {"requires": ()}, {"targets": ("win-64/cp312",)}):
        changed = replace(environment, **changes)
        assert merge(_lock(environment, packages=(A,)), _lock(changed, packages=(A,))).environments == ()


def test_duplicates_of_packages_and_steps_are_counted() -> None:
    thrice = replace(SMALL, packages=tuple(replace(TORCH, version=version) for version in "123"))
    assert dangling(thrice) == (Dangling(STEPS, "pypi:torch is in the lock 3 times"),)
    one = _environment("x", "a")
    doubled = _lock(one, replace(one, steps=("x", "y")), packages=(A,))
    assert dangling(doubled) == (
        Dangling(("x",), "step x is in 2 environments"),
        Dangling(("x", "y"), "step x is in 2 environments"),
    )


def test_a_line_for_one_target_needs_a_file_for_that_target_alone() -> None:
    only = replace(TRAIN, packages=(PackageRef("pypi:torch", ("osx-arm64",)),))
    assert dangling(replace(SMALL, environments=(only,))) == ()
    linux_alone = replace(TORCH, artifacts=(LINUX,))
    assert dangling(replace(SMALL, environments=(only,), packages=(linux_alone,))) == (
        Dangling(STEPS, "pypi:torch has no files for osx-arm64/cp311"),
    )
    without = replace(TORCH, artifacts=(replace(LINUX, targets=()),))
    assert dangling(replace(SMALL, packages=(without,))) == ()
