"""The candidate tables of one problem, in which the records that its policy excludes are hidden."""

from __future__ import annotations

from typing import TYPE_CHECKING

from envc_solvers.conda.language.record import Record
from envc_solvers.conda.search.table import HiddenBy, Table
from envc_solvers.sat.domain import ABSENT, bit

if TYPE_CHECKING:
    from envc_solvers.conda.language.index import Repodata
    from envc_solvers.conda.problem import CondaProblem


class Tables:
    """The tables of a problem, built on demand. Attempts at parts of the same problem may share one instance."""

    def __init__(self, problem: CondaProblem, repodata: Repodata) -> None:
        self._problem = problem
        self._repodata = repodata
        self._virtual = {record.name: record for record in problem.virtual}
        self._dedicated: dict[str, str] = {}  # name: the only channel for it, named by a spec of the problem
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
                table.selectable &= ~ABSENT  # a virtual package of the machine is always present
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
                table.hide(~table.matching(root.spec), HiddenBy("constraint", root.text, root.origin))
        return table

    def _hide_channels(self, table: Table) -> None:
        listed = dict.fromkeys(table.records[place].channel for place in self._by_channel(table))
        dedicated = self._dedicated.get(table.name)
        if dedicated is not None:
            for channel in listed:
                if channel != dedicated:
                    table.hide(_of_channel(table, channel), HiddenBy("channel-of-a-spec", dedicated))
            listed = dict.fromkeys(channel for channel in listed if channel == dedicated)
        if self._problem.priority == "strict":
            first, *others = [*listed, ""]
            for channel in others:
                if channel:
                    table.hide(_of_channel(table, channel), HiddenBy("channel-priority", first))

    def _by_channel(self, table: Table) -> list[int]:
        return sorted(range(len(table.records)), key=table.origins.__getitem__)

    def _hide_newer(self, table: Table) -> None:
        problem = self._problem
        limit = problem.exclude_newer_for.get(table.name, problem.exclude_newer)
        if limit is not None:
            newer = sum(bit(place) for place, each in enumerate(table.records) if each.timestamp > limit * 1000)
            table.hide(newer, HiddenBy("too-new"))


def _of_channel(table: Table, channel: str) -> int:
    return sum(bit(place) for place, record in enumerate(table.records) if record.channel == channel)
