"""Workplaces with a step of conda packages, for the tests that install them."""

from __future__ import annotations

from pathlib import Path

from tests.e2e.command import Workplace, host_platform
from tests.support.conda_packages import PLACEHOLDER, File, build_conda
from tests.support.manifests import host_conda_manifest

GREETER = build_conda(
    "greeter",
    "2.0",
    "pyhd_0",
    {
        "site-packages/greeter/__init__.py": "import sys\n\n\ndef main():\n    print('hello from', sys.prefix)\n",
        "site-packages/greeter-2.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: greeter\nVersion: 2.0\n",
        "python-scripts/greet-twice": File(
            f"#!{PLACEHOLDER}/bin/python\nimport greeter\ngreeter.main()\ngreeter.main()\n", mode=0o755
        ),
        "share/greeter/where.txt": f"{PLACEHOLDER}/share\n",
    },
    ["python >=3.9"],
    noarch="python",
    entry_points=["greet = greeter:main"],
)
NATIVE = build_conda(
    "native",
    "1.1",
    "h1_3",
    {
        "bin/native-tool": File(f"#!{PLACEHOLDER}/bin/python\nimport greeter\nprint('native')\n", mode=0o755),
        "etc/native.conf": f"prefix = {PLACEHOLDER}\n",
        "lib/native.bin": b"\0\1" + PLACEHOLDER.encode() + b"/lib\0" + PLACEHOLDER.encode() + b"/share\0\2",
        "lib/libnative.so.1.2": File(b"not really\n", mode=0o755),
        "lib/libnative.so.1": File(link="libnative.so.1.2"),
        "lib/libnative.so": File(link="libnative.so.1"),
        "share/native/same": File(hard="etc/native.conf", placeholder=PLACEHOLDER),
    },
    ["python", "greeter >=2"],
    subdir=host_platform(),
    build_number=3,
    format="tar.bz2",
)
MADE = (GREETER, NATIVE)
REAL = ("numpy", "click", "six")


def manifest(channel: str, *specs: str) -> str:
    return host_conda_manifest(channel, "python", *specs)


def prefix_of(length: int, folder: Path) -> Path:
    """Return a path of that many characters below a folder."""
    path = str(folder) + "/"
    while length - len(path) > 60:
        path += "d" * 49 + "/"
    return Path(path + "p" * (length - len(path)))


def bundled(folder: Path, channel: Path | str, *specs: str) -> Workplace:
    """A workplace whose only step is locked and bundled. A channel in a folder is linked into its checkout."""
    place = Workplace(folder, None)
    if isinstance(channel, Path):
        (place.checkout / "channel").symlink_to(channel)
    place.write(manifest("channel" if isinstance(channel, Path) else channel, *specs))
    place.ok("lock")
    place.ok("bundle", "--fast")
    return place
