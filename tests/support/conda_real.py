"""Real channels: this interpreter and real wheels as conda packages, indexed by conda-index, cached between runs.

They are in the user's cache folder, keyed by what they are made from: the interpreter and the code that makes packages.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable, Iterable
from pathlib import Path

import platformdirs

from envc.shipping.machine.interpreter import this_python
from tests.benchmarks.measure import clean_environment
from tests.e2e.command import ENVC, HOST_PYTHON, host_platform
from tests.support import conda_packages, conda_python, conda_wheels
from tests.support.conda_channels import conda_index, write_channel
from tests.support.conda_packages import Package

_CACHE = platformdirs.user_cache_path("envc-tests")


def missing() -> str | None:
    """Return why no real channel can be made on this machine; None if it can."""
    if importlib.util.find_spec("conda_index") is None:
        return "conda-index is not installed"
    return conda_python.missing()


def real_channel(requirements: Iterable[str] = (), extra: Iterable[Package] = ()) -> Path:
    """Return the folder of a channel with `python`, its libraries, the locked requirements, and `extra` packages.

    Requirements need the real index if their channel is not cached yet.
    """
    wanted, more = sorted(requirements), list(extra)
    modules = (conda_packages, conda_python, conda_wheels)
    made_by = [Path(str(module.__file__)).read_text() for module in modules]
    inputs = repr([sys.version, sys.base_prefix, made_by, wanted, [package.sha256 for package in more]])
    key = hashlib.sha256(inputs.encode()).hexdigest()[:16]

    return _kept(_CACHE / "channels" / key, lambda folder: make_channel(folder, wanted, more))


def make_channel(folder: Path, requirements: Iterable[str], extra: Iterable[Package] = ()) -> list[Package]:
    """Write and index such a channel without a cache. Returns its packages."""
    wheels = _wheels(requirements) if requirements else []
    packages = [*conda_python.python_packages(), *map(conda_wheels.conda_of_wheel, wheels), *extra]
    write_channel(folder, *packages, subdirs=[host_platform()])
    conda_index(folder)
    return packages


def _wheels(requirements: Iterable[str]) -> list[Path]:
    """Return the wheels that envc locks and fetches for this machine."""
    glibc = this_python().glibc
    quoted = ", ".join(f'"{requirement}"' for requirement in requirements)
    folder = _CACHE / "fetched"
    env = clean_environment(ENVC_CACHE_DIR=str(folder), ENVC_PYTHON=sys.executable)
    with tempfile.TemporaryDirectory() as work:
        (Path(work) / "manifest.toml").write_text(
            f'[project]\nname = "wheels"\ntargets = ["here"]\npython = "{HOST_PYTHON}"\n\n'
            f'[targets.here]\nplatform = "{host_platform()}"\nglibc = "{glibc}"\n\n[steps.all]\npypi = [{quoted}]\n'
        )
        for verb in (["lock"], ["bundle", "--fast", "--store", f"{work}/store"]):
            subprocess.run([str(ENVC), *verb, "-q"], cwd=work, env=env, check=True)
        lock = tomllib.loads((Path(work) / "manifest.lock").read_text())
    files = {artifact["file"] for package in lock["package"] for artifact in package["artifacts"]}
    found = {path.name: path for path in (folder / "artifacts").rglob("*.whl") if path.name in files}
    assert found.keys() == files, files - found.keys()
    return [found[file] for file in sorted(files)]


def _kept(folder: Path, make: Callable[[Path], None]) -> Path:
    """Return the folder, made if it is missing. Making it removes sibling folders that were unused for two weeks."""
    if folder.exists():
        os.utime(folder)
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    for other in folder.parent.iterdir():
        if time.time() - other.stat().st_mtime > 14 * 24 * 3600:
            shutil.rmtree(other, ignore_errors=True)
    made = Path(tempfile.mkdtemp(dir=folder.parent))
    try:
        make(made)
        made.rename(folder)
    except OSError:
        if not folder.exists():  # otherwise another process has made it in the meantime
            raise
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return folder
