"""Small locks that several tests read."""

from __future__ import annotations

from datetime import date
from typing import Any

from envc.model.digest import Sha256, sha256
from envc.model.graph import (
    Artifact,
    Build,
    BuildRequirement,
    LockedEnvironment,
    LockGraph,
    Package,
    PackageRef,
    SourceFile,
)
from envc.model.lock_lines import LockedInput


def digest(text: str) -> Sha256:
    return sha256(text.encode())


def artifact(file: str, *targets: str, **fields: Any) -> Artifact:
    return Artifact(file=file, size=1000 + len(file), sha256=digest(file), targets=targets, **fields)


TORCH = Package(
    id="pypi:torch",
    version="2.5.1",
    source="pypi",
    released=date(2024, 10, 29),
    license="BSD-3-Clause",
    depends=("filelock", "jinja2", 'nvidia-nccl-cu12==2.21.5; platform_system == "Linux"', "sympy==1.13.1"),
    artifacts=(
        artifact("torch-2.5.1-cp311-cp311-manylinux1_x86_64.whl", "gpu/cp311", "linux-64/cp311"),
        artifact("torch-2.5.1-cp311-none-macosx_11_0_arm64.whl", "osx-arm64/cp311"),
    ),
)
SMALL = LockGraph(
    options={"targets": {"linux-64": "glibc=2.28"}, "indexes": ["pypi"]},
    environments=(
        LockedEnvironment(
            steps=("evaluate", "train"),
            targets=("gpu/cp311", "linux-64/cp311", "osx-arm64/cp311"),
            python="3.11.9",
            interpreter="host",
            requires=(LockedInput("pypi:torch>=2.4"),),
            packages=(PackageRef("pypi:torch"),),
        ),
    ),
    packages=(TORCH,),
)
WHOLE = LockGraph(
    options={
        "targets": {"gpu": "linux-64 glibc=2.28 cuda=12.4", "linux-64": "glibc=2.28", "osx-arm64": "macos=13.0"},
        "channels": ["conda-forge"],
        "indexes": ["pypi", "internal"],
        "exclude-newer": "P7D",
        "exclude-newer-package": {"torch": False, "acme.models": "2026-11-01T00:00:00Z"},
        "constraints": ["pypi:numpy<2.3", "pypi:pandas<3"],
        "align": "strong",
        "virtual-packages": {"gpu": {"__cuda": "12.4"}},
    },
    environments=(
        LockedEnvironment(
            steps=("clean",),
            targets=("linux-64/-",),
            interpreter="conda",
            requires=(LockedInput("conda:openssl"),),
            packages=(PackageRef("conda:openssl"),),
        ),
        LockedEnvironment(steps=("empty",), targets=("linux-64/cp312",), python="3.12", requires=(), packages=()),
        LockedEnvironment(
            steps=tuple(f"train-with-seed-{seed}" for seed in range(10, 18)),
            targets=("gpu/cp311", "linux-64/cp311", "osx-arm64/cp311"),
            python="3.11.9",
            interpreter="host",
            requires=(
                LockedInput("pypi:mlx", ("osx-arm64",)),
                LockedInput('pypi:tqdm; sys_platform != "win32"'),
                LockedInput("pypi:torch>=2.4"),
            ),
            packages=(
                PackageRef("pypi:mlx", ("osx-arm64",)),
                PackageRef("pypi:torch"),
                PackageRef("pypi:torch@2.3.1", ("gpu", "linux-64")),
            ),
        ),
    ),
    packages=(
        Package(
            id="conda:openssl",
            version="3.4.0",
            build="hb9d3cd8_0",
            source="conda-forge",
            artifacts=(artifact("openssl-3.4.0-hb9d3cd8_0.conda"),),
        ),
        Package(
            id="pypi:mlx",
            version="0.20.0",
            source="internal",
            license='MIT "with\ttabs" and \\ more',
            artifacts=(
                artifact("mlx-0.20.0-cp311-cp311-macosx_13_0_arm64.whl", content={"py3.11-posix": digest("content")}),
            ),
        ),
        TORCH,
        Package(
            id="pypi:torch@2.3.1",
            version="2.3.1",
            source="pypi",
            artifacts=(
                artifact(
                    "torch-2.3.1-cp311-cp311-linux_x86_64.whl",
                    "gpu/cp311",
                    depends=("triton==2.3.1",),
                    yanked='wrong "rpath"',
                ),
                artifact("torch-2.3.1-py3-none-any.whl", "linux-64/cp311", depends=(), yanked=""),
            ),
        ),
    ),
    builds=(
        Build(
            wheel="torch-2.3.1-py3-none-any.whl",
            sha256=digest("torch-2.3.1-py3-none-any.whl"),
            sdist=SourceFile(file="torch-2.3.1.tar.gz", size=1234, sha256=digest("torch-2.3.1.tar.gz")),
            python="linux-64/cp311",
            requires=("setuptools>=61", "wheel"),
            packages=(
                BuildRequirement(
                    name="setuptools",
                    version="75.0",
                    source="pypi",
                    file="setuptools-75.0-py3-none-any.whl",
                    size=1000,
                    sha256=digest("setuptools"),
                    yanked="breaks `pip install -e .`",
                ),
            ),
        ),
    ),
)
