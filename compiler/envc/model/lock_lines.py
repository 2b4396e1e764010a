"""The structured lines of a lock. Each is parsed once and kept as a value until it is written again.

Parsing and rendering are defined side by side, so that each is the inverse of the other.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import TYPE_CHECKING

import msgspec

from envc.model.reason import MAX_LENGTH, plain_reason
from envc_solvers.pypi.language.requirement import canonicalize_name

if TYPE_CHECKING:
    from envc_solvers.passed_over import PassedOver
    from envc_solvers.pypi.language.requirement import Requirement

Extra = tuple[str, str]  # project and extra, both normalised

# How a canonical requirement with extras begins. A later bracket belongs to a path or a URL.
_WITH_EXTRAS = re.compile(r"([a-z0-9-]+)\[([a-z0-9,-]+)\]")
_PASSED_OVER = (
    r"([a-z0-9](?:[a-z0-9-]*[a-z0-9])?) ([A-Za-z0-9._+!~-]+): ([a-z-]+)(?: (?!@ )((?:(?! @ ).)+?))?"
    r"(?: @ ([A-Za-z0-9_.-]+(?:, [A-Za-z0-9_.-]+)*))?"
)
_EXTRA_CLAUSE = r"""extra\s*==\s*["']([^"']*)["']|["']([^"']*)["']\s*==\s*extra"""


class LockedInput(msgspec.Struct, frozen=True):
    """One line of an environment's ``requires``: ``pypi:torch>=2`` or ``pypi:colorama @ win-64, gpu``."""

    text: str  # kind and canonical requirement: "pypi:torch[cuda]>=2", "conda:numpy >=1.26"
    targets: tuple[str, ...] = ()  # names of the targets that require it, sorted; () for all of the environment's

    @classmethod
    def read(cls, line: str, known: Iterable[str]) -> LockedInput:
        """Read a line of an environment with these target names.

        A direct reference also contains " @ ". The text after it is read as targets only if all its parts are known.
        """
        text, _, listed = line.rpartition(" @ ")
        if not text:
            return cls(line)
        names = set(listed.split(", "))
        return cls(text, tuple(sorted(names))) if names.issubset(known) else cls(line)

    @property
    def line(self) -> str:
        return f"{self.text} @ {', '.join(self.targets)}" if self.targets else self.text

    @property
    def extras(self) -> frozenset[Extra]:
        """The extras that a PyPI requirement requests."""
        kind, _, requirement = self.text.partition(":")
        return frozenset(_requested_extras(requirement)) if kind == "pypi" else frozenset()


class LockedPassedOver(msgspec.Struct, frozen=True, order=True):
    """One line of an environment's ``passed-over``: ``hydra-core 1.3.8: sdist antlr4-python3-runtime @ win-64``.

    It records a release that is newer than the locked one, and why it was not chosen when the environment was solved.
    """

    name: str  # normalised
    newer: str  # version
    kind: str  # a PassedOverKind; another one, of a later envc, is shown as it is
    detail: str = ""  # as in `PassedOver`, without addresses
    targets: tuple[str, ...] = ()  # names of the targets that it holds for, sorted; () for all of the environment's

    @classmethod
    def of(cls, found: PassedOver) -> LockedPassedOver:
        # The rest are our own words about names and versions, which `plain_reason` would take for hosts.
        is_foreign = found.kind in ("yanked", "metadata", "unmet")
        is_foreign = is_foreign or "://" in found.detail or len(found.detail) > MAX_LENGTH
        detail = plain_reason(found.detail) if is_foreign else found.detail
        return cls(found.name, found.newer, found.kind, " ".join(detail.split()).lstrip("@ ").replace(" @ ", " … "))

    @classmethod
    def read(cls, line: str) -> LockedPassedOver | None:
        """Read a line of a lock; None if it is not one of these."""
        found = re.fullmatch(_PASSED_OVER, line)
        if found is None:
            return None
        name, newer, kind, detail, targets = found.groups()
        return cls(name, newer, kind, detail or "", tuple(sorted(set(targets.split(", ")))) if targets else ())

    @property
    def line(self) -> str:
        text = f"{self.name} {self.newer}: {self.kind}"
        text += f" {self.detail}" if self.detail else ""
        return f"{text} @ {', '.join(self.targets)}" if self.targets else text


class StatedRequirement(msgspec.Struct, frozen=True, gc=False):
    """A requirement that a PyPI artifact states, with the parts that decide whether a lock keeps it."""

    text: str  # in canonical form
    requested_extras: tuple[Extra, ...] = ()  # the extras of its project that it requests
    only_for: tuple[str, ...] = ()  # the extras of the artifact that enable it, normalised, sorted; () for all
    is_direct: bool = False  # whether it names a URL (PEP 508)

    @classmethod
    def of(cls, requirement: Requirement) -> StatedRequirement:
        return cls(
            str(requirement),
            tuple([(requirement.name, extra) for extra in requirement.extras]) if requirement.extras else (),
            _compared_extras(requirement.marker) if requirement.marker else (),
            bool(requirement.url),
        )

    @classmethod
    def read(cls, line: str) -> StatedRequirement:
        """Read a requirement in canonical form; a full parse would take ten times as long."""
        head, _, marker = line.partition(";")
        return cls(line, _requested_extras(line), _compared_extras(marker), " @ " in head)


def _requested_extras(requirement: str) -> tuple[Extra, ...]:
    found = _WITH_EXTRAS.match(requirement)
    return tuple((found[1], extra) for extra in found[2].split(",")) if found is not None else ()


@lru_cache(maxsize=4096)  # projects write the same few markers at many requirements
def _compared_extras(marker: str) -> tuple[str, ...]:
    """The extras that a marker compares with."""
    if "extra" not in marker:
        return ()
    return tuple(sorted({canonicalize_name(left or right) for left, right in re.findall(_EXTRA_CLAUSE, marker)}))
