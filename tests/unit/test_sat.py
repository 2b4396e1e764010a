"""The search over finite domains on its own: small puzzles without packages."""

from __future__ import annotations

import pytest

from envc_solvers.sat.core import is_solvable, shrink
from envc_solvers.sat.domain import ABSENT, bit, everything, is_decided, rank, ranks
from envc_solvers.sat.nogood import Nogood, Requires, leaves
from envc_solvers.sat.search import SearchLimit
from envc_solvers.sat.trail import Trail

GOAL = 0


def pigeonholes(count: int, holes: int) -> tuple[list[Requires], dict[int, int]]:
    """The pigeonhole problem: every pigeon needs a hole of its own. The candidates of a pigeon are holes."""
    base = {GOAL: bit(0) | ABSENT} | {pigeon: everything(holes) for pigeon in range(1, count + 1)}
    facts = [Requires(GOAL, bit(0), pigeon, everything(holes) & ~ABSENT) for pigeon in range(1, count + 1)]
    facts += [
        Requires(one, bit(hole), other, everything(holes) & ~bit(hole))
        for one in range(1, count + 1)
        for other in range(1, count + 1)
        for hole in range(holes)
        if one != other
    ]
    return facts, base


def test_a_domain_is_a_set_of_ranks() -> None:
    mask = bit(0) | bit(5) | ABSENT
    assert list(ranks(mask)) == [0, 5]
    assert rank(bit(5)) == 5
    assert everything(3) == bit(0) | bit(1) | bit(2) | ABSENT
    assert [is_decided(each) for each in (0, ABSENT, bit(3), bit(3) | ABSENT, bit(1) | bit(2))] == [
        False,
        False,
        True,
        False,
        False,
    ]


@pytest.mark.parametrize(("count", "holes", "fit"), [(3, 3, True), (4, 3, False), (5, 5, True), (5, 4, False)])
def test_pigeons_fit_only_if_there_are_enough_holes(count: int, holes: int, fit: bool) -> None:
    facts, base = pigeonholes(count, holes)
    assert is_solvable(facts, GOAL, base.__getitem__, 10_000) is fit


def test_a_search_can_be_limited() -> None:
    facts, base = pigeonholes(7, 6)
    with pytest.raises(SearchLimit) as caught:
        is_solvable(facts, GOAL, base.__getitem__, 3)
    assert caught.value.conflicts == 4


def test_shrinking_leaves_a_minimal_set() -> None:
    facts, base = pigeonholes(3, 2)
    base[9] = everything(4)
    idle = [Requires(GOAL, bit(0), 9, bit(2)), Requires(1, bit(0), 9, everything(4))]
    kept = shrink([*idle, *facts], GOAL, base.__getitem__)
    assert not set(idle) & set(kept)
    for fact in kept:
        assert is_solvable([each for each in kept if each is not fact], GOAL, base.__getitem__, 1_000)
    assert not is_solvable(kept, GOAL, base.__getitem__, 1_000)


def test_backtracking_restores_every_domain() -> None:
    trail = Trail()
    first, second = trail.add_variable(everything(3)), trail.add_variable(everything(2))
    trail.narrow(second, ~ABSENT, Nogood({second: ABSENT}, ()))
    trail.decide(first, bit(1))
    assert not trail.narrow(second, ABSENT, Nogood({first: bit(1), second: bit(0) | bit(1)}, ()))
    assert trail.level == 1
    assert trail.since(first, bit(1) | bit(2)) == 1
    trail.back_to(0)
    assert trail.domains == [everything(3), bit(0) | bit(1)]
    assert trail.history == [[], [0]]
    trail.back_to(0)
    assert trail.level == 0


def test_leaves_occur_once_in_order_of_use() -> None:
    one, two = Requires(0, 2, 1, 2), Requires(0, 2, 2, 2)
    inner = Nogood({1: 2}, (two, one))
    assert leaves(Nogood({}, (one, inner, inner, two))) == (one, two)
