"""Packages whose requirements depend on the version of the system's kernel (`platform_release`)."""

from __future__ import annotations

from pathlib import Path

import pytest
import tomli
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.e2e.command import Workplace
from tests.support.servers import IndexServer
from tests.support.wheels import build_wheel

MANIFEST = """\
[project]
name = "demo"
targets = ["linux-64", "osx-arm64", "monterey", "tahoe", "stated", "win-64"]
python = "3.12"

[targets.monterey]
platform = "osx-64"
macos = "12.3"

[targets.tahoe]
platform = "osx-arm64"
macos = "26"

[targets.stated]
platform = "osx-arm64"
platform-release = "24.6.0"

[steps.train]
pypi = ["frameworks"]
"""


def packages_on(place: Workplace, target: str) -> set[str]:
    """The packages that the lock has on a target, apart from the one that requires them."""
    lines = place.lock.read_text().partition("packages = [")[2].partition("]")[0].splitlines()
    refs = [line.strip().strip('",').partition(" @ ") for line in lines if "pypi:" in line]
    return {ref.removeprefix("pypi:") for ref, _, targets in refs if not targets or target in targets.split(", ")}


def test_frameworks_of_newer_systems_are_locked_where_the_target_has_them(tmp_path: Path, index: IndexServer) -> None:
    requires = [f'darwin-{number}; platform_release >= "{number}.0"' for number in (20, 22, 24, 25)]
    index.add(build_wheel("frameworks", "1.0", [*requires, 'old; platform_release < "21.0"']))
    for name in ("darwin-20", "darwin-22", "darwin-24", "darwin-25", "old"):
        index.add(build_wheel(name, "1.0"))
    place = Workplace(tmp_path, index.url)
    place.write(MANIFEST)
    place.ok("lock")
    found = {
        name: {one.removeprefix("darwin-") for one in packages_on(place, name) - {"frameworks"}}
        for name in ("linux-64", "win-64", "monterey", "osx-arm64", "stated", "tahoe")
    }
    assert found == {
        "linux-64": set(),
        "win-64": set(),
        "monterey": {"20"},
        "osx-arm64": {"20", "22"},
        "stated": {"20", "22", "24"},
        "tahoe": {"20", "22", "24", "25"},
    }
    place.ok("lock", "--check")
    place.write(MANIFEST.replace("24.6.0", "21.0"))
    assert "options.targets.stated" in place.fails(1, "lock", "--check").err
    place.ok("lock")
    assert packages_on(place, "stated") == {"frameworks", "darwin-20"}


@pytest.mark.network
def test_pyobjc_has_the_frameworks_that_packaging_finds_for_the_same_system(tmp_path: Path) -> None:
    place = Workplace(tmp_path, None)
    place.write(
        '[project]\nname = "demo"\ntargets = ["osx-arm64"]\npython = "3.12"\n\n[steps.train]\npypi = ["pyobjc==11.1"]\n'
    )
    place.ok("lock")
    (pyobjc,) = [one for one in tomli.loads(place.lock.read_text())["package"] if one["id"] == "pypi:pyobjc"]
    requires = [Requirement(line) for line in pyobjc["depends"]]
    mac = {"platform_release": "22.0.0", "sys_platform": "darwin", "python_full_version": "3.12.9", "extra": ""}
    expected = {canonicalize_name(one.name) for one in requires if one.marker is None or one.marker.evaluate(dict(mac))}
    assert len(expected) > 100
    assert packages_on(place, "osx-arm64") == expected | {"pyobjc"}
