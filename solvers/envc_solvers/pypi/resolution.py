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
from resolvelib.resolvers import RequirementsConflicted, ResolutionImpossible, ResolutionTooDeep
from resolvelib.resolvers.criterion import Criterion
from resolvelib.resolvers.resolution import Resolution
from resolvelib.structs import RequirementInformation, State

from envc_solvers.errors import ProjectNotFound
from envc_solvers.pypi.candidate import Candidate, Choice, Need, Outside
from envc_solvers.pypi.heard import Unheard
from envc_solvers.pypi.journal import Blamed, Journal
from envc_solvers.pypi.nogoods import Atom, Atoms, Nogoods
from envc_solvers.pypi.provider import Provider, Unusable
from envc_solvers.pypi.specifier import allows

if TYPE_CHECKING:
    from collections import OrderedDict

_MOST_PARENTS = 64  # names required more often than this keep an unminimised blame
_FEW = 2  # candidates of a name that fall before those that follow come along
_MOST_AHEAD = 32  # candidates beyond the one at hand
PATIENCE = 5  # candidates that a name loses before others are looked at: by then the order has moved, if it may


class SearchLimit(Exception):
    """The search was stopped: too many candidates tried, or out of time."""

    def __init__(self, tried: int, decided: tuple[str, ...], *, late: bool) -> None:
        super().__init__(tried, decided, late)
        self.tried = tried
        self.decided = decided  # "app 1.0", in the order of decisions
        self.late = late  # whether it was for time


