"""The order in which the candidates of a name are tried."""

from __future__ import annotations

from envc_solvers.conda.search.encode import Encoder
from envc_solvers.conda.search.table import spec_name
from envc_solvers.sat.domain import ABSENT, bit, rank, ranks

Best = tuple[bool, bool, bytes]  # whether a version exists; whether its record has no track_features; its key


class Order:
    """The order of candidates: preferred ones, then by rank in the table, then by the versions that they depend on.

    Records with the same version and build number were built against different dependencies. Among them,
    builds whose specs allow higher versions of their common dependencies come first, compared name by name in
    alphabetical order; then newer builds; then builds from earlier channels. Only records that the requiring
    spec allows are compared, so two specs may order the same two builds differently. mamba and rattler do the same, and
    their solutions are the reference.
    """

    def __init__(self, encoder: Encoder, preferred: dict[str, tuple[str, ...]]) -> None:
        self._encoder = encoder
        self._preferred = preferred  # name: files or versions, best first
        self._orders: dict[tuple[int, int], tuple[int, ...]] = {}
        self._highest: dict[str, Best] = {}

    def best(self, variable: int, candidates: int, allowed: int) -> int:
        """The candidate (one bit) to try first among `candidates`, for a spec that allows `allowed`."""
        candidates &= ~ABSENT
        table = self._encoder.tables[variable]
        for preference in self._preferred.get(table.name, ()):
            preferred = sum(
                bit(place)
                for place in ranks(candidates)
                if preference in (table.records[place].file, table.records[place].version)
            )
            if preferred:
                candidates = preferred
                break
        first = candidates & -candidates
        alike = table.alike(rank(first))
        tied = candidates & alike
        if tied == first:
            return first
        return next(candidate for candidate in self._ordered(variable, alike & allowed) if candidate & tied)

    def _ordered(self, variable: int, group: int) -> tuple[int, ...]:
        """Candidates that the table ranks equal, best first."""
        found = self._orders.get((variable, group))
        if found is None:
            table = self._encoder.tables[variable]
            specs: dict[int, dict[str, list[str]]] = {}
            for place in ranks(group):
                of_place = specs[place] = {}
                for text in table.records[place].depends:
                    of_place.setdefault(spec_name(text), []).append(text)
            shared = sorted(set.intersection(*(set(of_place) for of_place in specs.values())) - {""})
            # The sort is stable: records that are equal in everything keep the order of ranks, which is the channels'.
            by_age = sorted(specs, key=lambda place: -table.records[place].timestamp)
            ordered = self._refine(by_age, specs, shared, 0)
            found = self._orders[variable, group] = tuple(map(bit, ordered))
        return found

    def _refine(
        self, places: list[int], specs: dict[int, dict[str, list[str]]], shared: list[str], start: int
    ) -> list[int]:
        """Order by the shared names from `start` on. Names that are not needed for that are not loaded."""
        for number in range(start, len(shared)):
            name = shared[number]
            reached = {place: self._reach_together(specs[place][name]) for place in places}
            if len(set(reached.values())) > 1:
                ordered: list[int] = []
                for each in sorted(set(reached.values()), reverse=True):
                    same = [place for place in places if reached[place] == each]
                    ordered += self._refine(same, specs, shared, number + 1) if len(same) > 1 else same
                return ordered
        return places

    def _reach_together(self, texts: list[str]) -> Best:
        """The highest version that all specs of one record on a name allow: the lowest of their highest versions."""
        reached = [each for each in map(self._reach, texts) if each[0]]
        return min(reached, default=(False, False, b""))

    def _reach(self, text: str) -> Best:
        """The highest version that a spec allows, counting hidden records."""
        found = self._highest.get(text)
        if found is None:
            variable, allowed = self._encoder.allowed(text)
            highest = self._encoder.tables[variable].highest(allowed)
            found = self._highest[text] = (True, *highest) if highest else (False, False, b"")
        return found
