"""What makes a tree of files a virtual environment (PEP 405): ``pyvenv.cfg`` and the way to the interpreter.

An environment that brings its own interpreter is none: nothing of this is made there.
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


STATE = ".envc/prefix.json"  # made by hydrate beside what `make_prefix` makes: what the prefix is, and on what


def made_paths(platform: Platform, python: Python) -> tuple[str, ...]:
    """The paths that `make_prefix` makes, sorted, relative to the prefix; no object may hold them."""
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
    """Let the tree at `root` run on `host`. Nothing in it names `root`, so it may be renamed afterwards.

    Raises FileExistsError where an object holds one of the paths, and EnvcError for a Windows Python without ``venv``.
    """
    base = Path(host.executable)
    # `home` is what Python looks at to find its standard library; it must be the base executable's own folder.
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
    (folder / "python").symlink_to(_steady(base, python))
    for path in made_paths(platform, python):
        name = path.removeprefix("bin/")
        if name not in ("python", "pyvenv.cfg"):
            (folder / name).symlink_to("python")


def _steady(base: Path, python: Python) -> Path:
    """The same executable by a name that will not mean another minor after an upgrade: python3.12, not python3."""
    named = base.with_name(f"python{python.minor[0]}.{python.minor[1]}{'t' if python.free_threaded else ''}")
    return named if named.exists() and named.samefile(base) else base


def _copy_redirectors(folder: Path, base: Path, *, free_threaded: bool) -> None:
    """Copy the programs that start the Python which ``pyvenv.cfg`` names."""
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
