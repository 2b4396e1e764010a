"""Every rule of mixed problems as tiny channels and a tiny index."""

from __future__ import annotations

from pathlib import Path

import pytest

from envc_solvers.errors import SolverError
from envc_solvers.mixed.solve import solve_mixed
from tests.golden.regenerate import check_golden
from tests.support.mixed_scenarios import PythonIndexes, load, problem_of, repodata_of

FILES = sorted((Path(__file__).parent / "mixed").glob("*.toml"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_scenario(path: Path) -> None:
    scenario = load(path)
    problem, repodata, indexes = problem_of(scenario.problem), repodata_of(scenario), PythonIndexes(scenario.packages)
    expected = scenario.expected
    if expected.pins is None:
        with pytest.raises(SolverError) as caught:
            solve_mixed(problem, repodata, scenario.names_of, indexes)
        check_golden(path.with_suffix(".txt"), str(caught.value) + "\n")
        return
    solution = solve_mixed(problem, repodata, scenario.names_of, indexes)
    assert tuple(f"{pin.kind}:{pin.name} {pin.version}" for pin in solution.pins) == expected.pins
    assert {pin.name: pin.provides for pin in solution.pins if pin.provides}.items() >= expected.provides.items()
    assert solution.warnings == expected.warnings
    assert repodata.solves == expected.solved


def test_every_text_has_a_scenario() -> None:
    unsolvable = [path for path in FILES if load(path).expected.pins is None]
    assert sorted(FILES[0].parent.glob("*.txt")) == [path.with_suffix(".txt") for path in unsolvable]
