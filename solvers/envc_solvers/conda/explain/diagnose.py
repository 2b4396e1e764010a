"""The facts of a proof as reasons: versions collapsed into ranges, builds into versions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from envc_solvers.conda.explain.reasons import (
    Constrains,
    ForbiddenChoice,
    Hidden,
    Needs,
    NoBuild,
    NoCommonVersion,
    NoPackage,
    NoVersion,
    Reason,
    Unreadable,
    Virtual,
)
from envc_solvers.conda.language.matchspec import InvalidMatchSpec, parse_matchspec
from envc_solvers.conda.language.version import version_key
from envc_solvers.conda.search.encode import NOTHING, ROOT, Encoder
from envc_solvers.conda.search.table import Table
from envc_solvers.nearest import STRICT, nearest_name
from envc_solvers.sat.core import Fact
from envc_solvers.sat.domain import ABSENT, bit, ranks
from envc_solvers.sat.nogood import Forbidden, Requires

if TYPE_CHECKING:
    from envc_solvers.conda.language.index import Repodata
    from envc_solvers.conda.problem import CondaProblem

_PYTHON = "python"
_MOST_RANGES = 4
_ELSEWHERE = ("linux-64", "osx-arm64", "win-64")  # where else a package is looked for


class Diagnosis:
    """Turns the facts of a proof into reasons."""

    def __init__(self, problem: CondaProblem, repodata: Repodata, encoder: Encoder) -> None:
        self._problem = problem
        self._repodata = repodata
        self._encoder = encoder
        self._python = 0  # the records of `python` that the specs allow; 0 if the conflict does not depend on them

    def reasons(self, all_facts: Iterable[Fact]) -> list[Reason]:
        """The dependencies, starting from the specs, each with the reason if nothing can meet it; then the forbidden
        combinations.
        """
        all_facts = list(all_facts)
        facts = [fact for fact in all_facts if isinstance(fact, Requires)]
        found: dict[Reason, None] = {}
        self._python = self._python_of_specs(facts)
        for requirer in self._in_order(facts):
            on: dict[int, list[Requires]] = {}
            for fact in facts:
                if fact.requirer == requirer:
                    on.setdefault(fact.variable, []).append(fact)
            for variable, group in on.items():
                for reason in self._reasons_of(requirer, variable, group, self._relevant(requirer, facts)):
                    found[reason] = None
        forbidden = [fact for fact in all_facts if isinstance(fact, Forbidden)]
        found.update((self._forbidden(fact, facts), None) for fact in forbidden)
        return list(found)

    def _forbidden(self, fact: Forbidden, facts: list[Requires]) -> Reason:
        packages = []
        for variable, mask in fact.literals:
            table = self._encoder.tables[variable]
            left = mask & table.selectable
            packages.append(f"{table.name} {span(table, left & self._relevant(variable, facts) or left or mask)}")
        reason = self._problem.forbidden[fact.number].reason
        return ForbiddenChoice("", self._encoder.tables[fact.literals[0][0]].name, tuple(packages), reason)

    @staticmethod
    def _in_order(facts: list[Requires]) -> list[int]:
        """The variables that require others, breadth first from the specs."""
        order = dict.fromkeys([ROOT])
        queue = [ROOT]
        for requirer in queue:
            for fact in facts:
                if fact.requirer == requirer and fact.variable not in order:
                    order[fact.variable] = None
                    queue.append(fact.variable)
        return [each for each in order if any(fact.requirer == each for fact in facts)]

    def _relevant(self, variable: int, facts: list[Requires]) -> int:
        """The candidates of a name that matter: those that the specs allow, else those that other packages allow."""
        by_specs = -1
        by_others = 0
        for fact in facts:
            if fact.variable == variable:
                if fact.requirer == ROOT:
                    by_specs &= fact.allowed
                else:
                    by_others |= fact.allowed
        return by_specs if by_specs != -1 else by_others or -1

    def _reasons_of(self, requirer: int, variable: int, group: list[Requires], relevant: int) -> list[Reason]:
        """The requirements of one name on another, and the reason if nothing can meet them."""
        candidates, allowed = 0, 0
        for fact in group:
            candidates |= fact.candidates
            allowed |= fact.allowed
        name = self._encoder.tables[variable].name
        base = self._encoder.trail.base[variable]
        met = bool(allowed & base)
        if requirer == ROOT:
            # The specs themselves are shown before all reasons.
            specs = tuple(root.text for root in self._problem.specs if root.spec.name == name)
            for fact in group:
                base &= fact.allowed
            if met and not base:
                return [NoCommonVersion("", name, specs)]
            return [] if met else [self._unmet("", variable, specs, allowed)]
        table = self._encoder.tables[requirer]
        candidates = candidates & relevant & table.selectable & ~ABSENT or candidates & table.selectable & ~ABSENT
        if variable != NOTHING and met:
            candidates = self._bearing(table, name, candidates, relevant)
            if not candidates:
                return []
        package = f"{table.name} {span(table, candidates)}".strip()
        if variable == NOTHING:
            return [Unreadable(package, "", self._unreadable(table, candidates))]
        mentions = [(text, needed) for text, mask, needed in table.mentions(name) if mask & candidates]
        specs = tuple(dict.fromkeys(text for text, _ in mentions))
        kind = Needs if any(needed for _, needed in mentions) else Constrains
        allowed_by_these = self._allowed(table, name, candidates, self._encoder.tables[variable])
        reasons: list[Reason] = [kind(package, name, specs, ranges(self._encoder.tables[variable], allowed_by_these))]
        if not met:
            reasons.append(self._unmet(package, variable, specs, allowed))
        return reasons

    def _python_of_specs(self, facts: list[Requires]) -> int:
        masks = [
            fact.allowed
            for fact in facts
            if fact.requirer == ROOT and self._encoder.tables[fact.variable].name == _PYTHON
        ]
        mask = -1 if masks else 0
        for each in masks:
            mask &= each
        return mask & ~ABSENT

    def _bearing(self, table: Table, name: str, candidates: int, relevant: int) -> int:
        """Of the candidates that need something, those that matter for the Python of the specs; 0 for none.

        A proof also has the builds for other Pythons. What these need of other packages does not matter, and that they
        need another Python matters only for versions without a build for this one.
        """
        python = next((other for other in self._encoder.tables if other.name == _PYTHON), None)
        if not self._python or python is None or table.name == _PYTHON:
            return candidates
        every = relevant & table.selectable & ~ABSENT
        fitting = sum(
            bit(place)
            for place in ranks(every | candidates)
            if self._allowed(table, _PYTHON, bit(place), python) & self._python
        )
        if name != _PYTHON:
            return candidates & fitting or candidates
        served = {version_key(table.records[place].version) for place in ranks(fitting & every)}
        return sum(bit(place) for place in ranks(candidates) if version_key(table.records[place].version) not in served)

    @staticmethod
    def _allowed(table: Table, name: str, candidates: int, on: Table) -> int:
        """The records of a name that at least one of these candidates allows."""
        parts = [(candidates, sum(bit(place) for place in range(len(on.records))))]
        for text, mask, _ in table.mentions(name):
            if not mask & candidates:
                continue
            try:
                matching = on.matching(parse_matchspec(text))
            except InvalidMatchSpec:
                matching = 0
            split = (
                (part & side, records & limit)
                for part, records in parts
                for side, limit in ((mask, matching), (~mask, -1))
            )
            parts = [(part, records) for part, records in split if part]
        found = 0
        for _, records in parts:
            found |= records
        return found

    @staticmethod
    def _unreadable(table: Table, candidates: int) -> str:
        for place in ranks(candidates):
            record = table.records[place]
            for text in (*record.depends, *record.constrains):
                try:
                    parse_matchspec(text)
                except InvalidMatchSpec as error:
                    return str(error)
        return ""

    def _unmet(self, package: str, variable: int, specs: tuple[str, ...], allowed: int) -> Reason:
        """Why nothing meets any of these specs, whatever else is chosen."""
        table = self._encoder.tables[variable]
        name = table.name
        if name.startswith("__"):
            has = f"{name} {table.records[0].version}" if table.records else ""
            if table.records and table.records[0].build not in ("", "0"):
                has += f" {table.records[0].build}"
            return Virtual(package, name, self._problem.target, has)
        if not table.records:
            return self._no_package(package, name)
        hidden = tuple((span(table, mask & allowed), why) for why, mask in table.hidden.items() if mask & allowed)
        if hidden:
            return Hidden(package, name, hidden)
        return self._no_match(package, table, specs)

    @staticmethod
    def _no_match(package: str, table: Table, specs: tuple[str, ...]) -> Reason:
        """Why no record matches, not even a hidden one: because of the version, or of the build."""
        for text in specs:
            try:
                spec = parse_matchspec(text)
            except InvalidMatchSpec:
                continue
            if spec.version is None or (spec.is_simple and not spec.build):
                continue
            mask = sum(
                2 << place
                for place in range(len(table.records))
                if table.matching(parse_matchspec(f"{table.name} {spec.version.text}")) & (2 << place)
            )
            if mask:
                builds = dict.fromkeys(table.records[place].build for place in ranks(mask))
                return NoBuild(package, table.name, specs, span(table, mask), tuple(builds))
        everything = sum(2 << place for place in range(len(table.records)))
        return NoVersion(package, table.name, specs, span(table, everything))

    def _no_package(self, package: str, name: str) -> Reason:
        problem = self._problem
        own = {subdir for channel in problem.channels for subdir in self._repodata.subdirs(channel)}
        elsewhere = tuple(
            subdir
            for subdir in _ELSEWHERE
            if subdir not in own and any(name in self._repodata.names(channel, subdir) for channel in problem.channels)
        )
        similar = None if elsewhere else nearest_package(name, problem, self._repodata)
        return NoPackage(package, name, problem.channels, problem.target, elsewhere, similar)


def nearest_package(name: str, problem: CondaProblem, repodata: Repodata) -> str | None:
    """A package that exists for the problem's platform and has a similar name."""
    known = {
        other
        for channel in problem.channels
        for subdir in repodata.subdirs(channel)
        for other in repodata.names(channel, subdir)
    }
    return nearest_name(name, known, STRICT)


def ranges(table: Table, mask: int) -> str:
    """The versions in a mask as ranges without gaps: ``1.2.0``, ``1.2.0 to 1.9.1 or 2.1``; the first ones of many."""
    texts = {version_key(record.version): record.version for record in table.records}
    chosen = {version_key(table.records[place].version) for place in ranks(mask)}
    found: list[list[str]] = []
    is_open = False
    for key in sorted(texts):
        if key in chosen and is_open:
            found[-1].append(texts[key])
        elif key in chosen:
            found.append([texts[key]])
        is_open = key in chosen
    parts = [run[0] if len(run) == 1 else f"{run[0]} to {run[-1]}" for run in found]
    if len(parts) > _MOST_RANGES:
        parts = [*parts[: _MOST_RANGES - 1], f"…, at most {found[-1][-1]}"]
    return " or ".join(parts)


def span(table: Table, mask: int) -> str:
    """The versions in a mask as one range: ``1.2.0``, ``1.2.0 to 1.9.1``."""
    versions = {version_key(table.records[place].version): table.records[place].version for place in ranks(mask)}
    if not versions:
        return ""
    lowest, highest = versions[min(versions)], versions[max(versions)]
    return lowest if len(versions) == 1 else f"{lowest} to {highest}"
