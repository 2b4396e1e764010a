"""Who asks for a name, and which of them are to blame when that leaves it no candidate."""

from __future__ import annotations

from collections.abc import Mapping

from resolvelib.resolvers.criterion import Criterion
from resolvelib.structs import RequirementInformation

from envc_solvers.pypi.search.candidate import Candidate, Candidates, Need
from envc_solvers.pypi.search.nogoods import Atom, Atoms
from envc_solvers.pypi.search.provider import Provider

_MOST_PARENTS = 64  # names required more often than this keep an unminimised blame


class SearchCriterion(Criterion[Need, Candidate]):
    """Who asks for a name, and the candidates that all of them allow."""

    candidates: Candidates

    def __init__(
        self,
        candidates: Candidates,
        information: list[RequirementInformation[Need, Candidate]],
        requirers: dict[Need, Atom | None],
    ) -> None:
        super().__init__(candidates, information, ())
        self.requirers = (
            requirers  # each need that differs, with the earliest decision that has it; None when a root has it
        )

    @property
    def need(self) -> Need:
        """The one that brought the name up."""
        return next(iter(self.requirers))


def with_need(
    known: SearchCriterion | None, need: Need, parent: Candidate | None, provider: Provider
) -> SearchCriterion:
    """What is known of a name, with one more who asks for it. Raises ProjectNotFound."""
    atom = None if parent is None else (parent.identifier, need)
    information = RequirementInformation(need, parent)
    if known is None:
        return SearchCriterion(provider.candidates([need]), [information], {need: atom})
    if need in known.requirers:
        # Most needs are somebody else's as well, and take no candidate away.
        candidates, requirers = known.candidates, known.requirers if atom else {**known.requirers, need: None}
    else:
        candidates, requirers = known.candidates.narrowed(need.specifier), {**known.requirers, need: atom}
    return SearchCriterion(candidates, [*known.information, information], requirers)


def why_empty(candidate: Candidate, criterion: SearchCriterion, provider: Provider) -> Atoms:
    """Other decisions whose needs, with the candidate's, leave no version of a project."""
    own = [need for need in criterion.requirers if need in candidate.need_set]
    others = [need for need in criterion.requirers if need not in candidate.need_set]
    if len(others) <= _MOST_PARENTS:
        # Later decisions are dropped first, so that the search can go back as far as possible.
        for need in [need for need in reversed(others) if criterion.requirers[need] is not None]:
            rest = [other for other in others if other is not need]
            if not provider.candidates((*own, *rest)):
                others = rest
    atoms = [criterion.requirers[need] for need in others]
    return {atom: None for atom in atoms if atom is not None and atom[0] != candidate.identifier}


def why_no_others(
    criterion: SearchCriterion, tried: list[Candidate], decided: Mapping[str, Candidate], provider: Provider
) -> Atoms:
    """Decisions whose needs ask for a name and keep it to the candidates that were tried."""
    needs = list(criterion.requirers)
    if needs[0].extra:
        return _why_extra(criterion, decided[needs[0].name])
    limit = set(tried)
    if len(needs) <= _MOST_PARENTS:
        for need in [need for need in reversed(needs) if criterion.requirers[need] is not None]:
            rest = [other for other in needs if other is not need]
            if rest and limit.issuperset(provider.candidates(rest)):
                needs = rest
    return {atom: None for need in needs if (atom := criterion.requirers[need]) is not None}


def _why_extra(criterion: SearchCriterion, base: Candidate) -> Atoms:
    """As `why_no_others`, for an extra, of which there is one candidate: that of the project's decided version."""
    blame: Atoms = {(base.identifier, base): None}
    if None not in criterion.requirers.values():
        blame.update((atom, None) for atom in list(criterion.requirers.values())[:1] if atom is not None)
    return blame
