"""The order in which names are decided: breadth first from the problem's specs, over the candidates chosen so far."""

from __future__ import annotations

from envc_solvers.conda.search.encode import ROOT, Encoder
from envc_solvers.conda.search.order import Order
from envc_solvers.sat.domain import is_decided


class Agenda:
    """A walk over the chosen candidates that stops at the first dependency without a choice.

    Names in the problem's specs are decided before the dependencies of their candidates, so they get the best
    candidates. The walk resumes where it stopped. After a backjump it resumes where it was before the first decision
    that was undone.
    """

    def __init__(self, encoder: Encoder, order: Order) -> None:
        self._encoder = encoder
        self._order = order
        self._queue = [ROOT]
        self._known = {ROOT}
        self._at = 0  # position in the queue
        self._done = 0  # dependencies of the candidate there that were visited
        # By level: position, dependencies visited and length of the queue when the next level began.
        self._marks = [(0, 0, 1)]

    def backjumped(self) -> None:
        """Forget the visits since the first decision that was undone. Earlier choices remain."""
        self._at, self._done, length = self._marks[self._encoder.trail.level]
        self._known.difference_update(self._queue[length:])
        del self._queue[length:]

    def next_decision(self) -> tuple[int, int] | None:
        """The first required name without a choice and its best candidate; None if every dependency is met."""
        trail = self._encoder.trail
        domains = trail.domains
        queue, known = self._queue, self._known
        while self._at < len(queue):
            variable = queue[self._at]
            dependencies = self._encoder.dependencies(variable, domains[variable])
            for done in range(self._done, len(dependencies)):
                other, allowed = dependencies[done]
                domain = domains[other]
                if not is_decided(domain):
                    self._done = done
                    del self._marks[trail.level :]
                    self._marks.append((self._at, done, len(queue)))
                    return other, self._order.best(other, domain, allowed)
                if other not in known:
                    known.add(other)
                    queue.append(other)
            self._at += 1
            self._done = 0
        return None

    @property
    def walked(self) -> tuple[int, ...]:
        """The variables that the walk reached, ROOT first."""
        return tuple(self._queue)
