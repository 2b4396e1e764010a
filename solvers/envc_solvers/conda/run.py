"""One run of the solver: the problem encoded, searched, and the answer read off."""

from __future__ import annotations

from typing import TYPE_CHECKING

from envc_solvers.conda.agenda import Agenda
from envc_solvers.conda.conflict import GaveUp
from envc_solvers.conda.encode import ROOT, Asks, Encoder
from envc_solvers.conda.order import Order
from envc_solvers.conda.record import Record
from envc_solvers.conda.table import Table
from envc_solvers.sat.domain import ABSENT, bit, rank
from envc_solvers.sat.nogood import Barred
from envc_solvers.sat.search import Search, SearchLimit
from envc_solvers.sat.trail import Trail
from envc_solvers.solution import Pin, Solution

if TYPE_CHECKING:
    from envc_solvers.conda.index import Repodata
    from envc_solvers.conda.solve import CondaProblem, Forbidden


MAX_CONFLICTS = 20_000  # hard problems of real channels meet some hundreds


def run(problem: CondaProblem, repodata: Repodata) -> Solution:
    """Search once. Raises Unsolvable, or GaveUp when the search becomes too long."""
    shelf = Shelf(problem, repodata)
    attempt = Attempt(problem, shelf)
    try:
        if attempt.solve():
            return attempt.solution()
    except SearchLimit as limit:
        raise GaveUp(problem.target, limit.conflicts) from None
    from envc_solvers.conda.explain import refuse

    raise refuse(problem, repodata, shelf, attempt)


class Shelf:
    """The tables of a problem, made when a name comes up. Attempts at parts of the same problem may share it."""

    def __init__(self, problem: CondaProblem, repodata: Repodata) -> None:
        self._problem = problem
        self._repodata = repodata
        self._virtual = {record.name: record for record in problem.virtual}
        self._dedicated: dict[str, str] = {}  # name: the one channel that the problem's specs name for it
        for root in problem.specs:
            if root.spec.channel:
                self._dedicated.setdefault(root.spec.name, root.spec.channel)
        self._tables: dict[str, Table] = {}
        repodata.expect(root.spec.name for root in problem.specs)

    def table(self, name: str) -> Table:
        found = self._tables.get(name)
        if found is None:
            found = self._tables[name] = self._build(name)
        return found

    def _build(self, name: str) -> Table:
        if name.startswith("__"):
            table = Table(name, [self._virtual[name]] if name in self._virtual else [])
            if table.records:
                table.open &= ~ABSENT  # what the machine has is there, whether anybody asks for it or not
            return table
        problem = self._problem
        records: list[Record] = []
        channel_ranks: list[int] = []
        for number, channel in enumerate(problem.channels):
            for subdir in self._repodata.subdirs(channel):
                found = self._repodata.records(channel, subdir, name)
                records += found
                channel_ranks += [number] * len(found)
        table = Table(name, records, channel_ranks if problem.priority == "flexible" else None)
        self._hide_channels(table)
        self._hide_newer(table)
        for root in problem.constraints:
            if root.spec.name == name:
                table.hide(~table.matching(root.spec), f"the constraint {root.text} rules it out")
        return table

    def _hide_channels(self, table: Table) -> None:
        listed = dict.fromkeys(table.records[place].channel for place in self._by_channel(table))
        dedicated = self._dedicated.get(table.name)
        if dedicated is not None:
            for channel in listed:
                if channel != dedicated:
                    table.hide(_of_channel(table, channel), f"a spec wants {table.name} from {dedicated}")
            listed = dict.fromkeys(channel for channel in listed if channel == dedicated)
        if self._problem.priority == "strict":
            first, *others = [*listed, ""]
            for channel in others:
                if channel:
                    table.hide(_of_channel(table, channel), f"by channel priority {table.name} comes from {first}")

    def _by_channel(self, table: Table) -> list[int]:
        return sorted(range(len(table.records)), key=table.origins.__getitem__)

    def _hide_newer(self, table: Table) -> None:
        problem = self._problem
        limit = problem.exclude_newer_for.get(table.name, problem.exclude_newer)
        if limit is not None:
            newer = sum(bit(place) for place, each in enumerate(table.records) if each.timestamp > limit * 1000)
            table.hide(newer, "it is newer than the cut-off")


def _of_channel(table: Table, channel: str) -> int:
    return sum(bit(place) for place, record in enumerate(table.records) if record.channel == channel)


class Attempt:
    """One search over a problem, or over some of its specs."""

    def __init__(self, problem: CondaProblem, shelf: Shelf, numbers: tuple[int, ...] | None = None) -> None:
        """`numbers` are the specs of the problem that count; all of them if it is None."""
        trail = Trail()
        roots = problem.specs if numbers is None else tuple(problem.specs[number] for number in numbers)
        overrides = {root.spec.name: root.spec for root in problem.overrides}
        self.shelf = shelf
        self.encoder = Encoder(shelf.table, [root.spec for root in roots], trail, overrides)
        self.agenda = Agenda(self.encoder, Order(self.encoder, problem.preferences))
        barred = (self._barred(number, each) for number, each in enumerate(problem.forbidden))
        self.search = Search(_Meaning(self.encoder, self.agenda), trail, barred)

    def _barred(self, number: int, forbidden: Forbidden) -> Barred:
        """What is forbidden as literals. Its names become variables, whether the search reaches them or not."""
        literals = []
        for name, files in forbidden.records.items():
            variable = self.encoder.variable(name)
            records = self.encoder.tables[variable].records
            mask = sum(bit(at) for at, each in enumerate(records) if (each.channel, each.subdir, each.file) in files)
            literals.append((variable, mask))
        return Barred(tuple(literals), number)

    def solve(self, max_conflicts: int = MAX_CONFLICTS) -> bool:
        """Search. Raises SearchLimit."""
        return self.search.solve(ROOT, max_conflicts)

    def solution(self) -> Solution:
        """What a successful search found."""
        encoder = self.encoder
        domains = encoder.trail.domains
        chosen: dict[str, tuple[Record, Asks]] = {}
        for variable in self.agenda.walked[1:]:
            record = encoder.tables[variable].records[rank(domains[variable])]
            chosen[record.name] = record, encoder.needs(variable, domains[variable])
        names = {name for name in chosen if not name.startswith("__")}
        pins = []
        for name in sorted(names):
            record, needs = chosen[name]
            reached = {encoder.tables[other].name for other, _ in needs}
            pins.append(
                Pin(
                    kind="conda",
                    name=name,
                    version=record.version,
                    build=record.build,
                    noarch=record.noarch,
                    site_packages=record.python_site_packages_path if name == "python" else "",
                    source=record.channel,
                    file=record.file,
                    sha256=record.sha256,
                    size=record.size,
                    uploaded=record.timestamp // 1000 or None,
                    license=record.license,
                    requires=record.depends,
                    depends=tuple(sorted(reached & names - {name})),
                )
            )
        return Solution(pins=tuple(pins), roots=tuple(sorted({spec.name for spec in encoder.specs} & names)))


class _Meaning:
    """The search's view of a problem."""

    def __init__(self, encoder: Encoder, agenda: Agenda) -> None:
        self.asks = encoder.asks
        self.askers = encoder.askers
        self.next_decision = agenda.next_decision
        self.jumped = agenda.jumped
