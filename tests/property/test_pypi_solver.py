"""The PyPI solver compared with a brute-force solver, and laws of its results."""

from __future__ import annotations

import contextlib
import functools
import itertools
import random
from collections.abc import Iterator

import msgspec
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from packaging.version import Version
from resolvelib.resolvers import ResolutionImpossible

from envc_solvers.errors import ProjectNotFound
from envc_solvers.pypi.explain.conflict import PyPIUnsolvable
from envc_solvers.pypi.language.markers import Markers, marker_environment
from envc_solvers.pypi.language.requirement import Requirement, parse
from envc_solvers.pypi.language.specifier import allows
from envc_solvers.pypi.problem import PyPIProblem
from envc_solvers.pypi.search.journal import Journal
from envc_solvers.pypi.search.nogoods import Fact
from envc_solvers.pypi.search.provider import Provider, Unusable
from envc_solvers.pypi.search.run import in_order
from envc_solvers.pypi.search.search import PATIENCE, Search
from envc_solvers.pypi.solve import solve_pypi
from envc_solvers.solution import Solution
from envc_solvers.target import Python, default_target
from tests.support.strategies import requirement_texts, universes
from tests.support.suggestions import followed, is_said_to_be_minimal
from tests.support.universe import MemoryIndex, Universe, as_roots

TARGET = default_target("linux-64")
PYTHON = Python(minor=(3, 11))
MARKERS = Markers(marker_environment(TARGET, PYTHON), {})

Choice = dict[str, str]  # project: version

roots = st.lists(requirement_texts(conditional=False), min_size=1, max_size=3)
constraints = st.lists(requirement_texts(conditional=False), max_size=1)


def reached(universe: Universe, choice: Choice, roots: list[str]) -> set[str] | None:
    """Return the projects reachable from requirements under a choice; None if the choice violates one of them."""
    found = reached_with_extras(universe, choice, roots)
    return None if found is None else {name for name, _ in found}


def reached_with_extras(universe: Universe, choice: Choice, roots: list[str]) -> set[tuple[str, str]] | None:
    """Return the same as pairs of a project and an extra, "" for the project itself."""
    done: set[tuple[str, str]] = set()
    queue: list[Requirement] = [parse(text) for text in roots]
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
    return done


def choices(universe: Universe, limits: list[str]) -> Iterator[Choice]:
    """Yield every choice of usable versions that the constraints allow. A project may be left out."""
    options: list[list[tuple[str, str] | None]] = []
    for name, versions in universe.items():
        usable = [
            version for version, fields in versions.items() if fields.broken is None and not fields.requires_python
        ]
        for limit in map(parse, limits):
            if limit.name == name:
                usable = [version for version in usable if allows(limit.specifier, version)]
        options.append([None, *((name, version) for version in usable)])
    for combination in itertools.product(*options):
        yield dict(pair for pair in combination if pair is not None)


def answer(universe: Universe, roots: list[str], limits: list[str]) -> Solution | PyPIUnsolvable:
    problem = PyPIProblem(
        target=TARGET,
        python=PYTHON,
        roots=as_roots(roots, "roots"),
        constraints=as_roots(limits, "constraints"),
    )
    try:
        return solve_pypi(problem, MemoryIndex(universe, TARGET, PYTHON), {})
    except PyPIUnsolvable as error:
        return error


@given(universes(), roots, constraints)
@settings(max_examples=300, deadline=None)
def test_finds_a_solution_exactly_when_there_is_one(universe: Universe, roots: list[str], limits: list[str]) -> None:
    found = answer(universe, roots, limits)
    if isinstance(found, PyPIUnsolvable):
        assert not any(reached(universe, choice, roots) is not None for choice in choices(universe, limits))
        return
    choice = {pin.name: pin.version for pin in found.pins}
    assert choice in list(choices(universe, limits))
    assert reached(universe, choice, roots) == set(choice), "every pin is needed, and none is missing"


@given(universes(), roots, constraints)
@settings(max_examples=100, deadline=None)
def test_the_named_roots_alone_have_no_solution(universe: Universe, roots: list[str], limits: list[str]) -> None:
    found = answer(universe, roots, limits)
    assume(isinstance(found, PyPIUnsolvable))
    assert isinstance(found, PyPIUnsolvable)
    named = {requirement for requirement, _ in found.conflict.roots}
    fewer = [text for text in roots if str(parse(text)) in named]
    fewer_limits = [text for text in limits if str(parse(text)) in named]
    assert not any(reached(universe, choice, fewer) is not None for choice in choices(universe, fewer_limits))
    as_json = msgspec.json.decode(msgspec.json.encode(found.conflict.data()))
    assert [subject["project"] for subject in as_json["subjects"]] == [each.project for each in found.conflict.subjects]
    assert as_json["subjects"], "a refusal always names its subjects"


