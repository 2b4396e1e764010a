"""Build requirements that a project does not declare, and constraints on builds."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.e2e.command import HOST_PYTHON, Workplace
from tests.e2e.test_direct import build_of, built, forget, manifest
from tests.support.projects import PYPROJECT, backend_wheel, project_files, sdist
from tests.support.servers import IndexServer
from tests.support.wheels import build_wheel

# As old projects do, the build imports a package that it does not declare.
NEEDY = PYPROJECT.replace(
    'requires = ["tinybuild"]\nbuild-backend = "tinybuild"',
    'requires = ["tinybuild"]\nbuild-backend = "needy"\nbackend-path = ["."]',
)
BACKEND = """\
from tinybuild import *
try:
    import helper
except ImportError as error:
    raise SystemExit(str(error)) from None
"""


@pytest.fixture
def place(tmp_path: Path, index: IndexServer) -> Workplace:
    index.add(backend_wheel())
    index.add(build_wheel("helper", "1.0"))
    index.add(build_wheel("helper", "2.0", files={"helper.py": "raise ImportError('too new')\n"}))
    files = project_files("acme", "2.0", needy__py=BACKEND)
    files["pyproject.toml"] = files["pyproject.toml"].replace(PYPROJECT, NEEDY)
    index.add(sdist("acme", "2.0", files))
    place = Workplace(tmp_path, index.url)
    place.env["CARGO_HOME"] = str(tmp_path / "builds.log")
    return place


def text(*tables: str) -> str:
    return manifest('"acme"') + "\n".join(tables) + "\n"


def packages(place: Workplace) -> list[str]:
    return [f"{one['name']} {one['version']}" for one in build_of(place)["packages"]]  # type: ignore[attr-defined]


def test_a_build_that_lacks_a_module_says_what_to_write(place: Workplace) -> None:
    place.write(text())
    said = place.fails(1, "lock").err
    assert "No module named 'helper'" in said
    assert 'write requires = ["helper"] under [build.NAME]' in said


def test_a_build_gets_what_the_manifest_adds(place: Workplace) -> None:
    place.write(text("[build.Acme]", 'requires = ["helper<2"]'))
    place.ok("lock")
    assert packages(place) == ["helper 1.0", "tinybuild 1.0"]
    assert build_of(place)["requires"] == ["helper<2", "tinybuild"]
    assert build_of(place)["added"] == ["helper<2"]
    assert "constraints" not in build_of(place)
    assert "is unchanged" in place.ok("lock").err
    place.ok("lock", "--check")
    place.ok("lock", "--verify")
    forget(place)
    place.ok("bundle")  # built again from exactly these inputs
    assert built(place) == ["acme", "acme"]
    assert place.ok("run", "train").out == "2.0\n"


def test_constraints_on_builds_limit_them_and_nothing_else(place: Workplace, index: IndexServer) -> None:
    added = text("[build.acme]", 'requires = ["helper"]')
    place.write(added)
    assert "too new" in place.fails(1, "lock").err
    limited = added + '[build-constraints]\npypi = ["helper<2", "unused<1"]\n'
    place.write(limited)
    place.ok("lock")
    assert packages(place) == ["helper 1.0", "tinybuild 1.0"]
    assert build_of(place)["constraints"] == ["helper<2"]
    place.write(limited.replace('"acme"]\nrun', '"acme", "helper>=2"]\nrun'))
    place.ok("lock")  # the step itself may have the newer one
    assert 'id = "pypi:helper"\nversion = "2.0"' in place.lock.read_text()
    place.write(limited.replace("helper<2", "helper>9"))
    said = place.fails(1, "lock").err
    assert "its build requirements cannot be solved" in said
    assert "helper>9" in said


def test_a_change_of_these_inputs_makes_the_lock_stale_and_builds_again(place: Workplace, index: IndexServer) -> None:
    place.write(text("[build.acme]", 'requires = ["helper<2"]'))
    place.ok("lock")
    index.add(build_wheel("helper", "1.5"))
    place.write(text("[build.acme]", 'requires = ["helper<1.9"]'))
    said = place.fails(1, "lock", "--check").err
    assert "options.build-requires.acme" in said
    assert "helper<2" in said
    assert "(build.acme, line 10)" in said
    place.ok("lock", "--refresh")
    assert packages(place) == ["helper 1.5", "tinybuild 1.0"]
    place.write(text("[build.acme]", 'requires = ["helper<1.9"]', "[build-constraints]", 'pypi = ["helper<1.2"]'))
    assert "options.build-constraints: + helper<1.2" in place.fails(1, "lock", "--check").err
    place.ok("lock")
    assert packages(place) == ["helper 1.0", "tinybuild 1.0"]
    place.write(text("[build.acme]", 'requires = ["helper<1.9"]', "[build-constraints]", 'pypi = ["other<1"]'))
    place.ok("lock")
    assert packages(place) == ["helper 1.5", "tinybuild 1.0"]


def test_mistakes_are_reported_together(place: Workplace) -> None:
    place.write(
        text(
            "[build.beta]",
            'requires = ["helper"]',
            "[build.acme]",
            'requires = ["helper @ https://example.com/helper-1-py3-none-any.whl", ">>"]',
            "[build-constraints]",
            'pypi = ["helper[x]<2"]',
        )
    )
    said = place.fails(2, "lock").err
    assert "build.beta: 'beta' may not be built, so this has no effect" in said
    assert "build.acme.requires[0]: a build requirement cannot give its origin" in said
    assert "build.acme.requires[1]: not a PEP 508 requirement" in said
    assert "build-constraints.pypi[0]: a constraint cannot request extras" in said


@pytest.mark.network
def test_openai_whisper_is_built_with_an_older_setuptools(tmp_path: Path) -> None:
    """Its setup.py imports pkg_resources, which newer releases of setuptools do not have, and declares no version."""
    place = Workplace(tmp_path, None)
    place.env["ENVC_NOW"] = "2026-06-01T00:00:00Z"
    place.write(
        f'[project]\nname = "demo"\ntargets = ["linux-64"]\npython = "{HOST_PYTHON}"\n'
        '[steps.train]\npypi = ["openai-whisper==20240930"]\n[overrides]\npypi = ["torch; python_version < \'3\'", '
        '"triton; python_version < \'3\'", "numba; python_version < \'3\'"]\n[policy]\nbuild = ["openai-whisper"]\n'
        '[build.openai-whisper]\nrequires = ["setuptools<81"]\n'
    )
    place.ok("lock")
    assert "openai_whisper-20240930-py3-none-any.whl" in place.lock.read_text()
    shutil.rmtree(place.cache)
