"""Each change of a lock is said once, with the steps and targets that it concerns."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from envc.locking.review.changes import Change, changes
from envc.model.digest import sha256
from envc.model.graph import Artifact, LockedEnvironment, LockGraph, Package, PackageRef

LINUX, MAC = "linux-64/cp312", "osx-arm64/cp312"


def package(name: str, version: str, *targets: str, file: str = "", source: str = "pypi", id: str = "") -> Package:
    kind = "conda" if file.endswith(".conda") else "pypi"
    file = file or f"{name}-{version}-py3-none-any.whl"
    artifact = Artifact(file=file, size=1, sha256=sha256(f"{file}{source}".encode()), targets=targets)
    return Package(id=id or f"{kind}:{name}", version=version, source=source, artifacts=(artifact,))


def graph(steps: Mapping[tuple[str, ...], tuple[Package, ...]], targets: tuple[str, ...] = (LINUX, MAC)) -> LockGraph:
    environments = tuple(
        LockedEnvironment(
            steps=names, targets=targets, requires=(), packages=tuple(PackageRef(one.id, used(one)) for one in packages)
        )
        for names, packages in steps.items()
    )
    different = {one.id: one for packages in steps.values() for one in packages}
    return LockGraph(environments=environments, packages=tuple(different.values()))


def used(one: Package) -> tuple[str, ...]:
    return tuple(sorted({key.partition("/")[0] for artifact in one.artifacts for key in artifact.targets}))


def lines(old: LockGraph | None, new: LockGraph) -> list[str]:
    return [str(change) for change in changes(old, new)]


OLD = graph({("a", "b"): (package("numpy", "2.4.5"), package("six", "1.0")), ("c",): (package("six", "1.0"),)})


def test_a_first_lock_lists_each_package_once() -> None:
    assert lines(None, OLD) == ["+ numpy 2.4.5 (a, b)", "+ six 1.0"]


def test_nothing_changes_in_an_equal_lock() -> None:
    assert lines(OLD, msgspec.structs.replace(OLD)) == []


def test_a_change_of_some_steps_names_them() -> None:
    new = graph(
        {
            ("a",): (package("numpy", "2.4.6", id="pypi:numpy@2.4.6"), package("six", "1.0")),
            ("b",): (package("numpy", "2.4.5"), package("six", "1.0")),
            ("c",): (package("six", "1.0"), package("numpy", "2.4.5")),
        }
    )
    assert lines(OLD, new) == [
        "+ numpy 2.4.5 (c)",
        "~ numpy 2.4.5 -> 2.4.6 (a)",
    ]


def test_the_same_version_from_two_sources_is_one_version() -> None:
    """It used to read ``~ numpy 2.4.6, 2.4.6 -> 2.4.6``."""
    both = graph(
        {
            ("a",): (package("numpy", "2.4.6"),),
            ("b",): (package("numpy", "2.4.6", source="inner", id="pypi:numpy@2.4.6"),),
        }
    )
    one = graph({("a", "b"): (package("numpy", "2.4.6"),)})
    assert lines(both, one) == ["~ numpy 2.4.6 from inner -> 2.4.6 from pypi (b)"]


def test_builds_of_one_version_are_one_addition() -> None:
    """It used to read ``+ libblas 3.11.0, 3.11.0, 3.11.0``."""
    builds = [
        package(
            "libblas",
            "3.11.0",
            key,
            file=f"libblas-3.11.0-{number}_x.conda",
            source="conda-forge",
            id=f"conda:libblas@3.11.0={number}_x",
        )
        for number, key in enumerate((LINUX, MAC))
    ]
    new = graph({("a",): tuple(builds)})
    assert lines(None, new) == ["+ libblas 3.11.0"]
    other = package(
        "libblas", "3.11.0", LINUX, file="libblas-3.11.0-7_y.conda", source="conda-forge", id="conda:libblas@3.11.0=7_y"
    )
    moved = graph({("a",): (other, builds[1])})
    assert lines(new, moved) == ["~ libblas 3.11.0 0_x from conda-forge -> 3.11.0 7_y from conda-forge (on linux-64)"]


def test_a_new_step_with_known_packages_is_no_change_of_packages() -> None:
    new = graph({("a", "b", "d"): (package("numpy", "2.4.5"), package("six", "1.0")), ("c",): (package("six", "1.0"),)})
    assert lines(OLD, new) == []
    assert lines(new, OLD) == []


def test_a_new_python_is_no_change_of_packages() -> None:
    moved = graph({("a",): (package("six", "1.0"),)}, ("linux-64/cp313",))
    assert lines(graph({("a",): (package("six", "1.0"),)}, (LINUX,)), moved) == []


def test_changes_have_steps_and_targets_as_data() -> None:
    new = graph({("a", "b"): (package("numpy", "2.4.5"),), ("c",): (package("six", "1.0"),)})
    assert changes(OLD, new) == (
        Change("pypi", "six", ("1.0",), (), ("a", "b"), ("linux-64", "osx-arm64"), False, True),
    )


def test_only_the_first_of_many_steps_are_named() -> None:
    names = tuple(f"s{number}" for number in range(9))
    new = graph({("a",): (package("six", "1.0"),), names: (package("numpy", "2.4.5"),)})
    assert lines(None, new)[0] == "+ numpy 2.4.5 (s0, s1, s2, s3 and 5 more)"
