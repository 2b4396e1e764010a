"""Wheel tags of targets, and the reasons why files are unusable."""

from __future__ import annotations

import platform
import sys

import pytest
from packaging.tags import sys_tags

from envc_solvers.pypi.language.index import File
from envc_solvers.pypi.language.tags import explain_file, rank_files, tag_key, wheel_tags
from envc_solvers.target import PLATFORMS, Python, Target, default_target

LINUX = default_target("linux-64")
PY311 = Python(minor=(3, 11))


def test_tags_of_this_machine_are_those_of_packaging() -> None:
    """Compares with the running interpreter. Only the position of plain ``linux_*`` differs, on purpose."""
    machine = platform.machine().lower()
    family = {"linux": "linux", "darwin": "macos", "win32": "windows"}[sys.platform]
    name = next(one.name for one in PLATFORMS.values() if one.family == family and one.machine.lower() == machine)
    library, version = platform.libc_ver()
    floors = {
        "linux": {"glibc": version} if library == "glibc" else {},
        "macos": {"macos": ".".join(platform.mac_ver()[0].split(".")[:2])},
        "windows": {},
    }[family]
    target = Target(name=name, platform=name, **floors)
    free_threaded = bool(getattr(sys.flags, "gil", 1) == 0 or "t" in getattr(sys, "abiflags", ""))
    python = Python(minor=sys.version_info[:2], free_threaded=free_threaded)
    plain = f"linux_{PLATFORMS[name].arch}"
    expected = [str(tag) for tag in sys_tags() if tag.platform != plain]
    assert [tag for tag in wheel_tags(target, python).order if not tag.endswith(f"-{plain}")] == expected
    if family == "linux":
        assert {tag for tag in wheel_tags(target, python).order if tag.endswith(f"-{plain}")} == {
            str(tag) for tag in sys_tags() if tag.platform == plain
        }


def platforms_of(target: Target, python: Python = PY311) -> list[str]:
    order = wheel_tags(target, python).order
    first = order[0].rpartition("-")[0]
    return [tag.rpartition("-")[2] for tag in order if tag.startswith(f"{first}-")]


def test_linux_platforms_descend_from_the_floor_to_the_plain_tag() -> None:
    platforms = platforms_of(LINUX)
    assert platforms[0] == "manylinux_2_28_x86_64"
    assert platforms[-4:] == ["manylinux_2_6_x86_64", "manylinux_2_5_x86_64", "manylinux1_x86_64", "linux_x86_64"]
    at = platforms.index("manylinux_2_17_x86_64")
    assert platforms[at + 1] == "manylinux2014_x86_64"
    assert platforms[platforms.index("manylinux_2_12_x86_64") + 1] == "manylinux2010_x86_64"


def test_other_cpus_begin_with_glibc_2_17() -> None:
    platforms = platforms_of(default_target("linux-aarch64"))
    assert platforms[-3:] == ["manylinux_2_17_aarch64", "manylinux2014_aarch64", "linux_aarch64"]


def test_musl_platforms() -> None:
    target = Target(name="alpine", platform="linux-64", musl="1.2")
    assert platforms_of(target) == [
        "musllinux_1_2_x86_64",
        "musllinux_1_1_x86_64",
        "musllinux_1_0_x86_64",
        "linux_x86_64",
    ]


def test_macos_platforms() -> None:
    arm = platforms_of(default_target("osx-arm64"))
    assert arm[:3] == ["macosx_13_0_arm64", "macosx_13_0_universal2", "macosx_12_0_arm64"]
    assert "macosx_10_9_universal2" in arm
    assert "macosx_10_9_x86_64" not in arm
    assert "macosx_10_9_x86_64" in platforms_of(default_target("osx-64"))


@pytest.mark.parametrize(("name", "tag"), [("win-64", "win_amd64"), ("win-32", "win32"), ("win-arm64", "win_arm64")])
def test_windows_platforms(name: str, tag: str) -> None:
    assert platforms_of(default_target(name)) == [tag]


def test_free_threaded_python_has_its_own_abi_and_no_stable_one() -> None:
    order = wheel_tags(LINUX, Python(minor=(3, 13), free_threaded=True)).order
    assert order[0] == "cp313-cp313t-manylinux_2_28_x86_64"
    assert not any("-abi3-" in tag or "-cp313-" in tag for tag in order)


def test_pypy() -> None:
    order = wheel_tags(LINUX, Python(implementation="pypy", minor=(3, 10))).order
    assert order[0] == "pp310-pypy310_pp73-manylinux_2_28_x86_64"
    assert "pp3-none-any" in order
    assert not any(tag.startswith("cp") for tag in order)


@pytest.mark.parametrize(
    ("minor", "patch", "abi"),
    [((3, 11), None, "pp73"), ((3, 11), 15, "pp73"), ((3, 11), 16, "pp80"), ((3, 12), None, "pp80")],
)
def test_pypy_8_has_an_abi_of_its_own(minor: tuple[int, int], patch: int | None, abi: str) -> None:
    python = Python(implementation="pypy", minor=minor, patch=patch)
    assert wheel_tags(LINUX, python).order[0] == f"pp3{minor[1]}-pypy3{minor[1]}_{abi}-manylinux_2_28_x86_64"


