"""The search: conflict-driven decisions over the versions of projects, with learning and backjumping.

* An **atom** is a fact about a decision: "P is decided at a version that has this need", "P is decided at a version
  outside what that need allows", or "P is decided at this very candidate". The first two hold for many versions at
  once.
* When a name runs out of candidates, the atoms that ruled out each candidate and the needs that require the name cannot
  all hold together. This **nogood** is kept, and a candidate that would complete it is not tried again.
* Provided projects are decided before the first state, and these decisions are never undone. Atoms about them stay in
  nogoods, and a nogood of such atoms alone proves that no solution is compatible with the provided versions.
* The search jumps back to the latest decision among the atoms of the nogood. An empty nogood means that there is no
  solution.

In SAT terms a nogood is a learned clause, and a name without candidates is the resolution of the clauses that reject
them. The search is complete: each nogood rules out the combination that was tried, and there are finitely many
combinations.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from operator import itemgetter
from typing import TYPE_CHECKING

from resolvelib.resolvers import ResolutionImpossible

from envc_solvers.errors import ProjectNotFound
from envc_solvers.pypi.language.specifier import allows
from envc_solvers.pypi.search.blame import why_empty, why_no_others
from envc_solvers.pypi.search.candidate import Candidate, Need, Outside
from envc_solvers.pypi.search.journal import Blamed, Journal
from envc_solvers.pypi.search.nogoods import Atom, Atoms, Nogoods
from envc_solvers.pypi.search.project import Candidates
from envc_solvers.pypi.search.provider import Provider, Unusable
from envc_solvers.pypi.search.replay import NotRecorded
from envc_solvers.pypi.search.resolution import DecisionLoop, SearchCriterion, with_need

if TYPE_CHECKING:
    from resolvelib.structs import State

_FEW = 2  # rejected candidates of a name before the next ones are announced to the index
_MOST_AHEAD = 32  # candidates that are announced beyond the current one
PATIENCE = 5  # candidates rejected before other names are looked at: by then the order has changed, if it can


class SearchLimit(Exception):
    """The search was stopped: too many candidates were tried, or the time ran out."""

    def __init__(self, tried: int, decided: tuple[str, ...], *, timed_out: bool) -> None:
        super().__init__(tried, decided, timed_out)
        self.tried = tried
        self.decided = decided  # "app 1.0", in the order of decisions
        self.timed_out = timed_out  # False: too many candidates


class Search(DecisionLoop):
    """One search. `resolve` returns the final state or raises ResolutionImpossible, SearchLimit or an index error."""

    def __init__(
        self,
        provider: Provider,
        journal: Journal,
        max_tries: int,
        out_of_time: Callable[[], bool] | None,
        *,
        patience: int = PATIENCE,
    ) -> None:
        super().__init__(provider)
        self._journal = journal
        self._max_tries = max_tries
        self._out_of_time = out_of_time
        self._patience = patience
        self._tries = 0
        self._provided = provider.provided
        # Provided names with constraints. `Provider.candidates` never applied the constraints to their versions.
        self._limited = provider.provided.keys() & provider.limits.keys()
        self._nogoods = Nogoods()
        self._blame: Atoms = {}  # why the last name ran out of candidates
        self._retreat: str | None = None  # or the decision to undo because the order of names has changed

    def resolve(self, requirements: Iterable[Need], max_rounds: int) -> State[Need, Candidate, str]:
        """Decide names until every required name is decided.

        If that is impossible, the journal afterwards holds the facts about provided versions that are to blame.
        """
        try:
            return super().resolve(requirements, max_rounds)
        except ResolutionImpossible as error:
            if self._failed_at_roots:
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

    def _decide(self, name: str) -> SearchCriterion | None:
        """Choose the first candidate that contradicts nothing."""
        criterion = self._criteria[name]
        self._journal.decide(name, criterion)
        blame: Atoms = {}
        tried, rejected = [], 0
        for candidate in self._candidates(criterion):
            tried.append(candidate)
            known = self._nogoods.forbidden(candidate, self._decided)
            if known is not None:
                # A conflict that was learned before does not show again that the order of decisions is bad.
                blame.update(known)
                continue
            self._count_try()
            conflict = self._conflict(candidate)
            if conflict is None:
                self._choose(candidate)
                return None
            blame.update(conflict)
            culprit = self._latest_decision(conflict)
            if culprit is not None and self._provider.priorities.conflict(candidate.name, _project(culprit)):
                self._retreat = culprit
                return criterion
            rejected += 1
            if rejected == self._patience and (shorter := self._shorter_failure(name, criterion)) is not None:
                return shorter
        self._blame = {**self._blame_for_requiring(criterion, tried), **blame}
        return criterion

    def _shorter_failure(self, name: str, criterion: SearchCriterion) -> SearchCriterion | None:
        """Another name that has no candidate left, and fewer candidates to read; None if there is none.

        If the decisions leave no version of a project with seventy versions, there is no need to read the requirements
        of three hundred versions of another project to see that decisions have to be undone. A name that still has a
        candidate stays undecided, so a failure is found earlier and no choice changes.
        """
        criteria = self._criteria
        undecided = sorted(criteria.keys() - self._decided.keys(), key=self._place)
        most = criterion.candidates.count()
        if len(undecided) >= most:
            return None  # looking at the others would cost more than it could save
        journal = self._journal
        try:
            self._journal = Journal()  # rejections of a name that has a candidate left do not belong to the failure
            others = [criteria[identifier] for identifier in undecided if identifier != name]
            failing = [
                (other.candidates.count(most), other)  # counts every version of a project
                for other in others
                if not other.need.extra and self._why_none_of(islice(other.candidates, 1)) is not None
            ]
            for count, other in sorted(failing, key=itemgetter(0)):
                self._journal = Journal()
                blame = self._why_none_of(self._candidates(other)) if count < most else None
                if blame is not None:
                    self._journal.decide(other.need.identifier, other)
                    journal.add(self._journal)
                    self._blame = {**self._blame_for_requiring(other, list(other.candidates)), **blame}
                    return other
        finally:
            self._journal = journal
        return None

    def _why_none_of(self, candidates: Iterable[Candidate]) -> Atoms | None:
        """Why none of these candidates is compatible with the decisions; None if one is, or if that is unknown."""
        blame: Atoms = {}
        for candidate in candidates:
            reason = self._nogoods.forbidden(candidate, self._decided)
            if reason is None:
                self._count_try()
                try:
                    reason = self._conflict(candidate)
                except NotRecorded:
                    return None
                if reason is None:
                    return None
            blame.update(reason)
        return blame

    def _learn(self) -> str | None:
        """Keep the nogood of the last failure. Returns the latest decision in it; None if there is none."""
        if self._retreat is not None:
            culprit, self._retreat = self._retreat, None
            return culprit
        latest = self._latest_decision(self._blame)
        if latest is not None:
            self._nogoods.learn(self._blame)
            self._blame = {}
        return latest

    # One candidate

    def _candidates(self, criterion: SearchCriterion) -> Iterator[Candidate]:
        """The candidates of a criterion, best first.

        Once a few have been rejected, the next ones are announced to the index before they are needed. For a candidate
        that was read earlier, the next ones were announced at that time.
        """
        need = criterion.need
        if need.extra:
            # There is one candidate, which belongs to the decided version of the project (see `priority`).
            yield self._decided[need.name].with_extra(need.extra)
            return
        announced = 0
        for at, candidate in enumerate(criterion.candidates):
            if at >= _FEW and candidate.needs is None:
                start, announced = max(at + 1, announced), at + 1 + min(2 * at, _MOST_AHEAD)
                self._provider.announce_candidates(need.name, criterion.candidates.between(start, announced))
            yield candidate

    def _conflict(self, candidate: Candidate) -> Atoms | None:
        """The facts about decisions that a candidate contradicts; None if it can be chosen.

        A candidate that can never be chosen contradicts no decision, so the result is empty.
        """
        decided, criteria = self._decided, self._criteria
        journal = self._journal
        unread = candidate.needs is None
        try:
            needs = self._provider.get_dependencies(candidate)
        except Unusable as error:
            journal.unusable(candidate, error.reason)
            return {}
        if unread and (forbidden := self._nogoods.forbidden(candidate, decided)) is not None:
            return forbidden
        undecided: list[Need] = []
        new: list[Need] = []
        for need in needs:
            pin = candidate if need.identifier == candidate.identifier else decided.get(need.identifier)
            if pin is None:
                (undecided if need.identifier in criteria else new).append(need)
            elif not allows(need.specifier, pin.version) or need.name in self._limited:
                culprit = self._provider.excluding(need, pin)
                if culprit is not None:
                    others = None if need.name in self._provided else criteria.get(need.identifier)
                    journal.clash(candidate, need, pin, others)
                    return {} if pin is candidate else {(pin.identifier, culprit.outside): None}
        left: dict[str, Candidates] = {}
        try:
            # Names that are required already need nothing new from the index. New names are looked at only for
            # candidates that pass this check.
            unmet = self._unmet(undecided, left)
            if unmet is None:
                self._provider.announce(needs)
                unmet = self._unmet(new, left)
        except ProjectNotFound as error:
            journal.missing(candidate, error)
            return {}
        if unmet is None:
            return None
        criterion = criteria.get(unmet.identifier)
        for need in needs[: needs.index(unmet) + 1]:
            if need.identifier == unmet.identifier:
                criterion = with_need(criterion, need, candidate, self._provider)
        assert criterion is not None
        journal.empty(candidate, criterion)
        return why_empty(candidate, criterion, self._provider)

    def _unmet(self, needs: Iterable[Need], left: dict[str, Candidates]) -> Need | None:
        """The first need of a candidate that leaves a name without candidates; None if there is none.

        `left` holds, by identifier, the candidates that the needs before it leave; it is updated. Raises
        ProjectNotFound.
        """
        criteria = self._criteria
        for need in needs:
            criterion = criteria.get(need.identifier)
            if criterion is not None and need in criterion.requirers:
                continue
            before = left.get(need.identifier, criterion.candidates if criterion else None)
            found = self._provider.candidates([need]) if before is None else before.narrowed(need.specifier)
            if not found:
                return need
            left[need.identifier] = found
        return None

    def _count_try(self) -> None:
        self._tries += 1
        if self._tries > self._max_tries:
            raise SearchLimit(self._max_tries, self._decisions_as_text(), timed_out=False)
        if self._out_of_time is not None and self._out_of_time():
            raise SearchLimit(self._tries - 1, self._decisions_as_text(), timed_out=True)

    def _decisions_as_text(self) -> tuple[str, ...]:
        return tuple(map(repr, self._decided.values()))

    # Blame

    def _blame_for_requiring(self, criterion: SearchCriterion, tried: list[Candidate]) -> Atoms:
        return why_no_others(criterion, tried, self._decided, self._provider)

    def _latest_decision(self, atoms: Iterable[Atom]) -> str | None:
        """The identifier of the latest decision among atoms; None if all atoms are about provided versions."""
        identifiers = {identifier for identifier, _ in atoms if identifier not in self._provided}
        return next((name for name in reversed(self._decided) if name in identifiers), None)

    def _blame_of_roots(self, error: ResolutionImpossible[Need, Candidate]) -> Atoms:
        """The fact about a provided version that contradicts the roots alone: the first need that it fails."""
        for cause in error.causes:
            need = cause.requirement
            if need.name in self._provided:
                culprit = self._provider.excluding(need, self._provided[need.name])
                if culprit is not None:
                    return {(need.name, culprit.outside): None}
        return {}


def _project(identifier: str) -> str:
    return identifier.partition("[")[0]
