"""The graph of a lock: the ids of packages, and the facts kept from the previous lock."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from msgspec.structs import replace

from envc.locking.plan.expand import StepTarget, expand
from envc.locking.plan.inputs import environment_inputs
from envc.locking.plan.link import link
from envc.model.digest import sha256
from envc.model.graph import Build, BuildRequirement, Choice, LockGraph, Package
from tests.unit.test_stages import TWO_STEPS, choice, manifest_of

LINUX, MAC = "linux-64/cp312", "osx-arm64/cp312"


def step_targets(*steps: str, text: str = TWO_STEPS) -> tuple[StepTarget, ...]:
    return tuple(each for each in expand(manifest_of(text)) if each.step in steps)


def graph_of(*rows: tuple[Choice, ...], previous: LockGraph | None = None, builds: tuple[Build, ...] = ()) -> LockGraph:
    """Return a graph whose steps one, two and three have these choices on all their targets."""
    targets = step_targets(*("one", "two", "three")[: len(rows)])
    chosen = dict(zip(("one", "two", "three"), rows, strict=False))
    return link(targets, {each.id: chosen[each.step] for each in targets}, {}, previous, builds)


def ids(graph: LockGraph) -> list[tuple[str, str, str]]:
    return sorted((package.version, package.source, package.id) for package in graph.packages)


def conda(version: str, build: str = "h_0", source: str = "main", salt: str = "") -> Choice:
    return Choice(
        kind="conda",
        name="lib",
        version=version,
        build=build,
        source=source,
        file=f"lib-{version}-{build}.conda",
        size=1,
        sha256=sha256(f"{version} {build} {salt}".encode()),
    )


# ids


def test_the_newest_release_has_the_plain_id() -> None:
    assert ids(graph_of((choice("alpha", "9.0"),), (choice("alpha", "10.0"),))) == [
        ("10.0", "pypi", "pypi:alpha"),
        ("9.0", "pypi", "pypi:alpha@9.0"),
    ]
    assert ids(graph_of((choice("alpha", "10.0rc1"),), (choice("alpha", "9.0"),), (choice("alpha", "10.0"),))) == [
        ("10.0", "pypi", "pypi:alpha"),
        ("10.0rc1", "pypi", "pypi:alpha@10.0rc1"),
        ("9.0", "pypi", "pypi:alpha@9.0"),
    ]


def test_the_newer_of_two_releases_has_the_plain_id_for_every_name() -> None:
    """Uses many names, because releases are kept in a set, whose order changes from run to run."""
    names = [f"project-{number}" for number in range(12)]
    graph = graph_of(*(tuple(choice(name, version) for name in names) for version in ("1.0", "2.0")))
    assert {(each.name, each.version): each.id for each in graph.packages} == {
        **{(name, "1.0"): f"pypi:{name}@1.0" for name in names},
        **{(name, "2.0"): f"pypi:{name}" for name in names},
    }


def test_a_version_invalid_under_pep_440_counts_as_older() -> None:
    assert ids(graph_of((conda("2024a_x"),), (conda("1.0"),), (conda("9x_y"),))) == [
        ("1.0", "main", "conda:lib"),
        ("2024a_x", "main", "conda:lib@2024a_x"),
        ("9x_y", "main", "conda:lib@9x_y"),
    ]


def test_one_version_from_two_sources_is_two_packages() -> None:
    here, there = conda("1.0", source="here"), conda("1.0", source="there")
    assert here.sha256 == there.sha256
    graph = graph_of((here,), (there,))
    assert ids(graph) == [("1.0", "here", "conda:lib@1.0"), ("1.0", "there", "conda:lib")]
    assert [environment.packages[0].id for environment in graph.environments] == ["conda:lib@1.0", "conda:lib"]
    third = graph_of((here,), (there,), (conda("1.0", source="elsewhere"),))
    assert [each for _, _, each in ids(third)] == ["conda:lib@1.0:elsewhere", "conda:lib@1.0", "conda:lib"]


def test_ids_of_two_files_of_one_release_have_the_build_or_digest() -> None:
    assert [each for _, _, each in ids(graph_of((conda("1.0", "cpu"),), (conda("1.0", "cuda"),)))] == [
        "conda:lib@1.0=cpu",
        "conda:lib@1.0=cuda",
    ]
    linux, other = choice("alpha", platform="linux"), choice("alpha", platform="other")
    assert {each for _, _, each in ids(graph_of((linux,), (other,)))} == {
        f"pypi:alpha@1.0={linux.sha256[:8]}",
        f"pypi:alpha@1.0={other.sha256[:8]}",
    }


def test_ids_of_two_builds_from_two_sources_have_both() -> None:
    rows = [(conda("1.0", build, source),) for source in ("here", "there") for build in ("cpu", "cuda")]
    targets = [replace_step(each, f"step-{number}") for each in step_targets("one") for number in range(4)]
    graph = link(targets, {each.id: rows[int(each.step[-1])] for each in targets}, {})
    assert [each for _, _, each in ids(graph)] == [
        "conda:lib@1.0:here=cpu",
        "conda:lib@1.0:here=cuda",
        "conda:lib@1.0=cpu",
        "conda:lib@1.0=cuda",
    ]


def replace_step(step_target: StepTarget, step: str) -> StepTarget:
    return replace(step_target, step=step)


def test_ids_stay_with_their_releases_whatever_is_newer() -> None:
    old, new = choice("alpha", "1.0"), choice("alpha", "2.0")
    before = graph_of((old,))
    both = graph_of((old,), (new,), previous=before)
    assert [(version, each) for version, _, each in ids(both)] == [("1.0", "pypi:alpha"), ("2.0", "pypi:alpha@2.0")]
    third = graph_of((old,), (new,), (choice("alpha", "3.0"),), previous=both)
    assert [(version, each) for version, _, each in ids(third)][2] == ("3.0", "pypi:alpha@3.0")
    builds = graph_of((conda("1.0", "cpu"),), (conda("1.0", "cuda"),))
    assert [each for _, _, each in ids(graph_of((conda("1.0", "cpu"),), (conda("1.0", "cuda"),), previous=builds))] == [
        "conda:lib@1.0=cpu",
        "conda:lib@1.0=cuda",
    ]


def test_an_id_given_twice_by_a_merge_stays_with_the_newer_release() -> None:
    old, new = choice("alpha", "1.0"), choice("alpha", "2.0")
    merged = graph_of((old,), (new,))
    merged = replace(merged, packages=tuple(replace(package, id="pypi:alpha") for package in merged.packages))
    graph = graph_of((old,), (new,), previous=merged)
    assert [(version, each) for version, _, each in ids(graph)] == [("1.0", "pypi:alpha@1.0"), ("2.0", "pypi:alpha")]


# packages


def package(*choices: Choice, previous: LockGraph | None = None) -> Package:
    """Return the package that these choices make: each on a target of its own, or all on each target."""
    members = step_targets("one")
    rows = {each.id: (choices[number % len(choices)],) for number, each in enumerate(members)}
    (found,) = link(members, rows, {}, previous).packages
    return found


def files(**fields: Any) -> tuple[Choice, Choice]:
    """Return two files of one release in the order of their names. The fields are pairs."""
    left, right = choice("alpha", platform="a"), choice("alpha", platform="b")
    return (
        replace(left, **{key: pair[0] for key, pair in fields.items()}),
        replace(right, **{key: pair[1] for key, pair in fields.items()}),
    )


@pytest.mark.parametrize(
    ("dates", "expected"),
    [
        ((date(2026, 1, 2), date(2026, 1, 1)), date(2026, 1, 1)),
        ((date(2026, 1, 1), date(2026, 1, 2)), date(2026, 1, 1)),
        ((None, date(2026, 1, 2)), date(2026, 1, 2)),
        ((None, None), None),
    ],
)
def test_a_release_is_as_old_as_its_first_file(dates: tuple[date | None, date | None], expected: date | None) -> None:
    assert package(*files(released=dates)).released == expected
    assert package(*files(released=dates[::-1])).released == expected


def test_the_licence_is_that_of_the_first_file_by_name() -> None:
    for pair in (files(license=("MIT", "BSD")), files(license=("MIT", "BSD"))[::-1]):
        assert package(*pair).license == "MIT"


def test_a_package_has_a_build_only_if_all_files_share_it() -> None:
    assert package(conda("1.0", "h_0", salt="a"), conda("1.0", "h_0", salt="b")).build == "h_0"
    assert package(conda("1.0", "h_0"), conda("1.0", "h_1")).build == ""


def test_files_list_the_targets_they_are_for() -> None:
    left, right = files()
    assert [artifact.targets for artifact in package(left, right).artifacts] == [(LINUX,), (MAC,)]
    assert [artifact.targets for artifact in package(left).artifacts] == [()]


def test_requirements_of_conda_packages_are_taken_unchanged() -> None:
    graph = graph_of((replace(conda("1.0"), specs=("z >=1", "a")),))
    assert graph.packages[0].depends == ("a", "z >=1")


def test_the_projects_of_a_conda_package_are_those_of_all_its_choices() -> None:
    left, right = (replace(conda("1.0"), pypi=projects) for projects in (("b", "a"), ("c",)))
    assert package(left, right).pypi == ("a", "b", "c")


# facts of the previous lock


def test_contents_and_yanks_are_kept_by_digest_and_source() -> None:
    alpha = choice("alpha")
    first = graph_of((alpha,))
    noted = replace(
        first,
        packages=tuple(
            replace(
                each,
                artifacts=tuple(
                    replace(artifact, content={"nt": sha256(b"tree")}, yanked="broken") for artifact in each.artifacts
                ),
            )
            for each in first.packages
        ),
    )
    (artifact,) = graph_of((alpha,), previous=noted).packages[0].artifacts
    assert (artifact.content, artifact.yanked) == ({"nt": sha256(b"tree")}, "broken")
    # Another index may state other facts of the same file, but not another content.
    (artifact,) = graph_of((replace(alpha, source="inner"),), previous=noted).packages[0].artifacts
    assert (artifact.content, artifact.yanked) == ({"nt": sha256(b"tree")}, None)
    own = replace(alpha, content={"nt": sha256(b"new"), "any": sha256(b"more")})
    (artifact,) = graph_of((own,), previous=noted).packages[0].artifacts
    assert artifact.content == own.content


def build(wheel: Choice, tree: bytes = b"tree", *needs: Choice) -> Build:
    return Build(
        wheel=wheel.file,
        sha256=wheel.sha256,
        tree=sha256(tree),
        python=LINUX,
        packages=tuple(
            BuildRequirement(
                name=need.name, version=need.version, source="pypi", file=need.file, size=need.size, sha256=need.sha256
            )
            for need in needs
        ),
    )


ALPHA, BACKEND, PLUGIN, STRANGER = (choice(name) for name in ("alpha", "backend", "plugin", "stranger"))


def test_builds_are_kept_for_chosen_wheels_and_their_build_requirements() -> None:
    builds = build(PLUGIN), build(STRANGER), build(BACKEND, b"tree", PLUGIN), build(ALPHA, b"tree", BACKEND)
    graph = graph_of((ALPHA,), builds=builds)
    assert graph.builds == (builds[3], builds[2], builds[0])
    assert graph_of((ALPHA,), previous=graph).builds == graph.builds
    assert graph_of((STRANGER,), previous=graph).builds == ()


def test_circular_build_requirements_are_followed_once() -> None:
    builds = build(ALPHA, b"tree", BACKEND), build(BACKEND, b"tree", ALPHA)
    assert graph_of((ALPHA,), builds=builds).builds == builds


def test_the_builds_of_this_run_replace_those_of_equal_sources_and_join_others() -> None:
    before = graph_of((ALPHA,), builds=(build(ALPHA), build(ALPHA, b"other")))
    again = replace(build(ALPHA), python=MAC)
    found = {(each.tree, each.python) for each in graph_of((ALPHA,), previous=before, builds=(again,)).builds}
    assert found == {(sha256(b"tree"), MAC), (sha256(b"other"), LINUX)}


# environments


@pytest.mark.parametrize(
    ("change", "shared"),
    [
        ({}, True),
        ({"interpreter": "standalone"}, False),
        ({"requires": ("pypi:other",)}, False),
        ({"indexes": ()}, False),
    ],
)
def test_steps_share_an_environment_only_if_their_inputs_are_equal(change: dict[str, Any], shared: bool) -> None:
    one, three = step_targets("one")[:1], step_targets("three")[:1]
    targets = (*one, replace(three[0], **change))
    graph = link(targets, {each.id: (ALPHA,) for each in targets}, {})
    expected = [("one", "three")] if shared else [("one",), ("three",)]
    assert [environment.steps for environment in graph.environments] == expected


def test_steps_with_other_packages_do_not_share_an_environment() -> None:
    targets = step_targets("one", "three")
    rows = {each.id: (choice("alpha", "2.0" if each.step == "three" else "1.0"),) for each in targets}
    assert [environment.steps for environment in link(targets, rows, {}).environments] == [("one",), ("three",)]


def test_inputs_list_their_targets_unless_all_require_them() -> None:
    assert [one.line for one in environment_inputs(step_targets("two"))] == [
        "pypi:alpha>=1",
        "pypi:beta[fast]",
        "pypi:gamma @ osx-arm64",
    ]
    assert [one.line for one in environment_inputs(step_targets("one"))] == ["pypi:alpha>=1"]
    three = TWO_STEPS.replace('"osx-arm64"]', '"osx-arm64", "win-64"]') + '[steps.two.on.linux-64]\npypi = ["gamma"]\n'
    assert [one.line for one in environment_inputs(step_targets("two", text=three))][2:] == [
        "pypi:gamma @ linux-64, osx-arm64"
    ]


def test_packages_list_their_targets_unless_all_have_them() -> None:
    members = step_targets("one")
    pure = choice("pure")
    graph = link(members, {members[0].id: (pure, ALPHA), members[1].id: (pure,)}, {})
    assert [(ref.id, ref.targets) for ref in graph.environments[0].packages] == [
        ("pypi:alpha", ("linux-64",)),
        ("pypi:pure", ()),
    ]


def test_extras_required_only_under_markers_keep_their_requirements() -> None:
    rows = (
        choice("beta", requires=('deep[x,y]>=1; extra == "fast"', 'lost[z]; extra == "slow"')),
        choice("deep", requires=('found; extra == "x"', 'more; extra == "y" or extra == "z"', 'gone; extra == "z"')),
        choice("lost", requires=('never; extra == "z"', "always")),
    )
    targets = step_targets("two")
    packages = link(targets, {each.id: rows for each in targets}, {}).packages
    assert {each.name: each.depends for each in packages} == {
        "beta": ('deep[x,y]>=1; extra == "fast"',),
        "deep": ('found; extra == "x"', 'more; extra == "y" or extra == "z"'),
        "lost": ("always",),
    }


def test_the_requirements_of_one_source_are_not_given_to_the_file_of_another() -> None:
    targets = step_targets("one")
    left = choice("alpha", requires=("left",))
    right = replace(choice("alpha", requires=("right",)), source="other")
    graph = link(targets, {targets[0].id: (left,), targets[1].id: (right,)}, {})
    assert [each.depends for each in graph.packages] == [("left",), ("right",)]
