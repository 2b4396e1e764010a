"""The entry point of the conda solver: takes a problem, and returns a solution or raises an explained error."""

from __future__ import annotations

from typing import TYPE_CHECKING

from envc_solvers.conda.problem import CondaProblem
from envc_solvers.conda.search.attempt import Attempt
from envc_solvers.conda.search.tables import Tables
from envc_solvers.sat.search import SearchLimit
from envc_solvers.solution import Solution

if TYPE_CHECKING:
    from envc_solvers.conda.language.index import Repodata


def solve_conda(problem: CondaProblem, repodata: Repodata) -> Solution:
    """Choose one record of every name that the specs reach.

    `channel::name` among the specs excludes the name's other channels. With strict priority, a name comes from the
    first channel that has it. With flexible priority, a channel's records are tried before those of later channels.
    Without priority, only versions count. Raises CondaUnsolvable with an explained conflict, CondaGaveUp if the search
    takes too long, and whatever `repodata` raises.
    """
    tables = Tables(problem, repodata)
    attempt = Attempt(problem, tables)
    try:
        if attempt.solve():
            return attempt.solution()
    except SearchLimit as limit:
        from envc_solvers.conda.explain.conflict import CondaGaveUp

        raise CondaGaveUp(problem.target, limit.conflicts) from None
    from envc_solvers.conda.explain.explain import refuse

    raise refuse(problem, repodata, tables, attempt)
