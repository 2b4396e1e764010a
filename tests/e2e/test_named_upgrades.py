"""`envc lock -P`: the versions that are asked for are met, or the refusal says why. Nothing is done in silence."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.command import HOST_PYTHON, Workplace
from tests.e2e.conftest import MANIFEST
from tests.e2e.test_lock_conda import MANIFEST as CONDA_MANIFEST
from tests.e2e.test_lock_conda import record, write_channel
from tests.support.servers import IndexServer
from tests.support.wheels import build_wheel


def refused(place: Workplace, code: int, *arguments: str) -> str:
    """What the command says, after a check that it left the lock as it was."""
    before = place.lock.read_bytes()
    done = place.fails(code, "lock", *arguments)
    assert place.lock.read_bytes() == before
    return done.err


def test_a_version_that_the_manifest_excludes_is_refused_with_the_line(workplace: Workplace) -> None:
    workplace.write(MANIFEST.replace('"alpha>=1"', '"alpha>=1", "gamma==2.0"'))
    workplace.ok("lock")
    said = refused(workplace, 1, "-P", "gamma==1.0")
    assert "gamma==2.0  (groups.base.pypi[1], line 7)" in said
    assert "gamma==1.0  (-P)" in said


@pytest.mark.parametrize("asked", ["gamma==99", "gamma==3.9", "gamma>2.0", "gamma!=1.0,!=2.0", "gamma~=3.0"])
def test_a_version_that_does_not_exist_is_refused(workplace: Workplace, asked: str) -> None:
    workplace.ok("lock")
    said = refused(workplace, 1, "-P", asked)
    assert f"{asked}  (constraint, -P)" in said


def test_a_version_without_a_file_for_this_python_is_refused_with_the_reason(
    workplace: Workplace, index: IndexServer
) -> None:
    index.add(build_wheel("gamma", "1.5", tag="cp27-cp27m-manylinux_2_17_x86_64"))
    workplace.ok("lock")
    said = refused(workplace, 1, "-P", "gamma==1.5", "--refresh")
    assert "gamma-1.5-cp27-cp27m-manylinux_2_17_x86_64.whl" in said


def test_a_version_after_the_cut_off_is_refused_with_the_reason(workplace: Workplace, index: IndexServer) -> None:
    index.add(build_wheel("gamma", "2.5"), uploaded="2026-05-01T00:00:00Z")
    workplace.write(MANIFEST.replace("python =", "exclude-newer = 2026-03-01T00:00:00Z\npython =", 1))
    workplace.ok("lock")
    said = refused(workplace, 1, "-P", "gamma==2.5", "--refresh")
    assert "2.5" in said
    assert "try: lift the cut-off for gamma" in said


def test_two_versions_of_one_package_exclude_each_other(workplace: Workplace) -> None:
    workplace.ok("lock")
    said = refused(workplace, 1, "-P", "gamma==1.0", "-P", "gamma==2.0")
    assert "gamma==1.0" in said
    assert "gamma==2.0" in said


@pytest.mark.parametrize(
    "asked", ["gamma[fast]", "gamma==1.0; sys_platform == 'linux'", "gamma @ https://example.com/gamma.whl", "", "==1"]
)
def test_more_than_a_name_and_versions_is_refused(workplace: Workplace, asked: str) -> None:
    workplace.ok("lock")
    assert "stay in the manifest" in refused(workplace, 2, "-P", asked)


@pytest.mark.parametrize("asked", ["gamma==", "gamma=1.0", "gamma==one.two"])
def test_versions_that_cannot_be_read_are_refused(workplace: Workplace, asked: str) -> None:
    workplace.ok("lock")
    assert "is not a PEP 440 specifier" in refused(workplace, 2, "-P", asked)


def test_a_package_that_no_selected_step_has_is_refused(workplace: Workplace) -> None:
    workplace.ok("lock")
    assert "no selected step has delta" in refused(workplace, 2, "--step", "report", "-P", "delta")
    assert "no selected step has delta" in refused(workplace, 2, "--target", "win-64", "-P", "delta")
    assert refused(workplace, 2, "--step", "report", "-P", "nowhere").startswith("error: -P nowhere: the lock has no")


def test_the_first_lock_honours_the_versions_too(workplace: Workplace) -> None:
    done = workplace.fails(2, "lock", "-P", "gama==1.0")
    assert "the lock has no package gama" in done.err
    assert not workplace.lock.exists()
    assert "+ gamma 1.0" in workplace.ok("lock", "-P", "gamma==1.0").err
    assert "is unchanged" in workplace.ok("lock").err


def test_versions_within_bounds_and_prereleases_can_be_asked_for(workplace: Workplace, index: IndexServer) -> None:
    index.add(build_wheel("gamma", "2.1rc1"))
    workplace.ok("lock")
    assert "~ gamma 2.0 -> 1.0" in workplace.ok("lock", "-P", "gamma<2").err
    assert "~ gamma 1.0 -> 2.1rc1" in workplace.ok("lock", "-P", "gamma==2.1rc1").err
    assert "is unchanged" in workplace.ok("lock").err
    assert "~ gamma 2.1rc1 -> 2.0" in workplace.ok("lock", "-U", "-P", "gamma==2.0").err


def test_a_conda_package_is_limited_too(tmp_path: Path) -> None:
    place = Workplace(tmp_path, None)
    place.write(CONDA_MANIFEST)
    old = {}
    for subdir in ("linux-64", "osx-arm64", "win-64"):
        depends = ["python >=3.12,<3.13.0a0", "data"]
        old[subdir.replace("-", "_")] = record("tool", "0.9", f"{subdir[:3]}_0", subdir, depends=depends)
    write_channel(place.checkout / "channel", **old)
    place.ok("lock")
    assert "~ tool 1.0 -> 0.9" in place.ok("lock", "-P", "tool==0.9").err
    assert "the constraint tool ==7 (-P) rules it out" in refused(place, 1, "-P", "tool==7")
    assert "-P" in refused(place, 1, "-P", "python==3.13.1")
    assert "is unchanged" in place.ok("lock").err


def test_a_project_from_an_address_has_no_other_version(workplace: Workplace) -> None:
    wheel = build_wheel("acme", "1.0")
    (workplace.checkout / wheel.file).write_bytes(wheel.data)
    workplace.write(
        f'[project]\nname = "demo"\ntargets = ["linux-64"]\npython = "{HOST_PYTHON}"\n'
        f'[steps.one]\npypi = [{{ path = "{wheel.file}" }}]\n'
    )
    workplace.ok("lock")
    said = refused(workplace, 1, "-P", "acme==2.0")
    assert "acme can only come from the reference at steps.one.pypi[0], line 6" in said
