"""How a tree is cut into frames. It depends only on the members, so all writers agree and readers can check it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from envc.model.record import Member
from envc.shipping.format.tar import header_size, text_size

FRAME = 8 << 20  # maximal bytes of tar in one frame


class Span(NamedTuple):
    """The content of one frame: whole members, or a slice of a member that is larger than a frame."""

    first: int  # number of its first member
    stop: int  # one past its last member
    raw: int  # bytes of tar
    at: int = 0  # offset in the content at which a continued frame starts; 0 for a frame that starts with a header


def spans(members: Iterable[Member]) -> list[Span]:
    """Cut the members, in their order, into frames.

    Members are gathered while their sum is at most FRAME. A larger member starts its own frame and continues in frames
    of exactly FRAME bytes of tar; its last frame ends with it.
    """
    cut: list[Span] = []
    first = raw = number = 0
    for number, member in enumerate(members):
        size = text_size(member)
        if raw and raw + size > FRAME:
            cut.append(Span(first, number, raw))
            raw = 0
        if not raw:
            first = number
        raw += size
        if raw > FRAME:
            cut.append(Span(number, number + 1, FRAME))
            header, starts = header_size(member), range(FRAME, size, FRAME)
            cut += [Span(number, number + 1, min(FRAME, size - start), start - header) for start in starts]
            raw = 0
    if raw:
        cut.append(Span(first, number + 1, raw))
    return cut
