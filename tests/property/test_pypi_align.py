"""Alignment of targets, compared with a brute-force solver."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from envc_solvers.pypi.align import Member, Mode, align
from envc_solvers.pypi.language.markers import Markers, marker_environment
from envc_solvers.pypi.language.requirement import Requirement, parse
from envc_solvers.pypi.language.specifier import allows
from envc_solvers.pypi.problem import Budget, PyPIProblem
from envc_solvers.pypi.solve import FailedSearch, attempt
from envc_solvers.solution import Solution
from envc_solvers.target import Python, Target, default_target
from tests.support.strategies import requirement_texts, universes
from tests.support.universe import MemoryIndex, Universe, as_roots

PYTHON = Python(minor=(3, 11))
TARGETS = (default_target("linux-64"), default_target("win-64"))

one_root = st.lists(requirement_texts(conditional=False), min_size=1, max_size=1)
some_roots = st.lists(requirement_texts(conditional=False), min_size=1, max_size=3)


def members_of(universe: Universe, roots: list[str], limits: tuple[str, ...] = ()) -> list[Member]:
    return [
        Member(
            problem=PyPIProblem(
                target=target,
                python=PYTHON,
                roots=as_roots(roots, "roots"),
                constraints=as_roots(limits, "constraints"),
            ),
            index=MemoryIndex(universe, target, PYTHON),
            answers={},
        )
        for target in TARGETS
    ]


def solution_of(member: Member, problem: PyPIProblem | None = None) -> Solution | None:
    try:
        return attempt(problem or member.problem, member.index, member.answers, Budget(max_tries=10_000))
    except FailedSearch:
        return None


def aligned(
    universe: Universe, roots: list[str], mode: Mode
) -> tuple[list[Solution], list[Solution], list[str]] | None:
    """Return the solutions before and after, and the projects reported as different; None without a solution."""
    members = members_of(universe, roots)
    alone = [found for member in members if (found := solution_of(member)) is not None]
    if len(alone) < len(members):
        return None
    found, apart = align(members, alone, mode, lambda number, problem: solution_of(members[number], problem))
    return alone, found, [one.project for one in apart]


def versions(solution: Solution) -> dict[str, str]:
    return {pin.name: pin.version for pin in solution.pins}


def is_solution(universe: Universe, target: Target, roots: list[str], chosen: dict[str, str]) -> bool:
    """Whether every requirement that applies to a target is met, without unneeded projects."""
    markers = Markers(marker_environment(target, PYTHON), {})
    done: set[tuple[str, str]] = set()
    queue: list[Requirement] = [parse(text) for text in roots]
    while queue:
        one = queue.pop()
        if one.name not in chosen or not allows(one.specifier, chosen[one.name]):
            return False
        for extra in ("", *one.extras):
            if (one.name, extra) not in done:
                done.add((one.name, extra))
                stated = map(parse, universe[one.name][chosen[one.name]].requires)
                queue += [each for each in stated if markers.holds(each.marker, [extra] if extra else [])]
    return {name for name, _ in done} == set(chosen)


def differing(solutions: list[Solution]) -> set[str]:
    first, second = map(versions, solutions)
    return {name for name in first.keys() & second.keys() if first[name] != second[name]}


@given(universes(), some_roots, st.sampled_from(["newest", "strong"]))
@settings(max_examples=150, deadline=None)
def test_an_aligned_solution_is_still_a_solution(universe: Universe, roots: list[str], mode: Mode) -> None:
    result = aligned(universe, roots, mode)
    if result is None:
        return
    alone, found, apart = result
    for target, solution in zip(TARGETS, found, strict=True):
        assert is_solution(universe, target, roots, versions(solution))
    assert versions(found[0]) == versions(alone[0]) or mode == "strong", "the first target does not change"
    if mode == "strong":
        assert differing(found) == set(apart), "exactly the projects that differ are reported"
    else:
        assert not apart
        assert len(differing(found)) <= len(differing(alone))


@given(universes(), one_root)
@settings(max_examples=150, deadline=None)
def test_strong_finds_a_common_version_of_a_root_if_there_is_one(universe: Universe, roots: list[str]) -> None:
    result = aligned(universe, roots, "strong")
    if result is None:
        return
    name = parse(roots[0]).name
    chosen = {versions(solution)[name] for solution in result[1]}
    common = [
        version
        for version in universe[name]
        if all(solution_of(member) for member in members_of(universe, [*roots, f"{name}=={version}"]))
    ]
    assert (len(chosen) == 1) == bool(common)
