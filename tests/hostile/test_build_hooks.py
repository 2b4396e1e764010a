"""Build backends that return nonsense, or do not answer."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from envc.locking.builds.backend import Backend, BuildSystem
from envc.locking.builds.errors import BuildFailed

NO_LIST = "did not return a list of requirements"


def backend(folder: Path, body: str) -> tuple[Backend, Path]:
    """A project with an in-tree backend whose source is `body`, and the prefix that runs it."""
    prefix, project, home = folder / "prefix", folder / "project", folder / "home"
    for each in (prefix / "bin", project, home):
        each.mkdir(parents=True)
    (prefix / "bin/python").symlink_to(sys.executable)
    (project / "own.py").write_text(f"import os\n{body}\n")
    return Backend("acme", project, BuildSystem("own", (), (".",)), {}, home), prefix


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("return 5", NO_LIST),
        ("return [5]", NO_LIST),
        ("return 'setuptools'", NO_LIST),
        ("return {'setuptools'}", "get_requires_for_build_wheel failed"),
        ("os._exit(0)", "it ended without a result"),
        ("os._exit(9)", "get_requires_for_build_wheel failed"),
    ],
)
def test_invalid_requirements_are_refused(tmp_path: Path, body: str, message: str) -> None:
    hooks, prefix = backend(tmp_path, f"def get_requires_for_build_wheel(settings=None):\n    {body}")
    with pytest.raises(BuildFailed, match=message):
        hooks.requires(prefix)


@pytest.mark.parametrize("answer", ["5", "None", "''", "'..'", "'/etc/passwd'", "'../outside.whl'", "'acme.whl\\0'"])
def test_invalid_wheels_are_refused(tmp_path: Path, answer: str) -> None:
    body = f"def build_wheel(folder, settings=None, metadata=None):\n    return {answer}"
    hooks, prefix = backend(tmp_path, body)
    (tmp_path / "outside.whl").touch()
    (tmp_path / "wheel").mkdir()
    with pytest.raises(BuildFailed, match=r"it made no wheel|embedded null"):
        hooks.wheel(prefix, tmp_path / "wheel")
