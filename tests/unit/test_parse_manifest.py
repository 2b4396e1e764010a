"""Manifests without mistakes, and their parsed values."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from envc.errors import ManifestError, UsageError
from envc.locking.manifest.load import load_manifest, parse_manifest
from envc.model.manifest import CondaDependency, Dependencies, Manifest, PyPIDependency, PythonRequest, Source
from envc_solvers.pypi.language.requirement import Requirement
from envc_solvers.target import Target
from tests.golden.regenerate import FOLDER

MINIMAL = '[project]\nname = "churn"\ntargets = ["linux-64"]\npython = "3.12"\n'


@pytest.fixture(scope="module")
def whole() -> Manifest:
    return load_manifest(FOLDER / "whole.toml")


def test_an_ordinary_manifest_is_read_without_the_parsers_of_packaging() -> None:
    """Start-up time matters."""
    text = MINIMAL.replace('"3.12"', '">=3.11,<3.13"') + (
        "[steps.train]\n"
        'pypi = ["a", "b[x, y] >=1.0, <2", "c; sys_platform != \'win32\'", '
        '{ name = "d", version = ">=2", marker = "os_name == \'posix\'", extras = ["z"] }]\n'
    )
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from envc.locking.plan.expand import expand\n"
        "from envc.locking.manifest.load import parse_manifest\n"
        "(cell,) = expand(parse_manifest(sys.argv[1], Path('manifest.toml')))\n"
        "print(cell.python.key, *cell.requires, sep='\\n')\n"
        "print(*sorted(name for name in sys.modules if name.startswith('packaging')))\n"
    )
    done = subprocess.run([sys.executable, "-c", code, text], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "cp312",
        "pypi:a",
        "pypi:b[x,y]<2,>=1.0",
        'pypi:c; sys_platform != "win32"',
        'pypi:d[z]>=2; os_name == "posix"',
        "",
    ]


def test_a_minimal_manifest_has_the_defaults() -> None:
    path = Path("work/manifest.toml")
    assert parse_manifest(MINIMAL, path) == Manifest(
        path=path,
        name="churn",
        targets=("linux-64",),
        python=PythonRequest(text="3.12", specifier="==3.12.*"),
        sources={
            "pypi": Source(name="pypi", kind="pypi"),
            "conda-forge": Source(name="conda-forge", kind="conda"),
        },
        steps={},
    )


def test_project(whole: Manifest) -> None:
    assert whole.targets == ("linux-64", "linux-aarch64", "osx-arm64", "win-64")
    assert whole.channels == ("lab", "conda-forge")
    assert whole.indexes == ("pypi", "internal")
    assert whole.store == "s3://team-bucket/envc"
    assert whole.exclude_newer == datetime(2026, 11, 1, tzinfo=UTC)


def test_declared_targets_get_default_floors(whole: Manifest) -> None:
    assert whole.declared_targets == {
        "gpu": Target(name="gpu", platform="linux-64", glibc="2.28", cuda="12.4", archspec="x86_64_v2"),
        "alpine": Target(name="alpine", platform="linux-aarch64", musl="1.2"),
        "osx-arm64": Target(name="osx-arm64", platform="osx-arm64", macos="14.0"),
    }


def test_sources(whole: Manifest) -> None:
    assert whole.sources["internal"] == Source(
        name="internal",
        kind="pypi",
        url="https://packages.example.com/simple",
        projects=("acme-*",),
        steps=("train",),
        targets=("gpu", "linux-64"),
    )
    assert whole.sources["wheels"].url == "wheels"
    assert list(whole.sources) == ["pypi", "conda-forge", "internal", "wheels", "lab"]


def test_requirements(whole: Manifest) -> None:
    def at(index: int) -> tuple[str | int, ...]:
        return ("steps", "train", "pypi", index)

    assert whole.steps["train"].dependencies.pypi == (
        PyPIDependency(requirement=Requirement("torch", ">=2.4"), at=at(0)),
        PyPIDependency(requirement=Requirement("tqdm", marker='sys_platform != "win32"'), at=at(1)),
        PyPIDependency(
            requirement=Requirement("features"),
            at=at(2),
            git="https://git.example.com/features",
            rev="v2",
            subdirectory="python",
        ),
        PyPIDependency(
            requirement=Requirement("acme-models", "<2,>=1", ("gpu",), 'os_name == "posix"'),
            at=at(3),
            source="internal",
        ),
        PyPIDependency(requirement=Requirement("shared"), at=at(4), path="../shared", editable=True),
        PyPIDependency(
            requirement=Requirement("data", url="https://files.example.com/data-1.0.tar.gz"),
            at=at(5),
            subdirectory="python",
        ),
    )


def test_conda_requirements_are_normalised(whole: Manifest) -> None:
    assert whole.steps["train"].dependencies.conda == (
        CondaDependency(spec="cuda-nvcc >=12,<13", at=("steps", "train", "conda", 0)),
        CondaDependency(spec="lab::tool", at=("steps", "train", "conda", 1)),
        CondaDependency(spec="lab::mkl >=2024,<2025 h*", at=("steps", "train", "conda", 2)),
    )


def test_steps(whole: Manifest) -> None:
    train = whole.steps["train"]
    assert list(whole.steps) == ["prepare", "train", "serve"]
    assert (train.needs, train.groups, train.targets) == (("prepare",), ("base",), ("gpu", "osx-arm64", "linux-64"))
    assert train.python == PythonRequest(text="3.11.9", specifier="==3.11.9")
    assert train.interpreter == "conda"
    assert train.env == {"OMP_NUM_THREADS": "4"}
    mlx = PyPIDependency(requirement=Requirement("mlx"), at=("steps", "train", "on", "osx-arm64", "pypi", 0))
    assert train.on == {"osx-arm64": Dependencies(pypi=(mlx,))}
    assert whole.steps["prepare"].code == ("prepare.py", "lib/**/*.py")
    assert whole.steps["prepare"].targets is None


def test_policy(whole: Manifest) -> None:
    policy = whole.policy
    assert (policy.prereleases, policy.prereleases_for) == ("if-necessary", ("black-tools",))
    assert (policy.resolution, policy.align, policy.channel_priority) == ("lowest-direct", "strong", "flexible")
    assert policy.build == ("my-project",)
    assert policy.exclude_newer_package == {
        "acme-models": False,
        "torch": timedelta(hours=36),
        "tqdm": datetime(2026, 11, 3, tzinfo=UTC),
    }
    assert whole.virtual_packages == {"gpu": {"__cuda": "12.4"}}
    assert whole.mapping == {"pytorch": ("torch",), "cuda-nvcc": ()}


def test_a_pyproject_may_contain_a_manifest_and_name_the_project(tmp_path: Path) -> None:
    path = tmp_path / "pyproject.toml"
    path.write_text(
        '[project]\nname = "churn"\n[tool.envc.project]\ntargets = ["win-64"]\npython = "3.13t"\n'
        '[tool.envc.steps.train]\npypi = ["rich"]\n'
    )
    manifest = load_manifest(path)
    assert (manifest.name, manifest.prefix) == ("churn", ("tool", "envc"))
    assert manifest.python == PythonRequest(text="3.13t", free_threaded=True, specifier="==3.13.*")
    assert manifest.steps["train"].dependencies.pypi[0].at == ("steps", "train", "pypi", 0)
    assert manifest.lock_path == tmp_path / "pyproject.lock"


def test_a_file_with_windows_line_ends_and_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "manifest.toml"
    path.write_bytes(b"\xef\xbb\xbf" + MINIMAL.replace("\n", "\r\n").encode() + b"[steps.train]\r\nruns = 1\r\n")
    with pytest.raises(ManifestError) as caught:
        load_manifest(path)
    assert [(mistake.line, mistake.column) for mistake in caught.value.mistakes] == [(6, 1)]


def test_a_file_that_is_not_utf_8(tmp_path: Path) -> None:
    path = tmp_path / "manifest.toml"
    path.write_bytes(b'[project]\nname = "caf\xe9"\n')
    with pytest.raises(ManifestError, match=r"manifest\.toml:2:12: is not UTF-8"):
        load_manifest(path)


def test_a_missing_file_is_reported(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot read"):
        load_manifest(tmp_path / "manifest.toml")


def test_deep_nesting_is_refused() -> None:
    with pytest.raises(ManifestError):
        parse_manifest("a = " + "[" * 100_000, Path("manifest.toml"))


def test_a_cycle_of_a_thousand_steps_is_one_mistake() -> None:
    steps = "".join(f'[steps.s{i}]\nneeds = ["s{(i + 1) % 1000}"]\n' for i in range(1000))
    with pytest.raises(ManifestError) as caught:
        parse_manifest(MINIMAL + steps, Path("manifest.toml"))
    assert len(caught.value.mistakes) == 1
    assert caught.value.mistakes[0].reason.endswith("s998 → s999 → s0")


def test_the_report_as_data() -> None:
    with pytest.raises(ManifestError) as caught:
        parse_manifest(MINIMAL + "[policy]\nalin = 1\n", Path("manifest.toml"))
    assert caught.value.data() == {
        "manifest": "manifest.toml",
        "mistakes": [
            {
                "key": "policy.alin",
                "line": 6,
                "column": 1,
                "reason": "unknown key",
                "suggestion": "did you mean 'align'?",
            }
        ],
    }
