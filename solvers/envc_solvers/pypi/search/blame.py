"""Blame: the decisions that leave a name without candidates, as few as can be found quickly."""

from __future__ import annotations

from collections.abc import Mapping

from envc_solvers.pypi.search.candidate import Candidate
from envc_solvers.pypi.search.nogoods import Atoms
from envc_solvers.pypi.search.provider import Provider
from envc_solvers.pypi.search.resolution import SearchCriterion

_MOST_NEEDS = 64  # a name with more needs than this gets a blame that is not minimised


def why_empty(candidate: Candidate, criterion: SearchCriterion, provider: Provider) -> Atoms:
    """Earlier decisions whose needs, together with the candidate's own, leave no version of a project."""
    own = [need for need in criterion.requirers if need in candidate.need_set]
    others = [need for need in criterion.requirers if need not in candidate.need_set]
    if len(others) <= _MOST_NEEDS:
        # Needs of later decisions are dropped first, so that the search can jump back as far as possible.
        for need in [need for need in reversed(others) if criterion.requirers[need] is not None]:
            rest = [other for other in others if other is not need]
            if not provider.candidates((*own, *rest)):
                others = rest
    atoms = [criterion.requirers[need] for need in others]
    return {atom: None for atom in atoms if atom is not None and atom[0] != candidate.identifier}


def why_no_others(
    criterion: SearchCriterion, tried: list[Candidate], decided: Mapping[str, Candidate], provider: Provider
) -> Atoms:
    """Decisions whose needs require a name and restrict it to the candidates that were tried."""
    needs = list(criterion.requirers)
    if needs[0].extra:
        return _why_extra(criterion, decided[needs[0].name])
    limit = set(tried)
    if len(needs) <= _MOST_NEEDS:
        for need in [need for need in reversed(needs) if criterion.requirers[need] is not None]:
            rest = [other for other in needs if other is not need]
            if rest and limit.issuperset(provider.candidates(rest)):
                needs = rest
    return {atom: None for need in needs if (atom := criterion.requirers[need]) is not None}


def _why_extra(criterion: SearchCriterion, base: Candidate) -> Atoms:
    """As `why_no_others`, for an extra. Its only candidate belongs to the decided version of the project."""
    blame: Atoms = {(base.identifier, base): None}
    if None not in criterion.requirers.values():
        blame.update((atom, None) for atom in list(criterion.requirers.values())[:1] if atom is not None)
    return blame
