"""expand, pose, link, closure and stale: the pure stages, each on small manifests."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from envc.errors import NoSuchInterpreter
from envc.locking.lockfile.contents import with_contents
from envc.locking.manifest.load import parse_manifest
from envc.locking.manifest.python import BadPython, choose_python
from envc.locking.plan.closure import Closures, DanglingLock
from envc.locking.plan.conda_problems import python_spec
from envc.locking.plan.expand import StepTarget, expand, lock_options
from envc.locking.plan.freshness import compare
from envc.locking.plan.link import link
from envc.locking.plan.named_upgrades import NamedVersions
from envc.locking.plan.problems import StandalonePreference, pose_problems
from envc.model.digest import Sha256, sha256
from envc.model.graph import Choice, LockGraph
from envc.model.lock_lines import StatedRequirement
from envc.model.manifest import KeyPath, Manifest, PythonRequest
from envc.pipeline.places import with_lines
from envc_solvers.conda.language.matchspec import parse_matchspec
from envc_solvers.conda.problem import CondaProblem
from envc_solvers.mixed.problem import MixedProblem
from envc_solvers.origin import render_key_path
from envc_solvers.pypi.language.requirement import parse

NOW = datetime(2026, 6, 1, tzinfo=UTC)
TWO_STEPS = """
[project]
name = "demo"
targets = ["linux-64", "osx-arm64"]
python = "3.12"

[groups.base]
pypi = ["alpha>=1"]

[steps.one]
groups = ["base"]

[steps.two]
groups = ["base"]
pypi = ["beta[fast]"]
[steps.two.on.osx-arm64]
pypi = ["gamma"]

