"""Alignment of versions across targets: the results of `newest` and `strong`, and the messages if they fail."""

from __future__ import annotations

from envc_solvers.pypi.align import Apart, Member, Mode, align
from envc_solvers.pypi.problem import Budget, PyPIProblem
from envc_solvers.pypi.solve import FailedSearch, attempt, solve_pypi
from envc_solvers.solution import Solution
from envc_solvers.target import Python, default_target
from tests.support.universe import MemoryIndex, Universe, Version, as_roots

PYTHON = Python(minor=(3, 11))


def solved(
    universe: Universe, roots: list[str], mode: Mode | None, *platforms: str
) -> tuple[list[dict[str, str]], tuple[Apart, ...]]:
    members = []
    for platform in platforms:
        target = default_target(platform)
        problem = PyPIProblem(target=target, python=PYTHON, roots=as_roots(roots, "roots"))
        members.append(Member(problem=problem, index=MemoryIndex(universe, target, PYTHON), answers={}))
    solutions = [solve_pypi(m.problem, m.index, m.answers) for m in members]
    apart: tuple[Apart, ...] = ()
    if mode is not None:

        def trial(number: int, problem: PyPIProblem) -> Solution | None:
            try:
                return attempt(problem, members[number].index, members[number].answers, Budget(max_tries=10_000))
            except FailedSearch:
                return None

        solutions, apart = align(members, solutions, mode, trial)
    return [{pin.name: pin.version for pin in solution.pins} for solution in solutions], apart


def wheel(name: str, version: str, platform: str) -> str:
    return f"{name}-{version}-cp311-cp311-{platform}.whl"


LINUX, MAC = "manylinux_2_17_x86_64", "macosx_11_0_arm64"

NEWEST_ON_LINUX_ONLY: Universe = {
    "lib": {
        "3.0": Version(files=(wheel("lib", "3.0", LINUX),)),
        "2.0": Version(),
        "1.0": Version(),
    }
}


def test_a_version_of_one_target_only_is_kept_unless_strong() -> None:
    apart, messages = solved(NEWEST_ON_LINUX_ONLY, ["lib"], "newest", "linux-64", "osx-arm64")
    assert apart == [{"lib": "3.0"}, {"lib": "2.0"}]
    assert messages == ()
    together, messages = solved(NEWEST_ON_LINUX_ONLY, ["lib"], "strong", "linux-64", "osx-arm64")
    assert together == [{"lib": "2.0"}, {"lib": "2.0"}]
    assert messages == ()


EITHER_OR: Universe = {
    # Only one of the two can be new. On macOS a third project makes the search decide the opposite.
    "alpha": {"2.0": Version(requires=("zeta<2",)), "1.0": Version()},
    "hub": {"1.0": Version(requires=("alpha", "zeta"))},
    "pin": {"1.0": Version(requires=("zeta; sys_platform == 'darwin'", "hub"))},
    "zeta": {"2.0": Version(), "1.0": Version()},
}


def test_newest_follows_the_tradeoff_of_an_earlier_target() -> None:
    alone, _ = solved(EITHER_OR, ["pin"], None, "linux-64", "osx-arm64")
    assert alone[0] == {"alpha": "2.0", "hub": "1.0", "pin": "1.0", "zeta": "1.0"}
    assert alone[1] == {"alpha": "1.0", "hub": "1.0", "pin": "1.0", "zeta": "2.0"}
    aligned, _ = solved(EITHER_OR, ["pin"], "newest", "linux-64", "osx-arm64")
    assert aligned == [alone[0], alone[0]]


def test_a_version_forbidden_on_one_target_is_not_tried() -> None:
    universe: Universe = {
        "app": {"1.0": Version(requires=("lib", "old; sys_platform == 'darwin'"))},
        "old": {"1.0": Version(requires=("lib<2",))},
        "lib": {"2.0": Version(), "1.0": Version()},
    }
    found, messages = solved(universe, ["app"], "newest", "linux-64", "osx-arm64")
    assert [pins["lib"] for pins in found] == ["2.0", "1.0"]
    assert messages == ()
    found, messages = solved(universe, ["app"], "strong", "linux-64", "osx-arm64")
    assert [pins["lib"] for pins in found] == ["1.0", "1.0"]


