"""Where the files of a wheel go, read from the name of a layout (DESIGN section 1).

The names are made by ``envc.model.environment.python_layout``. Places follow the ``venv`` scheme of ``sysconfig``, and
for headers the folder that pip uses inside a virtual environment.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Literal

import msgspec

Machine = Literal["x64", "arm64", "x86"]

_POSIX = re.compile(r"(?:py(?P<cpython>3\.\d+t?)|(?P<pypy>pypy3\.\d+))-posix")
_WINDOWS: dict[str, Machine] = {"nt": "x64", "nt-arm64": "arm64", "nt-x86": "x86"}


class Layout(msgspec.Struct, frozen=True, kw_only=True):
    """The folders of one layout, relative to the prefix, POSIX separators."""

    name: str
    site: str  # purelib and platlib, which are one folder in every virtual environment
    scripts: str
    headers: str  # each distribution has its own folder below
    python: str  # the interpreter that launchers look for beside themselves
    windows: Machine | None = None  # the CPU that .exe launchers are for; None on POSIX

    @property
    def to_prefix(self) -> str:
        """The way from `site` to the prefix, as RECORD writes it: ``../../../``."""
        return "../" * (self.site.count("/") + 1)


@lru_cache(maxsize=64)
def parse_layout(name: str) -> Layout:
    """The folders that a layout's name stands for. Raises ValueError for a name that is not a wheel layout."""
    machine = _WINDOWS.get(name)
    if machine is not None:
        return Layout(
            name=name,
            site="Lib/site-packages",
            scripts="Scripts",
            headers="Include/site",
            python="Scripts/python.exe",
            windows=machine,
        )
    match = _POSIX.fullmatch(name)
    if match is None:
        raise ValueError(f"{name!r} is not a layout of wheels")
    library = match["pypy"] or f"python{match['cpython']}"
    return Layout(
        name=name,
        site=f"lib/{library}/site-packages",
        scripts="bin",
        headers=f"include/site/{library}",
        python="bin/python",
    )
