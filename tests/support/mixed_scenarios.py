"""Scenario files of mixed problems (``tests/scenarios/mixed/*.toml``): tiny channels and a tiny index together.

A scenario reads like the situation that it shows::

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

Records and packages are written as in the scenarios of each kind. `[problem]` may state `conda`, `pypi`, `python` (of
the PyPI side where conda brings none), `mapping`, `reserved`, `conda-constraints` and `pypi-constraints`; `[names]` is
the table of names. `[expected]` states all `pins` and perhaps `warnings`, `provides` (conda name: projects) and
`solved`, how often conda was solved. Without `pins` there is no solution, and the namesake ``.txt`` holds what people
are told.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from pathlib import Path
from typing import Literal

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


class Asked(msgspec.Struct, frozen=True, kw_only=True, rename="kebab", forbid_unknown_fields=True):
    """A problem as scenario files write it."""

    conda: tuple[str, ...]
    pypi: tuple[str, ...]
    python: str = "3.12"
    mapping: dict[str, str | Literal[False]] = {}
    reserved: dict[str, str] = {}
    conda_constraints: tuple[str, ...] = ()
    pypi_constraints: tuple[str, ...] = ()


class Expected(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a solver must answer."""

    pins: tuple[str, ...] | None = None  # every pin as "kind:name version"; None: there is no solution
    provides: dict[str, tuple[str, ...]] = {}
    warnings: tuple[str, ...] = ()
    solved: int = 1


class Scenario(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One scenario file."""

    description: str
    channels: dict[str, dict[str, dict[str, conda_scenarios.Said]]]
    packages: dict[str, dict[str, universe.Version]]
    names: dict[str, tuple[str, ...]] = {}
    problem: Asked
    expected: Expected

    @property
    def names_of(self) -> Names:
        return Names(self.names, self.problem.mapping)


def load(path: Path) -> Scenario:
    return load_scenario(path, Scenario)


def repodata_of(scenario: Scenario) -> CountingRepodata:
    records = [
        conda_scenarios.record_of(channel, subdir, title, said)
        for channel, subdirs in scenario.channels.items()
        for subdir, titles in subdirs.items()
        for title, said in titles.items()
    ]
    return CountingRepodata(records, "linux-64")


class CountingRepodata(MemoryRepodata):
    """Counts how often a solve began: each announces its specs once."""

    solves = 0

    def expect(self, names: object) -> None:
        self.solves += 1


def problem_of(asked: Asked) -> MixedProblem:
    """The problem that a scenario states; requirements have key paths such as ``("pypi", 0)``."""
    target = default_target("linux-64")
    return MixedProblem(
        conda=CondaProblem(
            target=target.name,
            specs=conda_scenarios.as_roots(asked.conda, "conda"),
            channels=("main",),
            constraints=conda_scenarios.as_roots(asked.conda_constraints, "constraints.conda"),
        ),
        pypi=PyPIProblem(
            target=target,
            python=universe.python_of(asked.python),
            roots=universe.as_roots(asked.pypi, "pypi"),
            constraints=universe.as_roots(asked.pypi_constraints, "constraints.pypi"),
        ),
        reserved={project: (why,) for project, why in asked.reserved.items()},
    )


class Asking:
    """An index for whichever Python conda chooses; `asked` records the problems that it is for."""

    def __init__(self, packages: universe.Universe) -> None:
        self._packages = packages
        self.asked: list[PyPIProblem] = []

    def __call__(self, problem: PyPIProblem) -> tuple[PyPIProblem, Index, MutableMapping[str, Answer]]:
        self.asked.append(problem)
        return problem, universe.MemoryIndex(self._packages, problem.target, problem.python), {}
