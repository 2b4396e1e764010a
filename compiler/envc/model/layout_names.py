"""The names of layouts, which say where a kind of interpreter keeps its packages."""

from __future__ import annotations

from envc.model.kinds import InterpreterKind
from envc_solvers.target import Python, Target


def python_layout(target: Target, python: Python, interpreter: InterpreterKind, site: str = "") -> str:
    """The layout of wheels and noarch conda packages for that Python on that target.

    Windows puts their files below ``Lib/site-packages`` whatever the version, but launchers are programs for one kind
    of CPU, and look for Python beside themselves (``nt``, ``nt-arm64``, ``nt-x86``) or, where the environment brings
    its own interpreter, in the folder above (``nt-own``, ``nt-own-arm64``, ``nt-own-x86``). On POSIX the path holds
    the version and Python is always beside the launchers.

    `site` is the folder where an interpreter keeps packages, if it is not the layout's own (CEP-17); the name then
    ends with it: ``py3.14-posix--lib-python-site.2dpackages``.
    """
    if target.facts.family == "windows":
        own = "" if interpreter == "host" else "-own"
        name = f"nt{own}" + {"amd64": "", "arm64": "-arm64", "win32": "-x86"}[target.facts.arch]
    else:
        minor = f"{python.minor[0]}.{python.minor[1]}"
        if python.implementation == "pypy":
            name = f"pypy{minor}-posix"
        else:
            name = f"py{minor}{'t' if python.free_threaded else ''}-posix"
    return f"{name}--{_spell(site)}" if site and site != usual_site(target, python) else name


def usual_site(target: Target, python: Python) -> str:
    """Where that Python keeps packages, relative to the prefix, unless somebody says otherwise."""
    if target.facts.family == "windows":
        return "Lib/site-packages"
    minor = f"{python.minor[0]}.{python.minor[1]}"
    if python.implementation == "pypy":
        return f"lib/pypy{minor}/site-packages"
    return f"lib/python{minor}{'t' if python.free_threaded else ''}/site-packages"


def _spell(path: str) -> str:
    """A path in the letters that names of layouts may have: ``/`` as ``-``, what else they lack as ``.`` and two hex
    digits for each byte.
    """
    return "".join(_LETTERS.get(byte) or f".{byte:02x}" for byte in path.encode())


_LETTERS = {ord(letter): letter for letter in "abcdefghijklmnopqrstuvwxyz0123456789"} | {ord("/"): "-"}
