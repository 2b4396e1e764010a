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
        spoilt: list[str] = []  # channels that have the name, but no record that can be used
        for number, channel in enumerate(problem.channels):
            found = candidates(problem, self._repodata, channel, name)
            if not found and problem.priority == "strict" and self._is_listed(channel, name):
                spoilt.append(channel)
            records += found
            channel_ranks += [number] * len(found)
        table = Table(name, records, channel_ranks if problem.priority == "flexible" else None)
        self._hide_channels(table, spoilt)
        self._hide_newer(table)
        for root in problem.constraints:
            if root.spec.name == name:
                table.hide(~table.matching(root.spec), HiddenBy("constraint", root.text, root.origin))
        return table

    def _is_listed(self, channel: str, name: str) -> bool:
        return any(self._repodata.lists(channel, subdir, name) for subdir in self._repodata.subdirs(channel))

    def _hide_channels(self, table: Table, spoilt: list[str]) -> None:
        listed = dict.fromkeys(table.records[place].channel for place in self._by_channel(table))
        dedicated = self._dedicated.get(table.name)
        if dedicated is not None:
            for channel in listed:
                if channel != dedicated:
                    table.hide(_of_channel(table, channel), HiddenBy("channel-of-a-spec", dedicated))
            listed = dict.fromkeys(channel for channel in listed if channel == dedicated)
        if self._problem.priority == "strict":
            if spoilt and dedicated is None:
                listed = dict.fromkeys(each for each in self._problem.channels if each in listed or each in spoilt)
            first, *others = [*listed, ""]
            for channel in others:
                if channel:
                    table.hide(_of_channel(table, channel), HiddenBy("channel-priority", first))

    def _by_channel(self, table: Table) -> list[int]:
        return sorted(range(len(table.records)), key=table.origins.__getitem__)

    def _hide_newer(self, table: Table) -> None:
        problem = self._problem
        if problem.exclude_newer is None and not problem.exclude_newer_for:
            return
        limits = {channel: problem.cut_off(table.name, channel) for channel in problem.channels}
        newer = undated = 0
        for place, record in enumerate(table.records):
            limit = limits[record.channel]
            if limit is None or 0 < record.timestamp < limit * 1000:
                continue
            if record.timestamp:
                newer |= bit(place)
            else:
                undated |= bit(place)
        table.hide(newer, HiddenBy("too-new"))
        table.hide(undated, HiddenBy("undated"))


def candidates(problem: CondaProblem, repodata: Repodata, channel: str, name: str) -> list[Record]:
    """The records of a name in a channel that count: under a cut-off, with archives whose .conda files are too new."""
    found: list[Record] = []
    limit = problem.cut_off(name, channel)
    for subdir in repodata.subdirs(channel):
        records = repodata.records(channel, subdir, name)
        found += records
        if limit is not None:
            hidden = {record.file for record in records if not 0 < record.timestamp < limit * 1000}
            if hidden:
                found += [
                    record
                    for record in repodata.archives(channel, subdir, name)
                    if record.file.removesuffix(".tar.bz2") + ".conda" in hidden
                ]
    return found


def is_too_new(problem: CondaProblem, record: Record) -> bool:
    """Whether a record does not exist under the cut-off: it is as new or newer, or does not say how old it is."""
    limit = problem.cut_off(record.name, record.channel)
    return limit is not None and (not record.timestamp or record.timestamp >= limit * 1000)


def _of_channel(table: Table, channel: str) -> int:
    return sum(bit(place) for place, record in enumerate(table.records) if record.channel == channel)
