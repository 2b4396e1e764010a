"""The front door: a problem of both kinds in, a solution or an explained refusal out."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from typing import TYPE_CHECKING

import msgspec

from envc_solvers.conda.solve import CondaProblem
from envc_solvers.pypi.solve import MAX_TRIES, Problem

if TYPE_CHECKING:
    from envc_solvers.conda.index import Repodata
    from envc_solvers.mixed.names import Names
    from envc_solvers.pypi.index import Index
    from envc_solvers.pypi.markers import Answer
    from envc_solvers.solution import Solution

MAX_ROUNDS = 8  # times that conda is solved again

# Who answers a problem of PyPI, which is made for the Python and the projects of one solution of conda: the problem as
# the index wants it put, the index, and what is known of markers there.
Ask = Callable[[Problem], "tuple[Problem, Index, MutableMapping[str, Answer]]"]


class MixedProblem(msgspec.Struct, frozen=True, kw_only=True):
    """What one run gets. Equal problems have equal solutions over the same repodata, index and names."""

    conda: CondaProblem
    pypi: Problem  # its Python is that of conda's `python`, to the patch, where the solution of conda has one
    reserved: dict[str, str] = {}  # project that must not come from conda: what says so, for explanations


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
    limit each search of PyPI, as for `pypi.solve`. Raises Unsolvable of this package, of `conda` or of `pypi`,
    depending on who is at fault; GaveUp of these; and whatever `repodata` and the index raise.

    A failure is taken to hold for every solution of conda in which the same projects come from conda: a solution that
    brings a project which the failed one had left to the index may be missed. `python` itself is not chosen anew when
    only its patch release is in the way.
    """
    from envc_solvers.mixed.run import World, run

    return run(problem, World(repodata, names, ask, max_tries, out_of_time), max_rounds)
