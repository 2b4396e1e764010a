"""Domains as integers: the values that a variable may still take, one bit for each.

Bit 0 is `ABSENT`: nothing is chosen for the variable. Bit ``rank + 1`` is the candidate of that rank. In the end one
bit is set, so "at most one candidate of a name" needs no clause, and a requirement or a constraint is one ``&``:

* "one of these is required" keeps the bits of these;
* "if one is chosen, it is one of these" keeps the bits of these and `ABSENT`.

In SAT terms each bit is a Boolean variable, and the integer holds an exactly-one clause over them.
"""

from __future__ import annotations

from collections.abc import Iterator

ABSENT = 1


def bit(rank: int) -> int:
    """The domain with only the candidate of that rank."""
    return 2 << rank


def rank(mask: int) -> int:
    """The lowest rank in a mask, which holds at least one candidate and not `ABSENT`."""
    return (mask & -mask).bit_length() - 2


def ranks(mask: int) -> Iterator[int]:
    """The ranks of all candidates in a mask, ascending, without `ABSENT`."""
    mask &= ~ABSENT
    while mask:
        lowest = mask & -mask
        yield lowest.bit_length() - 2
        mask ^= lowest


def everything(count: int) -> int:
    """The initial domain of a variable with that many candidates."""
    return (2 << count) - 1


def is_decided(mask: int) -> bool:
    """Whether exactly one candidate is left, and not `ABSENT`."""
    return mask > ABSENT and mask & (mask - 1) == 0
