"""Messages about newer files that a declared floor excludes."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from envc_solvers.pypi.explain.floors import excluded_by_floors
from envc_solvers.pypi.language.requirement import parse
from envc_solvers.pypi.problem import Policy, PyPIProblem, PyPIRoot
from envc_solvers.pypi.solve import solve_pypi
from envc_solvers.target import Python, Target, default_target
from tests.support.universe import MemoryIndex, Universe, Version

PYTHON = Python(minor=(3, 11))
OLD = Target(name="old", platform="linux-64", glibc="2.17", archspec="x86_64_v2")
NEW = "{name}-{version}-cp311-cp311-manylinux_2_28_x86_64.whl"
PLAIN = "{name}-{version}-cp311-cp311-manylinux_2_17_x86_64.whl"


def release(name: str, version: str, file: str, **more: Any) -> Version:
    return Version(files=(file.format(name=name, version=version),), **more)


def lines(universe: Universe, target: Target, *roots: str, **more: Any) -> tuple[str, ...]:
    problem = PyPIProblem(target=target, python=PYTHON, roots=tuple(PyPIRoot(parse(text)) for text in roots), **more)
    index = MemoryIndex(universe, target, PYTHON)
    return excluded_by_floors(problem, solve_pypi(problem, index, {}), index)


UNIVERSE: Universe = {
    "lib": {
        "1.0": release("lib", "1.0", PLAIN),
        "2.0": release("lib", "2.0", NEW),
        "3.0": release("lib", "3.0", NEW, yanked="broken", uploaded=datetime(2026, 1, 1, tzinfo=UTC)),
        "4.0rc1": release("lib", "4.0rc1", NEW),
        "5.0": release("lib", "5.0", NEW, requires_python=">=3.12"),
        "6.0": release("lib", "6.0", "{name}-{version}-cp312-cp312-manylinux_2_17_x86_64.whl"),
    },
    "app": {"1.0": Version(requires=("lib<2",))},
}


def test_the_newest_fitting_release_is_named_with_its_floors() -> None:
    assert lines(UNIVERSE, OLD, "lib") == ("lib 1.0 is locked: 2.0 needs glibc 2.28, target has 2.17",)


def test_undeclared_floors_are_not_mentioned() -> None:
    universe = {"lib": {"1.0": release("lib", "1.0", PLAIN), "2.0": release("lib", "2.0", NEW.replace("28", "40"))}}
    assert lines(universe, default_target("linux-64"), "lib") == ()
    declared = msgspec.structs.replace(OLD, glibc="2.30")
    assert lines(universe, declared, "lib") == ("lib 1.0 is locked: 2.0 needs glibc 2.40, target has 2.30",)


@pytest.mark.parametrize(
    ("roots", "more"),
    [
        (("lib<2",), {}),
        (("lib", "app"), {}),  # another package requires the old one
        (("lib",), {"constraints": (PyPIRoot(parse("lib<2")),)}),
        (("lib",), {"policy": Policy(strategy="lowest")}),
    ],
)
def test_versions_excluded_by_requirements_are_not_mentioned(roots: tuple[str, ...], more: dict[str, Any]) -> None:
    assert lines(UNIVERSE, OLD, *roots, **more) == ()


def test_macos_and_musl_are_floors_too() -> None:
    mac: Universe = {
        "lib": {
            "1.0": release("lib", "1.0", "{name}-{version}-cp311-cp311-macosx_11_0_arm64.whl"),
            "2.0": release("lib", "2.0", "{name}-{version}-cp311-cp311-macosx_14_0_arm64.whl"),
        }
    }
    target = Target(name="mini", platform="osx-arm64", macos="12.0")
    assert lines(mac, target, "lib") == ("lib 1.0 is locked: 2.0 is for macOS 14.0, target has 12.0",)
    alpine: Universe = {
        "lib": {
            "1.0": release("lib", "1.0", "{name}-{version}-cp311-cp311-musllinux_1_1_x86_64.whl"),
            "2.0": release("lib", "2.0", "{name}-{version}-cp311-cp311-musllinux_1_2_x86_64.whl"),
        }
    }
    target = Target(name="alpine", platform="linux-64", musl="1.1", archspec="x86_64_v2")
    assert lines(alpine, target, "lib") == ("lib 1.0 is locked: 2.0 needs musl 1.2, target has 1.1",)
