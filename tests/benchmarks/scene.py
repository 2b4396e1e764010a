"""One locked and bundled set in a separate folder, with the wheels that it was made from, for peers to install."""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec
from packaging.utils import parse_wheel_filename

from tests.benchmarks.measure import benchmark_sets, clean_environment, memory_folder, program, timed

# For Linux the index has only CUDA builds. --find-links names a folder with a CPU build.
EXTRA_SETS = {"torch": ["torch", "transformers"]}


class Scene(msgspec.Struct, frozen=True):
    """The folders of a benchmark."""

    folder: Path
    env: dict[str, str]
    target: str

    @property
    def work(self) -> Path:
        return self.folder / "work"

    @property
    def cache(self) -> Path:
        return self.folder / "cache"

    @property
    def store(self) -> Path:
        return self.folder / "store"

    @property
    def wheels(self) -> list[str]:
        return sorted(str(path) for path in (self.folder / "wheels").iterdir())

    def envc(self, *arguments: str, **env: str) -> float:
        """Return the seconds of one command."""
        return timed([program("envc"), *arguments], self.env | env, self.work)

    def hydrate(self, prefix: Path, *arguments: str) -> float:
        return self.envc("hydrate", "all", "-q", "--target", self.target, "--prefix", str(prefix), *arguments)

    def uv_install(self, prefix: Path, *arguments: str, cache: Path) -> float:
        """Return the seconds of installing all wheels into a new environment, without the time to make it."""
        env = self.env | {"UV_CACHE_DIR": str(cache)}
        uv = program("uv")
        timed([uv, "venv", "-q", "--no-config", "--no-project", str(prefix)], env, self.work)
        command = [uv, "pip", "install", "-q", "--no-config", "--no-index", "--no-deps", "--python", str(prefix)]
        return timed([*command, *arguments, *self.wheels], env, self.work)


def options(name: str, text: str | None, *, runs: int = 5) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=name, description=text)
    parser.add_argument("--set", default="datascience", help="a shared set, or torch (default: %(default)s)")
    parser.add_argument("--target", default="linux-64", help="of the set (default: %(default)s)")
    parser.add_argument("--find-links", type=Path, help="a folder of wheels; their projects come only from there")
    parser.add_argument("--record", action="store_true", help="let the lock demand what every artifact unpacks to")
    parser.add_argument("--runs", type=int, default=runs)
    parser.add_argument("--folder", type=Path, help="where to work, and to find what an earlier run left")
    return parser


Prepare = Callable[[Path, argparse.Namespace], Scene]


@contextmanager
def scene(chosen: argparse.Namespace, prepare: Prepare | None = None) -> Iterator[Scene]:
    """Return the scene of the chosen set. A folder given as an option is kept and reused."""
    prepare = prepare or of_wheels
    if chosen.folder is not None:
        chosen.folder.mkdir(parents=True, exist_ok=True)
        yield prepare(chosen.folder.resolve(), chosen)
        return
    with tempfile.TemporaryDirectory(dir=memory_folder()) as folder:
        yield prepare(Path(folder), chosen)


def of_wheels(folder: Path, chosen: argparse.Namespace) -> Scene:
    data = benchmark_sets()
    python = data["python"]
    env = clean_environment(
        ENVC_CACHE_DIR=str(folder / "cache"), ENVC_STORE=str(folder / "store"), PYTHONDONTWRITEBYTECODE=""
    )
    place = Scene(folder, env, chosen.target)
    if (place.work / "done").exists():
        return place
    requirements = EXTRA_SETS.get(chosen.set) or data["sets"][chosen.set]["requirements"]
    quoted = "".join(f'  "{requirement}",\n' for requirement in requirements)
    place.work.mkdir(parents=True, exist_ok=True)
    (place.work / "manifest.toml").write_text(
        f'[project]\nname = "benchmark"\ntargets = ["{chosen.target}"]\npython = "{python}"\n'
        f'exclude-newer = {data["exclude_newer"]}\n\n[steps.all]\nrun = "python -c pass"\npypi = [\n{quoted}]\n'
        + (_source(chosen.find_links.resolve(), place.work) if chosen.find_links else "")
    )
    place.envc("lock", "-q")
    place.envc("bundle", "-q", *(["--record"] if chosen.record else []))
    wheels = folder / "wheels"
    wheels.mkdir(exist_ok=True)
    for path in (place.cache / "artifacts").rglob("*.whl"):
        os.link(path, wheels / path.name)
    (place.work / "done").touch()
    return place


def _source(folder: Path, work: Path) -> str:
    """Return a source of a manifest in `work`. Paths are relative to the manifest. Files in a folder have no times."""
    projects = sorted({parse_wheel_filename(path.name)[0] for path in folder.glob("*.whl")})
    fields = {"kind": "find-links", "url": os.path.relpath(folder, work), "projects": projects}
    lines = ["", "[sources.folder]", *(f"{key} = {json.dumps(value)}" for key, value in fields.items())]
    lines += ["", "[policy.exclude-newer-package]", *(f"{project} = false" for project in projects)]
    return "\n".join([*lines, ""])


def removing(path: Path, work: Callable[[], float]) -> Callable[[], float]:
    """Return `work` with `path` removed before and after. The removal is not measured."""

    def side() -> float:
        shutil.rmtree(path, ignore_errors=True)
        seconds = work()
        shutil.rmtree(path, ignore_errors=True)
        return seconds

    return side


class Meter:
    """A side that also records the CPU seconds of its processes, more reliable than time on a busy machine."""

    def __init__(self, side: Callable[[], float]) -> None:
        self._side = side
        self.cpu: list[float] = []

    def __call__(self) -> float:
        before = _children()
        seconds = self._side()
        self.cpu.append(_children() - before)
        return seconds


def _children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


_PEAK = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def peak(command: Sequence[str], env: dict[str, str], cwd: Path) -> int:
    """Return the peak resident set size of a command, or of its largest process, in MiB. POSIX.

    A small process starts the command, because memory of the process before exec counts as well.
    """
    done = subprocess.run([sys.executable, "-c", _PEAK, *command], env=env, cwd=cwd, stdout=subprocess.PIPE, check=True)
    return int(done.stdout) // 1024


def tree_size(path: Path) -> tuple[int, int]:
    """Return the numbers of files and bytes below a folder."""
    files = [Path(folder, name) for folder, _, names in os.walk(path) for name in names]
    return len(files), sum(file.lstat().st_size for file in files)
