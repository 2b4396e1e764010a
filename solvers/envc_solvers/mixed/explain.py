"""Why conda and PyPI packages are incompatible: a failed run turned into a `MixedConflict`."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING

import msgspec

from envc_solvers.conda.explain.conflict import CondaConflict, CondaUnsolvable
from envc_solvers.conda.explain.suggest import python_setting
from envc_solvers.conda.language.matchspec import MatchSpec
from envc_solvers.conda.problem import CondaRoot
from envc_solvers.correction import correct, in_words
from envc_solvers.errors import SolverError
from envc_solvers.mixed.conflict import MixedConflict, MixedGaveUp, MixedUnsolvable, Objection
from envc_solvers.mixed.problem import MAX_ROUNDS
from envc_solvers.mixed.rounds import Answers, Failure, Round, run
from envc_solvers.origin import KeyPath
from envc_solvers.pypi.explain.conflict import PyPIConflict, PyPIUnsolvable
from envc_solvers.pypi.problem import PyPIRoot
from envc_solvers.solution import Solution

if TYPE_CHECKING:
    from envc_solvers.mixed.problem import MixedProblem

_MOST_TRIALS = 8  # of one change
_MOST_TRIALS_OF_SEVERAL = 16


def explained(failure: Failure, problem: MixedProblem, answers: Answers) -> MixedUnsolvable | MixedGaveUp:
    """The error for a failed run, with a suggestion if a change was seen to help."""
    error = _without_suggestion(failure, problem)
    if isinstance(error, MixedGaveUp):
        return error
    suggestion = _suggest(error.conflict, problem, answers)
    return MixedUnsolvable(msgspec.structs.replace(error.conflict, suggestion=suggestion))


def _without_suggestion(failure: Failure, problem: MixedProblem) -> MixedUnsolvable | MixedGaveUp:
    rounds, conflict = failure.rounds, failure.conflict
    if conflict is None:
        return MixedGaveUp(problem.conda.target, len(rounds) - 1, tuple(map(_objection, rounds)))
    return MixedUnsolvable(MixedConflict(conflict, tuple(_objection(rounds[number]) for number in conflict.forbidden)))


def _objection(failed: Round) -> Objection:
    error = failed.search.explained() if failed.search is not None else None
    return Objection(failed.reason, error.conflict if isinstance(error, PyPIUnsolvable) else None)


def _suggest(conflict: MixedConflict, problem: MixedProblem, answers: Answers) -> str:
    """A suggestion that was tried on the whole problem: one change if a single one helps, else several; else ""."""
    for words, changed in islice(_changes(conflict, problem), _MOST_TRIALS):
        found = _solved(changed, answers)
        if isinstance(found, Solution):
            return words or f"`{python_setting(found)}`"
    return _suggest_several(conflict, problem, answers)


def _solved(problem: MixedProblem, answers: Answers) -> Solution | SolverError:
    """The solution, or the error if there is none."""
    try:
        return run(problem, answers, MAX_ROUNDS)
    except Failure as failure:
        return _without_suggestion(failure, problem)
    except SolverError as error:
        return error


Stated = tuple[str, KeyPath]  # a requirement of either kind as it is written, and where


def _roots_of(conflict: MixedConflict | CondaConflict | PyPIConflict) -> set[Stated]:
    """The requirements that a conflict depends on."""
    if not isinstance(conflict, MixedConflict):
        return set(conflict.roots)
    pypi = (root for each in conflict.objections if each.conflict for root in each.conflict.roots)
    return {*conflict.conda.roots, *pypi}


def _suggest_several(conflict: MixedConflict, problem: MixedProblem, answers: Answers) -> str:
    """Requirements to leave out, for several independent conflicts; "" if none would remain. `python` stays."""
    specs, roots = problem.conda.specs, problem.pypi.roots
    stated: list[Stated] = [(root.text, root.origin) for root in specs if root.spec.name != "python"]
    stated += [(str(root.requirement), root.origin) for root in roots]
    left = _MOST_TRIALS_OF_SEVERAL

    def numbers(failing: set[Stated]) -> tuple[int, ...]:
        return tuple(number for number, each in enumerate(stated) if each in failing)

    def trial(kept: tuple[int, ...]) -> tuple[int, ...] | None:
        nonlocal left
        left -= 1
        if left < 0:
            return None
        replace = msgspec.structs.replace
        staying = {stated[number] for number in kept}
        conda = tuple(root for root in specs if root.spec.name == "python" or (root.text, root.origin) in staying)
        pypi = tuple(root for root in roots if (str(root.requirement), root.origin) in staying)
        smaller = replace(problem, conda=replace(problem.conda, specs=conda), pypi=replace(problem.pypi, roots=pypi))
        error = _solved(smaller, answers)
        if isinstance(error, Solution):
            return ()
        if isinstance(error, MixedUnsolvable | CondaUnsolvable | PyPIUnsolvable):
            return numbers(_roots_of(error.conflict)) or kept
        return None

    everything = tuple(range(len(stated)))
    correction = correct(len(stated), numbers(_roots_of(conflict)) or everything, trial)
    if correction.left_out == everything:
        return ""
    return in_words([text for text, _ in stated], correction, {}, "conda")


def _changes(conflict: MixedConflict, problem: MixedProblem) -> Iterator[tuple[str, MixedProblem]]:
    """The problem with one of the conflicting requirements changed: first loosened, then left out; first conda's."""
    replace = msgspec.structs.replace
    stated = _roots_of(conflict)
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
            words = "" if root.setting else f"`{bare.name}` instead of `{root.text}`"  # "": the Python that is found
            yield words, conda(number, replace(root, spec=bare, text=bare.name))
    for number in roots:
        requirement = problem.pypi.roots[number].requirement
        if requirement.specifier:
            loose = replace(requirement, specifier="")
            instead = replace(problem.pypi.roots[number], requirement=loose)
            yield f"`{loose}` instead of `{requirement}`", pypi(number, instead)
    for number in reversed(specs):
        root = problem.conda.specs[number]
        if root.spec.name != "python":
            yield f"leave out `{root.text}`", conda(number)
    for number in roots:
        yield f"leave out `{problem.pypi.roots[number].requirement}`", pypi(number)
