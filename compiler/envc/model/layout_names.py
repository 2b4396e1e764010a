"""The names of layouts. A layout is where a kind of interpreter keeps its packages."""

from __future__ import annotations

from envc.model.kinds import InterpreterKind
from envc_solvers.target import Python, Target


def python_layout(target: Target, python: Python, interpreter: InterpreterKind, site: str = "") -> str:
    """The layout of wheels and noarch conda packages for that Python on that target.

    On Windows the files are below ``Lib/site-packages``, whatever the version, but launchers are programs for one kind
    of CPU. They look for Python in their own folder (``nt``, ``nt-arm64``, ``nt-x86``) or, if the environment has its
    own interpreter, in the folder above (``nt-own``, ``nt-own-arm64``, ``nt-own-x86``). On POSIX the path contains the
    version, and Python is always in the folder of the launchers.

    `site` is the folder where an interpreter keeps packages, if it differs from the usual one (CEP-17). The name then
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
    return f"{name}--{_encode(site)}" if site and site != usual_site(target, python) else name


def usual_site(target: Target, python: Python) -> str:
    """The folder where that Python keeps packages by default, relative to the prefix."""
    if target.facts.family == "windows":
        return "Lib/site-packages"
    minor = f"{python.minor[0]}.{python.minor[1]}"
    if python.implementation == "pypy":
        return f"lib/pypy{minor}/site-packages"
    return f"lib/python{minor}{'t' if python.free_threaded else ''}/site-packages"


def _encode(path: str) -> str:
    """Encode a path in the characters that are allowed in layout names.

    ``/`` becomes ``-``. Every other byte that is not allowed becomes ``.`` and two hex digits.
    """
    return "".join(_LETTERS.get(byte) or f".{byte:02x}" for byte in path.encode())


_LETTERS = {ord(letter): letter for letter in "abcdefghijklmnopqrstuvwxyz0123456789"} | {ord("/"): "-"}
