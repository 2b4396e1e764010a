"""Looks for newer releases that solutions passed over, and refuses what the manifest does not allow."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import msgspec

from envc.context import Limits
from envc.errors import Refusal
from envc.fetch.pypi.indexes import Indexes
from envc.locking.plan.problems import SharedProblem
from envc_solvers.pypi.language.index import Index
from envc_solvers.pypi.passed_over import passed_over
from envc_solvers.pypi.problem import Budget, PyPIProblem
from envc_solvers.solution import Solution

if TYPE_CHECKING:
    from envc_solvers.passed_over import PassedOver


def with_passed_over(
    problem: PyPIProblem,
    index: Index,
    solution: Solution,
    origins: Indexes,
    limits: Limits,
    unaligned: Solution | None = None,
) -> Solution:
    """The PyPI solution with the newer releases that it passed over. `unaligned` is the one before alignment."""
    answers = origins.answers(problem.target, problem.python)
    budget = Budget(max_tries=limits.candidates, out_of_time=limits.clock())
    before = {pin.name: pin.version for pin in unaligned.pins} if unaligned is not None else {}
    found = passed_over(problem, solution, index, answers, budget, before)
    return msgspec.structs.replace(solution, passed_over=found) if found else solution


def refused(problem: PyPIProblem, found: Iterable[PassedOver]) -> tuple[PassedOver, ...]:
    """What the policy does not allow to be passed over. A version that the lock keeps is never refused."""
    policies = {"sdist": problem.policy.sdist, "url": problem.policy.direct_dependencies}
    return tuple(one for one in found if one.direct and not one.is_kept and policies.get(one.kind) == "refuse")


def refusal_of(shared: SharedProblem, problem: PyPIProblem, found: tuple[PassedOver, ...]) -> Refusal:
    """The refusal for releases that must not be passed over."""
    from envc.locking.resolve.refusal import passed_over_refusal  # late: most solutions are not refused

    return passed_over_refusal(shared, problem, found)
