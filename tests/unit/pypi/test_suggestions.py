"""Suggestions whose trials an index or the clock ends: the refusal stays, and nothing is said that was not tried."""

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


class Silent(Unanswered):
    """An index that says no more."""


class Stopping(MemoryIndex):
    """Says what it has of so many projects."""

    def __init__(self, most: int) -> None:
        super().__init__(UNIVERSE, TARGET, PYTHON)
        self.left = most

    def view(self, name: str) -> View:
        if self.left == 0:
            raise Silent
        self.left -= 1
        return super().view(name)


def test_an_index_that_says_no_more_ends_the_trials() -> None:
    found = set()
    for most in range(len(UNIVERSE) + 1):
        try:
            solve_pypi(PROBLEM, Stopping(most), {})
        except PyPIUnsolvable as error:
            assert error.conflict.roots and error.conflict.subjects
            found.add(error.conflict.suggestion)
        except Silent:
            found.add("silent")
    assert found == {"silent", "", HELPS}


def test_time_that_is_over_ends_the_trials() -> None:
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
