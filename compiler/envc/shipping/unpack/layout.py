"""Where the files of a wheel go, read from the name of a layout (DESIGN section 1).

The names are made by ``envc.model.environment.python_layout``. Places follow the ``venv`` scheme of ``sysconfig``, and
for headers the folder that pip uses inside a virtual environment.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Literal

import msgspec

from envc.shipping.format.paths import check_path

Machine = Literal["x64", "arm64", "x86"]

_POSIX = re.compile(r"(?:py(?P<cpython>3\.\d+t?)|(?P<pypy>pypy3\.\d+))-posix")
_WINDOWS = re.compile(r"nt(?P<own>-own)?(?:-(?P<machine>arm64|x86))?")
_SITE = re.compile(r"(?:[a-z0-9-]|\.[0-9a-f]{2})+")


class Layout(msgspec.Struct, frozen=True, kw_only=True):
    """The folders of one layout, relative to the prefix, POSIX separators."""

    name: str
    site: str  # purelib and platlib, which are one folder in every virtual environment
    scripts: str
    headers: str  # each distribution has its own folder below
    python: str  # the interpreter that launchers look for
    windows: Machine | None = None  # the CPU that .exe launchers are for; None on POSIX

    @property
    def to_prefix(self) -> str:
        """The way from `site` to the prefix, as RECORD writes it: ``../../../``."""
        return "../" * (self.site.count("/") + 1)

    @property
    def to_python(self) -> str:
        """The way from the scripts to the folder of the interpreter: "" where it stands beside them, or ``../``."""
        return "" if self.python.startswith(f"{self.scripts}/") else "../"


@lru_cache(maxsize=64)
def parse_layout(name: str) -> Layout:
    """The folders that a layout's name stands for. Raises ValueError for a name that is none for Python's files."""
    family, _, site = name.partition("--")
    if site and not _SITE.fullmatch(site):
        raise ValueError(f"{name!r} is not a layout of wheels")
    if match := _WINDOWS.fullmatch(family):
        machines: dict[str | None, Machine] = {None: "x64", "arm64": "arm64", "x86": "x86"}
        layout = Layout(
            name=name,
            site="Lib/site-packages",
            scripts="Scripts",
            headers="Include/site",
            python="python.exe" if match["own"] else "Scripts/python.exe",
            windows=machines[match["machine"]],
        )
    elif match := _POSIX.fullmatch(family):
        library = match["pypy"] or f"python{match['cpython']}"
        layout = Layout(
            name=name,
            site=f"lib/{library}/site-packages",
            scripts="bin",
            headers=f"include/site/{library}",
            python="bin/python",
        )
    else:
        raise ValueError(f"{name!r} is not a layout of wheels")
    return msgspec.structs.replace(layout, site=_read(site)) if site else layout


def _read(site: str) -> str:
    """The path that `python_layout` spelt. Raises ValueError when it leads out of the prefix."""
    try:
        path = (
            re.sub(r"\.(..)", lambda match: chr(int(match[1], 16)), site.replace("-", "/")).encode("latin-1").decode()
        )
    except UnicodeDecodeError:
        raise ValueError(f"{site!r} spells no path") from None
    check_path(path)
    return path
