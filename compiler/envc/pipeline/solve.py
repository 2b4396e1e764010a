"""``envc solve``: one resolution without a manifest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from envc.context import Context
from envc.locking.plan.expand import expand
from envc.locking.plan.problems import pose_problems

if TYPE_CHECKING:
    from envc.locking.manifest.conda_query import CondaQuery
    from envc.locking.manifest.query import Query
    from envc_solvers.solution import Solution


def solve_once(query: Query, context: Context, conda: CondaQuery | None = None) -> Solution:
    """parse → expand → pose → solve, for one command line, without a lock; together with `conda` packages if given."""
    from envc.locking.manifest.query import parse_query
    from envc.locking.resolve.session import solve_both, solve_problems

    manifest = parse_query(query)
    problems = pose_problems(manifest, expand(manifest), now=context.now)
    if conda is not None:
        return solve_both(conda, problems[0], manifest, context)
    return solve_problems(problems, manifest, context).solutions[0][1]
