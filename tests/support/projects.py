"""Projects to build, as folders, source distributions and git repositories, and a build backend for them.

The backend is a wheel of one module, which the tests' index serves like any other build requirement. It packs every
``*.py`` of the project into a wheel whose bytes depend only on these files.
"""

from __future__ import annotations

import gzip
import io
import os
import shutil
import subprocess
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.support.wheels import Distribution, build_wheel

BACKEND = '''\
"""A build backend for tests (PEP 517)."""

import base64
import hashlib
import os
import pathlib
import subprocess
import time
import zipfile

try:
    import tomllib
except ImportError:
    tomllib = None

TAG = "py3-none-any"


def digest(content):
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()


def get_requires_for_build_wheel(config_settings=None):
    more = pathlib.Path("build-needs.txt")
    return more.read_text().split("\\n") if more.exists() else []


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    log = os.environ.get("CARGO_HOME")  # a variable that builds get to see
    project = tomllib.loads(pathlib.Path("pyproject.toml").read_text())["project"]
    if pathlib.Path("fail.txt").exists():
        raise SystemExit("the compiler is not in the mood")
    if log:
        with open(log, "a") as out:
            out.write(project["name"] + "\\n")
    version = project.get("version") or pathlib.Path("version.txt").read_text().strip()
    if pathlib.Path("from-tags.txt").exists():
        version = subprocess.check_output(["git", "describe", "--tags", "--abbrev=0"], text=True).strip()
    tag = pathlib.Path("tag.txt").read_text().strip() if pathlib.Path("tag.txt").exists() else TAG
    info = f"{project['name']}-{version}.dist-info"
    lines = ["Metadata-Version: 2.4", f"Name: {project['name']}", f"Version: {version}"]
    dependencies = project.get("dependencies") or []
    if "dependencies" in project.get("dynamic", []):
        dependencies = pathlib.Path("needs.txt").read_text().split("\\n")
    lines += [f"Requires-Dist: {each}" for each in dependencies if each]
    for extra, texts in project.get("optional-dependencies", {}).items():
        lines += [f"Provides-Extra: {extra}"]
        lines += [f'Requires-Dist: {text}; extra == "{extra}"' for text in texts]
    members = {path.name: path.read_bytes() for path in sorted(pathlib.Path().glob("*.py"))}
    if pathlib.Path("unsteady.txt").exists():
        members["built_at.py"] = f"NOW = {time.time_ns()}\\n".encode()
    members[f"{info}/METADATA"] = ("\\n".join(lines) + "\\n\\n").encode()
    members[f"{info}/WHEEL"] = f"Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: {tag}\\n".encode()
    rows = [f"{name},sha256={digest(content)},{len(content)}\\n" for name, content in members.items()]
    members[f"{info}/RECORD"] = ("".join(rows) + f"{info}/RECORD,,\\n").encode()
    wheel = f"{project['name']}-{version}-{tag}.whl"
    when = time.gmtime(int(os.environ["SOURCE_DATE_EPOCH"]))[:6]
    with zipfile.ZipFile(os.path.join(wheel_directory, wheel), "w") as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name, when), content)
    return wheel
'''
PYPROJECT = '[build-system]\nrequires = ["tinybuild"]\nbuild-backend = "tinybuild"\n'


def backend_wheel(version: str = "1.0") -> Distribution:
    return build_wheel("tinybuild", version, files={"tinybuild.py": BACKEND})


def project_files(name: str, version: str | None = "1.0", *, depends: str = "", **more: str) -> dict[str, str]:
    """Return the files of a project with one module. `version` None: dynamic. `more`: other files, ``__`` for a dot."""
    table = f'[project]\nname = "{name}"\n'
    table += f'version = "{version}"\n' if version else 'dynamic = ["version"]\n'
    table += f"dependencies = [{depends}]\n"
    files = {"pyproject.toml": PYPROJECT + table, f"{name}.py": f'__version__ = "{version}"\n'}
    return files | {key.replace("__", "."): text for key, text in more.items()}


def write_project(folder: Path, files: Mapping[str, str]) -> Path:
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    return folder


def sdist(name: str, version: str, files: Mapping[str, str], *, pkg_info: str | None = None) -> Distribution:
    """Return a source distribution. Without `pkg_info` it is an old one, without reliable static metadata."""
    if pkg_info is None:
        pkg_info = f"Metadata-Version: 1.2\nName: {name}\nVersion: {version}\n\n"
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as archive:
        for path, text in {"PKG-INFO": pkg_info, **files}.items():
            info = tarfile.TarInfo(f"{name}-{version}/{path}")
            info.size = len(text.encode())
            archive.addfile(info, io.BytesIO(text.encode()))
    data = gzip.compress(raw.getvalue(), mtime=0)
    return Distribution(
        file=f"{name}-{version}.tar.gz", name=name, version=version, data=data, metadata=pkg_info.encode()
    )


def zip_project(name: str, files: Mapping[str, str]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path, text in files.items():
            archive.writestr(zipfile.ZipInfo(f"{name}/{path}", (2020, 2, 2, 0, 0, 0)), text)
    return buffer.getvalue()


class Repository:
    """A git repository in a folder."""

    def __init__(self, folder: Path) -> None:
        if shutil.which("git") is None:
            pytest.skip("there is no git on this machine")
        self.folder = folder
        folder.mkdir(parents=True)
        self.git("init", "--quiet", "--initial-branch=main")

    @property
    def url(self) -> str:
        return self.folder.as_uri()

    def git(self, *arguments: str) -> str:
        names = {f"GIT_{who}_{what}": value for who in ("AUTHOR", "COMMITTER") for what, value in _WHO.items()}
        kept = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
        done = subprocess.run(
            ["git", *arguments],
            cwd=self.folder,
            env=kept | names | {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"},
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.strip()

    def commit(self, files: Mapping[str, str]) -> str:
        """Write files and commit everything. Returns the commit."""
        write_project(self.folder, files)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", "a step")
        return self.git("rev-parse", "HEAD")


_WHO = {"NAME": "Tester", "EMAIL": "tester@example.com", "DATE": "2026-01-01T00:00:00Z"}
