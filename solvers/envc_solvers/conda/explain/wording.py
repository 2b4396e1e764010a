"""Facts of a proof in words: versions collapsed into ranges, builds into versions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from envc_solvers.conda.explain.conflict import Kind, Reason
from envc_solvers.conda.language.matchspec import InvalidMatchSpec, parse_matchspec
from envc_solvers.conda.language.version import version_key
from envc_solvers.conda.search.encode import NOTHING, ROOT, Encoder
from envc_solvers.conda.search.table import Table
from envc_solvers.nearest import STRICT, nearest_name
from envc_solvers.sat.core import Fact
from envc_solvers.sat.domain import ABSENT, ranks
from envc_solvers.sat.nogood import Forbidden, Requires

if TYPE_CHECKING:
    from envc_solvers.conda.language.index import Repodata
    from envc_solvers.conda.problem import CondaProblem

_MOST_SPECS = 3  # spelt out in one line
_MOST_BUILDS = 4
_ELSEWHERE = ("linux-64", "osx-arm64", "win-64")  # where else a package is looked for


class Wording:
    """Turns facts into reasons."""

    def __init__(self, problem: CondaProblem, repodata: Repodata, encoder: Encoder) -> None:
        self._problem = problem
        self._repodata = repodata
        self._encoder = encoder

    def reasons(self, all_facts: Iterable[Fact]) -> list[Reason]:
        """Who asks for what, from the specs on; where nothing at all can meet it, why. Last, what is forbidden."""
        all_facts = list(all_facts)
        facts = [fact for fact in all_facts if isinstance(fact, Requires)]
        found: dict[Reason, None] = {}
        for requirer in self._in_order(facts):
            on: dict[int, list[Requires]] = {}
            for fact in facts:
                if fact.requirer == requirer:
                    on.setdefault(fact.variable, []).append(fact)
            for variable, group in on.items():
                for reason in self._tell(requirer, variable, group, self._relevant(requirer, facts)):
                    found[reason] = None
        forbidden = [fact for fact in all_facts if isinstance(fact, Forbidden)]
        found.update((self._forbidden(fact, facts), None) for fact in forbidden)
        return list(found)

    def _forbidden(self, fact: Forbidden, facts: list[Requires]) -> Reason:
        spans = []
        for variable, mask in fact.literals:
            table = self._encoder.tables[variable]
            left = mask & table.selectable
            spans.append(f"{table.name} {span(table, left & self._relevant(variable, facts) or left or mask)}")
        text = f"{' beside '.join(spans)} {self._problem.forbidden[fact.number].reason}"
        return Reason("forbidden", "", self._encoder.tables[fact.literals[0][0]].name, text)

    @staticmethod
    def _in_order(facts: list[Requires]) -> list[int]:
        """The askers, breadth first from the specs."""
        order = dict.fromkeys([ROOT])
        queue = [ROOT]
        for requirer in queue:
            for fact in facts:
                if fact.requirer == requirer and fact.variable not in order:
                    order[fact.variable] = None
                    queue.append(fact.variable)
        return [each for each in order if any(fact.requirer == each for fact in facts)]

    def _relevant(self, variable: int, facts: list[Requires]) -> int:
        """The candidates of a name that are in question: what the specs leave, else all that somebody asks for."""
        by_specs = -1
        by_others = 0
        for fact in facts:
            if fact.variable == variable:
                if fact.requirer == ROOT:
                    by_specs &= fact.allowed
                else:
                    by_others |= fact.allowed
        return by_specs if by_specs != -1 else by_others or -1

    def _tell(self, requirer: int, variable: int, group: list[Requires], relevant: int) -> list[Reason]:
        """One name's facts about another, and why nothing can meet them if so."""
        candidates, allowed = 0, 0
        for fact in group:
            candidates |= fact.candidates
            allowed |= fact.allowed
        name = self._encoder.tables[variable].name
        base = self._encoder.trail.base[variable]
        met = bool(allowed & base)
        if requirer == ROOT:
            # The specs themselves are told before all reasons.
            texts = [root.text for root in self._problem.specs if root.spec.name == name]
            for fact in group:
                base &= fact.allowed
            if met and not base:
                return [Reason("no-version", "", name, f"no {name} meets {' and '.join(texts)}")]
            return [] if met else [self._unmet("", variable, texts, allowed)]
        table = self._encoder.tables[requirer]
        candidates = candidates & relevant & table.selectable & ~ABSENT or candidates & table.selectable & ~ABSENT
        package = f"{table.name} {span(table, candidates)}".strip()
        if variable == NOTHING:
            return [Reason("unreadable", package, "", f"{package} {self._unreadable(table, candidates)}")]
        said = [(text, needed) for text, mask, needed in table.mentions(name) if mask & candidates]
        texts = list(dict.fromkeys(text for text, _ in said))
        needed = any(needs for _, needs in said)
        other = self._encoder.tables[variable]
        wanted = " or ".join(texts)
        if len(texts) > _MOST_SPECS:
            left = span(other, allowed & ~ABSENT)
            wanted = f"{name} {left} ({len(texts)} different specs)" if left else f"{wanted[:60]}…"
        kind: Kind = "needs" if needed else "constrains"
        verb = "needs" if needed else "allows only"
        reasons = [Reason(kind, package, name, f"{package} {verb} {wanted}")]
        if not met:
            reasons.append(self._unmet(package, variable, texts, allowed))
        return reasons

    def _unreadable(self, table: Table, candidates: int) -> str:
        for place in ranks(candidates):
            record = table.records[place]
            for text in (*record.depends, *record.constrains):
                try:
                    parse_matchspec(text)
                except InvalidMatchSpec as error:
                    return f"asks for something that cannot be read: {error}"
        return "rules itself out"

    def _unmet(self, package: str, variable: int, texts: list[str], allowed: int) -> Reason:
        """Why nothing meets a spec, whatever else is chosen."""
        table = self._encoder.tables[variable]
        name = table.name
        wanted = " or ".join(texts[:_MOST_SPECS])
        if name.startswith("__"):
            has = f"{name} {table.records[0].version}" if table.records else f"no {name}"
            if table.records and table.records[0].build not in ("", "0"):
                has += f" {table.records[0].build}"
            return Reason("virtual", package, name, f"but {self._problem.target} has {has}")
        if not table.records:
            return Reason("no-package", package, name, self._missing(name))
        hidden = [f"{span(table, mask & allowed)}, but {why}" for why, mask in table.hidden.items() if mask & allowed]
        if hidden:
            return Reason("hidden", package, name, f"there is {name} {'; '.join(hidden)}")
        return self._no_match(package, table, wanted, texts)

    def _no_match(self, package: str, table: Table, wanted: str, texts: list[str]) -> Reason:
        """No record matches, not even a hidden one: is it the version, or something else?"""
        everything = sum(2 << place for place in range(len(table.records)))
        for text in texts:
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
                shown = ", ".join(list(builds)[:_MOST_BUILDS]) + (", …" if len(builds) > _MOST_BUILDS else "")
                what = f"no build of {table.name} {span(table, mask)} matches {wanted}; there are {shown}"
                return Reason("no-build", package, table.name, what)
        what = f"no version of {table.name} matches {wanted}; there are {span(table, everything)}"
        return Reason("no-version", package, table.name, what)

    def _missing(self, name: str) -> str:
        channels = ", ".join(self._problem.channels)
        text = f"there is no package {name} in {channels}"
        own = {subdir for channel in self._problem.channels for subdir in self._repodata.subdirs(channel)}
        elsewhere = [
            subdir
            for subdir in _ELSEWHERE
            if subdir not in own
            and any(name in self._repodata.names(channel, subdir) for channel in self._problem.channels)
        ]
        if elsewhere:
            return f"{text} for {self._problem.target}; there is one for {', '.join(elsewhere)}"
        close = nearest_package(name, self._problem, self._repodata)
        return f"{text}; did you mean {close}?" if close else text


def nearest_package(name: str, problem: CondaProblem, repodata: Repodata) -> str | None:
    """A package that exists for the problem's platform and is spelt alike."""
    known = {
        other
        for channel in problem.channels
        for subdir in repodata.subdirs(channel)
        for other in repodata.names(channel, subdir)
    }
    return nearest_name(name, known, STRICT)


def span(table: Table, mask: int) -> str:
    """The versions in a mask as one range: ``1.2.0``, ``1.2.0 to 1.9.1``."""
    versions = {version_key(table.records[place].version): table.records[place].version for place in ranks(mask)}
    if not versions:
        return ""
    lowest, highest = versions[min(versions)], versions[max(versions)]
    return lowest if len(versions) == 1 else f"{lowest} to {highest}"
