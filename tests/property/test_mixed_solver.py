"""The mixed solver compared with brute force over both tiny universes."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
from hypothesis import given, settings

from envc_solvers.conda.explain.conflict import CondaUnsolvable
from envc_solvers.conda.language.matchspec import parse_matchspec
from envc_solvers.conda.language.record import Record
from envc_solvers.conda.problem import CondaProblem, CondaRoot
from envc_solvers.mixed.conflict import MixedGaveUp, MixedUnsolvable
from envc_solvers.mixed.names import Names
from envc_solvers.mixed.problem import MixedProblem
from envc_solvers.mixed.solve import solve_mixed
from envc_solvers.pypi.explain.conflict import PyPIUnsolvable
from envc_solvers.pypi.language.requirement import parse
from envc_solvers.pypi.language.specifier import allows
from envc_solvers.pypi.problem import PyPIProblem
from envc_solvers.solution import Solution
from envc_solvers.target import Python, default_target
from tests.support.channels import MemoryRepodata
from tests.support.conda_judge import chosen, complaints, solutions
from tests.support.mixed_scenarios import PythonIndexes
from tests.support.strategies import Mixture, mixtures
from tests.support.suggestions import followed
from tests.support.universe import Universe, as_roots

TARGET = default_target("linux-64")
NO_LIMIT = 1_000  # rounds; each forbids something, so small universes need fewer


def answer(mixture: Mixture, max_rounds: int = NO_LIMIT) -> Solution | Exception:
    problem = MixedProblem(
        conda=CondaProblem(
            target="linux-64",
            specs=tuple(CondaRoot(parse_matchspec(spec), spec) for spec in mixture.specs),
            channels=("main",),
        ),
        pypi=PyPIProblem(target=TARGET, python=Python(minor=(3, 11)), roots=as_roots(mixture.roots, "roots")),
    )
    repodata = MemoryRepodata(mixture.records, "linux-64")
    try:
        return solve_mixed(problem, repodata, Names({}), PythonIndexes(mixture.packages), max_rounds=max_rounds)
    except (CondaUnsolvable, PyPIUnsolvable, MixedUnsolvable, MixedGaveUp) as error:
        return error


def is_met(packages: Universe, versions: dict[str, str], provided: dict[str, str], roots: tuple[str, ...]) -> bool:
    """Whether a choice of PyPI versions, with the projects of conda, meets the roots without unneeded projects."""
    queue, seen = list(roots), set()
    while queue:
        requirement = parse(queue.pop())
        version = provided.get(requirement.name) or versions.get(requirement.name)
        if version is None or not allows(requirement.specifier, version):
            return False
        if requirement.name not in seen:
            seen.add(requirement.name)
            queue += packages[requirement.name][version].requires if requirement.name not in provided else ()
    return seen >= versions.keys()


def choices(packages: Universe, provided: dict[str, str]) -> Iterator[dict[str, str]]:
    options = [[None, *versions] for name, versions in packages.items() if name not in provided]
    names = [name for name in packages if name not in provided]
    for combination in itertools.product(*options):
        yield {name: version for name, version in zip(names, combination, strict=True) if version is not None}


def provided_by(choice: dict[str, Record]) -> dict[str, str]:
    return {name: record.version for name, record in choice.items() if "python" in record.depends}


def is_solvable(mixture: Mixture) -> bool:
    return any(
        is_met(mixture.packages, versions, provided, mixture.roots)
        for choice in solutions(mixture.records, mixture.specs, ())
        for provided in [provided_by(choice)]
        for versions in choices(mixture.packages, provided)
    )


def check_solution(mixture: Mixture, found: Solution) -> None:
    conda = Solution(pins=tuple(pin for pin in found.pins if pin.kind == "conda"), roots=())
    choice = chosen(conda, mixture.records)
    assert complaints(choice, mixture.specs, ()) == []
    versions = {pin.name: pin.version for pin in found.pins if pin.kind == "pypi"}
    provided = provided_by(choice)
    assert not versions.keys() & provided.keys(), "no project is pinned twice"
    assert is_met(mixture.packages, versions, provided, mixture.roots)
    assert {pin.name for pin in found.pins if pin.provides} == provided.keys()


@given(mixtures(closed=True))
@settings(max_examples=200, deadline=None)
def test_finds_a_solution_exactly_when_there_is_one(mixture: Mixture) -> None:
    """With universes in which conda provides the same projects in every solution, and without a limit of rounds."""
    check_verdict(mixture)


@pytest.mark.slow
@given(mixtures(closed=True))
@settings(max_examples=4000, deadline=None)
def test_finds_a_solution_exactly_when_there_is_one_in_thousands(mixture: Mixture) -> None:
    check_verdict(mixture)


def check_verdict(mixture: Mixture) -> None:
    found = answer(mixture)
    assert not isinstance(found, MixedGaveUp)
    if isinstance(found, Solution):
        check_solution(mixture, found)
    else:
        assert not is_solvable(mixture)


@given(mixtures(closed=False))
@settings(max_examples=150, deadline=None)
def test_every_result_is_a_solution(mixture: Mixture) -> None:
    """Also if other conda solutions provide other projects, and with a limit of rounds."""
    found = answer(mixture, max_rounds=8)
    if isinstance(found, Solution):
        check_solution(mixture, found)
    elif isinstance(found, CondaUnsolvable):
        assert not solutions(mixture.records, mixture.specs, ()), "the conda specs alone have no solution"


@given(mixtures(closed=True))
@settings(max_examples=100, deadline=None)
def test_the_named_requirements_alone_have_no_solution(mixture: Mixture) -> None:
    found = answer(mixture)
    if not isinstance(found, MixedUnsolvable):
        return
    conflict = found.conflict
    assert conflict.objections
    specs = {spec for spec, _ in conflict.conda.roots}
    named = {root for each in conflict.objections if each.conflict for root, _ in each.conflict.roots}
    fewer = Mixture(
        records=mixture.records,
        # A name that is no longer required from conda would come from the index instead.
        specs=tuple(spec if spec in specs else parse_matchspec(spec).name for spec in mixture.specs),
        packages=mixture.packages,
        roots=tuple(root for root in mixture.roots if str(parse(root)) in named),
    )
    assert not is_solvable(fewer)


@given(mixtures(closed=True))
@settings(max_examples=100, deadline=None)
def test_following_the_suggestion_gives_a_solution(mixture: Mixture) -> None:
    found = answer(mixture)
    if not isinstance(found, MixedUnsolvable) or not found.conflict.suggestion:
        return
    specs = list(mixture.specs)
    roots = [str(parse(root)) for root in mixture.roots]
    if set(specs) & set(roots):
        return  # the wording does not tell which of the two kinds is meant
    left, left_roots = followed(specs, found.conflict.suggestion), followed(roots, found.conflict.suggestion)
    assert left is not None and left_roots is not None
    changed = Mixture(records=mixture.records, specs=tuple(left), packages=mixture.packages, roots=tuple(left_roots))
    assert is_solvable(changed), found.conflict.suggestion