class Asked(Criterion[Need, Candidate]):
    """Who asks for a name, and the candidates that all of them allow."""

    def __init__(
        self,
        candidates: Iterable[Candidate],
        information: list[RequirementInformation[Need, Candidate]],
        askers: dict[Need, Atom | None],
    ) -> None:
        super().__init__(candidates, information, ())
        self.askers = askers  # each need that differs, with the earliest decision that has it; None when a root has it


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
            try:
                self._add_to_criteria(self.state.criteria, need, parent=None)
            except RequirementsConflicted as error:
                raise ResolutionImpossible(error.criterion.information) from error
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

    def _add_to_criteria(
        self, criteria: dict[str, Criterion[Need, Candidate]], requirement: Need, parent: Candidate | None
    ) -> None:
        """Note who asks for what. Raises RequirementsConflicted when no candidate is left, and ProjectNotFound."""
        known = criteria.get(requirement.identifier)
        asked = RequirementInformation(requirement, parent)
        if isinstance(known, Asked):
            information, askers = [*known.information, asked], known.askers
        else:
            information, askers = [asked], {}
        if known is not None and requirement in askers:
            # Most needs are somebody else's as well, and take no candidate away.
            candidates = known.candidates
            if parent is None:
                askers = {**askers, requirement: None}
        else:
            askers = {**askers, requirement: None if parent is None else (parent.identifier, requirement)}
            candidates = self._provider.choice(askers)
        criterion = Asked(candidates, information, askers)
        if not candidates:
            raise RequirementsConflicted(criterion)
        criteria[requirement.identifier] = criterion

    def _attempt_to_pin_criterion(self, name: str) -> list[Criterion[Need, Candidate]]:
        """Decide a name: the first candidate that contradicts nothing. Returns the criterion when there is none."""
        state = self._states[-1]
        criterion = state.criteria[name]
        self._journal.decide(name, criterion)
        blame: Atoms = {}
        tried, lost = [], 0
        for candidate in self._candidates(criterion):
            tried.append(candidate)
            known = self._nogoods.forbidden(candidate, self._states[-1].mapping)
            if known is None:
                self._count_try()
            criteria, reason = (None, known) if known is not None else self._weigh(candidate)
            if criteria is not None:
                state.criteria.update(criteria)
                state.mapping[name] = candidate
                return []
            blame.update(reason)
            if known is not None:
                # What was learned before is no new sign that the order of decisions is bad.
                continue
            culprit = self._latest(reason)
            if culprit is not None and self._provider.priorities.conflict(candidate.name, _project(culprit)):
                self._retreat = culprit
                return [criterion]
            lost += 1
            if lost == self._patience and (shorter := self._shorter(name, criterion)) is not None:
                return [shorter]
        self._blame = {**self._why_no_others(name, criterion, tried), **blame}
        return [criterion]

    def _shorter(self, name: str, criterion: Criterion[Need, Candidate]) -> Criterion[Need, Candidate] | None:
        """A name without a candidate beside the decisions, in place of one that keeps losing them; None without one.

        When the decisions leave nothing of a project with seventy versions, nobody needs to read what three hundred of
        another one require to see that they have to be taken back. A name of which something is left stays undecided:
        a failure is seen earlier, and no choice is made differently.
        """
        criteria = self._states[-1].criteria
        undecided = sorted(criteria.keys() - self._states[-1].mapping.keys(), key=self._place)
        most = sum(1 for _ in criterion.candidates)
        if len(undecided) >= most:
            return None  # to look around would cost more than it could save
        journal = self._journal
        try:
            fall: list[tuple[int, Criterion[Need, Candidate]]] = []  # how many candidates, all of a project
            for other in (criteria[identifier] for identifier in undecided if identifier != name):
                self._journal = Journal()  # what something is left of has no part in the story
                if not _extra(other) and self._nothing_of(islice(other.candidates, 1)) is not None:
                    fall.append((sum(1 for _ in other.candidates), other))
            for count, other in sorted(fall, key=itemgetter(0)):
                self._journal = Journal()
                blame = self._nothing_of(self._candidates(other)) if count < most else None
                if blame is not None:
                    identifier = next(other.iter_requirement()).identifier
                    self._journal.decide(identifier, other)
                    journal.add(self._journal)
                    self._blame = {**self._why_no_others(identifier, other, list(other.candidates)), **blame}
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
                    criteria, reason = self._weigh(candidate)
                except Unheard:
                    return None
                if criteria is not None:
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

    def _candidates(self, criterion: Criterion[Need, Candidate]) -> Iterator[Candidate]:
        """Best first. Once a few have fallen, the index hears of those that follow before they are asked about."""
        need = next(criterion.iter_requirement())
        if need.extra:
            # One candidate: that of the decided version, which always comes first (see `priority`).
            yield self._states[-1].mapping[need.name].with_extra(need.extra)
            return
        candidates = cast("Choice", criterion.candidates)
        announced = 0
        for at, candidate in enumerate(candidates):
            if at >= _FEW:
                start, announced = max(at + 1, announced), at + 1 + min(2 * at, _MOST_AHEAD)
                self._provider.announce_candidates(need.name, candidates.between(start, announced))
            yield candidate

    def _weigh(self, candidate: Candidate) -> tuple[dict[str, Criterion[Need, Candidate]] | None, Atoms]:
        """The criteria with a candidate's needs; None, with the reason, when they contradict the decisions."""
        mapping, known = self._states[-1].mapping, self._states[-1].criteria
        journal = self._journal
        try:
            needs = self._provider.get_dependencies(candidate)
        except Unusable as error:
            journal.unusable(candidate, error.reason)
            return None, {}
        forbidden = self._nogoods.forbidden(candidate, mapping)
        if forbidden is not None:
            return None, forbidden
        for need in needs:
            pin = candidate if need.identifier == candidate.identifier else mapping.get(need.identifier)
            if pin is None or (allows(need.specifier, pin.version) and need.name not in self._limited):
                continue
            culprit = self._provider.excluding(need, pin)
            if culprit is not None:
                others = None if need.name in self._provided else known.get(need.identifier)
                journal.clash(candidate, need, pin, others)
                return None, {} if pin is candidate else {(pin.identifier, culprit.outside): None}
        criteria = dict(known)
        try:
            # What came up already needs nothing new from the index; the rest is looked at by those that survive it.
            for need in needs:
                if need.identifier in known:
                    self._add_to_criteria(criteria, need, candidate)
            self._provider.announce(needs)
            for need in needs:
                if need.identifier not in known:
                    self._add_to_criteria(criteria, need, candidate)
        except ProjectNotFound as error:
            journal.missing(candidate, error)
            return None, {}
        except RequirementsConflicted as error:
            journal.empty(candidate, error.criterion)
            return None, self._why_empty(candidate, error.criterion)
        return criteria, {}

    def _count_try(self) -> None:
        self._tries += 1
        if self._tries > self._max_tries:
            raise SearchLimit(self._max_tries, self._decided(), late=False)
        if self._out_of_time is not None and self._out_of_time():
            raise SearchLimit(self._tries - 1, self._decided(), late=True)

    def _decided(self) -> tuple[str, ...]:
        return tuple(map(repr, self._states[-1].mapping.values()))

    # Blame

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

    def _why_empty(self, candidate: Candidate, criterion: Criterion[Need, Candidate]) -> Atoms:
        """Other decisions whose needs, with the candidate's, leave no version of a project."""
        parents = _askers(criterion)
        own = [need for need in parents if need in candidate.need_set]
        others = [need for need in parents if need not in candidate.need_set]
        project = self._provider.project(own[0].name)
        if len(others) <= _MOST_PARENTS:
            # Later decisions are dropped first, so that the search can go back as far as possible.
            for need in [need for need in reversed(others) if parents[need] is not None]:
                rest = [other for other in others if other is not need]
                if not project.choice(self._provider.wanted((*own, *rest))):
                    others = rest
        return {
            atom: None for need in others if (atom := parents[need]) is not None and atom[0] != candidate.identifier
        }

    def _why_no_others(self, name: str, criterion: Criterion[Need, Candidate], tried: list[Candidate]) -> Atoms:
        """Decisions whose needs ask for a name and keep it to the candidates that were tried."""
        parents = _askers(criterion)
        needs = list(parents)
        extra = needs[0].extra
        if extra:
            base = self._states[-1].mapping[needs[0].name]
            blame: Atoms = {(base.identifier, base): None}
            if None not in parents.values():
                blame.update((atom, None) for atom in list(parents.values())[:1] if atom is not None)
            return blame
        project = self._provider.project(name)
        limit = set(tried)
        if len(needs) <= _MOST_PARENTS:
            for need in [need for need in reversed(needs) if parents[need] is not None]:
                rest = [other for other in needs if other is not need]
                if rest and limit.issuperset(project.choice(self._provider.wanted(rest))):
                    needs = rest
        return {atom: None for need in needs if (atom := parents[need]) is not None}


def _project(identifier: str) -> str:
    return identifier.partition("[")[0]


def _extra(criterion: Criterion[Need, Candidate]) -> str:
    return next(criterion.iter_requirement()).extra


def _askers(criterion: Criterion[Need, Candidate]) -> dict[Need, Atom | None]:
    return criterion.askers if isinstance(criterion, Asked) else {}
