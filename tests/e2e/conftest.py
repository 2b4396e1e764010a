"""A small index of wheels on the loopback interface, and a workplace that uses it."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.command import HOST_PYTHON, Workplace
from tests.support.servers import IndexServer
from tests.support.wheels import build_sdist, build_wheel

MANIFEST = f"""\
[project]
name = "demo"
targets = ["linux-64", "linux-aarch64", "osx-arm64", "win-64"]
python = "{HOST_PYTHON}"

[groups.base]
pypi = ["alpha>=1"]

[steps.prepare]
groups = ["base"]
run = "python main.py prepare"

[steps.train]
needs = ["prepare"]
groups = ["base"]
pypi = ["native", "beta[fast]>=1; sys_platform != 'win32'"]
run = "python main.py train"
env = {{ GREETING = "hello there" }}

[steps.report]
groups = ["base"]
"""

MAIN = """\
import os, sys
import alpha
print("step", sys.argv[1], "alpha", alpha.__version__, os.environ.get("GREETING", ""))
"""

_TAG = f"cp{sys.version_info[0]}{sys.version_info[1]}"
_PLATFORMS = ("manylinux_2_17_x86_64", "manylinux_2_17_aarch64", "macosx_11_0_arm64", "win_amd64")


@pytest.fixture
def index() -> Iterator[IndexServer]:
    server = IndexServer()
    server.add(build_wheel("alpha", "1.0", ["gamma>=1,<3"]), uploaded="2026-01-01T00:00:00Z")
    server.add(build_wheel("alpha", "1.1", ["gamma>=1"], entry_points={"console_scripts": {"say-alpha": "alpha:main"}}))
    server.add(build_wheel("gamma", "1.0"))
    server.add(build_wheel("gamma", "2.0", requires_python=">=3.8"))
    server.add(
        build_wheel("beta", "1.0", ['delta; extra == "fast"', 'slowlib; extra == "slow"'], extras=["fast", "slow"])
    )
    server.add(build_wheel("delta", "0.5"))
    server.add(build_sdist("only-source", "3.0"))
    for platform in _PLATFORMS:
        server.add(
            build_wheel(
                "native", "1.0", files={"native.py": f"PLATFORM = {platform!r}\n"}, tag=f"{_TAG}-{_TAG}-{platform}"
            )
        )
    with server:
        yield server


@pytest.fixture
def workplace(tmp_path: Path, index: IndexServer) -> Workplace:
    place = Workplace(tmp_path, index.url)
    place.write(MANIFEST, main__py=MAIN)
    return place


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder with a short path."""
    with tempfile.TemporaryDirectory(prefix="", dir="/tmp") as folder:
        yield Path(folder)
