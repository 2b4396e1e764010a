"""One run of the solver: encode the problem, search, and read off the solution."""

from __future__ import annotations

from typing import TYPE_CHECKING

from envc_solvers.conda.language.record import Record
from envc_solvers.conda.search.agenda import Agenda
from envc_solvers.conda.search.encode import ROOT, Encoder, Requirements
from envc_solvers.conda.search.order import Order
from envc_solvers.conda.search.tables import Tables
from envc_solvers.sat.domain import bit, rank
from envc_solvers.sat.nogood import Forbidden
from envc_solvers.sat.search import Search
from envc_solvers.sat.trail import Trail
from envc_solvers.solution import Pin, Solution

if TYPE_CHECKING:
    from envc_solvers.conda.problem import CondaProblem, ForbiddenRecords

MAX_CONFLICTS = 20_000  # hard problems of real channels meet a few hundred


class Attempt:
    """One search over a problem, or over some of its specs."""

    def __init__(self, problem: CondaProblem, tables: Tables, numbers: tuple[int, ...] | None = None) -> None:
        """`numbers` selects specs of the problem; None selects all."""
        trail = Trail()
        roots = problem.specs if numbers is None else tuple(problem.specs[number] for number in numbers)
        overrides = {root.spec.name: root.spec for root in problem.overrides}
        self.tables = tables
        self.encoder = Encoder(tables.table, [root.spec for root in roots], trail, overrides)
        self.agenda = Agenda(self.encoder, Order(self.encoder, problem.preferences))
        forbidden = (self._forbidden(number, each) for number, each in enumerate(problem.forbidden))
        self.search = Search(_CondaTheory(self.encoder, self.agenda), trail, forbidden)

    def _forbidden(self, number: int, forbidden: ForbiddenRecords) -> Forbidden:
        """Forbidden records as literals. Their names become variables even if the search never reaches them."""
        literals = []
        for name, files in forbidden.records.items():
            variable = self.encoder.variable(name)
            records = self.encoder.tables[variable].records
            mask = sum(bit(at) for at, each in enumerate(records) if (each.channel, each.subdir, each.file) in files)
            literals.append((variable, mask))
        return Forbidden(tuple(literals), number)

    def solve(self, max_conflicts: int = MAX_CONFLICTS) -> bool:
        """Search. Raises SearchLimit."""
        return self.search.solve(ROOT, max_conflicts)

    def solution(self) -> Solution:
        """The solution that a successful search found."""
        encoder = self.encoder
        domains = encoder.trail.domains
        chosen: dict[str, tuple[Record, Requirements]] = {}
        for variable in self.agenda.walked[1:]:
            record = encoder.tables[variable].records[rank(domains[variable])]
            chosen[record.name] = record, encoder.dependencies(variable, domains[variable])
        names = {name for name in chosen if not name.startswith("__")}
        pins = []
        for name in sorted(names):
            record, dependencies = chosen[name]
            reached = {encoder.tables[other].name for other, _ in dependencies}
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
                    specs=record.depends,
                    depends=tuple(sorted(reached & names - {name})),
                )
            )
        return Solution(pins=tuple(pins), roots=tuple(sorted({spec.name for spec in encoder.specs} & names)))


class _CondaTheory:
    """The theory of the SAT search for a conda problem (see `envc_solvers.sat.search.Theory`)."""

    def __init__(self, encoder: Encoder, agenda: Agenda) -> None:
        self.requires = encoder.requires
        self.requirers = encoder.requirers
        self.next_decision = agenda.next_decision
        self.backjumped = agenda.backjumped
