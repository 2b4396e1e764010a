"""The parts of resolvelib that are replaced. This is the only module that uses its private parts.

From resolvelib come the interface of the provider, `State`, `Criterion`, `RequirementInformation`, and the exceptions
that callers see. Three parts are replaced, because they cost too much here:

* `Resolution.resolve`, with its steps `_attempt_to_pin_criterion` and `_backjump`. resolvelib replaces a decided
  candidate when a later one contradicts it, so the order of rounds decides which of two projects keeps its newest
  version; it checks every pin again in every round; and it jumps back optimistically. `DecisionLoop` keeps a decision
  until the search undoes it for a reason, as uv and PubGrub do, and looks only at undecided names.
* `Resolution._add_to_criteria`, which asks the provider for all candidates again with every requirement. `with_need`
  narrows the candidates that are already known.
* `Criterion`, which keeps no record of the decisions behind its requirements. `SearchCriterion` does.

Two private parts are used as they are: the list `Resolution._states`, and the methods `_push_new_state` and
`_extract_causes`. `test_resolvelib_is_as_the_search_expects` in `tests/unit/pypi/test_search.py` fails when any of
these parts changes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import TYPE_CHECKING, cast

from resolvelib.reporters import BaseReporter
from resolvelib.resolvers import Criterion, Resolution, ResolutionImpossible, ResolutionTooDeep
from resolvelib.structs import RequirementInformation, State

from envc_solvers.pypi.search.candidate import Candidate, Need
from envc_solvers.pypi.search.nogoods import Atom
from envc_solvers.pypi.search.project import Candidates
from envc_solvers.pypi.search.provider import Provider

if TYPE_CHECKING:
    from collections import OrderedDict


class SearchCriterion(Criterion[Need, Candidate]):
    """The needs on one identifier, and the candidates that all of them allow."""

    candidates: Candidates

    def __init__(
        self,
        candidates: Candidates,
        information: list[RequirementInformation[Need, Candidate]],
        requirers: dict[Need, Atom | None],
    ) -> None:
        super().__init__(candidates, information, ())
        self.requirers = requirers  # by distinct need: the earliest decision that has it; None if a root has it

    @property
    def need(self) -> Need:
        """The need that was stated first."""
        return next(iter(self.requirers))


def with_need(
    criterion: SearchCriterion | None, need: Need, parent: Candidate | None, provider: Provider
) -> SearchCriterion:
    """The criterion of a name with one more need, stated by `parent`, or by a root if that is None.

    `criterion` is None for a name without needs so far. Raises ProjectNotFound.
    """
    atom = None if parent is None else (parent.identifier, need)
    information = RequirementInformation(need, parent)
    if criterion is None:
        return SearchCriterion(provider.candidates([need]), [information], {need: atom})
    if need in criterion.requirers:
        # Most needs were stated before by another package and remove no candidate.
        candidates = criterion.candidates
        requirers = criterion.requirers if atom else {**criterion.requirers, need: None}
    else:
        candidates = criterion.candidates.narrowed(need.specifier)
        requirers = {**criterion.requirers, need: atom}
    return SearchCriterion(candidates, [*criterion.information, information], requirers)


class DecisionLoop(Resolution[Need, Candidate, str], ABC):
    """Decides one name after another, and undoes decisions when a name has no candidates left.

    Each decision has a state of its own: the decisions up to it, and the criteria of all names that they require.
    """

    def __init__(self, provider: Provider) -> None:
        reporter: BaseReporter[Need, Candidate, str] = BaseReporter()
        super().__init__(provider, reporter)
        self._provider = provider
        self._place = provider.priorities.keys.__getitem__  # sorts identifiers by when to decide them

    @property
    def _decided(self) -> dict[str, Candidate]:
        """The current decisions, by identifier, in order. Provided projects come first."""
        return self._states[-1].mapping

    @property
    def _criteria(self) -> dict[str, SearchCriterion]:
        """The criteria of all names that are required so far, by identifier."""
        return cast("dict[str, SearchCriterion]", self._states[-1].criteria)

    @property
    def _failed_at_roots(self) -> bool:
        """Whether the roots alone failed, before anything was decided."""
        return len(self._states) == 1

    def resolve(self, requirements: Iterable[Need], max_rounds: int) -> State[Need, Candidate, str]:
        """Decide names until every required name is decided.

        Raises ResolutionImpossible, ResolutionTooDeep after `max_rounds`, and whatever `_decide` raises.
        """
        # resolvelib uses an OrderedDict. A dict keeps its order too, and copies ten times as fast, once in every round.
        mapping = cast("OrderedDict[str, Candidate]", dict(self._provider.provided))
        self._states = [State(mapping=mapping, criteria={}, backtrack_causes=[])]
        for need in requirements:
            criterion = with_need(self._criteria.get(need.identifier), need, None, self._provider)
            self._criteria[need.identifier] = criterion
            if not criterion.candidates:
                raise ResolutionImpossible(criterion.information)
        self._push_new_state()
        for _ in range(max_rounds):
            state = self._states[-1]
            undecided = state.criteria.keys() - state.mapping.keys()
            if not undecided:
                return state
            failed = self._decide(min(undecided, key=self._place))
            if failed is None:
                self._push_new_state()
            else:
                culprit = self._learn()
                if culprit is None:
                    raise ResolutionImpossible(self._extract_causes([failed]))
                self._undo(culprit)
        raise ResolutionTooDeep(max_rounds)

    @abstractmethod
    def _decide(self, name: str) -> SearchCriterion | None:
        """Choose a candidate for a name. Returns None, or the criterion that no candidate meets."""

    @abstractmethod
    def _learn(self) -> str | None:
        """Learn from the last failure. Returns the decision to undo; None if there is no solution."""

    def _choose(self, candidate: Candidate) -> None:
        """Add a decision, and the needs of its candidate, to the current state."""
        criteria = self._criteria
        for need in self._provider.get_dependencies(candidate):
            criteria[need.identifier] = with_need(criteria.get(need.identifier), need, candidate, self._provider)
        self._decided[candidate.identifier] = candidate

    def _undo(self, identifier: str) -> None:
        """Undo a decision and all later ones."""
        level = list(self._decided).index(identifier) - len(self._provider.provided)
        del self._states[level + 1 :]
        self._push_new_state()
