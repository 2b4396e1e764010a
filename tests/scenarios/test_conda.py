"""Every rule of the conda solver as a tiny universe: envc's solution, compared with that of the oracle."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from envc_solvers.conda.explain.conflict import CondaUnsolvable
from envc_solvers.conda.solve import solve_conda
from tests.golden.regenerate import check_golden
from tests.support.channels import SHARED, MemoryRepodata
from tests.support.conda_scenarios import load, problem_of, titles

FILES = sorted((Path(__file__).parent / "conda").glob("*.toml"))
UNSUPPORTED = {
    "constraints",
    "overrides",
    "exclude_newer",
    "exclude_newer_for",
    "preferences",
}  # not supported by the oracle


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_scenario(path: Path) -> None:
    scenario = load(path)
    problem = problem_of(scenario.problem)
    repodata = MemoryRepodata(scenario.records, scenario.problem.platform)
    if scenario.expected.pins is None:
        with pytest.raises(CondaUnsolvable) as caught:
            solve_conda(problem, repodata)
        check_golden(path.with_suffix(".txt"), str(caught.value) + "\n")
    else:
        solution = solve_conda(problem, repodata)
        assert titles(solution, scenario.records) == scenario.expected.pins


def test_every_text_has_a_scenario() -> None:
    assert len(FILES) >= 25
    unsolvable = [path for path in FILES if load(path).expected.pins is None]
    assert sorted(FILES[0].parent.glob("*.txt")) == [path.with_suffix(".txt") for path in unsolvable]


@pytest.mark.engines
@pytest.mark.skipif(not SHARED.exists(), reason="the shared data with the oracle is missing")
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_oracle_agrees(path: Path, tmp_path: Path) -> None:
    scenario = load(path)
    problem = scenario.problem
    if any(getattr(problem, field) != getattr(type(problem)(specs=()), field) for field in UNSUPPORTED):
        pytest.skip("the oracle does not support this")
    for channel, subdirs in scenario.channels.items():
        for subdir in subdirs:
            records = {
                record.file: {
                    key: value
                    for key, value in msgspec.structs.asdict(record).items()
                    if key not in ("channel", "file", "noarch", "python_site_packages_path") and value not in ((), "")
                }
                | ({"timestamp": record.timestamp} if record.timestamp else {"timestamp": None})
                for record in scenario.records
                if (record.channel, record.subdir) == (channel, subdir)
            }
            folder = tmp_path / channel / subdir
            folder.mkdir(parents=True)
            (folder / "repodata.json").write_text(
                json.dumps({"info": {"subdir": subdir}, "packages": {}, "packages.conda": records})
            )
    command = [sys.executable, str(SHARED / "oracle.py"), "--root", str(tmp_path), "--platform", problem.platform]
    command += ["--priority", problem.priority]
    for option, values in (("--channel", problem.channels), ("--virtual", problem.virtual)):
        command += [word for value in values for word in (option, value)]
    answer = json.loads(subprocess.run([*command, *problem.specs], check=True, capture_output=True, text=True).stdout)
    files = {path for path, _ in answer.get("packages", ())} if answer["solvable"] else None
    pins = scenario.expected.pins
    expected = None if pins is None else {f"{'-'.join(pin.split())}.conda" for pin in pins}
    assert files == expected, answer.get("error")
