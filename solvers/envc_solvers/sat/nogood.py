"""Nogoods: sets of literals that cannot all hold, with their reasons. They are the clauses and proofs of this search.

A **literal** is (variable, set): "the variable takes a value in the set". A **nogood** says that its literals cannot
all hold. In SAT terms, with one Boolean for each value, the nogood {(x, {1, 2}), (y, {3})} represents the clauses
(not x1 or not y3) and (not x2 or not y3). So one learned nogood covers every candidate that fails for the same reason.

There are four kinds. `Requires`, `Given` and `Forbidden` come from the problem and are the leaves of a proof. `Nogood`
is learned from them.
"""

from __future__ import annotations

from typing import NamedTuple


class Requires(NamedTuple):
    """Each of some candidates of `requirer` requires that `variable` takes a value in `allowed`.

    "numpy 1.26 to 2.1 require python >=3.9". In SAT terms, for each candidate c and allowed values a1, a2, …: (not c or
    a1 or a2 or …). As a nogood: {(requirer, candidates), (variable, everything but allowed)}.
    """

    requirer: int
    candidates: int  # of `requirer`
    variable: int
    allowed: int  # includes ABSENT if the requirer only constrains the variable


class Given(NamedTuple):
    """`variable` takes a value in `allowed`, because its initial domain holds no others.

    "python is one of the records that the channels have". In SAT terms, for allowed values a1, a2, …: (a1 or a2 or …).
    """

    variable: int
    allowed: int


class Forbidden(NamedTuple):
    """The literals cannot all hold, by a statement that the caller made.

    "Not numpy 2.0 together with scipy 1.10". In SAT terms, for literals with one value each: (not a or not b or …).
    """

    literals: tuple[tuple[int, int], ...]  # (variable, set), each variable once
    number: int  # of the statement; the caller chooses it


class Nogood:
    """The literals cannot all hold, because resolving the reasons, in order, gives exactly these literals.

    "scipy 1.10 cannot be chosen together with python 3.13". In SAT terms, a learned clause with its resolution proof;
    without literals it is the empty clause, which proves that there is no solution.
    """

    __slots__ = ("literals", "reasons")

    def __init__(self, literals: dict[int, int], reasons: tuple[Reason, ...]) -> None:
        self.literals = literals  # variable: set
        self.reasons = reasons


Reason = Requires | Given | Forbidden | Nogood


def leaves(proof: Nogood) -> tuple[Requires | Given | Forbidden, ...]:
    """The statements of the problem that a nogood follows from, each once, in the order in which they are used."""
    found: dict[Requires | Given | Forbidden, None] = {}
    seen: set[int] = set()
    stack: list[Reason] = [proof]
    while stack:
        reason = stack.pop()
        if not isinstance(reason, Nogood):
            found.setdefault(reason)
        elif id(reason) not in seen:
            seen.add(id(reason))
            stack.extend(reversed(reason.reasons))
    return tuple(found)
