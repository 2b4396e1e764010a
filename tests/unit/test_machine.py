"""What environments require of a machine, and what machines offer."""

from __future__ import annotations

import sys

import pytest

from envc.model.digest import Sha256
from envc.model.environment import EnvironmentMember
from envc.shipping.machine.floors import (
    Machine,
    WrongMachine,
    check_floors,
    check_platform,
    machine_of,
    machine_requirements,
)
from envc.shipping.machine.hardware import cpu, cpu_serves, cuda_driver
from envc.shipping.machine.interpreter import own_python, this_python
from envc_solvers.target import PLATFORMS, Target, default_target

OLD = Machine(platform="linux-64", glibc="2.17")


def member(file: str, kind: str = "pypi", depends: tuple[str, ...] = ()) -> EnvironmentMember:
    return EnvironmentMember(
        kind=kind,
        name="x",
        version="1",
        source="s",
        file=file,
        size=0,
        sha256=Sha256("a" * 64),
        layout="any",
        depends=depends,
    )


@pytest.mark.parametrize(
    ("members", "platform", "needs"),
    [
        ([], "linux-64", {}),
        ([member("a-1-py3-none-any.whl")], "linux-64", {}),
        ([member("a-1-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl")], "linux-64", {"glibc": "2.17"}),
        ([member("a-1-cp311-cp311-manylinux1_x86_64.manylinux_2_28_x86_64.whl")], "linux-64", {"glibc": "2.5"}),
        ([member("a-1-cp311-cp311-musllinux_1_2_x86_64.whl")], "linux-64", {"musl": "1.2"}),
        ([member("a-1-cp311-cp311-macosx_11_0_arm64.whl")], "osx-arm64", {"macos": "11.0"}),
        ([member("cpython.tar.gz", "interpreter")], "linux-64", {"glibc": "2.17"}),
        ([member("cpython.tar.gz", "interpreter")], "osx-arm64", {"macos": "11.0"}),
        ([member("cpython.tar.gz", "interpreter")], "osx-64", {"macos": "10.15"}),
        ([member("cpython.tar.gz", "interpreter")], "win-64", {}),
        (
            [member("a.conda", "conda", ("__glibc >=2.17,<3.0.a0", "python >=3.11,<3.12.0a0", "__cuda >=12"))],
            "linux-64",
            {"cuda": "12", "glibc": "2.17"},
        ),
        ([member("a.conda", "conda", ("__osx >=11.0",))], "osx-arm64", {"macos": "11.0"}),
        ([member("a.conda", "conda", ("__cuda", "__unix"))], "linux-64", {"cuda": "0"}),
        ([member("a.conda", "conda", ("__cuda>=12",))], "linux-64", {"cuda": "12"}),
        ([member("a.conda", "conda", ("__cuda 12.*",))], "linux-64", {"cuda": "12"}),
        ([member("a.conda", "conda", ("__cuda >11|==10.2",))], "linux-64", {"cuda": "10.2"}),
        ([member("a.conda", "conda", ("__cuda <13,>=11.2", "__cuda >=12"))], "linux-64", {"cuda": "12"}),
        ([member("a.conda", "conda", ("__cuda <13",))], "linux-64", {"cuda": "0"}),
        ([member("a.conda", "conda", ("__archspec 1 x86_64_v3", "__unix"))], "linux-64", {"archspec": "x86_64_v3"}),
        (
            [
                member("a.conda", "conda", ("__archspec 1=x86_64_v2",)),
                member("b.conda", "conda", ("__archspec=1=x86_64_v3", "__archspec")),
            ],
            "linux-64",
            {"archspec": "x86_64_v3"},
        ),
        (
            [member("a-1-cp311-cp311-manylinux_2_28_x86_64.whl"), member("a.conda", "conda", ("__glibc >=2.17",))],
            "linux-64",
            {"glibc": "2.28"},
        ),
    ],
)
def test_floors_follow_from_files_and_dependencies(
    members: list[EnvironmentMember], platform: str, needs: dict[str, str]
) -> None:
    assert machine_requirements(members, platform) == needs


