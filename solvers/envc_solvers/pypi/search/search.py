"""The search: resolvelib's states and criteria, with conflict-driven backjumping instead of its own.

This is the one module that touches resolvelib's private parts; `tests/unit/pypi/test_search.py` fails when they
change.

resolvelib repins a decided name when a later candidate contradicts it, and jumps back optimistically. Here a decision
stands until the search takes it back for a reason, so that the newest version of what was decided first is kept (as in
uv and PubGrub), a round looks at nothing but undecided names, and every failure is learned from:

* An **atom** is a fact about a decision: "P is decided at a version that has this need", "P is decided at a version
  outside what that need allows", or "P is decided at this very candidate". The first two cover many versions at once.
* When a name runs out of candidates, the atoms that stood in the way of each, and the needs that asked for the name,
  cannot all hold together. This **nogood** is kept: a candidate that would complete it is not tried again.
* What the problem provides is decided before the first state and never taken back; atoms about it stay in nogoods, and
  one that holds nothing else is the proof that nothing fits to what is provided.
* The search goes back to the latest decision among the nogood's atoms. An empty nogood means that there is no solution.

In SAT terms a nogood is a learned clause, and a name's exhaustion is the resolution of the clauses that reject its
candidates. The search is complete: each nogood rules out what was tried, and there are finitely many.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from operator import itemgetter
from typing import TYPE_CHECKING, cast

from resolvelib.reporters import BaseReporter
from resolvelib.resolvers import ResolutionImpossible, ResolutionTooDeep
from resolvelib.resolvers.resolution import Resolution
from resolvelib.structs import RequirementInformation, State

from envc_solvers.errors import ProjectNotFound
from envc_solvers.pypi.language.specifier import allows
from envc_solvers.pypi.search.candidate import Candidate, Candidates, Need, Outside
from envc_solvers.pypi.search.criterion import SearchCriterion, why_empty, why_no_others, with_need
from envc_solvers.pypi.search.journal import Blamed, Journal
from envc_solvers.pypi.search.nogoods import Atom, Atoms, Nogoods
from envc_solvers.pypi.search.provider import Provider, Unusable
from envc_solvers.pypi.search.replay import NotRecorded

if TYPE_CHECKING:
    from collections import OrderedDict

    from resolvelib.resolvers.criterion import Criterion

_FEW = 2  # candidates of a name that fall before those that follow come along
_MOST_AHEAD = 32  # candidates beyond the one at hand
PATIENCE = 5  # candidates that a name loses before others are looked at: by then the order has moved, if it may


class SearchLimit(Exception):
    """The search was stopped: too many candidates tried, or out of time."""

    def __init__(self, tried: int, decided: tuple[str, ...], *, timed_out: bool) -> None:
        super().__init__(tried, decided, timed_out)
        self.tried = tried
        self.decided = decided  # "app 1.0", in the order of decisions
        self.timed_out = timed_out  # whether it was for time


class Search(Resolution[Need, Candidate, str]):
    """One search. `resolve` returns the final state or raises ResolutionImpossible, SearchLimit, an index's error."""

    def __init__(
        self,
        provider: Provider,
        journal: Journal,
        max_tries: int,
        out_of_time: Callable[[], bool] | None,
        *,
        patience: int = PATIENCE,
    ) -> None:
        reporter: BaseReporter[Need, Candidate, str] = BaseReporter()
        super().__init__(provider, reporter)
        self._provider = provider
        self._journal = journal
        self._max_tries = max_tries
        self._out_of_time = out_of_time
        self._patience = patience
        self._tries = 0
        self._provided = provider.provided
        self._place = provider.priorities.keys.__getitem__  # when to decide an identifier
        self._limited = provider.provided.keys() & provider.limits.keys()  # nobody has held these to their constraints
        self._nogoods = Nogoods()
        self._blame: Atoms = {}  # why the last name ran out of candidates
        self._retreat: str | None = None  # or: the decision to take back because the order has changed

    @property
    def _criteria(self) -> dict[str, SearchCriterion]:
        """Who asks for each name that came up."""
        return cast("dict[str, SearchCriterion]", self._states[-1].criteria)

    # The loop

    def resolve(self, requirements: Iterable[Need], max_rounds: int) -> State[Need, Candidate, str]:
        """Decide one name after the other until all that came up are decided.

        When that cannot be done, the journal holds which provided versions are to blame.
        """
        try:
            return self._resolve(requirements, max_rounds)
        except ResolutionImpossible as error:
            if len(self._states) == 1:
                self._blame = self._blame_of_roots(error)
            self._journal.blamed = frozenset(
                Blamed(name, fact.need.specifier)
                if isinstance(fact, Outside)
                else Blamed(name, version=self._provided[name].version)
                for name, fact in self._blame
                if name in self._provided
            )
            raise
        finally:
            self._journal.tried = self._tries

    def _resolve(self, requirements: Iterable[Need], max_rounds: int) -> State[Need, Candidate, str]:
        # resolvelib's own dict keeps its order too, but takes ten times as long to copy, which happens every round.
        mapping = cast("OrderedDict[str, Candidate]", dict(self._provided))
        self._states = [State(mapping=mapping, criteria={}, backtrack_causes=[])]
        for need in requirements:
            criterion = self._criteria[need.identifier] = with_need(
                self._criteria.get(need.identifier), need, None, self._provider
            )
            if not criterion.candidates:
                raise ResolutionImpossible(criterion.information)
        self._push_new_state()
        for _ in range(max_rounds):
            state = self._states[-1]
            undecided = state.criteria.keys() - state.mapping.keys()
            if not undecided:
                return state
            failed = self._attempt_to_pin_criterion(min(undecided, key=self._place))
            if failed:
                self._backjump(self._extract_causes(failed))
            else:
                self._push_new_state()
        raise ResolutionTooDeep(max_rounds)

    def _attempt_to_pin_criterion(self, name: str) -> list[Criterion[Need, Candidate]]:
        """Decide a name: the first candidate that contradicts nothing. Returns the criterion when there is none."""
        criterion = self._criteria[name]
        self._journal.decide(name, criterion)
        blame: Atoms = {}
        tried, rejected = [], 0
        for candidate in self._candidates(criterion):
            tried.append(candidate)
            known = self._nogoods.forbidden(candidate, self._states[-1].mapping)
            if known is not None:
                # What was learned before is no new sign that the order of decisions is bad.
                blame.update(known)
                continue
            self._count_try()
            objection = self._objection(candidate)
            if objection is None:
                self._choose(candidate)
                return []
            blame.update(objection)
            culprit = self._latest(objection)
            if culprit is not None and self._provider.priorities.conflict(candidate.name, _project(culprit)):
                self._retreat = culprit
                return [criterion]
            rejected += 1
            if rejected == self._patience and (shorter := self._shorter(name, criterion)) is not None:
                return [shorter]
        self._blame = {**self._kept(criterion, tried), **blame}
        return [criterion]

    def _shorter(self, name: str, criterion: SearchCriterion) -> SearchCriterion | None:
        """A name without a candidate beside the decisions, in place of one that keeps losing them; None without one.

        When the decisions leave nothing of a project with seventy versions, nobody needs to read what three hundred of
        another one require to see that they have to be taken back. A name of which something is left stays undecided:
        a failure is seen earlier, and no choice is made differently.
        """
        known = self._criteria
        undecided = sorted(known.keys() - self._states[-1].mapping.keys(), key=self._place)
        most = criterion.candidates.count()
        if len(undecided) >= most:
            return None  # to look around would cost more than it could save
        journal = self._journal
        try:
            self._journal = Journal()  # what something is left of has no part in the story
            others = [known[identifier] for identifier in undecided if identifier != name]
            fall = [
                (other.candidates.count(most), other)  # all of a project
                for other in others
                if not other.need.extra and self._nothing_of(islice(other.candidates, 1)) is not None
            ]
            for count, other in sorted(fall, key=itemgetter(0)):
                self._journal = Journal()
                blame = self._nothing_of(self._candidates(other)) if count < most else None
                if blame is not None:
                    self._journal.decide(other.need.identifier, other)
                    journal.add(self._journal)
                    self._blame = {**self._kept(other, list(other.candidates)), **blame}
                    return other
        finally:
            self._journal = journal
        return None

    def _nothing_of(self, candidates: Iterable[Candidate]) -> Atoms | None:
        """Why none of these candidates can be chosen beside the decisions; None when one can, or nobody knows."""
        blame: Atoms = {}
        for candidate in candidates:
            reason = self._nogoods.forbidden(candidate, self._states[-1].mapping)
            if reason is None:
                self._count_try()
                try:
                    reason = self._objection(candidate)
                except NotRecorded:
                    return None
                if reason is None:
                    return None
            blame.update(reason)
        return blame

    def _backjump(self, causes: list[RequirementInformation[Need, Candidate]]) -> bool:
        """Learn from the failure and take back the latest decision that had a part in it."""
        if self._retreat is not None:
            culprit, self._retreat = self._retreat, None
        else:
            blame, self._blame = self._blame, {}
            latest = self._latest(blame)
            if latest is None:
                self._blame = blame
                raise ResolutionImpossible(causes)
            culprit = latest
            self._nogoods.learn(blame)
        level = list(self._states[-1].mapping).index(culprit) - len(self._provided)
        del self._states[level + 1 :]
        self._push_new_state()
        return True

    # One candidate

    def _candidates(self, criterion: SearchCriterion) -> Iterator[Candidate]:
        """Best first. Once a few have fallen, the index hears of those that follow before they are asked about.

        It heard of what follows a candidate that was read before when that was read.
        """
        need = criterion.need
        if need.extra:
            # One candidate: that of the decided version, which always comes first (see `priority`).
            yield self._states[-1].mapping[need.name].with_extra(need.extra)
            return
        announced = 0
        for at, candidate in enumerate(criterion.candidates):
            if at >= _FEW and candidate.needs is None:
                start, announced = max(at + 1, announced), at + 1 + min(2 * at, _MOST_AHEAD)
                self._provider.announce_candidates(need.name, criterion.candidates.between(start, announced))
            yield candidate

    def _objection(self, candidate: Candidate) -> Atoms | None:
        """What of the decisions a candidate contradicts, nothing for one that never fits; None when it can be had."""
        mapping, known = self._states[-1].mapping, self._criteria
        journal = self._journal
        unread = candidate.needs is None
        try:
            needs = self._provider.get_dependencies(candidate)
        except Unusable as error:
            journal.unusable(candidate, error.reason)
            return {}
        if unread and (forbidden := self._nogoods.forbidden(candidate, mapping)) is not None:
            return forbidden
        undecided: list[Need] = []
        new: list[Need] = []
        for need in needs:
            pin = candidate if need.identifier == candidate.identifier else mapping.get(need.identifier)
            if pin is None:
                (undecided if need.identifier in known else new).append(need)
            elif not allows(need.specifier, pin.version) or need.name in self._limited:
                culprit = self._provider.excluding(need, pin)
                if culprit is not None:
                    others = None if need.name in self._provided else known.get(need.identifier)
                    journal.clash(candidate, need, pin, others)
                    return {} if pin is candidate else {(pin.identifier, culprit.outside): None}
        left: dict[str, Candidates] = {}
        try:
            # What came up already needs nothing new from the index; the rest is looked at by those that survive it.
            unmet = self._unmet(undecided, left)
            if unmet is None:
                self._provider.announce(needs)
                unmet = self._unmet(new, left)
        except ProjectNotFound as error:
            journal.missing(candidate, error)
            return {}
        if unmet is None:
            return None
        criterion = known.get(unmet.identifier)
        for need in needs[: needs.index(unmet) + 1]:
            if need.identifier == unmet.identifier:
                criterion = with_need(criterion, need, candidate, self._provider)
        assert criterion is not None
        journal.empty(candidate, criterion)
        return why_empty(candidate, criterion, self._provider)

    def _unmet(self, needs: Iterable[Need], left: dict[str, Candidates]) -> Need | None:
        """The first of a candidate's needs that leaves nothing of a name. `left`: by name, what those before it leave.

        Raises ProjectNotFound.
        """
        known = self._criteria
        for need in needs:
            criterion = known.get(need.identifier)
            if criterion is not None and need in criterion.requirers:
                continue
            before = left.get(need.identifier, criterion.candidates if criterion else None)
            found = self._provider.candidates([need]) if before is None else before.narrowed(need.specifier)
            if not found:
                return need
            left[need.identifier] = found
        return None

    def _choose(self, candidate: Candidate) -> None:
        """Decide a candidate to which there is no objection."""
        known = self._criteria
        for need in self._provider.get_dependencies(candidate):
            known[need.identifier] = with_need(known.get(need.identifier), need, candidate, self._provider)
        self._states[-1].mapping[candidate.identifier] = candidate

    def _count_try(self) -> None:
        self._tries += 1
        if self._tries > self._max_tries:
            raise SearchLimit(self._max_tries, self._decided(), timed_out=False)
        if self._out_of_time is not None and self._out_of_time():
            raise SearchLimit(self._tries - 1, self._decided(), timed_out=True)

    def _decided(self) -> tuple[str, ...]:
        return tuple(map(repr, self._states[-1].mapping.values()))

    # Blame

    def _kept(self, criterion: SearchCriterion, tried: list[Candidate]) -> Atoms:
        return why_no_others(criterion, tried, self._states[-1].mapping, self._provider)

    def _latest(self, atoms: Iterable[Atom]) -> str | None:
        """The identifier of the latest decision among atoms; None when there are none but what was provided."""
        identifiers = {identifier for identifier, _ in atoms if identifier not in self._provided}
        return next((name for name in reversed(self._states[-1].mapping) if name in identifiers), None)

    def _blame_of_roots(self, error: ResolutionImpossible[Need, Candidate]) -> Atoms:
        """What of provided versions keeps the roots by themselves from being met: one need is enough."""
        for cause in error.causes:
            need = cause.requirement
            if need.name in self._provided:
                culprit = self._provider.excluding(need, self._provided[need.name])
                if culprit is not None:
                    return {(need.name, culprit.outside): None}
        return {}


def _project(identifier: str) -> str:
    return identifier.partition("[")[0]
