"""Suggestions whose trials fail or time out: the refusal stays, and no untested suggestion is made."""

from __future__ import annotations

import itertools

from envc_solvers.errors import Unanswered
from envc_solvers.pypi.explain.conflict import PyPIGaveUp, PyPIUnsolvable
from envc_solvers.pypi.language.index import View
from envc_solvers.pypi.problem import PyPIProblem
from envc_solvers.pypi.solve import solve_pypi
from envc_solvers.target import Python, default_target
from tests.support.universe import MemoryIndex, Universe, Version, as_roots

TARGET = default_target("linux-64")
PYTHON = Python(minor=(3, 11))
UNIVERSE: Universe = {
    "app": {"1.0": Version(requires=("base<2",))},
    "tool": {"1.0": Version(requires=("core<2",))},
    "base": {"2.0": Version()},
    "core": {"2.0": Version()},
    "lib": {"1.0": Version()},
}
PROBLEM = PyPIProblem(target=TARGET, python=PYTHON, roots=as_roots(["app", "lib", "tool"], "roots"))
HELPS = "leave out `app` and `tool`"


class StoppedAnswering(Unanswered):
    """Raised by an index that stops answering."""


class LimitedIndex(MemoryIndex):
    """An index that answers for a limited number of projects, then fails."""

    def __init__(self, most: int) -> None:
        super().__init__(UNIVERSE, TARGET, PYTHON)
        self.left = most

    def view(self, name: str) -> View:
        if self.left == 0:
            raise StoppedAnswering
        self.left -= 1
        return super().view(name)


def test_trials_end_if_the_index_stops_answering() -> None:
    found = set()
    for most in range(len(UNIVERSE) + 1):
        try:
            solve_pypi(PROBLEM, LimitedIndex(most), {})
        except PyPIUnsolvable as error:
            assert error.conflict.roots and error.conflict.subjects
            found.add(error.conflict.suggestion)
        except StoppedAnswering:
            found.add("silent")
    assert found == {"silent", "", HELPS}


def test_trials_end_if_time_runs_out() -> None:
    found = set()
    for most in range(60):
        clock = itertools.count()
        try:
            solve_pypi(
                PROBLEM,
                MemoryIndex(UNIVERSE, TARGET, PYTHON),
                {},
                out_of_time=lambda clock=clock, most=most: next(clock) >= most,
            )
        except PyPIUnsolvable as error:
            assert error.conflict.roots and error.conflict.subjects
            found.add(error.conflict.suggestion)
        except PyPIGaveUp:
            found.add("gave up")
    assert found == {"gave up", "", HELPS}
