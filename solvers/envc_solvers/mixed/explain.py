"""Why conda and PyPI packages do not fit together: both chains, and a change that was seen to help."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING

import msgspec

from envc_solvers.conda.explain.conflict import CondaConflict, CondaUnsolvable
from envc_solvers.conda.language.matchspec import MatchSpec
from envc_solvers.conda.problem import CondaRoot
from envc_solvers.correction import correct, in_words
from envc_solvers.errors import SolverError
from envc_solvers.mixed.conflict import MixedConflict, MixedGaveUp, MixedUnsolvable, Objection
from envc_solvers.mixed.problem import MAX_ROUNDS
from envc_solvers.mixed.rounds import Answers, Failure, Round, run
from envc_solvers.pypi.explain.conflict import PyPIConflict, PyPIUnsolvable
from envc_solvers.pypi.problem import PyPIRoot

if TYPE_CHECKING:
    from envc_solvers.mixed.problem import MixedProblem

_MOST_TRIALS = 8  # of one change
_MOST_TRIALS_OF_SEVERAL = 16


def explained(failure: Failure, problem: MixedProblem, world: Answers) -> MixedUnsolvable | MixedGaveUp:
    """The error for a failed run, with a change that was seen to help where one was found."""
    error = _without_suggestion(failure, problem)
    if isinstance(error, MixedGaveUp):
        return error
    suggestion = _suggest(error.conflict, problem, world)
    return MixedUnsolvable(msgspec.structs.replace(error.conflict, suggestion=suggestion))


def _without_suggestion(failure: Failure, problem: MixedProblem) -> MixedUnsolvable | MixedGaveUp:
    rounds, conflict = failure.rounds, failure.conflict
    if conflict is None:
        return MixedGaveUp(problem.conda.target, len(rounds) - 1, tuple(map(_objection, rounds)))
    return MixedUnsolvable(MixedConflict(conflict, tuple(_objection(rounds[number]) for number in conflict.forbidden)))


def _objection(failed: Round) -> Objection:
    error = failed.refusal.explained() if failed.refusal is not None else None
    return Objection(failed.text, error.conflict if isinstance(error, PyPIUnsolvable) else None)


def _suggest(conflict: MixedConflict, problem: MixedProblem, world: Answers) -> str:
    """What helps, tried as a whole: one change where one does, else several; "" when nothing that is tried does."""
    for words, changed in islice(_changes(conflict, problem), _MOST_TRIALS):
        if _refusal(changed, world) is None:
            return words
    return _several(conflict, problem, world)


def _refusal(problem: MixedProblem, world: Answers) -> SolverError | None:
    """Why there is no solution; None where there is one."""
    try:
        run(problem, world, MAX_ROUNDS)
    except Failure as failure:
        return _without_suggestion(failure, problem)
    except SolverError as error:
        return error
    return None


def _stated(conflict: MixedConflict | CondaConflict | PyPIConflict) -> set[tuple[str, str]]:
    """What a conflict is about, of both kinds, as (text, origin)."""
    if not isinstance(conflict, MixedConflict):
        return set(conflict.roots)
    told = (root for each in conflict.objections if each.conflict for root in each.conflict.roots)
    return {*conflict.conda.roots, *told}


def _several(conflict: MixedConflict, problem: MixedProblem, world: Answers) -> str:
    """What to leave out where conflicts are independent of each other; "" unless something remains. `python` stays."""
    specs, roots = problem.conda.specs, problem.pypi.roots
    stated = [(root.text, root.origin) for root in specs if root.spec.name != "python"]
    stated += [(str(root.requirement), root.origin) for root in roots]
    left = _MOST_TRIALS_OF_SEVERAL

    def numbers(failing: set[tuple[str, str]]) -> tuple[int, ...]:
        return tuple(number for number, each in enumerate(stated) if each in failing)

    def trial(kept: tuple[int, ...]) -> tuple[int, ...] | None:
        nonlocal left
        left -= 1
        if left < 0:
            return None
        replace = msgspec.structs.replace
        stay = {stated[number] for number in kept}
        conda = tuple(root for root in specs if root.spec.name == "python" or (root.text, root.origin) in stay)
        pypi = tuple(root for root in roots if (str(root.requirement), root.origin) in stay)
        smaller = replace(problem, conda=replace(problem.conda, specs=conda), pypi=replace(problem.pypi, roots=pypi))
        error = _refusal(smaller, world)
        if error is None:
            return ()
        if isinstance(error, MixedUnsolvable | CondaUnsolvable | PyPIUnsolvable):
            return numbers(_stated(error.conflict)) or kept
        return None

    everything = tuple(range(len(stated)))
    correction = correct(len(stated), numbers(_stated(conflict)) or everything, trial)
    if correction.left_out == everything:
        return ""
    return in_words([text for text, _ in stated], correction, {}, "conda")


def _changes(conflict: MixedConflict, problem: MixedProblem) -> Iterator[tuple[str, MixedProblem]]:
    """The problem with one of the requirements in conflict loosened or left out: loosened first, conda's first."""
    replace = msgspec.structs.replace
    stated = _stated(conflict)
    specs = [n for n, root in enumerate(problem.conda.specs) if (root.text, root.origin) in stated]
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
