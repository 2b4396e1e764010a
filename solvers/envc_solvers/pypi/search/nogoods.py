"""Nogoods: combinations of facts that the search has learned to be impossible, so that it never tries them again."""

from __future__ import annotations

from collections.abc import Mapping

from envc_solvers.pypi.search.candidate import Candidate, Need, Outside

Fact = Need | Outside | Candidate
Atom = tuple[str, Fact]  # identifier of a decision, and a fact about it
# An ordered set. Needs and candidates hash by identity, so the order of a plain set would differ between runs.
Atoms = dict[Atom, None]


class Nogoods:
    """Sets of atoms that cannot all hold. In SAT terms, learned clauses of the negated atoms."""

    __slots__ = ("_concerning", "_known")

    def __init__(self) -> None:
        # By identifier: for each nogood, the facts about it and the atoms about other identifiers.
        self._known: dict[str, list[tuple[tuple[Fact, ...], tuple[Atom, ...]]]] = {}
        # By candidate: how many of these nogoods were compared with it, and the atoms about other identifiers of those
        # whose facts hold for it. This saves time, because facts about a candidate never change, and a name with many
        # candidates is tried again and again.
        self._concerning: dict[Candidate, tuple[int, list[tuple[Atom, ...]]]] = {}

    def learn(self, nogood: Atoms) -> None:
        """Keep a nogood, under every identifier that it mentions."""
        for identifier in dict.fromkeys(identifier for identifier, _ in nogood):
            own = tuple(fact for name, fact in nogood if name == identifier)
            others = tuple(atom for atom in nogood if atom[0] != identifier)
            self._known.setdefault(identifier, []).append((own, others))

    def forbidden(self, candidate: Candidate, decided: Mapping[str, Candidate]) -> Atoms | None:
        """The atoms of decisions that exclude a candidate by some nogood; None if no nogood does.

        As long as the needs of a candidate are unknown, nogoods that mention them are skipped.
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
