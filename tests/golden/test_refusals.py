"""Messages for PyPI requirements without a solution: every file of ``refusals/`` is one situation.

A situation has a manifest and the packages of an index. The text and the JSON of the refusal are in files beside it.
"""

from __future__ import annotations

import tomllib
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from envc.errors import Unsolvable
from envc.locking.manifest.load import parse_manifest
from envc.locking.plan.expand import expand
from envc.locking.plan.problems import pose_problems
from envc.locking.resolve.refusal import pypi_refusal
from envc.pipeline.places import located
from envc_solvers.errors import SolverError
from envc_solvers.pypi.problem import PyPIProblem
from envc_solvers.pypi.solve import solve_pypi
from tests.golden.regenerate import FOLDER, check_golden
from tests.support.universe import MemoryIndex, Version

SITUATIONS = sorted(FOLDER.glob("refusals/*.toml"))
_PROJECT = '[project]\nname = "demo"\npython = "3.11"\n'


class Situation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    description: str
    manifest: str  # the text after [project] with name and Python; without targets it is for linux-64
    packages: dict[str, dict[str, Version]]
    max_tries: int = 1_000


def refusal_of(situation: Situation, path: Path) -> Unsolvable:
    """Return the error of `envc lock`, with an index in memory."""
    head = "" if "targets = " in situation.manifest.partition("[")[0] else 'targets = ["linux-64"]\n'
    path.write_text(_PROJECT + head + situation.manifest, encoding="utf-8")
    manifest = parse_manifest(path.read_text(encoding="utf-8"), path)
    step_targets = expand(manifest)
    refusals = []
    for shared in pose_problems(manifest, step_targets, now=datetime(2026, 6, 1, tzinfo=UTC)):
        problem = shared.problem
        assert isinstance(problem, PyPIProblem)
        index = MemoryIndex(situation.packages, problem.target, problem.python)
        try:
            solve_pypi(problem, index, {}, max_tries=situation.max_tries)
        except SolverError as error:
            refusals.append(pypi_refusal(shared, error))
    with pytest.raises(Unsolvable) as caught, located(manifest):
        raise Unsolvable(tuple(refusals))
    return caught.value


@pytest.mark.parametrize("path", SITUATIONS, ids=lambda path: path.stem)
def test_refusal(path: Path, tmp_path: Path) -> None:
    situation = msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), Situation)
    error = refusal_of(situation, tmp_path / "manifest.toml")
    assert error.refusals, "the situation is one without a solution"
    check_golden(path.with_suffix(".txt"), f"{error}\n")
    data = msgspec.json.format(msgspec.json.encode(error.data()), indent=2).decode() + "\n"
    assert str(tmp_path) not in f"{error}{data}"
    if path.with_suffix(".json").exists():
        check_golden(path.with_suffix(".json"), data)


def test_every_text_has_a_situation() -> None:
    assert len(SITUATIONS) >= 20
    assert sorted(FOLDER.glob("refusals/*.txt")) == [path.with_suffix(".txt") for path in SITUATIONS]
