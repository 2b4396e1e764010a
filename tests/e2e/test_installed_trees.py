"""Compares envc with uv: the same wheel must become the same files."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from envc.model.progress import Silent
from envc.shipping.deliver.hydrate import StoredEnvironment, hydrate
from tests.support.environments import HOST, record_of
from tests.support.stores import MemoryBlobs
from tests.support.wheels import build_wheel

WHEELS = (
    build_wheel(
        "Full.Demo",
        "2.0",
        requires=["other>=1"],
        files={
            "full_demo/__init__.py": "def main() -> int:\n    return 0\n",
            "full_demo/tool.sh": "#!/bin/sh\n",
            "full_demo/\u00fcnicode.txt": "\u00fc\n",
            "full_demo-2.0.data/purelib/pure.py": "p = 1\n",
            "full_demo-2.0.data/platlib/plat.py": "p = 2\n",
            "full_demo-2.0.data/scripts/full-shell": "#!/bin/sh\necho 1\n",
            "full_demo-2.0.data/headers/full.h": "int full;\n",
            "full_demo-2.0.data/data/share/full/data.txt": "data\n",
        },
        entry_points={"console_scripts": {"full": "full_demo:main"}, "some.plugins": {"x": "full_demo"}},
        executables=["full_demo/tool.sh"],
        extra_dist_info={"licenses/LICENSE": "MIT\n"},
    ),
    build_wheel("other", "1.1"),
)
INSTALLERS_OWN = {"RECORD", "INSTALLER", "REQUESTED", "direct_url.json", "uv_cache.json"}


def files(prefix: Path) -> dict[str, tuple[bool, bytes]]:
    """Return for every file of a package whether it is executable, and its content."""
    found = {}
    for path in prefix.rglob("*"):
        relative = path.relative_to(prefix)
        if path.is_symlink() or not path.is_file() or "__pycache__" in relative.parts:
            continue
        if (
            relative.parts[0] in (".envc", ".lock", ".gitignore", "CACHEDIR.TAG", "pyvenv.cfg")
            or path.name in INSTALLERS_OWN
        ):
            continue
        content = b"" if relative.as_posix() == "bin/full" else path.read_bytes()
        found[relative.as_posix()] = (os.access(path, os.X_OK), content)
    return found


@pytest.mark.engines
@pytest.mark.skipif(sys.platform == "win32", reason="the trees are compared in their POSIX layout")
def test_uv_installs_the_same_files(tmp_path: Path) -> None:
    store = MemoryBlobs()
    record = record_of(store, tmp_path, *WHEELS)
    hydrate(
        StoredEnvironment(store, record),
        tmp_path / "ours",
        interpreter=HOST,
        cache=tmp_path / "cache",
        progress=Silent(),
    )
    theirs = tmp_path / "theirs"
    quiet = {"check": True, "capture_output": True, "env": {**os.environ, "UV_CACHE_DIR": str(tmp_path / "uv")}}
    subprocess.run(["uv", "venv", "--python", HOST.executable, theirs], **quiet)
    before = set(files(theirs))
    paths = [tmp_path / "wheels" / wheel.file for wheel in WHEELS]
    subprocess.run(["uv", "pip", "install", "--offline", "--no-deps", "--python", theirs, *paths], **quiet)
    expected = {path: entry for path, entry in files(theirs).items() if path not in before}
    assert files(tmp_path / "ours") == expected
    checked = subprocess.run(
        ["uv", "pip", "check", "--python", tmp_path / "ours"], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stderr
