"""Turns a tree of files into a virtual environment (PEP 405) with ``pyvenv.cfg`` and links to the interpreter.

An environment that contains its own interpreter is not a virtual environment, and needs neither.
"""

from __future__ import annotations

from pathlib import Path

from envc.errors import EnvcError
from envc.shipping.machine.interpreter import HostPython
from envc_solvers.target import Platform, Python

# In CPython's Lib/venv/scripts/nt; since 3.13 the redirectors are called venvlauncher (venvlaunchert free-threaded).
_REDIRECTORS = {
    "python.exe": ("venvlauncher{t}.exe", "python.exe"),
    "pythonw.exe": ("venvwlauncher{t}.exe", "pythonw.exe"),
}


STATE = ".envc/prefix.json"  # written by hydrate: the record and the interpreter of the prefix


def made_paths(platform: Platform, python: Python) -> tuple[str, ...]:
    """The paths that `make_prefix` creates, sorted and relative to the prefix. No object may contain them."""
    if platform.family == "windows":
        return ("Scripts/python.exe", "Scripts/pythonw.exe", "pyvenv.cfg")
    minor = f"{python.minor[0]}.{python.minor[1]}"
    names = ["python", "python3", f"python{minor}"]
    if python.implementation == "pypy":
        names += ["pypy", "pypy3", f"pypy{minor}"]
    if python.free_threaded:
        names.append(f"python{minor}t")
    return (*sorted(f"bin/{name}" for name in names), "pyvenv.cfg")


def make_prefix(root: Path, host: HostPython, platform: Platform, python: Python) -> None:
    """Make the tree at `root` run on `host`. No file contains the path `root`, so the tree may be renamed afterwards.

    Raises FileExistsError if an object contains one of the paths, and EnvcError for a Windows Python without ``venv``.
    """
    base = Path(host.executable)
    # Python finds its standard library from `home`, which must be the folder of the base executable.
    lines = {
        "home": str(base.parent),
        "implementation": host.implementation,
        "version": host.version,
        "include-system-site-packages": "false",
    }
    with (root / "pyvenv.cfg").open("x", encoding="utf-8") as stream:
        stream.writelines(f"{key} = {value}\n" for key, value in lines.items())
    if platform.family == "windows":
        _copy_redirectors(root / "Scripts", base, free_threaded=host.free_threaded)
        return
    folder = root / "bin"
    folder.mkdir(exist_ok=True)
    (folder / "python").symlink_to(_stable_name(base, python))
    for path in made_paths(platform, python):
        name = path.removeprefix("bin/")
        if name not in ("python", "pyvenv.cfg"):
            (folder / name).symlink_to("python")


def stable_names(base: Path, python: Python) -> frozenset[str]:
    """The paths that ``bin/python`` may lead to. Which one it is depends on the files beside the executable."""
    return frozenset({str(base), str(_minor_name(base, python))})


def _stable_name(base: Path, python: Python) -> Path:
    """The same executable, by a name that stays with the minor version after an upgrade: python3.12, not python3."""
    named = _minor_name(base, python)
    return named if named.exists() and named.samefile(base) else base


def _minor_name(base: Path, python: Python) -> Path:
    return base.with_name(f"python{python.minor[0]}.{python.minor[1]}{'t' if python.free_threaded else ''}")


def _copy_redirectors(folder: Path, base: Path, *, free_threaded: bool) -> None:
    """Copy the programs that start the Python in ``pyvenv.cfg``."""
    import shutil

    folder.mkdir(exist_ok=True)
    source = base.parent / "Lib/venv/scripts/nt"
    for name, candidates in _REDIRECTORS.items():
        for candidate in candidates:
            path = source / candidate.format(t="t" if free_threaded else "")
            if path.is_file():
                shutil.copyfile(path, folder / name)
                break
        else:
            raise EnvcError(f"{base} has no {source.relative_to(base.parent)}, so no environment can be made on it")
