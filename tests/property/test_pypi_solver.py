"""The PyPI solver against a brute-force judge, and the laws that every answer keeps."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator

import msgspec
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from envc_solvers.pypi.explain import Unsolvable
from envc_solvers.pypi.markers import Markers, marker_environment
from envc_solvers.pypi.requirement import Requirement, parse
from envc_solvers.pypi.solve import Problem, solve
from envc_solvers.pypi.specifier import allows
from envc_solvers.solution import Solution
from envc_solvers.target import Python, default_target
from tests.strategies import requirement_texts, universes
from tests.universe import MemoryIndex, Universe, label

TARGET = default_target("linux-64")
PYTHON = Python(minor=(3, 11))
MARKERS = Markers(marker_environment(TARGET, PYTHON), {})

Choice = dict[str, str]  # project: version

roots = st.lists(requirement_texts(conditional=False), min_size=1, max_size=3)
constraints = st.lists(requirement_texts(conditional=False), max_size=1)


def reached(universe: Universe, choice: Choice, wanted: list[str]) -> set[str] | None:
    """The projects that requirements lead to under a choice; None when the choice breaks one of them."""
    done: set[tuple[str, str]] = set()
    queue: list[Requirement] = [parse(text) for text in wanted]
    while queue:
        requirement = queue.pop()
        name = requirement.name
        if name not in choice or not allows(requirement.specifier, choice[name]):
            return None
        for extra in ("", *requirement.extras):
            if (name, extra) in done:
                continue
            done.add((name, extra))
            for text in universe[name][choice[name]].requires:
                stated = parse(text)
                if MARKERS.holds(stated.marker, [extra] if extra else []):
                    queue.append(stated)
    return {name for name, _ in done}


def choices(universe: Universe, limits: list[str]) -> Iterator[Choice]:
    """Every choice of usable versions that the constraints allow; a project may be left out."""
    options: list[list[tuple[str, str] | None]] = []
    for name, versions in universe.items():
        usable = [version for version, said in versions.items() if said.broken is None and not said.requires_python]
        for limit in map(parse, limits):
            if limit.name == name:
                usable = [version for version in usable if allows(limit.specifier, version)]
        options.append([None, *((name, version) for version in usable)])
    for combination in itertools.product(*options):
        yield dict(pair for pair in combination if pair is not None)


def answer(universe: Universe, wanted: list[str], limits: list[str]) -> Solution | Unsolvable:
    problem = Problem(
        target=TARGET, python=PYTHON, roots=label(wanted, "roots"), constraints=label(limits, "constraints")
    )
    try:
        return solve(problem, MemoryIndex(universe, TARGET, PYTHON), {})
    except Unsolvable as error:
        return error


@given(universes(), roots, constraints)
@settings(max_examples=300, deadline=None)
def test_finds_a_solution_exactly_when_there_is_one(universe: Universe, wanted: list[str], limits: list[str]) -> None:
    found = answer(universe, wanted, limits)
    if isinstance(found, Unsolvable):
        assert not any(reached(universe, choice, wanted) is not None for choice in choices(universe, limits))
        return
    choice = {pin.name: pin.version for pin in found.pins}
    assert choice in list(choices(universe, limits))
    assert reached(universe, choice, wanted) == set(choice), "every pin is needed, and nothing is missing"


@given(universes(), roots, constraints)
@settings(max_examples=100, deadline=None)
def test_named_roots_alone_have_no_solution(universe: Universe, wanted: list[str], limits: list[str]) -> None:
    found = answer(universe, wanted, limits)
    assume(isinstance(found, Unsolvable))
    assert isinstance(found, Unsolvable)
    named = {requirement for requirement, _ in found.conflict.roots}
    fewer = [text for text in wanted if str(parse(text)) in named]
    fewer_limits = [text for text in limits if str(parse(text)) in named]
    assert not any(reached(universe, choice, fewer) is not None for choice in choices(universe, fewer_limits))
    as_json = msgspec.json.decode(msgspec.json.encode(found.conflict.data()))
    assert [subject["project"] for subject in as_json["subjects"]] == [each.project for each in found.conflict.subjects]
    assert as_json["subjects"], "a refusal always says what it is about"


@given(universes(), roots, constraints, st.integers(0, 1 << 16))
@settings(max_examples=100, deadline=None)
def test_order_of_input_makes_no_difference(
    universe: Universe, wanted: list[str], limits: list[str], seed: int
) -> None:
    shuffled = list(wanted)
    random.Random(seed).shuffle(shuffled)
    items = list(universe.items())
    random.Random(seed).shuffle(items)
    one, other = answer(universe, wanted, limits), answer(dict(items), shuffled, limits)
    if isinstance(one, Unsolvable):
        assert isinstance(other, Unsolvable)
        assert {name for name, _ in one.conflict.roots} == {name for name, _ in other.conflict.roots}
        assert [each.project for each in one.conflict.subjects] == [each.project for each in other.conflict.subjects]
    else:
        assert one == other


@given(universes(), roots)
@settings(max_examples=100, deadline=None)
def test_preferring_the_answer_gives_the_answer(universe: Universe, wanted: list[str]) -> None:
    found = answer(universe, wanted, [])
    assume(isinstance(found, Solution))
    assert isinstance(found, Solution)
    problem = Problem(
        target=TARGET,
        python=PYTHON,
        roots=label(wanted, "roots"),
        preferences={pin.name: (pin.version,) for pin in found.pins},
    )
    index = MemoryIndex(universe, TARGET, PYTHON)
    assert solve(problem, index, {}) == found
    assert len(index.asked) == len(found.pins), "a preferred solution is confirmed without looking at anything else"
