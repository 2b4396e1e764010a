"""Laws of corrections: sets of requirements to change so that the rest can be met."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from envc_solvers.correction import Correction, correct, in_words, loosen
from tests.support.suggestions import followed, is_said_to_be_minimal

MOST = 7
members = st.sets(st.integers(0, MOST - 1), min_size=1, max_size=3)
conflicts = st.lists(members, min_size=1, max_size=6)
corrections = st.builds(
    lambda left_out, minimal: Correction(tuple(sorted(left_out)), minimal),
    st.sets(st.integers(0, MOST - 1), min_size=1),
    st.booleans(),
)


class Trials:
    """Returns sets that fail together, and counts the trials. Some trials have no result."""

    def __init__(self, count: int, conflicts: list[set[int]], unknown: set[int]) -> None:
        self.count = count
        self.conflicts = conflicts
        self.unknown = unknown  # numbers of the trials without a result
        self.tried: list[tuple[int, ...]] = []

    def fails(self, kept: set[int]) -> bool:
        return any(each <= kept for each in self.conflicts)

    def trial(self, kept: tuple[int, ...]) -> tuple[int, ...] | None:
        self.tried.append(kept)
        if len(self.tried) in self.unknown:
            return None
        return next((tuple(sorted(each)) for each in self.conflicts if each <= set(kept)), ())


def corrected(conflicts: list[set[int]], unknown: set[int]) -> tuple[Trials, Correction]:
    count = max(max(each) for each in conflicts) + 1
    trials = Trials(count, conflicts, unknown)
    return trials, correct(count, tuple(sorted(conflicts[0])), trials.trial)


@given(conflicts, st.sets(st.integers(1, 2 * MOST)))
def test_the_rest_can_be_met_and_the_correction_is_minimal(conflicts: list[set[int]], unknown: set[int]) -> None:
    trials, found = corrected(conflicts, unknown)
    everything = set(range(trials.count))
    left_out = set(found.left_out)
    assert list(found.left_out) == sorted(left_out)
    assert not trials.fails(everything - left_out)
    if found.minimal:
        assert all(trials.fails(everything - left_out | {number}) for number in left_out)
    if not unknown:
        assert found.minimal


@given(conflicts, st.sets(st.integers(0, MOST - 1), min_size=1))
def test_wrong_conflicts_are_not_relied_on(conflicts: list[set[int]], blamed: set[int]) -> None:
    count = max(max(each) for each in conflicts) + 1
    trials = Trials(count, conflicts, set())
    found = correct(count, tuple(blamed), lambda kept: tuple(blamed) if trials.trial(kept) else ())
    rest = set(range(count)) - set(found.left_out)
    assert found.minimal and not trials.fails(rest)
    assert all(trials.fails(rest | {number}) for number in found.left_out)
    assert len(trials.tried) <= 2 * count


@given(conflicts, st.sets(st.integers(1, 2 * MOST)))
def test_trials_are_bounded_and_never_redundant(conflicts: list[set[int]], unknown: set[int]) -> None:
    trials, _ = corrected(conflicts, unknown)
    assert len(trials.tried) <= 2 * trials.count
    assert all(0 < len(kept) < trials.count for kept in trials.tried)


def test_the_most_frequent_member_of_conflicts_is_left_out() -> None:
    """0 excludes all others, and 4 excludes 5: two are left out, but five if each conflict were resolved separately."""
    trials, found = corrected([{0, 1}, {0, 2}, {0, 3}, {4, 5}], set())
    assert found == Correction((0, 5), minimal=True)
    assert len(trials.tried) <= 6


@given(st.sets(st.integers(0, MOST - 1)), st.dictionaries(st.integers(0, MOST - 1), st.integers(0, 2)))
def test_the_first_choice_that_solves_is_taken(left_out: set[int], wanted: dict[int, int]) -> None:
    def solves(taken: dict[int, int]) -> bool:
        return all(wanted.get(number) == choice for number, choice in taken.items())

    taken = loosen(sorted(left_out), lambda _: range(3), solves)
    assert taken == {number: choice for number, choice in sorted(wanted.items()) if number in left_out}


@given(corrections, st.integers(0, 8), st.sets(st.integers(0, MOST - 1)))
def test_the_wording_says_what_to_do(correction: Correction, more: int, loosened: set[int]) -> None:
    count = MOST + more
    texts = [f"p{number} <{number}" for number in range(count)]
    instead = {number: f"p{number}" for number in correction.left_out if number in loosened}
    wording = in_words(texts, correction, instead, "conda")
    expected = [
        instead.get(number, text)
        for number, text in enumerate(texts)
        if number in instead or number not in correction.left_out
    ]
    assert followed(texts, wording) == expected
    assert ("so none remains" in wording) == (not expected)
    assert is_said_to_be_minimal(wording) == correction.minimal
