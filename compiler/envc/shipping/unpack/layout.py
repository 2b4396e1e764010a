"""The folders for the files of a wheel, derived from the name of a layout.

The names come from ``envc.model.layout_names.python_layout``. The folders follow the ``venv`` scheme of ``sysconfig``;
headers go to the folder that pip uses inside a virtual environment.
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
    site: str  # purelib and platlib, which are the same folder in every virtual environment
    scripts: str
    headers: str  # contains a folder for each distribution
    python: str  # the interpreter that launchers run
    windows: Machine | None = None  # the CPU that .exe launchers are for; None on POSIX

    @property
    def to_prefix(self) -> str:
        """The relative path from `site` to the prefix, as in RECORD: ``../../../``."""
        return "../" * (self.site.count("/") + 1)

    @property
    def to_python(self) -> str:
        """The relative path from the scripts to the folder of the interpreter: "" if they are in the same, or
        ``../``.
        """
        return "" if self.python.startswith(f"{self.scripts}/") else "../"


@lru_cache(maxsize=64)
def parse_layout(name: str) -> Layout:
    """The folders of the layout of that name. Raises ValueError if it is not a layout for files of Python."""
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
    return msgspec.structs.replace(layout, site=_decode_path(site)) if site else layout


def _decode_path(site: str) -> str:
    """The path that `python_layout` encoded. Raises ValueError if it leaves the prefix."""
    try:
        path = (
            re.sub(r"\.(..)", lambda match: chr(int(match[1], 16)), site.replace("-", "/")).encode("latin-1").decode()
        )
    except UnicodeDecodeError:
        raise ValueError(f"{site!r} is not an encoded path") from None
    check_path(path)
    return path
