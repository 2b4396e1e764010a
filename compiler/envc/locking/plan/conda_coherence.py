"""Whether the conda packages of one step on one target are those that its specs lead to. No I/O.

As `pypi_coherence`. A lock has the version and build of a package, but not everything that a spec may restrict: build
numbers, licences and MD5 digests are not compared.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec

from envc.locking.plan.conda_problems import python_spec
from envc.locking.plan.expand import StepTarget, constraints_of, overrides_of
from envc.model.graph import Artifact, Package, build_string
from envc.model.manifest import Manifest
from envc_solvers.conda.language.interpreters import other_kind
from envc_solvers.conda.language.matchspec import InvalidMatchSpec, MatchSpec, parse_matchspec
from envc_solvers.conda.language.record import Record
from envc_solvers.conda.language.version import InvalidVersion, parse_version
from envc_solvers.conda.language.virtual import virtual_packages

Pin = tuple[Package, Artifact]
_LONGEST = 4000  # characters of a version or spec; int() raises for thousands of digits


class CondaSide:
    """The conda packages of one step on one target, by name."""

    def __init__(self, step_target: StepTarget, pins: Mapping[str, Pin], manifest: Manifest) -> None:
        self._step_target = step_target
        self._pins = pins
        self._channels = tuple(channel.name for channel in step_target.channels)
        self._records = {name: self._record(pin) for name, pin in pins.items()}
        stated = manifest.virtual_packages.get(step_target.target.name, {})
        overrides = [f"{name}={version}" for name, version in stated.items()]
        self._virtual = {record.name: record for record in virtual_packages(step_target.target, overrides)}
        self._roots = [*(one.spec for one in step_target.conda), python_spec(step_target.python)]
        self._limits = [one.spec for one in constraints_of(manifest, step_target).conda]
        self._overrides = {
            parse_matchspec(one.spec).name: one.spec for one in overrides_of(manifest, step_target).conda
        }

    def faults(self) -> Iterator[str]:
        """Why the packages are not those that the specs lead to."""
        reached: dict[str, None] = {}
        for text in self._roots:
            yield from self._required("the step", text, reached)
        waiting = list(reached)
        while waiting:
            name = waiting.pop()
            package, artifact = self._pins[name]
            before = len(reached)
            for text in package.depends if artifact.depends is None else artifact.depends:
                yield from self._required(package.id, text, reached)
            waiting += list(reached)[before:]
        for text in self._limits:
            spec = parse_matchspec(text)
            record = self._records.get(spec.name)
            if record is not None and not self._fits(spec, record):
                yield f"the constraint {text} excludes {self._pins[spec.name][0].id} {record.version} {record.build}"
        for name in sorted(self._pins):
            package = self._pins[name][0]
            kind = other_kind(name, self._records[name].build, self._step_target.python)
            if kind is not None:
                yield f"{package.id} {package.version} is {kind}, and the Python is {self._step_target.python.text}"
            if name not in reached:
                yield f"nothing requires {package.id}"
            if package.source not in self._channels:
                yield f"{package.id} is from {package.source}, which is no channel of the step"

    def _required(self, by: str, text: str, reached: dict[str, None]) -> Iterator[str]:
        try:
            spec = parse_matchspec(text if len(text) <= _LONGEST else "")
        except InvalidMatchSpec:
            yield f"{by} depends on {text[:80]!r}, which is not a match spec"
            return
        if by != "the step" and spec.name in self._overrides:
            text = self._overrides[spec.name]
            spec = parse_matchspec(text)
        record = self._virtual.get(spec.name) or self._records.get(spec.name)
        if record is None:
            yield f"{by} requires {text}, which is not listed"
            return
        if spec.name in self._records:
            reached[spec.name] = None
        if not self._fits(spec, record):
            what = self._pins[spec.name][0].id if spec.name in self._pins else spec.name
            yield f"{by} requires {text}, and {what} {record.version} {record.build} is listed"

    def _fits(self, spec: MatchSpec, record: Record) -> bool:
        """Whether a spec matches a record, as far as the lock tells. Channels may be written as addresses."""
        known = msgspec.structs.replace(spec, build_number=None, license=None, md5=None)
        if spec.channel not in self._channels:
            known = msgspec.structs.replace(known, channel=None)
        if not record.file:
            known = msgspec.structs.replace(known, channel=None, subdir=None, file=None, sha256=None)
        try:
            parse_version(record.version if len(record.version) <= _LONGEST else "")
        except InvalidVersion:
            return False
        return known.matches(record)

    def _record(self, pin: Pin) -> Record:
        package, artifact = pin
        return Record(
            name=package.name,
            version=package.version,
            build=build_string(package, artifact),
            channel=package.source,
            subdir="noarch" if artifact.noarch else self._step_target.target.platform,
            sha256=artifact.sha256,
            file=artifact.file,
        )
