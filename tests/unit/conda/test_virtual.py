"""Virtual packages: the defaults of each target, and overrides."""

from __future__ import annotations

import pytest

from envc_solvers.conda.language.record import Record
from envc_solvers.conda.language.virtual import parse_virtual_package, virtual_packages
from envc_solvers.target import Target, default_target


def shown(records: tuple[Record, ...]) -> list[str]:
    return [f"{record.name}={record.version}={record.build}" for record in records]


def test_defaults_of_each_system() -> None:
    assert shown(virtual_packages(default_target("linux-64"))) == [
        "__archspec=1=x86_64_v2",
        "__glibc=2.28=0",
        "__linux=5.10=0",
        "__unix=0=0",
    ]
    assert shown(virtual_packages(default_target("osx-arm64"))) == ["__osx=13.0=0", "__unix=0=0"]
    assert shown(virtual_packages(default_target("win-64"))) == ["__archspec=1=x86_64_v2", "__win=10=0"]


def test_cuda_only_if_declared_and_no_glibc_on_musl() -> None:
    target = Target(name="gpu", platform="linux-64", musl="1.2", cuda="12.4")
    assert shown(virtual_packages(target)) == ["__cuda=12.4=0", "__linux=5.10=0", "__unix=0=0"]


def test_overrides_replace_packages_of_the_same_name() -> None:
    found = shown(virtual_packages(default_target("linux-64"), ["__glibc=2.34", "__cuda", "__archspec=1=zen4"]))
    assert found == ["__archspec=1=zen4", "__cuda=0=0", "__glibc=2.34=0", "__linux=5.10=0", "__unix=0=0"]


@pytest.mark.parametrize("text", ["glibc=2.28", "__", "", "__glibc=2..8", "__a b", "__x!=1"])
def test_invalid_overrides_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a virtual package"):
        parse_virtual_package(text)