def test_pypys_with_different_abis_do_not_share_views() -> None:
    pythons = [Python(implementation="pypy", minor=(3, 11), patch=patch) for patch in (None, 15, 16, 17)]
    keys = [tag_key(LINUX, python) for python in pythons]
    assert keys[0] == keys[1] == "pp311-linux-64-glibc2.28"
    assert keys[2] == keys[3] == "pp311-pp80-linux-64-glibc2.28"


def test_the_key_omits_fields_that_do_not_affect_tags() -> None:
    gpu = Target(name="gpu", platform="linux-64", glibc="2.28", cuda="12.4", archspec="x86_64_v3")
    assert tag_key(gpu, Python(minor=(3, 11), patch=9)) == tag_key(LINUX, PY311) == "cp311-linux-64-glibc2.28"
    assert wheel_tags(gpu, PY311).order == wheel_tags(LINUX, PY311).order
    assert tag_key(default_target("osx-arm64"), PY311) == "cp311-osx-arm64-macos13.0"
    assert tag_key(default_target("win-64"), Python(minor=(3, 13), free_threaded=True)) == "cp313t-win-64"


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        ("demo-1.0.tar.gz", "is a source distribution"),
        ("demo-1.0-py3.9.egg", "is a .egg file, not a wheel"),
        ("demo-1.0-cp311-cp311-manylinux_2_34_x86_64.whl", "needs glibc 2.34, target has 2.28"),
        ("demo-1.0-cp311-cp311-manylinux_2_35_x86_64.manylinux_2_31_x86_64.whl", "needs glibc 2.31, target has 2.28"),
        ("demo-1.0-cp312-cp312-manylinux_2_28_x86_64.whl", "is for CPython 3.12"),
        ("demo-1.0-cp312-abi3-manylinux_2_28_x86_64.whl", "needs CPython 3.12 or newer"),
        ("demo-1.0-cp313-cp313t-manylinux_2_28_x86_64.whl", "is for free-threaded CPython 3.13"),
        ("demo-1.0-py2-none-any.whl", "is for Python 2"),
        ("demo-1.0-cp39.cp310-none-any.whl", "is for CPython 3.9 and is for CPython 3.10"),
        ("demo-1.0-pp310-pypy310_pp73-manylinux_2_28_x86_64.whl", "is for PyPy 3.10"),
        ("demo-1.0-cp311-cp311-win_amd64.whl", "is for win_amd64"),
        ("demo-1.0-cp39-cp39-win_amd64.whl", "is for win_amd64 and is for CPython 3.9"),
        ("demo-1.0-cp311-cp311-musllinux_1_2_x86_64.whl", "is for musl, target has glibc 2.28"),
        ("demo-1.0-cp311--any.whl", "has a malformed name"),
        ("demo-1.0-cp311-cp311-manylinux2014_x86_64.whl", None),
        ("demo-1.0-py2.py3-none-any.whl", None),
    ],
)
def test_reasons_on_linux(file: str, reason: str | None) -> None:
    assert explain_file(file, wheel_tags(LINUX, PY311)) == reason


@pytest.mark.parametrize(
    ("target", "file", "reason"),
    [
        ("osx-arm64", "demo-1.0-cp311-cp311-macosx_14_0_arm64.whl", "is for macOS 14.0, target has 13.0"),
        ("osx-arm64", "demo-1.0-cp311-cp311-macosx_10_9_x86_64.whl", "is for macosx_10_9_x86_64"),
        ("win-64", "demo-1.0-cp311-cp311-win32.whl", "is for win32"),
    ],
)
def test_reasons_on_other_platforms(target: str, file: str, reason: str) -> None:
    assert explain_file(file, wheel_tags(default_target(target), PY311)) == reason


def test_a_glibc_wheel_on_musl() -> None:
    tags = wheel_tags(Target(name="alpine", platform="linux-64", musl="1.2"), PY311)
    reason = explain_file("demo-1.0-cp311-cp311-manylinux_2_17_x86_64.whl", tags)
    assert reason == "is for glibc, target has musl 1.2"
    assert explain_file("demo-1.0-cp311-cp311-musllinux_1_3_x86_64.whl", tags) == "needs musl 1.3, target has 1.2"


def test_spellings_of_one_version_are_one_release() -> None:
    names = ["demo-1.0.0-py3-none-any.whl", "demo-1.0-cp311-cp311-linux_x86_64.whl", "demo-1.0-py3-none-win_amd64.whl"]
    view = rank_files("demo", "pypi", [File(name) for name in names], wheel_tags(LINUX, PY311))
    assert [(each.version, [file.name for file in each.files]) for each in view.releases] == [
        ("1.0", ["demo-1.0-cp311-cp311-linux_x86_64.whl", "demo-1.0.0-py3-none-any.whl"])
    ]


def test_an_enormous_tag_set_is_refused() -> None:
    many = ".".join(f"cp{number}" for number in range(300))
    assert (
        rank_files("demo", "pypi", [File(f"demo-1.0-{many}-{many}-any.whl")], wheel_tags(LINUX, PY311)).releases == ()
    )
