"""wheels: whether envc reads the archives of published wheels, and as other programs do.

The wheels in `wheels.txt` are downloaded with pip, or the given ones. Each is read in the two ways in which envc reads
wheels: METADATA as through range requests, and all contents. It is also opened as for installing. With `--judges`, the
contents of those of at most 20 MB are compared with what the other programs on this machine unpack.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from envc.fetch.pypi.wheel_metadata import read_metadata_file
from envc.shipping.unpack.errors import BadWheel
from envc.shipping.unpack.wheel import open_wheel
from envc.shipping.unpack.zips import Limits, open_zip
from tests.support.zip_archives import PROGRAMS, Tree, program

WHEELS = Path(__file__).with_suffix(".txt")
_JUDGED = 20 << 20  # bytes of the largest wheels that are compared


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="wheels", description=__doc__)
    parser.add_argument("--folder", type=Path, help="a folder of wheels, to which those in the list are added")
    parser.add_argument("--list", type=Path, default=WHEELS, help="the list to download; /dev/null for none")
    parser.add_argument("--judges", action="store_true", help="compare with unzip, zipfile and bsdtar")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        for requirement, python in requirements(options.list):
            if not download(requirement, python, folder):
                print(f"{requirement}: cannot be downloaded")
        wheels = sorted(folder.glob("*.whl"))
        refused = [line for wheel in wheels for line in refusals(wheel)]
        print("\n".join(refused))
        unequal = 0
        if options.judges:
            small = [wheel for wheel in wheels if wheel.stat().st_size <= _JUDGED]
            different = [line for wheel in small for line in differences(wheel)]
            print("\n".join(different))
            unequal = len(different)
            print(f"{len(small)} wheels compared, {unequal} differences")
        size = sum(wheel.stat().st_size for wheel in wheels)
        print(f"{len(wheels)} wheels, {size / 1e6:.0f} MB, {len(refused)} refusals")
    return 1 if unequal or any(" archive: " in line for line in refused) else 0


def requirements(path: Path) -> Iterator[tuple[str, str]]:
    """The requirements of a list, each with the Python to choose its wheel for; "" for this one."""
    for line in path.read_text().splitlines():
        if line and not line.startswith("#"):
            requirement, _, python = line.partition(" ")
            yield requirement, python


def download(requirement: str, python: str, folder: Path) -> bool:
    """Add the wheel of a requirement to a folder, whatever machine it is for. Returns whether that worked."""
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary", ":all:", "-d", str(folder)]
    if python:
        digits = python.replace(".", "")
        abis = ("none", f"cp{digits}m", f"cp{digits}mu")
        command += ["--python-version", python, "--implementation", "cp", *(f"--abi={abi}" for abi in abis)]
        command += ["--platform=any", "--platform=manylinux1_x86_64"]
    return subprocess.run([*command, requirement], capture_output=True, check=False).returncode == 0


def refusals(wheel: Path) -> Iterator[str]:
    """One line for each way in which envc refuses a wheel."""
    try:
        read_metadata_file(wheel)
    except ValueError as error:
        yield f"{wheel.name} archive: {error} (METADATA alone)"
    try:
        with wheel.open("rb") as stream:
            archive, members = open_zip(stream, Limits())
            archive.check(members)
    except ValueError as error:
        yield f"{wheel.name} archive: {error}"
        return
    try:
        with open_wheel(wheel, wheel.name, "py3.12-posix"):
            pass
    except BadWheel as error:
        yield f"{wheel.name} wheel: {error.reason}"


def differences(wheel: Path) -> Iterator[str]:
    """One line for each program of this machine that unpacks something else than envc."""
    with wheel.open("rb") as stream:
        archive, members = open_zip(stream, Limits())
        expected: Tree = {member.name: archive.read(member) for member in members}
    for name, (_, read) in PROGRAMS.items():
        if name == "uv" or program(name) is None:  # uv moves files, and refuses wheels for other machines
            continue
        with tempfile.TemporaryDirectory() as folder:
            found = read(wheel, Path(folder) / "out")
        if found != expected:
            yield f"{wheel.name}: {name} {'refuses it' if found is None else 'reads something else'}"
