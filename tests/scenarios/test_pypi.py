"""Every rule of the PyPI solver as a tiny universe: envc's solution, compared with that of uv."""

from __future__ import annotations

import os
import subprocess
from datetime import datetime
from pathlib import Path

import pytest

from envc_solvers.pypi.explain.conflict import PyPIUnsolvable
from envc_solvers.pypi.solve import solve_pypi
from tests.golden.regenerate import check_golden
from tests.support.servers import UPLOADED, Behaviour, IndexServer
from tests.support.universe import MemoryIndex, Scenario, Universe, load, problem_of
from tests.support.wheels import build_sdist, build_wheel

FILES = sorted((Path(__file__).parent / "pypi").glob("*.toml"))
SCENARIOS = [pytest.param(load(path), id=path.stem) for path in FILES]
_UV_PLATFORMS = {
    "linux-64": "x86_64-manylinux_2_28",
    "osx-arm64": "aarch64-apple-darwin",
    "win-64": "x86_64-pc-windows-msvc",
}
_HEAD = """\
# Scenarios of the PyPI solver

Each file has a tiny universe of packages, a problem, and the expected result. `test_pypi.py` generates this page from
the files. `pytest -m engines tests/scenarios` solves the same packages with uv; where uv has another result, the file
states the reason."""
_RULES = {
    "versions": "Versions and ranges",
    "local-versions": "Local versions",
    "arbitrary-equality": "Arbitrary equality",
    "tags": "Wheel tags",
    "free-threaded": "Free-threaded Pythons",
    "pypy": "PyPy",
    "markers": "Markers",
    "requires-python": "Requires-Python",
    "prereleases": "Pre-releases",
    "yanked": "Yanked files",
    "exclude-newer": "The cut-off",
    "extras": "Extras",
    "constraints": "Constraints",
    "overrides": "Overrides",
    "files": "What counts as a candidate",
    "passed-over": "Skipped versions",
    "order": "Strategies and preferences",
    "search": "The search",
    "hard": "Hard families",
    "explanations": "Explanations and suggestions",
}


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_scenario(scenario: Scenario) -> None:
    problem = problem_of(scenario.problem)
    index = MemoryIndex(scenario.packages, problem.target, problem.python)
    expected = scenario.expected
    if expected.pins is None:
        with pytest.raises(PyPIUnsolvable) as caught:
            solve_pypi(problem, index, {}, max_tries=expected.tries)
        conflict = caught.value.conflict
        reasons: dict[str, list[str]] = {}
        for subject in conflict.subjects:
            reasons.setdefault(subject.project, []).append(subject.reason)
        assert {project: ", ".join(each) for project, each in reasons.items()} == expected.reasons
        if expected.roots is not None:
            assert tuple(requirement for requirement, _ in conflict.roots) == expected.roots
        for text in expected.mentions:
            assert text in str(conflict)
        if expected.suggestion is not None:
            assert conflict.suggestion == expected.suggestion
        return
    solution = solve_pypi(problem, index, {}, max_tries=expected.tries)
    assert {pin.name: pin.version for pin in solution.pins} == expected.pins
    assert set(expected.files) <= {pin.file for pin in solution.pins}
    assert solution.warnings == expected.warnings
    assert {pin.name: pin.yanked for pin in solution.pins if pin.yanked is not None} == expected.yanked


def test_the_table_names_every_scenario() -> None:
    """``README.md`` is generated from the files, rule by rule. Every rule has at least two scenarios."""
    lines = [_HEAD]
    for rule, words in _RULES.items():
        found = [path for path in FILES if load(path).rule == rule]
        assert len(found) >= 2, rule
        lines += ["", f"## {words} ({len(found)})", "", "| scenario | description |", "|---|---|"]
        lines += [f"| [{path.stem}](pypi/{path.name}) | {load(path).description} |" for path in found]
    assert {load(path).rule for path in FILES} == _RULES.keys()
    assert len(FILES) >= 120
    check_golden(Path(__file__).parent / "README.md", "\n".join(lines) + "\n")


@pytest.mark.engines
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_uv_agrees(scenario: Scenario, tmp_path: Path) -> None:
    problem, expected = scenario.problem, scenario.expected
    is_cpython = not problem.python.startswith("pypy") and not problem.python.endswith("t")
    if not is_cpython or problem.musl or _is_broken(scenario.packages):
        pytest.skip("uv needs an installed interpreter for this Python, or the tests cannot build such a wheel")
    answer = _ask_uv(scenario, tmp_path)
    if expected.uv is None:
        assert answer == expected.pins
    else:
        assert answer != expected.pins, "the scenario says that uv answers differently"


def _is_broken(universe: Universe) -> bool:
    all_versions = [version for versions in universe.values() for version in versions.values()]
    return any(one.broken is not None or one.metadata_requires_python is not None for one in all_versions)


def _ask_uv(scenario: Scenario, folder: Path) -> dict[str, str] | None:
    """Return the versions that `uv pip compile` chooses from a real server; None if it finds no solution."""
    problem = scenario.problem
    command = ["uv", "pip", "compile", "--no-config", "--only-binary", ":all:", "--no-header", "--no-annotate", "-q"]
    command += ["--python-version", problem.python, "--python-platform", _UV_PLATFORMS[problem.target]]
    modes = {"if-necessary": "if-necessary-or-explicit", "never": "disallow", "allow": "allow"}
    command += ["--prerelease", modes[problem.prereleases], "--resolution", problem.strategy]
    for name in problem.prereleases_for:
        command += ["--prerelease-package", f"{name}=allow"]
    if problem.exclude_newer:
        command += ["--exclude-newer", problem.exclude_newer.isoformat()]
    for name, when in problem.exclude_newer_for.items():
        command += ["--exclude-newer-package", f"{name}={when.isoformat() if isinstance(when, datetime) else 'false'}"]
    for option, texts in (("--constraint", problem.constraints), ("--override", problem.overrides)):
        if texts:
            path = folder / option.strip("-")
            path.write_text("\n".join(texts))
            command += [option, str(path)]
    (folder / "roots.in").write_text("\n".join(problem.roots))
    with _serve(scenario.packages) as server:
        command += ["--index-url", server.url, "--cache-dir", str(folder / "cache"), str(folder / "roots.in")]
        environment = {key: value for key, value in os.environ.items() if not key.startswith(("PIP_", "UV_"))}
        result = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if result.returncode:
        assert "No solution found" in result.stderr or "URL dependenc" in result.stderr, result.stderr
        return None
    lines = (line.partition("==") for line in result.stdout.splitlines() if "==" in line)
    return {name.partition("[")[0]: version for name, _, version in lines}


def _serve(universe: Universe) -> IndexServer:
    dated = any(fields.uploaded for versions in universe.values() for fields in versions.values())
    server = IndexServer(behaviour=Behaviour(uploads=dated))
    for name, versions in universe.items():
        for version, fields in versions.items():
            for file in fields.files or (f"{name}-{version}-py3-none-any.whl",):
                if not file.endswith(".whl"):
                    distribution = build_sdist(name, version, fields.requires)
                else:
                    parts = file.removesuffix(".whl").split("-")
                    distribution = build_wheel(
                        name,
                        version,
                        fields.requires,
                        tag="-".join(parts[-3:]),
                        build=parts[-4] if fields.files and len(parts) == 6 else "",
                        extras=fields.extras,
                        requires_python=fields.requires_python,
                    )
                uploaded = fields.uploaded.strftime("%Y-%m-%dT%H:%M:%SZ") if fields.uploaded else UPLOADED
                server.add(distribution, uploaded=uploaded, yanked=fields.yanked)
    return server
