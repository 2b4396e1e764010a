"""Nogoods: what cannot hold together, and why. They are the clauses of this search, and its proofs.

A literal is (variable, set): "the variable is within the set". In SAT terms, with one Boolean for each possibility, a
nogood {(x, {1, 2}), (y, {3})} is the clauses (not x1 or not y3) and (not x2 or not y3) at once; one learned nogood
therefore speaks of every candidate that fails for the same reason.
"""

from __future__ import annotations

from typing import NamedTuple


class Requires(NamedTuple):
    """A leaf of a proof: each candidate in `candidates` asks that `variable` is within `allowed`.

    As a nogood: {(asker, who), (variable, everything but room)}.
    """

    requirer: int
    candidates: int  # candidates of `requirer`
    variable: int
    allowed: int  # with ABSENT where the asker only constrains


class Given(NamedTuple):
    """A leaf of a proof: `variable` is within `allowed` from the start."""

    variable: int
    allowed: int


class Forbidden(NamedTuple):
    """A leaf of a proof: somebody else has found that these literals cannot all hold."""

    literals: tuple[tuple[int, int], ...]  # (variable, set), each variable once
    number: int  # of the statement, as its maker counts


class Nogood:
    """Literals that cannot all hold. Without literals it is the proof that there is no solution."""

    __slots__ = ("literals", "reasons")

    def __init__(self, literals: dict[int, int], reasons: tuple[Reason, ...]) -> None:
        self.literals = literals  # variable: set
        self.reasons = reasons  # resolving these, in order, gives the literals


Reason = Requires | Given | Forbidden | Nogood


def leaves(proof: Nogood) -> tuple[Requires | Given | Forbidden, ...]:
    """The facts that a nogood rests on, each once, in the order in which the search used them first."""
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
