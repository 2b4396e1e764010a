"""``envc solve``: one resolution without a manifest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from envc.context import Context

if TYPE_CHECKING:
    from envc.locking.manifest.conda_query import CondaQuery
    from envc.locking.manifest.query import Query
    from envc_solvers.solution import Solution


def solve_once(query: Query | None, conda: CondaQuery | None, context: Context) -> Solution:
    """parse → expand → pose → solve, for one command line, without a lock.

    At least one of the queries is given; with both, conda packages and PyPI projects are solved together. Each path
    imports only what it needs, because conda packages alone need no plan.
    """
    if query is None and conda is not None:
        from envc.locking.resolve.conda import solve_query

        return solve_query(conda, context)
    assert query is not None
    from envc.locking.manifest.query import parse_query
    from envc.locking.plan.expand import expand
    from envc.locking.plan.problems import pose_problems
    from envc.locking.resolve.session import solve_both, solve_problems

    manifest = parse_query(query)
    problems = pose_problems(manifest, expand(manifest), now=context.now)
    if conda is not None:
        return solve_both(conda, problems[0], manifest, context)
    return solve_problems(problems, manifest, context).solutions[0][1]
