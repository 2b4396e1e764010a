"""Why conda and PyPI packages do not fit together: both chains, and a change that was seen to help."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec

from envc_solvers.conda.conflict import Conflict as CondaConflict
from envc_solvers.conda.matchspec import MatchSpec
from envc_solvers.conda.solve import Root as CondaRoot
from envc_solvers.errors import SolverError
from envc_solvers.mixed.conflict import GaveUp, MixedConflict, Objection, Unsolvable
from envc_solvers.pypi.conflict import Unsolvable as PyPIUnsolvable
from envc_solvers.pypi.solve import Root as PyPIRoot

if TYPE_CHECKING:
    from envc_solvers.mixed.run import Round, World
    from envc_solvers.mixed.solve import MixedProblem

_MOST_TRIALS = 8


def refuse(conflict: CondaConflict, problem: MixedProblem, world: World, rounds: list[Round]) -> Unsolvable:
    """The error for a problem of which conda has no solution left that PyPI could live with."""
    objections = tuple(_objection(rounds[number]) for number in conflict.forbidden)
    found = MixedConflict(conflict, objections)
    return Unsolvable(msgspec.structs.replace(found, suggestion=_suggest(found, problem, world)))


def give_up(problem: MixedProblem, rounds: list[Round]) -> GaveUp:
    """The error for a problem that was solved too often."""
    return GaveUp(problem.conda.target, len(rounds) - 1, tuple(map(_objection, rounds)))


def _objection(failed: Round) -> Objection:
    error = failed.refusal.explained() if failed.refusal is not None else None
    return Objection(failed.text, error.conflict if isinstance(error, PyPIUnsolvable) else None)


def _suggest(conflict: MixedConflict, problem: MixedProblem, world: World) -> str:
    """What helps, tried as a whole; "" when none of the changes tried does."""
    from envc_solvers.mixed.run import run
    from envc_solvers.mixed.solve import MAX_ROUNDS

    for number, (words, changed) in enumerate(_changes(conflict, problem)):
        if number == _MOST_TRIALS:
            break
        try:
            run(changed, world, MAX_ROUNDS)
        except SolverError:
            continue
        return words
    return ""


def _changes(conflict: MixedConflict, problem: MixedProblem) -> Iterator[tuple[str, MixedProblem]]:
    """The problem with one of the requirements in conflict loosened or left out: loosened first, conda's first."""
    replace = msgspec.structs.replace
    stated = {root for each in conflict.objections if each.conflict for root in each.conflict.roots}
    specs = [n for n, root in enumerate(problem.conda.specs) if (root.text, root.origin) in conflict.conda.roots]
    roots = [n for n, root in enumerate(problem.pypi.roots) if (str(root.requirement), root.origin) in stated]

    def conda(number: int, *instead: CondaRoot) -> MixedProblem:
        kept = (*problem.conda.specs[:number], *instead, *problem.conda.specs[number + 1 :])
        return replace(problem, conda=replace(problem.conda, specs=kept))

    def pypi(number: int, *instead: PyPIRoot) -> MixedProblem:
        kept = (*problem.pypi.roots[:number], *instead, *problem.pypi.roots[number + 1 :])
        return replace(problem, pypi=replace(problem.pypi, roots=kept))

    for number in reversed(specs):
        root = problem.conda.specs[number]
        bare = MatchSpec(name=root.spec.name)
        if root.spec != bare:
            yield f"`{bare.name}` instead of `{root.text}`", conda(number, replace(root, spec=bare, text=bare.name))
    for number in roots:
        wanted = problem.pypi.roots[number].requirement
        if wanted.specifier:
            loose = replace(wanted, specifier="")
            instead = replace(problem.pypi.roots[number], requirement=loose)
            yield f"`{loose}` instead of `{wanted}`", pypi(number, instead)
    for number in reversed(specs):
        root = problem.conda.specs[number]
        if root.spec.name != "python":
            yield f"leave out `{root.text}`", conda(number)
    for number in roots:
        yield f"leave out `{problem.pypi.roots[number].requirement}`", pypi(number)
