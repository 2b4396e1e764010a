"""Solutions: the result of every solver, for both ecosystems."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

from envc_solvers.passed_over import PassedOver

if TYPE_CHECKING:
    from envc_solvers.pypi.language.requirement import Requirement

Kind = Literal["pypi", "conda", "interpreter"]


class Pin(msgspec.Struct, frozen=True, kw_only=True):
    """One package chosen for one target."""

    kind: Kind
    name: str  # normalised
    version: str
    build: str = ""  # conda build string
    noarch: Literal["", "python", "generic"] = ""  # of a conda package; decides where its files go
    site_packages: str = ""  # of conda's `python`: where it keeps packages, if its record states it (CEP-17)
    source: str  # source name, never a URL
    file: str
    sha256: str  # "" only if no source states it; the caller then hashes the file before it writes the lock
    size: int  # bytes; 0 if no source states it
    uploaded: int | None = None  # seconds since the epoch, UTC
    license: str = ""
    yanked: str | None = None  # the reason if the file is yanked, "" without a reason; None if it is not (PEP 592)
    extras: tuple[str, ...] = ()  # the extras requested in this solution, sorted
    requires_python: tuple[str, ...] = ()  # Requires-Python as the index and the metadata state it, without duplicates
    requires: tuple[Requirement, ...] = ()  # every requirement that a PyPI artifact states, including those of extras
    specs: tuple[str, ...] = ()  # the MatchSpecs of a conda record's ``depends``, as it writes them
    provides: tuple[str, ...] = ()  # PyPI projects that a conda package stands for, in a mixed problem; sorted
    depends: tuple[str, ...] = ()  # names of the pins of this solution that it was solved with, sorted


class Solution(msgspec.Struct, frozen=True, kw_only=True):
    """The pins of one problem, sorted by kind and name."""

    pins: tuple[Pin, ...]
    roots: tuple[str, ...]  # names in the problem's own requirements that apply on this target, sorted
    warnings: tuple[str, ...] = ()
    # The oldest patch release of Python that the PyPI packages hold for (see `pypi.patch_releases`).
    patch: int = 0
    passed_over: tuple[PassedOver, ...] = ()  # newer releases that were not chosen, sorted