def test_strong_explains_why_it_fails() -> None:
    universe: Universe = {
        "lib": {"3.0": Version(files=(wheel("lib", "3.0", LINUX),)), "2.0": Version(files=(wheel("lib", "2.0", MAC),))},
        "app": {"1.0": Version(requires=("core<2; sys_platform == 'linux'", "core>=2; sys_platform == 'darwin'"))},
        "core": {"2.0": Version(), "1.0": Version()},
    }
    found, messages = solved(universe, ["lib", "app"], "strong", "linux-64", "osx-arm64")
    assert [pins["lib"] for pins in found] == ["3.0", "2.0"]
    assert messages == (
        Apart(
            project="core",
            versions=(("linux-64", "1.0"), ("osx-arm64", "2.0")),
            reason="no common version works on all of them (2.0, 1.0 tried)",
        ),
        Apart(
            project="lib",
            versions=(("linux-64", "3.0"), ("osx-arm64", "2.0")),
            reason="no version has files for all of them that the policy and the requirements allow",
        ),
    )


def test_aligned_projects_stay_aligned_while_the_next_is_tried() -> None:
    """`app` can only be aligned at 1.0, and then `lib` must be aligned at a version that app 1.0 allows."""
    universe: Universe = {
        "app": {
            "2.0": Version(requires=("lib>=2",), files=(wheel("app", "2.0", LINUX),)),
            "1.0": Version(requires=("lib<3",)),
        },
        "lib": {"3.0": Version(), "2.0": Version(files=(wheel("lib", "2.0", LINUX),)), "1.0": Version()},
    }
    found, messages = solved(universe, ["app"], "strong", "linux-64", "osx-arm64")
    assert found == [{"app": "1.0", "lib": "1.0"}, {"app": "1.0", "lib": "1.0"}]
    assert messages == ()


def test_alignment_does_not_choose_a_yanked_version() -> None:
    universe: Universe = {
        "lib": {
            "3.0": Version(files=(wheel("lib", "3.0", LINUX),)),
            "2.0": Version(yanked="broken"),
            "1.0": Version(),
        }
    }
    found, _ = solved(universe, ["lib"], "strong", "linux-64", "osx-arm64")
    assert found == [{"lib": "1.0"}, {"lib": "1.0"}]


def test_three_targets_agree_on_what_the_third_has() -> None:
    universe: Universe = {
        "lib": {
            "3.0": Version(files=(wheel("lib", "3.0", LINUX), wheel("lib", "3.0", MAC))),
            "2.0": Version(),
        }
    }
    found, _ = solved(universe, ["lib"], "strong", "linux-64", "osx-arm64", "win-64")
    assert found == [{"lib": "2.0"}] * 3
    found, _ = solved(universe, ["lib"], "newest", "linux-64", "osx-arm64", "win-64")
    assert found == [{"lib": "3.0"}, {"lib": "3.0"}, {"lib": "2.0"}]


def test_newest_sacrifices_nothing() -> None:
    """A common version of a dependency does not justify an older version of a requirement."""
    universe: Universe = {
        "app": {
            "2.0": Version(requires=("lib<2; sys_platform == 'darwin'", "lib"), files=(wheel("app", "2.0", MAC),)),
            "1.5": Version(requires=("lib",), files=(wheel("app", "1.5", LINUX),)),
            "1.0": Version(requires=("lib",)),
        },
        "lib": {"2.0": Version(), "1.0": Version()},
    }
    alone, _ = solved(universe, ["app"], None, "linux-64", "osx-arm64")
    assert alone == [{"app": "1.5", "lib": "2.0"}, {"app": "2.0", "lib": "1.0"}]
    assert solved(universe, ["app"], "newest", "linux-64", "osx-arm64") == (alone, ())
    together, _ = solved(universe, ["app"], "strong", "linux-64", "osx-arm64")
    assert together == [{"app": "1.0", "lib": "2.0"}, {"app": "1.0", "lib": "2.0"}]


def test_strong_revises_what_newest_had_aligned() -> None:
    """Two targets agree on the newest version, which the third does not have."""
    universe: Universe = {
        **EITHER_OR,
        "alpha": {
            "2.0": Version(requires=("zeta<2",), files=(wheel("alpha", "2.0", LINUX), wheel("alpha", "2.0", MAC))),
            "1.0": Version(),
        },
    }
    found, messages = solved(universe, ["pin"], "newest", "linux-64", "osx-arm64", "win-64")
    assert [pins["alpha"] for pins in found] == ["2.0", "2.0", "1.0"]
    found, messages = solved(universe, ["pin"], "strong", "linux-64", "osx-arm64", "win-64")
    assert [pins["alpha"] for pins in found] == ["1.0", "1.0", "1.0"]
    assert len({pins["zeta"] for pins in found}) == 1
    assert messages == ()
