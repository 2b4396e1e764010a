"""Who asks for a name, and which of them are to blame when that leaves it no candidate."""

from __future__ import annotations

from collections.abc import Mapping

from resolvelib.resolvers.criterion import Criterion
from resolvelib.structs import RequirementInformation

from envc_solvers.pypi.search.candidate import Candidate, Choice, Need
from envc_solvers.pypi.search.nogoods import Atom, Atoms
from envc_solvers.pypi.search.provider import Provider

_MOST_PARENTS = 64  # names required more often than this keep an unminimised blame


class NeedCriterion(Criterion[Need, Candidate]):
    """Who asks for a name, and the candidates that all of them allow."""

    candidates: Choice

    def __init__(
        self,
        candidates: Choice,
        information: list[RequirementInformation[Need, Candidate]],
        askers: dict[Need, Atom | None],
    ) -> None:
        super().__init__(candidates, information, ())
        self.askers = askers  # each need that differs, with the earliest decision that has it; None when a root has it

    @property
    def need(self) -> Need:
        """The one that brought the name up."""
        return next(iter(self.askers))


def ask(known: NeedCriterion | None, need: Need, parent: Candidate | None, provider: Provider) -> NeedCriterion:
    """What is known of a name, with one more who asks for it. Raises ProjectNotFound."""
    atom = None if parent is None else (parent.identifier, need)
    asked = RequirementInformation(need, parent)
    if known is None:
        return NeedCriterion(provider.choice([need]), [asked], {need: atom})
    if need in known.askers:
        # Most needs are somebody else's as well, and take no candidate away.
        candidates, askers = known.candidates, known.askers if atom else {**known.askers, need: None}
    else:
        candidates, askers = known.candidates.narrowed(need.specifier), {**known.askers, need: atom}
    return NeedCriterion(candidates, [*known.information, asked], askers)


def why_empty(candidate: Candidate, asked: NeedCriterion, provider: Provider) -> Atoms:
    """Other decisions whose needs, with the candidate's, leave no version of a project."""
    own = [need for need in asked.askers if need in candidate.need_set]
    others = [need for need in asked.askers if need not in candidate.need_set]
    if len(others) <= _MOST_PARENTS:
        # Later decisions are dropped first, so that the search can go back as far as possible.
        for need in [need for need in reversed(others) if asked.askers[need] is not None]:
            rest = [other for other in others if other is not need]
            if not provider.choice((*own, *rest)):
                others = rest
    atoms = [asked.askers[need] for need in others]
    return {atom: None for atom in atoms if atom is not None and atom[0] != candidate.identifier}


def why_no_others(
    asked: NeedCriterion, tried: list[Candidate], decided: Mapping[str, Candidate], provider: Provider
) -> Atoms:
    """Decisions whose needs ask for a name and keep it to the candidates that were tried."""
    needs = list(asked.askers)
    if needs[0].extra:
        return _why_extra(asked, decided[needs[0].name])
    limit = set(tried)
    if len(needs) <= _MOST_PARENTS:
        for need in [need for need in reversed(needs) if asked.askers[need] is not None]:
            rest = [other for other in needs if other is not need]
            if rest and limit.issuperset(provider.choice(rest)):
                needs = rest
    return {atom: None for need in needs if (atom := asked.askers[need]) is not None}


def _why_extra(asked: NeedCriterion, base: Candidate) -> Atoms:
    """As `why_no_others`, for an extra, of which there is one candidate: that of the project's decided version."""
    blame: Atoms = {(base.identifier, base): None}
    if None not in asked.askers.values():
        blame.update((atom, None) for atom in list(asked.askers.values())[:1] if atom is not None)
    return blame
