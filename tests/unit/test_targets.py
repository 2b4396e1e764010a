"""What follows from the floors of a target."""

from __future__ import annotations

import pytest

from envc_solvers.target import Target, default_target


@pytest.mark.parametrize(
    ("macos", "release"),
    [
        ("10.9", "13.0.0"), ("10.15", "19.0.0"), ("10.16", "20.0.0"), ("11.0", "20.0.0"), ("13.0", "22.0.0"),
        ("14.5", "23.0.0"), ("15.0", "24.0.0"), ("26.0", "25.0.0"), ("27.1", "26.0.0"), ("14.6.1", "23.0.0"),
    ],
)  # fmt: skip
def test_the_kernel_of_a_macos(macos: str, release: str) -> None:
    """As in Apple's lists of Darwin releases; from macOS 26 on, which follows 15, Darwin is one behind."""
    assert Target(name="mac", platform="osx-arm64", macos=macos).release == release


def test_other_systems_state_no_kernel() -> None:
    assert default_target("linux-64").release == default_target("win-64").release == ""
    assert Target(name="wsl", platform="linux-64", platform_release="5.15.0-microsoft").release == "5.15.0-microsoft"
