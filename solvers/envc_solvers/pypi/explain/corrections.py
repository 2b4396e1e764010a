"""Several changes that make a failed problem solvable if no single one does, tried before they are suggested."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec
from resolvelib.resolvers import ResolutionImpossible

from envc_solvers.correction import correct, in_words, loosen
from envc_solvers.errors import ProjectNotFound
from envc_solvers.pypi.explain.conflict import PyPIConflict
from envc_solvers.pypi.language.requirement import Requirement
from envc_solvers.pypi.problem import Budget, PyPIProblem, PyPIRoot
from envc_solvers.pypi.search.journal import Journal
from envc_solvers.pypi.search.run import SearchContext, search
from envc_solvers.pypi.search.search import SearchLimit
from envc_solvers.solution import Solution

_CANDIDATES = 2_000  # in all trials; real sets need a few hundred if there is no conflict


class Trials:
    """Searches for parts of a problem. Each may try at most half of the candidates that are left for all of them."""

    def __init__(self, problem: PyPIProblem, context: SearchContext, nearest: dict[str, str]) -> None:
        self._problem = problem
        self._context = context
        self._left = _CANDIDATES
        self.nearest = dict(nearest)  # existing names for names that do not exist; a failure may add more
        self.solution: Solution | None = None  # that of the last success

    def failing(self, roots: tuple[PyPIRoot, ...]) -> tuple[PyPIRoot, ...] | None:
        """The requirements at fault if these cannot be met together, else (); None if undecided.

        Raises SearchLimit if the time for the problem has run out, and whatever the index raises.
        """
        if self._left <= 0:
            return None
        journal = Journal()
        replace = msgspec.structs.replace
        budget = Budget(max_tries=self._left // 2, out_of_time=self._context.budget.out_of_time)
        try:
            self.solution = search(replace(self._problem, roots=roots), replace(self._context, budget=budget), journal)
            return ()
        except ResolutionImpossible as error:
            journal.root_causes(error)
        except ProjectNotFound as error:
            journal.not_found[error.name] = error
        except SearchLimit as limit:
            if limit.timed_out:
                raise
            return None
        finally:
            self._left -= max(1, journal.tried)
        missing = journal.not_found
        self.nearest |= {name: error.nearest for name, error in missing.items() if error.nearest is not None}
        reached = journal.roots_reached()
        stated = [(root, root.requirement) for root in roots]
        found = tuple(root for root, one in stated if one.name in missing or (one.name, one.specifier) in reached)
        return found or roots


def suggest_several(
    problem: PyPIProblem,
    conflict: PyPIConflict,
    trials: Trials,
    looser: Callable[[Requirement], Iterator[Requirement]],
) -> tuple[str, tuple[str, ...]]:
    """A suggestion in words, and the projects whose new versions it should name.

    `looser` gives replacements for a requirement, the smallest change first. Raises as `Trials.failing`.
    """
    roots = problem.roots
    numbers = {id(root): number for number, root in enumerate(roots)}

    def trial(kept: tuple[int, ...]) -> tuple[int, ...] | None:
        found = trials.failing(tuple(roots[number] for number in kept))
        return None if found is None else tuple(numbers[id(root)] for root in found)

    named = set(conflict.roots)
    failing = tuple(n for n, root in enumerate(roots) if (str(root.requirement), root.origin) in named)
    correction = correct(len(roots), failing or tuple(range(len(roots))), trial)

    def choices(number: int) -> Iterator[Requirement]:
        requirement = roots[number].requirement
        if requirement.name in trials.nearest:
            yield msgspec.structs.replace(requirement, name=trials.nearest[requirement.name])
        yield from looser(requirement)

    def solves(replacements: dict[int, Requirement]) -> bool:
        changed = (
            msgspec.structs.replace(root, requirement=replacements[number]) if number in replacements else root
            for number, root in enumerate(roots)
            if number in replacements or number not in correction.left_out
        )
        return trials.failing(tuple(changed)) == ()

    # `suggest` has already tried to loosen single requirements.
    instead = loosen(correction.left_out if len(correction.left_out) > 1 else (), choices, solves)
    texts = {number: str(requirement) for number, requirement in instead.items()}
    words = in_words([str(root.requirement) for root in roots], correction, texts, "PyPI")
    return words, tuple(requirement.name for requirement in instead.values())
