"""The entry point of the mixed solver: takes a problem, and returns a solution or raises an explained error."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from envc_solvers.mixed.problem import MAX_ROUNDS, MixedProblem, OpenIndex
from envc_solvers.mixed.rounds import Answers, Failure, run
from envc_solvers.pypi.problem import MAX_TRIES, Budget

if TYPE_CHECKING:
    from envc_solvers.conda.language.index import Repodata
    from envc_solvers.mixed.names import Names
    from envc_solvers.solution import Solution


def solve_mixed(
    problem: MixedProblem,
    repodata: Repodata,
    names: Names,
    open_index: OpenIndex,
    *,
    max_rounds: int = MAX_ROUNDS,
    max_tries: int = MAX_TRIES,
    out_of_time: Callable[[], bool] | None = None,
) -> Solution:
    """Choose the conda packages, then the PyPI packages that go with them.

    The pins of conda packages state which projects they stand for; no project is pinned twice. If the PyPI packages
    have no solution with the chosen conda packages, that choice and all others that fail for the same reason are
    forbidden, and conda is solved again, `max_rounds` times at most. `max_tries` and `out_of_time` limit each search of
    PyPI, as for `solve_pypi`.

    Raises MixedUnsolvable, CondaUnsolvable or PyPIUnsolvable, depending on where the conflict is, the matching GaveUp,
    and whatever `repodata` and the index raise.

    A failure is taken to hold for every solution of conda in which the same projects come from conda. So a solution
    that provides a project which the failed one left to the index may be missed. If only the patch release of `python`
    causes the conflict, `python` is not chosen again.
    """
    answers = Answers(repodata, names, open_index, Budget(max_tries=max_tries, out_of_time=out_of_time))
    try:
        return run(problem, answers, max_rounds)
    except Failure as failure:
        from envc_solvers.mixed.explain import explained

        raise explained(failure, problem, answers) from failure
