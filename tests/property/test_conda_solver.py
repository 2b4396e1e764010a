"""The conda solver compared with a brute-force solver, and laws of its results."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envc_solvers.conda.explain.conflict import CondaUnsolvable
from envc_solvers.conda.language.matchspec import parse_matchspec
from envc_solvers.conda.language.record import Record
from envc_solvers.conda.language.version import parse_version
from envc_solvers.conda.language.virtual import parse_virtual_package
from envc_solvers.conda.problem import CondaProblem, CondaRoot, ForbiddenRecords
from envc_solvers.conda.search.attempt import Attempt
from envc_solvers.conda.search.encode import ROOT
from envc_solvers.conda.search.tables import Tables
from envc_solvers.conda.solve import solve_conda
from envc_solvers.sat.core import is_solvable
from envc_solvers.sat.domain import ABSENT, ranks
from envc_solvers.sat.nogood import Given, Requires, leaves
from envc_solvers.solution import Solution
from tests.support.channels import MemoryRepodata
from tests.support.conda_judge import chosen, complaints, rank, solutions
from tests.support.strategies import conda_records, conda_specs
from tests.support.suggestions import followed, is_said_to_be_minimal

VIRTUAL = (parse_virtual_package("__glibc=2.28"),)

specs_lists = st.lists(conda_specs(), min_size=1, max_size=3)


def problem(specs: Sequence[str]) -> CondaProblem:
    roots = tuple(CondaRoot(parse_matchspec(spec), spec, ("specs", number)) for number, spec in enumerate(specs))
    return CondaProblem(target="linux-64", specs=roots, channels=("main",), virtual=VIRTUAL)


def answer(records: Sequence[Record], posed: CondaProblem) -> Solution | CondaUnsolvable:
    try:
        return solve_conda(posed, MemoryRepodata(records, "linux-64"))
    except CondaUnsolvable as error:
        return error


@given(conda_records(), specs_lists)
@settings(max_examples=300, deadline=None)
def test_finds_a_solution_exactly_when_there_is_one(records: list[Record], specs: list[str]) -> None:
    check_verdict(records, specs)


@pytest.mark.slow
@given(conda_records(), specs_lists)
@settings(max_examples=4000, deadline=None)
def test_finds_a_solution_exactly_when_there_is_one_in_thousands(records: list[Record], specs: list[str]) -> None:
    check_verdict(records, specs)


def check_verdict(records: list[Record], specs: list[str]) -> None:
    found = answer(records, problem(specs))
    if isinstance(found, CondaUnsolvable):
        assert not solutions(records, specs, VIRTUAL)
    else:
        assert complaints(chosen(found, records), specs, VIRTUAL) == []


@given(conda_records(), specs_lists)
@settings(max_examples=300, deadline=None)
def test_the_first_spec_gets_the_best_record_of_all_solutions(records: list[Record], specs: list[str]) -> None:
    found = answer(records, problem(specs))
    if isinstance(found, CondaUnsolvable):
        return
    name = parse_matchspec(specs[0]).name
    if name.startswith("__"):
        return
    best = min(rank(choice[name], records) for choice in solutions(records, specs, VIRTUAL))
    assert rank(chosen(found, records)[name], records) == best


@given(conda_records(), specs_lists, st.lists(st.lists(st.integers(0, 30), min_size=1, max_size=4), max_size=3))
@settings(max_examples=300, deadline=None)
def test_records_forbidden_together_are_not_chosen_together(
    records: list[Record], specs: list[str], picks: list[list[int]]
) -> None:
    groups = [{records[pick % len(records)].file: records[pick % len(records)] for pick in group} for group in picks]
    forbidden = []
    for group in groups:
        names: dict[str, frozenset[tuple[str, str, str]]] = {}
        for each in group.values():
            names[each.name] = names.get(each.name, frozenset()) | {(each.channel, each.subdir, each.file)}
        forbidden.append(ForbiddenRecords(names, ("is forbidden",)))
    posed = msgspec.structs.replace(problem(specs), forbidden=tuple(forbidden))

    def is_allowed(choice: Mapping[str, Record]) -> bool:
        return not any(
            all(name in choice and choice[name].file in group for name in {each.name for each in group.values()})
            for group in groups
        )

    found = answer(records, posed)
    if isinstance(found, CondaUnsolvable):
        assert not any(map(is_allowed, solutions(records, specs, VIRTUAL)))
        named = [forbidden[number] for number in found.conflict.forbidden]
        fewer = msgspec.structs.replace(posed, forbidden=tuple(named))
        assert isinstance(answer(records, fewer), CondaUnsolvable), "the named specs suffice for the conflict"
    else:
        choice = chosen(found, records)
        assert complaints(choice, specs, VIRTUAL) == []
        assert is_allowed(choice)


@given(conda_records(), specs_lists)
@settings(max_examples=300, deadline=None)
def test_a_proof_consists_of_contradicting_facts(records: list[Record], specs: list[str]) -> None:
    posed = problem(specs)
    attempt = Attempt(posed, Tables(posed, MemoryRepodata(records, "linux-64")))
    if attempt.solve():
        return
    assert attempt.search.proof is not None
    facts = leaves(attempt.search.proof)
    tables, base = attempt.encoder.tables, attempt.encoder.trail.base
    for fact in facts:
        if isinstance(fact, Given):
            assert not base[fact.variable] & ~fact.allowed, "a domain starts as the leaf states"
            continue
        name = tables[fact.variable].name
        for place in ranks(fact.candidates) if fact.requirer != ROOT else [-1]:
            requirer = tables[fact.requirer].records[place] if place >= 0 else None
            texts = specs if requirer is None else requirer.depends
            limits = () if requirer is None else requirer.constrains
            allowed = {
                rank
                for rank, record in enumerate(tables[fact.variable].records)
                if all(parse_matchspec(text).matches(record) for text in (*texts, *limits) if _names(text, name))
            }
            may_be_absent = not any(_names(text, name) for text in texts)
            if not _rules_itself_out(requirer):
                assert allowed <= set(ranks(fact.allowed)), "the record requires at least as much as the leaf states"
                assert fact.allowed & ABSENT or not may_be_absent
    assert not is_solvable([fact for fact in facts if isinstance(fact, Requires)], ROOT, base.__getitem__, 1_000)


def _names(text: str, name: str) -> bool:
    return parse_matchspec(text).name == name


def _rules_itself_out(record: Record | None) -> bool:
    if record is None:
        return False
    own = [text for text in (*record.depends, *record.constrains) if _names(text, record.name)]
    return not all(parse_matchspec(text).matches(record) for text in own)


@given(conda_records(), specs_lists)
@settings(max_examples=200, deadline=None)
def test_the_named_specs_alone_have_no_solution_and_fewer_have_one(records: list[Record], specs: list[str]) -> None:
    found = answer(records, problem(specs))
    if isinstance(found, Solution):
        return
    conflict = found.conflict
    named = [spec for spec, _ in conflict.roots]
    assert named
    assert not solutions(records, named, VIRTUAL)
    if conflict.minimal:
        for number in range(len(named)):
            assert solutions(records, named[:number] + named[number + 1 :], VIRTUAL)
    assert str(found).count("\n") < 40
    assert conflict.reasons, "a refusal always has a reason"
    assert msgspec.json.decode(msgspec.json.encode(conflict.data()))["target"] == "linux-64"


@given(conda_records(), st.lists(conda_specs(), min_size=1, max_size=5))
@settings(max_examples=300, deadline=None)
def test_a_followed_suggestion_gives_a_solution_and_is_minimal(records: list[Record], specs: list[str]) -> None:
    found = answer(records, problem(specs))
    if isinstance(found, Solution):
        return
    suggestion = found.conflict.suggestion
    assert suggestion, "there is always a way out"
    left = followed(specs, suggestion)
    if left is None:
        return
    assert solutions(records, left, VIRTUAL)
    if is_said_to_be_minimal(suggestion):
        for spec in set(specs) - set(left):
            unchanged = [other for other in specs if other == spec or other in left]
            assert not solutions(records, unchanged, VIRTUAL), f"the change to {spec} is not necessary"


@given(conda_records(), specs_lists, st.integers(0, 1 << 16))
@settings(max_examples=150, deadline=None)
def test_order_of_names_in_a_channel_makes_no_difference(records: list[Record], specs: list[str], seed: int) -> None:
    names = sorted({record.name for record in records})
    random.Random(seed).shuffle(names)
    shuffled = sorted(records, key=lambda record: names.index(record.name))
    one, other = answer(records, problem(specs)), answer(shuffled, problem(specs))
    if isinstance(one, Solution):
        assert one == other
    else:
        assert isinstance(other, CondaUnsolvable) and str(one) == str(other)


@given(conda_records(), specs_lists)
@settings(max_examples=150, deadline=None)
def test_preferring_a_solution_gives_the_same_solution(records: list[Record], specs: list[str]) -> None:
    found = answer(records, problem(specs))
    if isinstance(found, CondaUnsolvable):
        return
    preferences = {pin.name: (pin.file,) for pin in found.pins}
    assert answer(records, msgspec.structs.replace(problem(specs), preferences=preferences)) == found


@given(conda_records(), specs_lists, conda_specs(virtual=False))
@settings(max_examples=200, deadline=None)
def test_a_constraint_is_a_filter(records: list[Record], specs: list[str], limit: str) -> None:
    spec = parse_matchspec(limit)
    kept = [record for record in records if record.name != spec.name or spec.matches(record)]
    posed = msgspec.structs.replace(problem(specs), constraints=(CondaRoot(spec, limit, ("constraints", 0)),))
    narrowed = answer(records, posed)
    assert isinstance(narrowed, Solution) == bool(solutions(kept, specs, VIRTUAL))
    if isinstance(narrowed, Solution):
        assert complaints(chosen(narrowed, kept), specs, VIRTUAL) == []


@given(conda_records(), specs_lists, st.integers(0, 3))
@settings(max_examples=200, deadline=None)
def test_nothing_newer_than_the_cutoff_is_chosen(records: list[Record], specs: list[str], year: int) -> None:
    cutoff = year * 10**9
    found = answer(records, msgspec.structs.replace(problem(specs), exclude_newer=cutoff))
    older = [record for record in records if 0 < record.timestamp < cutoff * 1000]
    assert isinstance(found, Solution) == bool(solutions(older, specs, VIRTUAL))
    if isinstance(found, Solution):
        assert all(pin.uploaded is not None and pin.uploaded < cutoff for pin in found.pins)


@given(conda_records())
@settings(max_examples=100, deadline=None)
def test_a_lone_spec_without_dependencies_gets_the_newest(records: list[Record]) -> None:
    bare = [msgspec.structs.replace(record, depends=(), constrains=(), track_features=()) for record in records]
    found = answer(bare, problem([bare[0].name]))
    assert isinstance(found, Solution)
    newest = max(parse_version(record.version) for record in bare if record.name == bare[0].name)
    assert parse_version(found.pins[0].version) == newest
