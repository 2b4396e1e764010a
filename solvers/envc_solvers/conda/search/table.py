"""The ranked records of one name, and the candidates that specs on that name allow."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Sequence
from itertools import groupby, repeat
from typing import Literal, NamedTuple

from envc_solvers.conda.language.matchspec import InvalidMatchSpec, MatchSpec, parse_matchspec
from envc_solvers.conda.language.pattern import compile_pattern
from envc_solvers.conda.language.record import Record
from envc_solvers.conda.language.version import parse_version, version_key
from envc_solvers.conda.language.versionspec import VersionSpec
from envc_solvers.origin import KeyPath
from envc_solvers.sat.domain import bit, everything, ranks

_NAME = re.compile(r"\s*([A-Za-z0-9_][\w.-]*)(?![\w.:/*-])").match


HiddenKind = Literal["constraint", "channel-of-a-spec", "channel-priority", "too-new", "undated"]


class HiddenBy(NamedTuple):
    """Why records of a name must not be chosen, whatever else is chosen."""

    kind: HiddenKind
    by: str = ""  # the constraint as written; the channel that the name comes from instead
    origin: KeyPath = ()  # where the constraint is written


class Table:
    """The records of one name, best first: by absence of track_features, channel if it counts, version, build number.

    Records that are equal in all of these are neighbours, in the order in which the channels list them. `order` ranks
    them when one of them has to be chosen.
    """

    __slots__ = (
        "_alike",
        "_bounds",
        "_builds",
        "_depends",
        "_masks",
        "_versions",
        "hidden",
        "name",
        "origins",
        "records",
        "selectable",
    )

    def __init__(self, name: str, records: Sequence[Record], channel_ranks: Sequence[int] | None = None) -> None:
        """With `channel_ranks`, parallel to `records`, the channel counts before the version."""
        self.name = name
        keys = [(version_key(record.version), record.build_number) for record in records]
        ranked = sorted(range(len(records)), key=keys.__getitem__, reverse=True)
        groups = [
            (bool(record.track_features), channel)
            for record, channel in zip(records, channel_ranks or repeat(0), strict=False)
        ]
        if len(set(groups)) > 1:
            ranked.sort(key=groups.__getitem__)
        self.records = tuple([records[number] for number in ranked])
        self.origins = tuple(ranked)  # by rank: position in the order of the channels
        # By rank: all candidates of that rank's run of equal records, which only `order` can rank.
        self._alike: list[int] = []
        by_version: dict[bytes, int] = {}
        for _, run in groupby(ranked, lambda number: (groups[number], keys[number])):
            count, start = len(list(run)), len(self._alike)
            same = (1 << count) - 1 << start + 1
            self._alike += [same] * count
            key = version_key(self.records[start].version)
            by_version[key] = by_version.get(key, 0) | same
        self._versions = sorted(by_version)
        self._masks = [by_version[key] for key in self._versions]
        self._bounds = [0]  # by index: candidates with a lower version than the one at that index
        for mask in self._masks:
            self._bounds.append(self._bounds[-1] | mask)
        self._builds: dict[str, int] = {}
        self._depends: dict[str, list[tuple[str, int, bool]]] | None = None
        self.selectable = everything(len(self.records))  # candidates that may be chosen, with ABSENT
        self.hidden: dict[HiddenBy, int] = {}  # reason: the candidates that must not be chosen for it

    def hide(self, mask: int, reason: HiddenBy) -> None:
        """Exclude candidates from being chosen. `highest` still counts them."""
        mask &= self.selectable & ~1
        if mask:
            self.selectable &= ~mask
            self.hidden[reason] = self.hidden.get(reason, 0) | mask

    def matching(self, spec: MatchSpec) -> int:
        """The candidates that a spec on this name allows, including hidden ones."""
        mask = self._matching_version(spec.version) if spec.version is not None else self._bounds[-1]
        if spec.build and mask:
            mask &= self._matching_build(spec.build)
        if spec.is_simple or not mask:
            return mask
        return sum(bit(place) for place in ranks(mask) if spec.matches_besides_version(self.records[place]))

    def _matching_version(self, spec: VersionSpec) -> int:
        spans = spec.spans
        if spans is None:
            return sum(
                bit(place) for place, record in enumerate(self.records) if spec.contains(parse_version(record.version))
            )
        mask = 0
        for low, high in spans:
            mask |= self._bounds[bisect_left(self._versions, high)] & ~self._bounds[bisect_left(self._versions, low)]
        return mask

    def _matching_build(self, pattern: str) -> int:
        if pattern not in self._builds:
            matches = compile_pattern(pattern)
            self._builds[pattern] = sum(bit(place) for place, each in enumerate(self.records) if matches(each.build))
        return self._builds[pattern]

    def alike(self, place: int) -> int:
        """The candidates that differ from the one of this rank only in their dependencies and timestamps."""
        return self._alike[place]

    def highest(self, mask: int) -> tuple[bool, bytes] | None:
        """The highest version in a mask: whether its first record has no track_features, and its key."""
        for number in range(len(self._versions) - 1, -1, -1):
            newest = mask & self._masks[number]
            if newest:
                first = min(ranks(newest), key=self.origins.__getitem__)
                return not self.records[first].track_features, self._versions[number]
        return None

    def mentions(self, name: str) -> list[tuple[str, int, bool]]:
        """The specs on a name in candidates that may be chosen: (spec text, candidates, whether it is a dependency)."""
        if self._depends is None:
            self._depends = self._read_mentions()
        return self._depends.get(name, [])

    def _read_mentions(self) -> dict[str, list[tuple[str, int, bool]]]:
        needed: dict[str, int] = {}
        limited: dict[str, int] = {}
        for place in ranks(self.selectable):
            record, candidate = self.records[place], bit(place)
            for text in record.depends:
                needed[text] = needed.get(text, 0) | candidate
            for text in record.constrains:
                limited[text] = limited.get(text, 0) | candidate
        grouped: dict[str, list[tuple[str, int, bool]]] = {}
        for specs, is_needed in ((needed, True), (limited, False)):
            for text, mask in specs.items():
                grouped.setdefault(spec_name(text), []).append((text, mask, is_needed))
        return grouped


def spec_name(text: str) -> str:
    """The package name in a spec's text, lower case; "" if there is none. The rest is usually not parsed."""
    match = _NAME(text)
    if match:
        return match[1].lower()
    try:
        return parse_matchspec(text).name
    except InvalidMatchSpec:
        return ""
