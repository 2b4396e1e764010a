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

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, cast

from resolvelib.reporters import BaseReporter
from resolvelib.resolvers import RequirementsConflicted, ResolutionImpossible, ResolutionTooDeep
from resolvelib.resolvers.criterion import Criterion
from resolvelib.resolvers.resolution import Resolution
from resolvelib.structs import RequirementInformation, State

from envc_solvers.errors import ProjectNotFound
from envc_solvers.pypi.candidate import Candidate, Need, Outside
from envc_solvers.pypi.journal import Blamed, Journal
from envc_solvers.pypi.provider import Provider, Unusable
from envc_solvers.pypi.specifier import allows

if TYPE_CHECKING:
    from collections import OrderedDict

Fact = Need | Outside | Candidate
Atom = tuple[str, Fact]  # identifier of the decision, and what holds of it
Atoms = dict[Atom, None]  # an ordered set: needs and candidates hash by identity, and the search must not depend on it
_MOST_PARENTS = 64  # names required more often than this keep an unminimised blame


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
        self, provider: Provider, journal: Journal, max_tries: int, out_of_time: Callable[[], bool] | None
    ) -> None:
        reporter: BaseReporter[Need, Candidate, str] = BaseReporter()
        super().__init__(provider, reporter)
        self._provider = provider
        self._journal = journal
        self._max_tries = max_tries
        self._out_of_time = out_of_time
        self._tries = 0
        self._provided = provider.provided
        self._limited = provider.provided.keys() & provider.limits.keys()  # nobody has held these to their constraints
        # By identifier: the facts about it and the atoms about others that cannot hold together.
        self._nogoods: dict[str, list[tuple[tuple[Fact, ...], tuple[Atom, ...]]]] = {}
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
        place = self._provider.priorities.keys.__getitem__
        for _ in range(max_rounds):
            state = self._states[-1]
            undecided = state.criteria.keys() - state.mapping.keys()
            if not undecided:
                return state
            failed = self._attempt_to_pin_criterion(min(undecided, key=place))
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
        tried = []
        for candidate in self._candidates(name, criterion):
            self._count_try()
            tried.append(candidate)
            known = self._forbidden(candidate)
            reason = known if known is not None else self._try(candidate)
            if reason is None:
                state.mapping[name] = candidate
                return []
            blame.update(reason)
            # What was learned before is no new sign that the order of decisions is bad.
            culprit = self._latest(reason) if known is None else None
            if culprit is not None and self._provider.priorities.conflict(candidate.name, _project(culprit)):
                self._retreat = culprit
                return [criterion]
        self._blame = {**self._why_no_others(name, criterion, tried), **blame}
        return [criterion]

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
            self._learn(blame)
        level = list(self._states[-1].mapping).index(culprit) - len(self._provided)
        del self._states[level + 1 :]
        self._push_new_state()
        return True

    # One candidate

    def _candidates(self, name: str, criterion: Criterion[Need, Candidate]) -> Iterable[Candidate]:
        """An extra has one candidate: that of the decided version, which always comes first (see `priority`)."""
        need = next(criterion.iter_requirement())
        if need.extra:
            return (self._states[-1].mapping[need.name].with_extra(need.extra),)
        return criterion.candidates

    def _try(self, candidate: Candidate) -> Atoms | None:
        """Take a candidate's needs into the state. Returns why that is impossible, or None when it is done."""
        mapping = self._states[-1].mapping
        journal = self._journal
        try:
            needs = self._provider.get_dependencies(candidate)
        except Unusable as error:
            journal.unusable(candidate, error.reason)
            return {}
        known = self._forbidden(candidate)
        if known is not None:
            return known
        for need in needs:
            pin = candidate if need.identifier == candidate.identifier else mapping.get(need.identifier)
            if pin is None or (allows(need.specifier, pin.version) and need.name not in self._limited):
                continue
            culprit = self._provider.excluding(need, pin)
            if culprit is not None:
                others = None if need.name in self._provided else self._states[-1].criteria.get(need.identifier)
                journal.clash(candidate, need, pin, others)
                return {} if pin is candidate else {(pin.identifier, culprit.outside): None}
        try:
            criteria = self._get_updated_criteria(candidate)
        except ProjectNotFound as error:
            journal.missing(candidate, error)
            return {}
        except RequirementsConflicted as error:
            journal.empty(candidate, error.criterion)
            return self._why_empty(candidate, error.criterion)
        self._states[-1].criteria.update(criteria)
        return None

    def _count_try(self) -> None:
        self._journal.tried = self._tries = self._tries + 1
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

    # Learning

    def _learn(self, nogood: Atoms) -> None:
        for identifier in dict.fromkeys(identifier for identifier, _ in nogood):
            own = tuple(fact for name, fact in nogood if name == identifier)
            others = tuple(atom for atom in nogood if atom[0] != identifier)
            self._nogoods.setdefault(identifier, []).append((own, others))

    def _forbidden(self, candidate: Candidate) -> Atoms | None:
        """The atoms of decisions that, by some nogood, exclude a candidate; None when nothing does.

        Before a candidate's needs are known, nogoods that mention them are passed over.
        """
        mapping = self._states[-1].mapping
        for own, others in self._nogoods.get(candidate.identifier, ()):
            if all(map(candidate.has, own)) and all(
                (pin := mapping.get(name)) is not None and pin.has(fact) for name, fact in others
            ):
                return dict.fromkeys(others)
        return None


def _project(identifier: str) -> str:
    return identifier.partition("[")[0]


def _askers(criterion: Criterion[Need, Candidate]) -> dict[Need, Atom | None]:
    return criterion.askers if isinstance(criterion, Asked) else {}
