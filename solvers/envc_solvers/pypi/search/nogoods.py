"""Nogoods: what the search has learnt cannot hold together, so that it never tries it again."""

from __future__ import annotations

from collections.abc import Mapping

from envc_solvers.pypi.search.candidate import Candidate, Need, Outside

Fact = Need | Outside | Candidate
Atom = tuple[str, Fact]  # identifier of the decision, and what holds of it
Atoms = dict[Atom, None]  # an ordered set: needs and candidates hash by identity, and the search must not depend on it


class Nogoods:
    """Sets of atoms that cannot all hold; in SAT terms, learned clauses of the negated atoms."""

    __slots__ = ("_concerning", "_known")

    def __init__(self) -> None:
        # By identifier: the facts about it and the atoms about others that cannot hold together.
        self._known: dict[str, list[tuple[tuple[Fact, ...], tuple[Atom, ...]]]] = {}
        # How many of those were compared with a candidate, and the atoms about others of those whose facts it has:
        # facts about a candidate never change, and a name with many candidates is gone through again and again.
        self._concerning: dict[Candidate, tuple[int, list[tuple[Atom, ...]]]] = {}

    def learn(self, nogood: Atoms) -> None:
        """Keep a nogood, under every decision that it speaks of."""
        for identifier in dict.fromkeys(identifier for identifier, _ in nogood):
            own = tuple(fact for name, fact in nogood if name == identifier)
            others = tuple(atom for atom in nogood if atom[0] != identifier)
            self._known.setdefault(identifier, []).append((own, others))

    def forbidden(self, candidate: Candidate, decided: Mapping[str, Candidate]) -> Atoms | None:
        """The atoms of decisions that, by some nogood, exclude a candidate; None when nothing does.

        Before a candidate's needs are known, nogoods that mention them are passed over.
        """
        known = self._known.get(candidate.identifier)
        if known is None:
            return None
        compared, concerning = self._concerning.get(candidate) or (0, [])
        if compared < len(known):
            found = [others for own, others in known[compared:] if all(map(candidate.has, own))]
            concerning = [()] if () in found else [*concerning, *found]
            if candidate.needs is not None:
                self._concerning[candidate] = len(known), concerning
        for others in concerning:
            if all((pin := decided.get(name)) is not None and pin.has(fact) for name, fact in others):
                return dict.fromkeys(others)
        return None
