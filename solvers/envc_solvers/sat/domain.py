"""Domains as integers: what a variable may still be, one bit for each possibility.

Bit 0 is `ABSENT`: the variable is not needed. Bit ``rank + 1`` is the candidate of that rank. At most one bit of a
variable ends up set, so "at most one candidate of a name" needs no clause, and both a requirement and a constraint
are one ``&``:

* "needs one of these" leaves the bits of these;
* "if it is there at all, then one of these" leaves the bits of these and `ABSENT`.
"""

from __future__ import annotations

from collections.abc import Iterator

ABSENT = 1


def bit(rank: int) -> int:
    """The domain that holds only the candidate of that rank."""
    return 2 << rank


def rank(mask: int) -> int:
    """The rank of the candidate with the lowest bit. `mask` holds at least one candidate and not `ABSENT`."""
    return (mask & -mask).bit_length() - 2


def ranks(mask: int) -> Iterator[int]:
    """The ranks of all candidates in a mask, ascending; `ABSENT` is passed over."""
    mask &= ~ABSENT
    while mask:
        lowest = mask & -mask
        yield lowest.bit_length() - 2
        mask ^= lowest


def everything(count: int) -> int:
    """The domain of a variable with that many candidates before anything is known of it."""
    return (2 << count) - 1


def is_decided(mask: int) -> bool:
    """Whether one candidate is left and nothing else."""
    return mask > ABSENT and mask & (mask - 1) == 0
