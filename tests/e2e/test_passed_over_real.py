"""Published projects whose newest release needs sources: refused, and locked, bundled and run with the line to add."""

from __future__ import annotations

from pathlib import Path

import pytest
import tomli

from tests.e2e.command import HOST_PYTHON, Workplace, host_platform

pytestmark = [pytest.mark.network, pytest.mark.slow]

MANIFEST = """\
[project]
name = "demo"
targets = ["{platform}"]
python = "{python}"
[steps.train]
pypi = ["{requirement}"]
run = "python -c 'import {module}; print({module}.__name__)'"
"""


@pytest.mark.parametrize(
    ("requirement", "build", "module", "project", "version"),
    [
        ("hydra-core==1.*,<1.3.3", "antlr4-python3-runtime", "hydra", "hydra-core", "1.3.2"),
        ("rouge-score<0.1.3", "rouge-score", "rouge_score", "rouge-score", "0.1.2"),
        ("moviepy<2", "moviepy", "moviepy", "moviepy", "1.0.3"),
        ("pyhive<=0.7.0", "pyhive", "pyhive", "pyhive", "0.7.0"),
    ],
)
def test_the_newest_release_is_locked_with_the_line_to_add(
    requirement: str, build: str, module: str, project: str, version: str, tmp_path: Path
) -> None:
    place = Workplace(tmp_path, None)
    del place.env["ENVC_NOW"]
    place.write(MANIFEST.format(platform=host_platform(), python=HOST_PYTHON, requirement=requirement, module=module))
    refused = place.fails(1, "lock").err
    assert f'build = ["{build}"] under [policy], which `envc lock --build {build}` writes' in refused
    place.ok("lock", "--build", build)
    packages = {package["id"]: package["version"] for package in tomli.loads(place.lock.read_text())["package"]}
    assert packages[f"pypi:{project}"] == version
    place.ok("bundle", "--fast")
    assert place.ok("run", "train").out == f"{module}\n"
