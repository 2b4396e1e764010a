"""The front door: a problem of both kinds in, a solution or an explained refusal out."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from envc_solvers.mixed.problem import MAX_ROUNDS, Ask, MixedProblem
from envc_solvers.mixed.rounds import Answers, Failure, run
from envc_solvers.pypi.problem import MAX_TRIES

if TYPE_CHECKING:
    from envc_solvers.conda.language.index import Repodata
    from envc_solvers.mixed.names import Names
    from envc_solvers.solution import Solution


def solve_mixed(
    problem: MixedProblem,
    repodata: Repodata,
    names: Names,
    ask: Ask,
    *,
    max_rounds: int = MAX_ROUNDS,
    max_tries: int = MAX_TRIES,
    out_of_time: Callable[[], bool] | None = None,
) -> Solution:
    """Choose the conda packages, then the PyPI packages that they leave to be chosen.

    The pins of conda packages say which projects they stand for; no project is pinned twice. What PyPI cannot live with
    is forbidden to conda, as generally as the failure allows, and conda is solved again. `max_tries` and `out_of_time`
    limit each search of PyPI, as for `pypi.solve`.

    Raises MixedUnsolvable, CondaUnsolvable or PyPIUnsolvable, depending on where the conflict is, the matching GaveUp,
    and whatever `repodata` and the index raise.

    A failure is taken to hold for every solution of conda in which the same projects come from conda: a solution that
    brings a project which the failed one had left to the index may be missed. `python` itself is not chosen anew when
    only its patch release is in the way.
    """
    answers = Answers(repodata, names, ask, max_tries, out_of_time)
    try:
        return run(problem, answers, max_rounds)
    except Failure as failure:
        from envc_solvers.mixed.explain import explained

        raise explained(failure, problem, answers) from failure
