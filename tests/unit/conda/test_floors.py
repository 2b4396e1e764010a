"""Messages about newer conda packages that a declared floor excludes."""

from __future__ import annotations

from typing import Any

import pytest

from envc_solvers.conda.explain.floors import excluded_by_floors
from envc_solvers.conda.language.virtual import virtual_packages
from envc_solvers.conda.problem import CondaProblem
from envc_solvers.conda.solve import solve_conda
from envc_solvers.target import Target, default_target
from tests.support.channels import MemoryRepodata
from tests.support.conda_scenarios import RecordTable, as_roots, record_of

OLD = Target(name="old", platform="linux-64", glibc="2.17", archspec="x86_64_v2")
RECORDS = {
    "tool 1.0 0": RecordTable(),
    "tool 2.0 0": RecordTable(depends=("__glibc >=2.28,<3.0.a0",)),
    "tool 3.0 0": RecordTable(depends=("__glibc >=2.28", "base >=2")),
    "tool 4.0 0": RecordTable(depends=("__glibc >=2.28", "__cuda")),
    "tool 5.0 0": RecordTable(depends=("__glibc >=2.28",), track_features=("odd",)),
    "base 1.0 0": RecordTable(),
    "app 1.0 0": RecordTable(depends=("tool <2",)),
    "gpu 1.0 0": RecordTable(),
    "gpu 2.0 0": RecordTable(depends=("__cuda >=13",)),
}


def lines(target: Target, *specs: str, **more: Any) -> tuple[str, ...]:
    records = [record_of("main", target.platform, title, table) for title, table in RECORDS.items()]
    repodata = MemoryRepodata(records, target.platform)
    problem = CondaProblem(
        target=target.name,
        specs=as_roots(specs, "specs"),
        channels=("main",),
        virtual=virtual_packages(target),
        **more,
    )
    return excluded_by_floors(problem, solve_conda(problem, repodata), repodata, target)


def test_the_newest_fitting_version_is_named_with_its_floors() -> None:
    needs = "tool 1.0 is locked: 2.0 needs __glibc >=2.28,<3.0.a0, target has 2.17"
    assert lines(OLD, "tool", "base") == (needs,)


def test_cuda_is_a_floor_too() -> None:
    gpu = Target(name="gpu", platform="linux-64", glibc="2.28", cuda="12.4", archspec="x86_64_v2")
    assert lines(gpu, "gpu") == ("gpu 1.0 is locked: 2.0 needs __cuda >=13, target has 12.4",)


@pytest.mark.parametrize(
    ("target", "specs", "more"),
    [
        (default_target("linux-64"), ("gpu",), {}),
        (OLD, ("tool <2",), {}),
        (OLD, ("tool", "app"), {}),
        (OLD, ("tool", "base"), {"constraints": as_roots(("tool <2",), "constraints")}),
    ],
)
def test_packages_excluded_for_other_reasons_are_not_blamed_on_floors(
    target: Target, specs: tuple[str, ...], more: dict[str, Any]
) -> None:
    assert lines(target, *specs, **more) == ()