@given(universes(), roots, constraints)
@settings(max_examples=60, deadline=None)
def test_a_smallest_set_has_a_solution_without_any_of_its_members(
    universe: Universe, roots: list[str], limits: list[str]
) -> None:
    """If a conflict claims to be minimal, it needs each requirement that it names."""
    found = answer(universe, roots, limits)
    assume(isinstance(found, PyPIUnsolvable) and found.conflict.minimal)
    assert isinstance(found, PyPIUnsolvable)
    named = {requirement for requirement, _ in found.conflict.roots}
    kept = sorted({str(parse(text)) for text in roots} & named)
    kept_limits = sorted({str(parse(text)) for text in limits} & named)
    # A requirement that is both a root and a constraint is needed only if leaving out both helps.
    for left_out in {*kept, *kept_limits} - (set(kept) & set(kept_limits)):
        fewer = [text for text in kept if text != left_out]
        fewer_limits = [text for text in kept_limits if text != left_out]
        assert any(reached(universe, choice, fewer) is not None for choice in choices(universe, fewer_limits))


@given(universes(), roots, constraints)
@settings(max_examples=40)
def test_following_the_suggestion_gives_a_solution(universe: Universe, roots: list[str], limits: list[str]) -> None:
    found = answer(universe, roots, limits)
    assume(isinstance(found, PyPIUnsolvable))
    assert isinstance(found, PyPIUnsolvable)
    suggestion = found.conflict.suggestion
    assert suggestion, "there is always a way out"
    texts = [str(parse(text)) for text in roots]
    changed, changed_limits = followed(texts, suggestion), limits
    if changed is None:
        gone = suggestion.partition("`")[2].partition("`")[0]
        assert suggestion.startswith("leave out the constraint")
        changed, changed_limits = roots, without_one(limits, gone)
    assert is_solvable(universe, changed, changed_limits)
    if len(gone_too := set(texts) - set(changed)) > 1 and is_said_to_be_minimal(suggestion):
        for text in gone_too:
            unchanged = [other for other in texts if other == text or other in changed]
            assert not is_solvable(universe, unchanged, limits), f"the change to {text} is not necessary"


def is_solvable(universe: Universe, roots: list[str], limits: list[str]) -> bool:
    return any(reached(universe, choice, roots) is not None for choice in choices(universe, limits))


def without_one(texts: list[str], gone: str) -> list[str]:
    at = next(number for number, text in enumerate(texts) if str(parse(text)) == gone)
    return texts[:at] + texts[at + 1 :]


@given(universes(), roots, constraints)
@settings(max_examples=80, deadline=None)
def test_no_solution_is_better_in_the_order_of_decisions(
    universe: Universe, roots: list[str], limits: list[str]
) -> None:
    """Optimality: no solution with the same earlier decisions has a better version of a name.

    The first name decided therefore gets the best version of all solutions.
    """
    _, decided = searched(universe, roots, limits)
    assume(decided is not None)
    assert decided is not None
    every = solutions(universe, roots, limits)
    before: Choice = {}
    for name, version in decided.items():
        # Final releases, newest first, then pre-releases: the order of candidates under the default policy.
        beaten = [other for other in universe[name] if preference(other) < preference(version)]
        for other in beaten:
            assert not any(
                solution.get(name) == other and all(solution.get(n) == v for n, v in before.items())
                for solution in every
            ), f"{name} {other} was possible with {before}"
        before[name] = version


@given(universes(), st.lists(requirement_texts(conditional=False), min_size=1, max_size=1), constraints)
@settings(max_examples=80, deadline=None)
def test_a_single_root_gets_the_best_version_of_all_solutions(
    universe: Universe, roots: list[str], limits: list[str]
) -> None:
    found = answer(universe, roots, limits)
    assume(isinstance(found, Solution))
    assert isinstance(found, Solution)
    name = parse(roots[0]).name
    chosen = next(pin.version for pin in found.pins if pin.name == name)
    possible = [solution[name] for solution in solutions(universe, roots, limits)]
    assert preference(chosen) == min(map(preference, possible))


