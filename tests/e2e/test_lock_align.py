"""`policy.align`: how far the versions of a step's targets agree, and the messages if they cannot."""

from __future__ import annotations

import tomllib

import pytest

from tests.e2e.command import HOST_PYTHON, Workplace
from tests.support.manifests import project_table
from tests.support.servers import IndexServer
from tests.support.wheels import build_wheel

_TAG = f"cp{HOST_PYTHON.replace('.', '')}"


def manifest(mode: str) -> str:
    return f"""\
{project_table("linux-64", "osx-arm64", python=HOST_PYTHON)}
[steps.only]
pypi = ["split", "apart"]

[policy]
align = "{mode}"
"""


@pytest.fixture
def split(index: IndexServer) -> IndexServer:
    """`split` is newer on Linux. Each platform has a version of `apart` that the other does not have."""
    index.add(build_wheel("split", "2.0", tag=f"{_TAG}-{_TAG}-manylinux_2_17_x86_64"))
    index.add(build_wheel("split", "1.0"))
    index.add(build_wheel("apart", "2.0", tag=f"{_TAG}-{_TAG}-manylinux_2_17_x86_64"))
    index.add(build_wheel("apart", "1.0", tag=f"{_TAG}-{_TAG}-macosx_11_0_arm64"))
    return index


@pytest.mark.parametrize(
    ("mode", "versions"), [("off", ["1.0", "2.0"]), ("newest", ["1.0", "2.0"]), ("strong", ["1.0"])]
)
def test_targets_agree_as_far_as_the_policy_requires(
    workplace: Workplace, split: IndexServer, mode: str, versions: list[str]
) -> None:
    workplace.write(manifest(mode))
    done = workplace.ok("lock")
    locked = tomllib.loads(workplace.lock.read_text())
    assert sorted(p["version"] for p in locked["package"] if p["id"].startswith("pypi:split")) == versions
    message = (
        "only: apart keeps several versions (2.0 on linux-64, 1.0 on osx-arm64): no version has files for all of them"
    )
    assert (message in done.err) == (mode == "strong")
    before = workplace.lock.read_bytes()
    workplace.lock.unlink()
    workplace.ok("lock", PYTHONHASHSEED="7")
    assert workplace.lock.read_bytes() == before
    workplace.ok("lock", "--verify")
