"""What a solver answers with, for either ecosystem."""

from __future__ import annotations

from typing import Literal

import msgspec

Kind = Literal["pypi", "conda", "interpreter"]


class Pin(msgspec.Struct, frozen=True, kw_only=True):
    """One package chosen for one target."""

    kind: Kind
    name: str  # normalised
    version: str
    build: str = ""  # conda build string
    noarch: Literal["", "python", "generic"] = ""  # of a conda package: what its place depends on
    site_packages: str = ""  # of conda's `python`: where it keeps packages, if its record says so (CEP-17)
    source: str  # source name, never a URL
    file: str
    sha256: str  # "" only where no source states it; the caller hashes the file before it locks
    size: int  # bytes; 0 where no source states it
    uploaded: int | None = None  # seconds since the epoch, UTC
    license: str = ""
    yanked: str | None = None  # why its author took back the file, if he did; "" without a reason (PEP 592)
    extras: tuple[str, ...] = ()  # requested by somebody in this solution, sorted
    requires: tuple[str, ...] = ()  # every requirement the artifact states, canonical, extras' ones included
    provides: tuple[str, ...] = ()  # PyPI projects that a conda package stands for, where somebody asked; sorted
    depends: tuple[str, ...] = ()  # names of the pins of this solution that it was solved with, sorted


class Solution(msgspec.Struct, frozen=True, kw_only=True):
    """The pins of one problem, sorted by kind and name."""

    pins: tuple[Pin, ...]
    roots: tuple[str, ...]  # names that the problem's own requirements reached, sorted
    warnings: tuple[str, ...] = ()