@pytest.mark.parametrize(
    ("needs", "environ", "refusal"),
    [
        ({"glibc": "2.17"}, {}, None),
        ({"glibc": "2.9"}, {}, None),  # numbers, not letters
        ({"glibc": "2.28"}, {}, "needs glibc 2.28; this machine has glibc 2.17"),
        ({"cuda": "0"}, {"CONDA_OVERRIDE_CUDA": ""}, "needs cuda; this machine has no cuda"),
        ({"cuda": "12.0"}, {"CONDA_OVERRIDE_CUDA": "12"}, None),
        ({"glibc": "2.28"}, {"CONDA_OVERRIDE_GLIBC": "2.30"}, None),
        ({"glibc": "2.17"}, {"CONDA_OVERRIDE_GLIBC": ""}, "needs glibc 2.17; this machine has no glibc"),
        ({"musl": "1.2"}, {}, "needs musl 1.2; this machine has glibc 2.17"),
        ({"macos": "13.0"}, {}, "needs macos 13.0; this machine has no macos"),
        ({"macos": "13.0"}, {"CONDA_OVERRIDE_OSX": "12.7.1"}, "needs macos 13.0; this machine has macos 12.7.1"),
        ({"cuda": "12.4"}, {"CONDA_OVERRIDE_CUDA": "12.6"}, None),
        ({"cuda": "12.4"}, {"CONDA_OVERRIDE_CUDA": "11.8"}, "needs cuda 12.4; this machine has cuda 11.8"),
        ({"archspec": "x86_64_v3"}, {"CONDA_OVERRIDE_ARCHSPEC": "zen4"}, None),
        ({"archspec": "x86_64_v3"}, {"CONDA_OVERRIDE_ARCHSPEC": "x86_64_v2"}, "has archspec x86_64_v2"),
        ({"archspec": "x86_64_v3"}, {"CONDA_OVERRIDE_ARCHSPEC": "m1"}, "has archspec m1"),
        ({"archspec": "x86_64_v3"}, {"CONDA_OVERRIDE_ARCHSPEC": ""}, "has no archspec"),
        ({"archspec": "invented"}, {"CONDA_OVERRIDE_ARCHSPEC": "zen4"}, "needs archspec invented"),
        (
            {"glibc": "2.28", "cuda": "12.4"},
            {"CONDA_OVERRIDE_CUDA": ""},
            "needs glibc 2.28 and cuda 12.4; this machine has glibc 2.17 and no cuda",
        ),
        ({"never heard of": "1"}, {}, "no never heard of"),
    ],
)
def test_both_versions_are_reported(needs: dict[str, str], environ: dict[str, str], refusal: str | None) -> None:
    if refusal is None:
        check_floors(needs, OLD, environ)
        return
    with pytest.raises(WrongMachine) as caught:
        check_floors(needs, OLD, environ)
    assert refusal in str(caught.value)
    assert "--force" in caught.value.hint


def test_another_platform_is_refused() -> None:
    check_platform("linux-64", OLD)
    with pytest.raises(WrongMachine, match="needs osx-arm64; this machine has linux-64"):
        check_platform("osx-arm64", OLD)


def test_the_current_machine_is_inspected() -> None:
    machine = machine_of(own_python("standalone", PLATFORMS["linux-64"]))
    assert (machine.platform, machine.glibc) == (this_python().platform, this_python().glibc)
    check_floors({"archspec": cpu()}, machine, {})
    assert cpu_serves(cpu(), cpu())
    driver = cuda_driver()
    assert driver == "" or driver.split(".")[0].isdigit()
    if sys.platform == "linux" and this_python().machine == "x86_64":
        check_floors({"archspec": "x86_64"}, machine, {})


def test_declared_floors_are_those_that_differ_from_the_defaults() -> None:
    assert default_target("linux-64").declared == {}
    assert default_target("osx-arm64").declared == {}
    gpu = Target(name="gpu", platform="linux-64", glibc="2.28", cuda="12.4", archspec="x86_64_v3")
    assert gpu.declared == {"cuda": "12.4", "archspec": "x86_64_v3"}
    assert Target(name="alpine", platform="linux-64", musl="1.2", archspec="x86_64_v2").declared == {"musl": "1.2"}
