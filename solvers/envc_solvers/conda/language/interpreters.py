"""Which interpreter a build of conda's `python` or `python_abi` is: its implementation and ABI, as build strings say.

conda-forge: ``h1_0_cpython``, ``h1_100_cp313``, ``h1_2_cp313t``, ``0_73_pypy``, ``2_graalpy230_310_native``, and
``5_cp313t``, ``4_pypy39_pp73`` of `python_abi`. Others, such as the ``h955ad1f_0`` of defaults, are of CPython.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from envc_solvers.errors import SolverError
from envc_solvers.solution import Pin
from envc_solvers.target import Python

_PACKAGES = ("python", "python_abi")
_CPYTHON = re.compile(r"cp(?P<major>[0-9])(?P<minor>[0-9]{1,3})(?P<flags>[a-z]*)")
_OTHERS = {"pypy": "PyPy", "graalpy": "GraalPy"}


class OtherInterpreter(SolverError):
    """conda's Python in a solution is not the one that a step is for, so wheels would be chosen for another ABI."""

    def __init__(self, package: str, kind: str, python: Python) -> None:
        super().__init__(package, kind, python)
        self.package = package  # "python 3.13.1 (build h1_2_cp313t)"
        self.kind = kind  # "a free-threaded CPython 3.13"
        self.python = python

    def __str__(self) -> str:
        return f"conda's {self.package} is {self.kind}, and the Python is {self.python.text}"

    @property
    def suggestion(self) -> str:
        plain = f"{self.python.minor[0]}.{self.python.minor[1]}"
        abi = f"cp{plain.replace('.', '')}"
        build = f"the build of `python` or `python_abi` in a spec, such as `python * *_{abi}`"
        if self.kind.startswith("a free-threaded CPython") and not self.python.free_threaded:
            return f'write python = "{plain}t", or remove what requires it; or name {build}'
        if self.python.free_threaded:
            return f'write python = "{plain}", or name {build}t'
        return f"only CPython can come from conda channels: change {build}"


def refuse_other_interpreter(pins: Iterable[Pin], python: Python) -> None:
    """Raise OtherInterpreter if the Python among these pins is not `python`: another implementation, minor or ABI."""
    for pin in pins:
        if pin.kind == "conda" and pin.name in _PACKAGES:
            kind = other_kind(pin.name, pin.build, python)
            if kind is not None:
                raise OtherInterpreter(f"{pin.name} {pin.version} (build {pin.build})", kind, python)


def other_kind(name: str, build: str, python: Python) -> str | None:
    """What the build of a conda package is, if it is an interpreter other than `python`; else None."""
    if name not in _PACKAGES:
        return None
    for part in build.lower().split("_"):
        for word, title in _OTHERS.items():
            if part.startswith(word):
                return title
        found = _CPYTHON.fullmatch(part)
        if found is None:
            continue
        minor, flags = (int(found["major"]), int(found["minor"])), found["flags"]
        # `m` was a flag of every CPython until 3.7. A debug build has the ABI of the others since 3.8.
        if (minor, "t" in flags) != (python.minor, python.free_threaded):
            version = f"CPython {minor[0]}.{minor[1]}"
            return f"a free-threaded {version}" if "t" in flags else f"a {version} without free threading"
        return None
    return None
