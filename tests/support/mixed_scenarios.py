"""Scenario files of mixed problems (``tests/scenarios/mixed/*.toml``): tiny channels and a tiny index together.

An example::

    description = "A PyPI package wants an older numpy than the newest that conda has."

    [channels.main.linux-64]
    "numpy 2.1 py_0" = { depends = ["python"] }
    "numpy 1.26 py_0" = { depends = ["python"] }
    "python 3.12.7 h_0" = {}

    [packages.app]
    "1.0" = { requires = ["numpy<2"] }

    [problem]
    conda = ["numpy", "python"]
    pypi = ["app"]

    [expected]
    pins = ["conda:numpy 1.26", "conda:python 3.12.7", "pypi:app 1.0"]
    solved = 2

Records and packages are written as in the scenarios of each kind. `[problem]` may have `conda`, `pypi`, `python` (of
the PyPI side if conda has no Python), `mapping`, `reserved`, `conda-constraints` and `pypi-constraints`. `[names]` is
the table of names. `[expected]` has all `pins`, and optionally `warnings`, `provides` (conda name: projects) and
`solved` (how often conda was solved). Without `pins` there is no solution, and the ``.txt`` file of the same name
contains the message for users.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from pathlib import Path

import msgspec

from envc_solvers.conda.problem import CondaProblem
from envc_solvers.mixed.names import Names
from envc_solvers.mixed.problem import MixedProblem
from envc_solvers.pypi.language.index import Index
from envc_solvers.pypi.language.markers import Answer
from envc_solvers.pypi.problem import PyPIProblem
from envc_solvers.target import default_target
from tests.support import conda_scenarios, universe
from tests.support.channels import MemoryRepodata
from tests.support.scenario_files import load_scenario


class ProblemTable(msgspec.Struct, frozen=True, kw_only=True, rename="kebab", forbid_unknown_fields=True):
    """The table `[problem]` of a scenario file."""

    conda: tuple[str, ...]
    pypi: tuple[str, ...]
    python: str = "3.12"
    mapping: dict[str, tuple[str, ...]] = {}
    reserved: dict[str, str] = {}
    conda_constraints: tuple[str, ...] = ()
    pypi_constraints: tuple[str, ...] = ()


class Expected(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The table `[expected]` of a scenario file."""

    pins: tuple[str, ...] | None = None  # every pin as "kind:name version"; None: there is no solution
    provides: dict[str, tuple[str, ...]] = {}
    warnings: tuple[str, ...] = ()
    solved: int = 1


class Scenario(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One scenario file."""

    description: str
    channels: dict[str, dict[str, dict[str, conda_scenarios.RecordTable]]]
    packages: dict[str, dict[str, universe.Version]]
    names: dict[str, tuple[str, ...]] = {}
    problem: ProblemTable
    expected: Expected

    @property
    def names_of(self) -> Names:
        return Names(self.names, self.problem.mapping)


def load(path: Path) -> Scenario:
    return load_scenario(path, Scenario)


def repodata_of(scenario: Scenario) -> CountingRepodata:
    records = [
        conda_scenarios.record_of(channel, subdir, title, table)
        for channel, subdirs in scenario.channels.items()
        for subdir, titles in subdirs.items()
        for title, table in titles.items()
    ]
    return CountingRepodata(records, "linux-64")


class CountingRepodata(MemoryRepodata):
    """Counts solves: each solve announces its specs once."""

    solves = 0

    def expect(self, names: object) -> None:
        self.solves += 1


def problem_of(table: ProblemTable) -> MixedProblem:
    """Return the problem of a scenario. Requirements have key paths such as ``("pypi", 0)``."""
    target = default_target("linux-64")
    return MixedProblem(
        conda=CondaProblem(
            target=target.name,
            specs=conda_scenarios.as_roots(table.conda, "conda"),
            channels=("main",),
            constraints=conda_scenarios.as_roots(table.conda_constraints, "constraints.conda"),
        ),
        pypi=PyPIProblem(
            target=target,
            python=universe.python_of(table.python),
            roots=universe.as_roots(table.pypi, "pypi"),
            constraints=universe.as_roots(table.pypi_constraints, "constraints.pypi"),
        ),
        reserved={project: (why,) for project, why in table.reserved.items()},
    )


class PythonIndexes:
    """Makes the index for the Python that conda chooses. `problems` records the problems that it was called with."""

    def __init__(self, packages: universe.Universe) -> None:
        self._packages = packages
        self.problems: list[PyPIProblem] = []

    def __call__(self, problem: PyPIProblem) -> tuple[PyPIProblem, Index, MutableMapping[str, Answer]]:
        self.problems.append(problem)
        return problem, universe.MemoryIndex(self._packages, problem.target, problem.python), {}
