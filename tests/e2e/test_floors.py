"""A machine below the floors of an environment is refused with both versions, unless the user insists."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.command import HOST_PYTHON, Workplace, host_platform
from tests.support.servers import IndexServer
from tests.support.wheels import build_wheel

MANIFEST = f"""\
[project]
name = "demo"
targets = ["special"]
python = "{HOST_PYTHON}"

[targets.special]
platform = "{host_platform()}"
FLOOR

[steps.train]
pypi = ["gamma"]
run = "python -c 'print(1)'"
"""


@pytest.mark.parametrize(
    ("floor", "environ", "refusal"),
    [
        ('cuda = "12.4"', {"CONDA_OVERRIDE_CUDA": "12.2"}, "needs cuda 12.4; this machine has cuda 12.2"),
        ('cuda = "12.4"', {"CONDA_OVERRIDE_CUDA": ""}, "needs cuda 12.4; this machine has no cuda"),
        (
            'archspec = "x86_64_v4"',
            {"CONDA_OVERRIDE_ARCHSPEC": "x86_64_v3"},
            "needs archspec x86_64_v4; this machine has archspec x86_64_v3",
        ),
        ('glibc = "2.35"', {"CONDA_OVERRIDE_GLIBC": "2.31"}, "needs glibc 2.35; this machine has glibc 2.31"),
    ],
)
def test_the_machine_must_meet_a_declared_floor(
    floor: str, environ: dict[str, str], refusal: str, workplace: Workplace, tmp_path: Path
) -> None:
    if host_platform() != "linux-64":
        pytest.skip("these floors are linux-64's")
    workplace.write(MANIFEST.replace("FLOOR", floor))
    workplace.ok("lock")
    bundle = tmp_path / "train.tar.zst"
    workplace.ok("bundle", "--output", str(bundle))
    prefix = tmp_path / "prefix"
    target = ("--target", "special")
    for verb in (
        ("hydrate", "train", *target, "--prefix", str(prefix)),
        ("hydrate", str(bundle), "--prefix", str(prefix)),
        ("run", "train", *target),
        ("run", str(bundle)),
    ):
        done = workplace.run(*verb, **environ)
        assert done.code == 1
        assert refusal in done.err
        assert "--force" in done.err
        assert not prefix.exists()
    assert workplace.ok("run", "train", *target, "--force", **environ).out == "1\n"
    assert workplace.ok("run", str(bundle), "--force", **environ).out == "1\n"
    workplace.ok("hydrate", str(bundle), "--prefix", str(prefix), "--force", **environ)
    # An environment made with the option does not run without it.
    assert refusal in workplace.fails(1, "run", "train", *target, **environ).err


def test_lock_reports_packages_excluded_by_a_declared_floor(index: IndexServer, workplace: Workplace) -> None:
    tag = f"cp{HOST_PYTHON.replace('.', '')}"
    for version, glibc in (("1.0", "2_17"), ("2.0", "2_28")):
        index.add(build_wheel("fast", version, tag=f"{tag}-{tag}-manylinux_{glibc}_x86_64"))
    text = MANIFEST.replace(host_platform(), "linux-64").replace('"gamma"', '"fast"')
    workplace.write(text.replace("FLOOR", 'glibc = "2.17"'))
    done = workplace.ok("lock")
    assert "warning: train on special: fast 1.0 is locked: 2.0 needs glibc 2.28, target has 2.17" in done.err
    assert "is locked" not in workplace.ok("lock").err
    workplace.write(text.replace("FLOOR", 'glibc = "2.28"'))
    assert "is locked" not in workplace.ok("lock", "--upgrade").err
