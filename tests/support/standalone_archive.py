"""Archives of standalone interpreters, including one that works, and the table that lists them."""

from __future__ import annotations

import functools
import gzip
import hashlib
import io
import json
import platform
import re
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

from tests.support.conda_python import VERSION, missing, stage_interpreter

__all__ = ["FILE", "VERSION", "archive", "archive_of", "file_name", "link", "missing", "write_table"]

FILE = f"cpython-{VERSION}+20260501-{platform.machine()}-unknown-linux-gnu-install_only_stripped.tar.gz"
_NAME = f"python{sys.version_info[0]}.{sys.version_info[1]}"
_SITE = f"lib/{_NAME}/site-packages"


Content = str | bytes | tarfile.TarInfo


@functools.cache
def archive() -> bytes:
    """Return a working interpreter. It contains pip, like upstream's archives."""
    with tempfile.TemporaryDirectory() as folder:
        stage = Path(folder) / "python"
        stage.mkdir()
        for soname, path in stage_interpreter(stage, "$ORIGIN/../lib").items():
            if soname != path.name:
                (stage / "lib" / soname).symlink_to(path.name)
        (stage / _SITE / "pip-25.0.dist-info").mkdir(parents=True)
        (stage / _SITE / "pip.py").write_text("raise SystemExit('not locked')\n")
        (stage / _SITE / "pip-25.0.dist-info/RECORD").write_text("../../../bin/pip,,\npip.py,,\n")
        (stage / "bin/pip").write_text("#!/bin/sh\n")
        out = Path(folder) / "archive"
        with gzip.open(out, "wb", compresslevel=1) as stream, tarfile.open(fileobj=stream, mode="w") as packed:
            packed.add(stage, "python")
        return out.read_bytes()


def archive_of(files: dict[str, Content], suffix: str = ".tar.gz") -> bytes:
    """Return an archive of files by path, executable below ``bin``. A TarInfo gives all fields but the content."""
    out = io.BytesIO()
    if suffix == ".zip":
        with zipfile.ZipFile(out, "w") as zipped:
            for path, content in files.items():
                assert not isinstance(content, tarfile.TarInfo)
                zipped.writestr(zipfile.ZipInfo(path, (2024, 5, 1, 0, 0, 0)), content)
        return out.getvalue()
    with tarfile.open(fileobj=out, mode="w:bz2" if suffix == ".tar.bz2" else "w:gz") as packed:
        for path, content in files.items():
            if isinstance(content, tarfile.TarInfo):
                packed.addfile(content)
                continue
            info = tarfile.TarInfo(path)
            data = content.encode() if isinstance(content, str) else content
            info.size, info.mtime, info.mode = len(data), 1_714_521_600, 0o755 if "/bin/" in path else 0o644
            packed.addfile(info, io.BytesIO(data))
    return out.getvalue()


def link(path: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    info = tarfile.TarInfo(path)
    info.type, info.linkname = kind, target
    return info


def file_name(version: str, build: str, triple: str) -> str:
    return f"cpython-{version}+{build}-{triple}-install_only_stripped.tar.gz"


def write_table(folder: Path, archives: dict[str, bytes]) -> None:
    """Write archives by file name, and a ``versions.json`` in the format of pbs-installer."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for file, data in archives.items():
        (folder / file).write_bytes(data)
        match = re.match(r"cpython-(\d+)\.(\d+)\.(\d+)\+(\d+)-([^-]+)-[^-]+-([^-]+)", file)
        assert match is not None
        major, minor, micro, build, arch, system = match.groups()
        python = {"implementation": "cpython", "major": int(major), "minor": int(minor), "micro": int(micro)}
        listed = {
            "platform": {"darwin": "macos"}.get(system, system),
            "arch": arch,
            "install_only": True,
            "filename": file,
            "url": f"https://releases.example/{build}/{file}",
            "sha256": hashlib.sha256(data).hexdigest(),
        }
        rows.append({"python_version": {**python, "freethreaded": False}, "files": [listed]})
    (folder / "versions.json").write_text(json.dumps(rows))
