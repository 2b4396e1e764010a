"""Which name is decided next: breadth first from the problem's specs over the candidates chosen so far."""

from __future__ import annotations

from envc_solvers.conda.encode import ROOT, Encoder
from envc_solvers.conda.order import Order
from envc_solvers.sat.domain import is_decided


class Agenda:
    """A walk over chosen candidates that stops at the first dependency without a choice.

    What the problem asks for is decided before what follows from it, so its own names get the best candidates. The
    walk goes on where it stopped until decisions are taken back.
    """

    def __init__(self, encoder: Encoder, order: Order) -> None:
        self._encoder = encoder
        self._order = order
        self.jumped()

    def jumped(self) -> None:
        """Decisions were taken back: walk again from the start."""
        self._queue = [ROOT]
        self._known = {ROOT}
        self._at = 0  # in the queue
        self._done = 0  # dependencies of that candidate that are walked

    def next_decision(self) -> tuple[int, int] | None:
        """The first needed name without a choice and its best candidate; None when every need is met."""
        domains = self._encoder.trail.domains
        while self._at < len(self._queue):
            variable = self._queue[self._at]
            needs = self._encoder.needs(variable, domains[variable])
            while self._done < len(needs):
                other, room = needs[self._done]
                domain = domains[other]
                if not is_decided(domain):
                    return other, self._order.best(other, domain, room)
                if other not in self._known:
                    self._known.add(other)
                    self._queue.append(other)
                self._done += 1
            self._at += 1
            self._done = 0
        return None

    @property
    def walked(self) -> tuple[int, ...]:
        """The variables that the walk has reached, ROOT first."""
        return tuple(self._queue)