@given(universes(), roots, constraints, st.sampled_from((1, 2, 5)))
@settings(max_examples=150, deadline=None)
def test_no_nogood_excludes_a_solution(universe: Universe, roots: list[str], limits: list[str], patience: int) -> None:
    """The proof of a refusal consists of nogoods: no solution has all facts of one of them.

    Projects here have few versions, so a search with the usual patience would never switch to another name.
    """
    search, decided = searched(universe, roots, limits, patience)
    for solution in solutions(universe, roots, limits):
        pairs = reached_with_extras(universe, solution, roots) or set()
        for name, learned in search._nogoods._known.items():
            for own, others in learned:
                facts = [*((name, fact) for fact in own), *others]
                assert not all(holds(search, solution, pairs, identifier, fact) for identifier, fact in facts)
    assert decided in solutions(universe, roots, limits) if decided else not solutions(universe, roots, limits)


def preference(version: str) -> tuple[bool, object]:
    """Return a sort key of versions in the order in which candidates are tried."""
    parsed = Version(version)
    return parsed.is_prerelease, Reversed(parsed)


@functools.total_ordering
class Reversed:
    """Newer versions first."""

    def __init__(self, version: Version) -> None:
        self.version = version

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Reversed) and self.version == other.version

    def __lt__(self, other: Reversed) -> bool:
        return self.version > other.version


def solutions(universe: Universe, roots: list[str], limits: list[str]) -> list[Choice]:
    """Return every solution, without unneeded projects."""
    return [choice for choice in choices(universe, limits) if reached(universe, choice, roots) == set(choice)]


def searched(
    universe: Universe, roots: list[str], limits: list[str], patience: int = PATIENCE
) -> tuple[Search, Choice | None]:
    """Return a finished search and its decisions in order, without extras; None if there is no solution."""
    problem = in_order(
        PyPIProblem(
            target=TARGET,
            python=PYTHON,
            roots=as_roots(roots, "roots"),
            constraints=as_roots(limits, "constraints"),
        )
    )
    provider = Provider(problem, MemoryIndex(universe, TARGET, PYTHON), MARKERS)
    search = Search(provider, Journal(), 10_000, None, patience=patience)
    needs = [need for root in problem.roots for need in provider.needs(root.requirement)]
    try:
        state = search.resolve(list(dict.fromkeys(needs)), max_rounds=100_000)
    except (ResolutionImpossible, ProjectNotFound):
        return search, None
    return search, {one.name: one.version for one in state.mapping.values() if not one.extra}


def holds(search: Search, solution: Choice, decided: set[tuple[str, str]], identifier: str, fact: Fact) -> bool:
    """Whether a fact about a decision is true in a solution that has these projects and extras."""
    name, _, extra = identifier.rstrip("]").partition("[")
    if (name, extra) not in decided:
        return False
    every = search._provider.project(name).candidates(frozenset())
    base = next(candidate for candidate in every if candidate.version == solution[name])
    candidate = base.with_extra(extra) if extra else base
    with contextlib.suppress(Unusable):
        search._provider.get_dependencies(candidate)
    return candidate.has(fact)


@given(universes(), roots, constraints, st.integers(0, 1 << 16))
@settings(max_examples=100, deadline=None)
def test_order_of_input_makes_no_difference(universe: Universe, roots: list[str], limits: list[str], seed: int) -> None:
    shuffled = list(roots)
    random.Random(seed).shuffle(shuffled)
    items = list(universe.items())
    random.Random(seed).shuffle(items)
    one, other = answer(universe, roots, limits), answer(dict(items), shuffled, limits)
    if isinstance(one, PyPIUnsolvable):
        assert isinstance(other, PyPIUnsolvable)
        assert {name for name, _ in one.conflict.roots} == {name for name, _ in other.conflict.roots}
        assert [each.project for each in one.conflict.subjects] == [each.project for each in other.conflict.subjects]
    else:
        assert one == other


@given(universes(), roots)
@settings(max_examples=100, deadline=None)
def test_preferring_a_solution_gives_the_same_solution(universe: Universe, roots: list[str]) -> None:
    found = answer(universe, roots, [])
    assume(isinstance(found, Solution))
    assert isinstance(found, Solution)
    problem = PyPIProblem(
        target=TARGET,
        python=PYTHON,
        roots=as_roots(roots, "roots"),
        preferences={pin.name: (pin.version,) for pin in found.pins},
    )
    index = MemoryIndex(universe, TARGET, PYTHON)
    assert solve_pypi(problem, index, {}) == found
    assert len(index.metadata_read) == len(found.pins), "a preferred solution is confirmed with these reads only"
