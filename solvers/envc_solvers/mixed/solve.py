"""The front door of the mixed solver: a problem of both kinds in, a solution or an explained error out."""

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
    """Choose the conda packages, then the PyPI packages beside them.

    The pins of conda packages state which projects they stand for; no project is pinned twice. If the PyPI packages
    have no solution beside the chosen conda packages, these are forbidden to conda, as generally as the failure allows,
    and conda is solved again, `max_rounds` times at most. `max_tries` and `out_of_time` limit each search of PyPI, as
    for `solve_pypi`.

    Raises MixedUnsolvable, CondaUnsolvable or PyPIUnsolvable, depending on where the conflict is, the matching GaveUp,
    and what `repodata` and the index raise.

    A failure is taken to hold for every solution of conda in which the same projects come from conda: a solution that
    provides a project which the failed one left to the index may be missed. `python` itself is not chosen again when
    only its patch release is in the way.
    """
    answers = Answers(repodata, names, open_index, Budget(max_tries=max_tries, out_of_time=out_of_time))
    try:
        return run(problem, answers, max_rounds)
    except Failure as failure:
        from envc_solvers.mixed.explain import explained

        raise explained(failure, problem, answers) from failure