[steps.three]
pypi = ["alpha>=1"]
"""


def manifest_of(text: str = TWO_STEPS) -> Manifest:
    return parse_manifest(text, Path("manifest.toml"))


def choice(name: str, version: str = "1.0", platform: str = "any", requires: tuple[str, ...] = ()) -> Choice:
    file = f"{name}-{version}-py3-none-{platform}.whl"
    return Choice(
        kind="pypi",
        name=name,
        version=version,
        source="pypi",
        file=file,
        size=len(file),
        sha256=sha256(file.encode()),
        requires=tuple(map(StatedRequirement.read, requires)),
    )


def linked(manifest: Manifest, previous: LockGraph | None = None, versions: dict[str, str] | None = None) -> LockGraph:
    """Return a graph in which every requirement is met by its own project alone."""
    step_targets = expand(manifest)
    return link(step_targets, answers(step_targets, versions or {}), lock_options(manifest, step_targets), previous)


def answers(
    step_targets: tuple[StepTarget, ...], versions: dict[str, str]
) -> dict[tuple[str, str], tuple[Choice, ...]]:
    return {
        (step_target.step, step_target.key): tuple(
            choice(name, versions.get(f"{step_target.step}:{name}", versions.get(name, "1.0")))
            for name in sorted({dependency.requirement.name for dependency in step_target.pypi})
        )
        for step_target in step_targets
    }


# expand


def test_every_step_is_expanded_for_each_of_its_targets() -> None:
    step_targets = expand(manifest_of())
    assert [(step_target.step, step_target.key) for step_target in step_targets] == [
        (step, f"{target}/cp312") for step in ("one", "two", "three") for target in ("linux-64", "osx-arm64")
    ]


def test_additions_for_a_target_apply_only_there() -> None:
    by_key = {
        (step_target.step, step_target.target.name): step_target.requires for step_target in expand(manifest_of())
    }
    assert by_key["two", "linux-64"] == ("pypi:alpha>=1", "pypi:beta[fast]")
    assert by_key["two", "osx-arm64"] == ("pypi:alpha>=1", "pypi:beta[fast]", "pypi:gamma")


@pytest.mark.parametrize(
    ("specifier", "text"),
    [
        ("==3.12.*", "3.12"),
        ("==3.12.7", "3.12.7"),
        ("==3.12.0", "3.12.0"),
        (">=3.11,<3.13", "3.12"),
        (">=3.11.4,<3.12", "==3.11.*,>=3.11.4"),
        ("==3.11.*,>=3.11.4", "==3.11.*,>=3.11.4"),
        (">=3.9,<=3.12", "3.12"),
        (">=3.9,<3.13,!=3.12.1", "==3.12.*,!=3.12.1"),
        ("~=3.12.3", "==3.12.*,~=3.12.3"),
        (">=3.11.4,<3.13", "3.12"),
        (">=3.9,!=3.15.*", "3.14"),
    ],
)
def test_a_range_picks_the_newest_minor_with_its_limits(specifier: str, text: str) -> None:
    assert choose_python(PythonRequest(text=specifier, specifier=specifier)).text == text


@pytest.mark.parametrize(
    ("specifier", "spec"),
    [
        ("==3.12.*", "python 3.12.*"),
        ("==3.12.7", "python 3.12.7.*"),
        (">=3.11,<3.13", "python 3.12.*"),
        (">=3.12.3,<3.13", "python 3.12.*,>=3.12.3"),
        ("~=3.12.3,!=3.12.5", "python 3.12.*,>=3.12.3,!=3.12.5"),
        (">=3.12,<3.12.9", "python 3.12.*,<3.12.9"),
    ],
)
def test_the_python_of_a_step_as_a_match_spec(specifier: str, spec: str) -> None:
    text = python_spec(choose_python(PythonRequest(text=specifier, specifier=specifier)))
    assert text == spec
    assert str(parse_matchspec(text).name) == "python"


def test_a_range_without_any_released_python_is_refused() -> None:
    with pytest.raises(BadPython, match=r"no Python that envc knows satisfies '>=4'"):
        choose_python(PythonRequest(text=">=4", specifier=">=4"))


def test_options_omit_defaults_and_addresses() -> None:
    text = TWO_STEPS.replace('name = "demo"', 'name = "demo"\nindexes = ["inner", "pypi"]')
    text += '[sources.inner]\nkind = "pypi"\nurl = "https://packages.example.com/simple"\nprojects = ["acme-*"]\n'
    manifest = manifest_of(text)
    assert lock_options(manifest, expand(manifest)) == {
        "targets": {"linux-64": "glibc=2.28 archspec=x86_64_v2", "osx-arm64": "macos=13.0"},
        "indexes": ["inner", "pypi"],
        "sources": {"inner": "pypi projects=acme-*"},
    }


# pose


def test_equal_problems_are_merged() -> None:
    manifest = manifest_of()
    shared = pose_problems(manifest, expand(manifest), now=NOW)
    assert [(problem.title, len(problem.step_targets)) for problem in shared] == [
        ("one, three on linux-64", 2),
        ("two on linux-64", 1),
        ("one, three on osx-arm64", 2),
        ("two on osx-arm64", 1),
    ]


def test_a_span_counts_back_from_now() -> None:
    manifest = manifest_of(TWO_STEPS.replace('python = "3.12"', 'python = "3.12"\nexclude-newer = "7 days"'))
    problem = pose_problems(manifest, expand(manifest), now=NOW)[0].problem
    assert problem.policy.exclude_newer == int(datetime(2026, 5, 25, tzinfo=UTC).timestamp())


def test_the_locked_environment_of_the_step_is_preferred() -> None:
    manifest = manifest_of()
    lock = linked(manifest, versions={"one:alpha": "1.0", "three:alpha": "1.0", "two:alpha": "2.0"})
    by_title = {
        p.title: p.problem.preferences["alpha"] for p in pose_problems(manifest, expand(manifest), now=NOW, lock=lock)
    }
    assert by_title["one, three on linux-64"] == ("1.0", "2.0")
    assert by_title["two on linux-64"] == ("2.0", "1.0")


def test_released_names_have_no_preference() -> None:
    manifest = manifest_of()
    shared = pose_problems(
        manifest, expand(manifest), now=NOW, lock=linked(manifest), is_unpinned=lambda name: name == "alpha"
    )
    assert all("alpha" not in problem.problem.preferences for problem in shared)
    assert any("beta" in problem.problem.preferences for problem in shared)


def test_pypy_from_conda_channels_is_refused_with_its_step() -> None:
    manifest = manifest_of(TWO_STEPS + 'conda = ["numpy >=2"]\npython = "pypy3.10"\n')
    with pytest.raises(NoSuchInterpreter, match=r"step three: pypy3\.10 from conda channels"):
        pose_problems(manifest, expand(manifest), now=NOW)


def test_a_step_of_both_kinds_is_one_problem_of_both() -> None:
    manifest = manifest_of(TWO_STEPS + 'conda = ["numpy >=2"]\n')
    shared = {
        each.steps[0]: each.problem for each in pose_problems(manifest, expand(manifest), now=NOW) if each.is_mixed
    }
    mixed = shared.pop("three")
    assert isinstance(mixed, MixedProblem)
    assert not shared
    assert [root.text for root in mixed.conda.specs] == ["numpy >=2", "python 3.12.*"]
    assert [str(root.requirement) for root in mixed.pypi.roots] == ["alpha>=1"]


def test_conda_as_interpreter_needs_no_conda_package() -> None:
    manifest = manifest_of(TWO_STEPS + '[steps.four]\ninterpreter = "conda"\npypi = ["alpha"]\n')
    mixed = next(each.problem for each in pose_problems(manifest, expand(manifest), now=NOW) if each.steps == ["four"])
    assert isinstance(mixed, MixedProblem)
    assert [root.text for root in mixed.conda.specs] == ["python 3.12.*"]


def test_a_step_has_one_kind_of_interpreter_on_all_targets() -> None:
    manifest = manifest_of(TWO_STEPS + '[steps.three.on.linux-64]\nconda = ["cmake"]\n')
    assert {step_target.interpreter for step_target in expand(manifest) if step_target.step == "three"} == {"conda"}


def test_conda_packages_imply_conda_s_python() -> None:
    manifest = manifest_of(TWO_STEPS + 'conda = ["cmake"]\ninterpreter = "host"\n')
    with pytest.raises(NoSuchInterpreter) as caught:
        pose_problems(manifest, expand(manifest), now=NOW)
    assert str(caught.value).splitlines() == [
        "a step with conda packages uses conda's own Python, and no other",
        '  step three: cmake (steps.three.conda[0]), interpreter = "host" (steps.three.interpreter)',
    ]


def test_conda_does_not_provide_a_project_with_a_source_of_its_own() -> None:
    manifest = manifest_of(
        '[project]\nname = "demo"\ntargets = ["linux-64"]\npython = "3.12"\n'
        '[sources.internal]\nkind = "pypi"\nurl = "https://packages.example.com/simple"\n'
        '[steps.one]\nconda = ["numpy"]\npypi = [{ name = "numpy", source = "internal" }, "alpha", '
        '{ name = "pywin32", source = "internal", marker = "sys_platform == \'win32\'" }]\n'
    )
    (shared,) = pose_problems(manifest, expand(manifest), now=NOW)
    assert isinstance(shared.problem, MixedProblem)
    assert shared.problem.reserved == {"numpy": ("it comes from internal (", ("steps", "one", "pypi", 0), ")")}


def test_a_package_keeps_the_projects_found_by_any_step() -> None:
    manifest = manifest_of()
    step_targets = expand(manifest)
    torch = Choice(
        kind="conda",
        name="pytorch",
        version="2.5.1",
        build="cpu_0",
        source="conda-forge",
        file="pytorch-2.5.1-cpu_0.conda",
        size=1,
        sha256=Sha256("d" * 64),
    )
    mixed = msgspec.structs.replace(torch, pypi=("torch",))
    for order in ((torch, mixed), (mixed, torch)):
        choices = {
            (step_target.step, step_target.key): (order[number % 2],) for number, step_target in enumerate(step_targets)
        }
        graph = link(step_targets, choices, {})
        assert [package.pypi for package in graph.packages] == [("torch",)]
        # Packages kept from a lock record it as well.
        assert Closures(graph).choices(step_targets[0].step, step_targets[0].key)[0].pypi == ("torch",)


def test_a_standalone_interpreter_stays_at_its_locked_release_until_upgraded() -> None:
    manifest = manifest_of(TWO_STEPS + '[steps.four]\ninterpreter = "standalone"\npypi = ["alpha"]\n')
    step_targets = expand(manifest)
    locked = Choice(
        kind="interpreter",
        name="cpython",
        version="3.12.9",
        build="20250205",
        source="standalone",
        file="cpython-3.12.9+20250205-any.tar.gz",
        size=0,
        sha256=Sha256("c" * 64),
    )
    choices = {
        (step_target.step, step_target.key): (locked,) if step_target.step == "four" else ()
        for step_target in step_targets
    }
    graph = link(step_targets, choices, {})

    package = next(package for package in graph.packages if package.kind == "interpreter")

    def preference(target: str, **more: Any) -> StandalonePreference | None:
        found = pose_problems(manifest, step_targets, now=NOW, **more)
        return next(p.standalone for p in found if p.steps == ["four"] and p.step_targets[0].target.name == target)

    for target in manifest.targets:
        assert preference(target) == StandalonePreference()
        assert preference(target, lock=graph) == StandalonePreference(locked=package)
        both = StandalonePreference(locked=package, requested="3.12.7")
        assert preference(target, lock=graph, requested=NamedVersions(releases={"cpython": "3.12.7"})) == both
        assert preference(target, lock=graph, is_unpinned="cpython".__eq__) == StandalonePreference()
    others = [
        shared.standalone for shared in pose_problems(manifest, step_targets, now=NOW) if shared.steps != ["four"]
    ]
    assert others
    assert not any(others)


def test_a_conda_step_requires_its_python_and_the_virtual_packages_of_the_target() -> None:
    text = TWO_STEPS + '[steps.four]\nconda = ["numpy >=2"]\ntargets = ["gpu"]\n'
    text += '[targets.gpu]\nplatform = "linux-64"\nglibc = "2.31"\ncuda = "12.4"\n'
    manifest = manifest_of(text)
    problem = next(p.problem for p in pose_problems(manifest, expand(manifest), now=NOW) if p.steps == ["four"])
    assert isinstance(problem, CondaProblem)
    assert [root.text for root in problem.specs] == ["numpy >=2", "python 3.12.*"]
    virtual = {record.name: record.version for record in problem.virtual}
    assert (virtual["__glibc"], virtual["__cuda"]) == ("2.31", "12.4")
    assert problem.channels == ("conda-forge",)


# link and closure


def test_steps_with_equal_inputs_share_an_environment() -> None:
    graph = linked(manifest_of())
    assert [environment.steps for environment in graph.environments] == [("one", "three"), ("two",)]
    assert tuple(one.line for one in graph.environments[1].requires) == (
        "pypi:alpha>=1",
        "pypi:beta[fast]",
        "pypi:gamma @ osx-arm64",
    )
    assert [str(ref.id) + str(ref.targets) for ref in graph.environments[1].packages] == [
        "pypi:alpha()",
        "pypi:beta()",
        "pypi:gamma('osx-arm64',)",
    ]


@given(st.randoms(use_true_random=False))
def test_the_order_of_inputs_never_matters(rng: random.Random) -> None:
    manifest = manifest_of()
    step_targets = list(expand(manifest))
    chosen = answers(tuple(step_targets), {"two:alpha": "2.0"})
    expected = link(tuple(step_targets), chosen, {})
    rng.shuffle(step_targets)
    shuffled = {
        step_target: tuple(rng.sample(group, len(group)))
        for step_target, group in rng.sample(sorted(chosen.items()), 6)
    }
    assert link(tuple(step_targets), shuffled, {}) == expected


def test_another_version_has_its_own_id_and_keeps_it() -> None:
    manifest = manifest_of()
    first = linked(manifest)
    both = linked(manifest, first, {"two:alpha": "2.0"})
    assert [(p.id, p.version) for p in both.packages][:2] == [("pypi:alpha", "1.0"), ("pypi:alpha@2.0", "2.0")]
    only_new = linked(manifest, both, {"alpha": "2.0"})
    assert ("pypi:alpha@2.0", "2.0") in [(p.id, p.version) for p in only_new.packages]
    assert "pypi:alpha" not in [p.id for p in only_new.packages]


def test_an_upgraded_package_keeps_the_plain_id() -> None:
    manifest = manifest_of()
    upgraded = linked(manifest, linked(manifest), {"alpha": "3.0"})
    assert ("pypi:alpha", "3.0") in [(p.id, p.version) for p in upgraded.packages]


def test_recorded_facts_of_an_artifact_are_kept_however_it_is_chosen() -> None:
    """Solvers do not know contents. They are facts of the artifact, so they must not change with the choice."""
    manifest = manifest_of()
    before = linked(manifest, versions={"alpha": "1.0"})
    alpha = next(package for package in before.packages if package.name == "alpha").artifacts[0]
    recorded = with_contents(before, {(alpha.sha256, "nt"): sha256(b"a tree")})
    assert linked(manifest, previous=recorded, versions={"alpha": "1.0"}) == recorded
    moved = linked(manifest, previous=recorded, versions={"alpha": "2.0"})
    assert all(not artifact.content for package in moved.packages for artifact in package.artifacts)


def test_artifacts_list_their_targets_only_if_there_are_several() -> None:
    step_targets = tuple(step_target for step_target in expand(manifest_of()) if step_target.step == "one")
    chosen = {
        ("one", "linux-64/cp312"): (choice("alpha", platform="linux"), choice("pure")),
        ("one", "osx-arm64/cp312"): (choice("alpha", platform="mac"), choice("pure")),
    }
    alpha, pure = link(step_targets, chosen, {}).packages
    assert [artifact.targets for artifact in alpha.artifacts] == [("linux-64/cp312",), ("osx-arm64/cp312",)]
    assert [artifact.targets for artifact in pure.artifacts] == [()]


def test_requirements_of_extras_are_kept_only_if_the_extra_is_required() -> None:
    step_targets = tuple(step_target for step_target in expand(manifest_of()) if step_target.step == "two")
    beta = choice(
        "beta",
        requires=(
            'deep[x]; extra == "fast"',
            'never; extra == "slow"',
            "always",
            "x @ https://example.com/x ; python_version < '3'",
        ),
    )
    deep = choice("deep", requires=('found; extra == "x"', 'lost; extra == "y"'))
    graph = link(step_targets, {(step_target.step, step_target.key): (beta, deep) for step_target in step_targets}, {})
    assert [package.depends for package in graph.packages] == [
        ("always", 'deep[x]; extra == "fast"'),
        ('found; extra == "x"',),
    ]


def test_requirements_that_differ_are_kept_by_artifact() -> None:
    step_targets = tuple(step_target for step_target in expand(manifest_of()) if step_target.step == "one")
    linux, mac = (choice("alpha", platform=p, requires=(f"{p}-only",)) for p in ("linux", "mac"))
    graph = link(step_targets, {("one", "linux-64/cp312"): (linux,), ("one", "osx-arm64/cp312"): (mac,)}, {})
    assert graph.packages[0].depends == ()
    assert [artifact.depends for artifact in graph.packages[0].artifacts] == [("linux-only",), ("mac-only",)]


@pytest.mark.parametrize(
    ("line", "extras"),
    [
        ("a>=1", set()),
        ('a; extra == "Fast_Path"', {"fast-path"}),
        ("""a; python_version < "3.9" and 'x' == extra""", {"x"}),
        ('a; extra == "x" or extra == "y"', {"x", "y"}),
    ],
)
def test_extras_are_read_off_a_requirement(line: str, extras: set[str]) -> None:
    assert set(StatedRequirement.read(line).only_for) == extras
    assert set(StatedRequirement.of(parse(line)).only_for) == extras


def built(name: str, build: str, subdir: str) -> Choice:
    file = f"{name}-1.0-{build}.conda"
    return Choice(
        kind="conda",
        name=name,
        version="1.0",
        build=build,
        source="conda-forge",
        file=file,
        size=len(file),
        sha256=sha256(f"{subdir}/{file}".encode()),
    )


def test_builds_that_differ_per_platform_are_one_package() -> None:
    step_targets = tuple(step_target for step_target in expand(manifest_of()) if step_target.step == "one")
    chosen = {
        (step_target.step, step_target.key): (built("lib", f"h{n}_0", step_target.target.name),)
        for n, step_target in enumerate(step_targets)
    }
    graph = link(step_targets, chosen, {})
    assert [package.id for package in graph.packages] == ["conda:lib"]
    assert graph.packages[0].build == ""
    closures = Closures(graph)
    assert {step_target: closures.choices(*step_target) for step_target in chosen} == chosen


def test_two_builds_under_one_target_key_have_separate_stable_ids() -> None:
    step_targets = expand(manifest_of())
    chosen = {
        (step_target.step, step_target.key): (
            built("lib", "cuda_0" if step_target.step == "two" else "cpu_0", step_target.target.name),
        )
        for step_target in step_targets
    }
    graph = link(step_targets, chosen, {})
    assert [package.id for package in graph.packages] == ["conda:lib@1.0=cpu_0", "conda:lib@1.0=cuda_0"]
    assert link(step_targets, chosen, {}, graph) == graph
    closures = Closures(graph)
    assert {step_target: closures.choices(*step_target) for step_target in chosen} == chosen


def test_closures_undo_linking() -> None:
    step_targets = expand(manifest_of())
    chosen = answers(step_targets, {"two:alpha": "2.0"})
    closures = Closures(link(step_targets, chosen, {}))
    for step_target in step_targets:
        assert closures.choices(step_target.step, step_target.key) == chosen[step_target.step, step_target.key]


def test_equal_content_has_equal_ids_except_across_targets() -> None:
    step_targets = {(step_target.step, step_target.target.name): step_target for step_target in expand(manifest_of())}
    closures = Closures(linked(manifest_of()))
    assert (
        closures.environment(step_targets["one", "linux-64"]).id
        == closures.environment(step_targets["three", "linux-64"]).id
    )
    assert (
        closures.environment(step_targets["one", "linux-64"]).id
        != closures.environment(step_targets["one", "osx-arm64"]).id
    )
    assert (
        closures.environment(step_targets["one", "linux-64"]).id
        != closures.environment(step_targets["two", "linux-64"]).id
    )


def test_a_dangling_id_is_reported() -> None:
    manifest = manifest_of()
    graph = linked(manifest)
    broken = msgspec.structs.replace(graph, packages=graph.packages[1:])
    with pytest.raises(DanglingLock, match="no file of pypi:alpha for step one on linux-64/cp312"):
        Closures(broken).environment(expand(manifest)[0])
    doubled = msgspec.structs.replace(graph, packages=(*graph.packages, graph.packages[0]))
    assert not compare(manifest, expand(manifest), doubled).is_fresh


# stale


def reasons(text: str, graph: LockGraph) -> list[str]:
    manifest = manifest_of(text)
    return [str(reason) for reason in compare(manifest, expand(manifest), graph).reasons]


def test_a_lock_of_the_same_manifest_is_fresh() -> None:
    manifest = manifest_of()
    freshness = compare(manifest, expand(manifest), linked(manifest))
    assert freshness.is_fresh
    assert len(freshness.fresh) == 6


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("alpha>=1", "alpha>=2", ["one.requires: + pypi:alpha>=2", "one.requires: - pypi:alpha>=1"]),
        ('python = "3.12"', 'python = "3.11"', ["one.python: 3.12 -> 3.11"]),
        (
            "[steps.three]",
            "[steps.four]",
            ["step four is not in the lock", "step three is in the lock, but not in the manifest"],
        ),
        ('"osx-arm64"]', '"win-64"]', ["options.targets.osx-arm64: - macos=13.0"]),
        ('name = "demo"', 'name = "demo"\nexclude-newer = "7 days"', ["options.exclude-newer: + P7D"]),
        ("[groups.base]", '[constraints]\npypi = ["alpha<9"]\n[groups.base]', ["options.constraints: + pypi:alpha<9"]),
        ("[groups.base]", '[policy]\nresolution = "lowest"\n[groups.base]', ["options.resolution: + lowest"]),
        (
            "[groups.base]",
            '[targets.linux-64]\nglibc = "2.31"\n[groups.base]',
            ["options.targets.linux-64: glibc=2.28"],
        ),
    ],
)
def test_every_difference_is_a_reason(old: str, new: str, expected: list[str]) -> None:
    text = TWO_STEPS.replace(old, new)
    if "win-64" in new:
        text = text.replace("on.osx-arm64", "on.win-64")
    found = reasons(text, linked(manifest_of()))
    for reason in expected:
        assert any(line.startswith(reason) for line in found), found


@pytest.mark.parametrize(
    ("old", "new", "key", "at"),
    [
        ("alpha>=1", "alpha>=2", "one.requires", ("groups", "base", "pypi", 0)),
        ('["gamma"]', '["delta", "gamma"]', "two.requires", ("steps", "two", "on", "osx-arm64", "pypi", 0)),
        ('["beta[fast]"]', '[]\nconda = ["tool  >=1"]', "two.requires", ("steps", "two", "conda", 0)),
        ('python = "3.12"', 'python = "3.11"', "one.python", ("project", "python")),
        ("[steps.three]", '[steps.three]\npython = "3.11"', "three.python", ("steps", "three", "python")),
        (
            "[steps.three]",
            '[steps.three]\ninterpreter = "standalone"',
            "three.interpreter",
            ("steps", "three", "interpreter"),
        ),
        ("[steps.three]", "[steps.four]", "steps", ("steps", "four")),
        (', "osx-arm64"]', ', "osx-arm64", "win-64"]', "one.targets", ("project", "targets")),
        (', "osx-arm64"]', ', "osx-arm64", "win-64"]', "options.targets.win-64", ("project", "targets")),
        ("[steps.three]", '[steps.three]\ntargets = ["win-64"]', "three.targets", ("steps", "three", "targets")),
        ("[groups.base]", '[targets.linux-64]\nglibc = "2.31"\n[groups.base]', None, ("targets", "linux-64")),
        ('name = "demo"', 'name = "demo"\nexclude-newer = "7 days"', None, ("project", "exclude-newer")),
        ("[groups.base]", '[constraints]\npypi = ["alpha<9"]\n[groups.base]', None, ("constraints", "pypi", 0)),
        ("[groups.base]", '[overrides]\nconda = ["tool<9"]\n[groups.base]', None, ("overrides", "conda", 0)),
        ("[groups.base]", '[policy]\nresolution = "lowest"\n[groups.base]', None, ("policy", "resolution")),
        ("[groups.base]", '[policy]\nbuild = ["alpha"]\n[groups.base]', None, ("policy", "build")),
        (
            "[groups.base]",
            "[policy.exclude-newer-package]\nalpha = false\n[groups.base]",
            None,
            ("policy", "exclude-newer-package", "alpha"),
        ),
        (
            "[groups.base]",
            '[sources.own]\nkind = "pypi"\nurl = "https://packages.example.com/simple"\n[groups.base]',
            None,
            ("sources", "own"),
        ),
    ],
)
def test_a_reason_has_its_line_in_the_manifest(
    tmp_path: Path, old: str, new: str, key: str | None, at: KeyPath
) -> None:
    text = TWO_STEPS.replace(old, new)
    path = tmp_path / "manifest.toml"
    path.write_text(text)
    manifest = parse_manifest(text, path)
    found = with_lines(manifest, compare(manifest, expand(manifest), linked(manifest_of())).reasons)
    [reason] = [each for each in found if each.new and (each.key == key if key else each.key.startswith("options."))]
    assert reason.at == at
    last = at[-1] if isinstance(at[-1], str) else at[-2]
    assert reason.line is not None and str(last) in text.splitlines()[reason.line - 1]
    assert str(reason).endswith(f"({render_key_path(at)}, line {reason.line})")
    assert all(each.line is None for each in found if not each.new)


def test_a_reason_not_in_the_manifest_has_no_line(tmp_path: Path) -> None:
    path = tmp_path / "manifest.toml"
    path.write_text(TWO_STEPS)
    manifest = parse_manifest(TWO_STEPS, path)
    step_targets = expand(manifest)
    policy = msgspec.structs.replace(manifest.policy, resolution="lowest")
    commanded = msgspec.structs.replace(manifest, policy=policy)
    found = with_lines(commanded, compare(commanded, step_targets, linked(manifest)).reasons)
    assert [str(reason) for reason in found] == ["options.resolution: + lowest"]


def test_a_change_to_one_step_leaves_the_others_fresh() -> None:
    graph = linked(manifest_of())
    changed = manifest_of(TWO_STEPS.replace('"beta[fast]"', '"beta[fast]", "delta"'))
    freshness = compare(changed, expand(changed), graph)
    assert [str(reason) for reason in freshness.reasons] == ["two.requires: + pypi:delta"]
    assert {step for step, _ in freshness.fresh} == {"one", "three"}


def test_an_addition_for_one_target_leaves_the_other_fresh() -> None:
    graph = linked(manifest_of())
    changed = manifest_of(TWO_STEPS.replace('pypi = ["gamma"]', 'pypi = ["gamma", "delta"]'))
    assert ("two", "linux-64/cp312") in compare(changed, expand(changed), graph).fresh
    assert ("two", "osx-arm64/cp312") not in compare(changed, expand(changed), graph).fresh


def test_a_changed_floor_affects_only_its_target() -> None:
    graph = linked(manifest_of())
    changed = manifest_of(TWO_STEPS + '[targets.linux-64]\nplatform = "linux-64"\nglibc = "2.31"\n')
    freshness = compare(changed, expand(changed), graph)
    assert {key for _, key in freshness.fresh} == {"osx-arm64/cp312"}
