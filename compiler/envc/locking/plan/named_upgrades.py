"""The packages that ``-P`` and ``--accept-reupload`` name: which may change, and to which versions in this run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from envc.errors import UsageError
from envc.locking.plan.expand import StepTarget
from envc.locking.plan.project import NamedUpgrade, Upgrades
from envc.model.graph import LockGraph
from envc.model.kinds import ArtifactKind
from envc_solvers.origin import KeyPath
from envc_solvers.pypi.language.requirement import Requirement, canonicalize_name
from envc_solvers.pypi.problem import PyPIRoot

if TYPE_CHECKING:
    from envc_solvers.conda.problem import CondaRoot

OPTION: KeyPath = ("-P",)  # the place that messages name
_EVERY: frozenset[ArtifactKind] = frozenset({"pypi", "conda", "interpreter"})


class NamedVersions(msgspec.Struct, frozen=True, kw_only=True):
    """The versions that ``-P`` asks for. They limit the run like constraints, and are not stored in the lock."""

    pypi: tuple[PyPIRoot, ...] = ()
    conda: tuple[CondaRoot, ...] = ()
    releases: dict[str, str] = {}  # implementation of a standalone interpreter: its version


class NamedPackages(msgspec.Struct, frozen=True, kw_only=True):
    """What ``-P`` and ``--accept-reupload`` ask for."""

    names: frozenset[str] = frozenset()  # packages whose pins may change
    versions: NamedVersions = NamedVersions()
    reuploads: frozenset[str] = frozenset()  # packages whose files may have other bytes than in the lock


def name_packages(upgrades: Upgrades, graph: LockGraph | None, selected: tuple[StepTarget, ...]) -> NamedPackages:
    """The packages and versions that ``-P`` and ``--accept-reupload`` name.

    Raises UsageError for a package that no selected step has, for a version that cannot be read, and for two versions
    of one interpreter. Without a lock, `require_named` checks the names after the solve.
    """
    named = upgrades.packages
    if not named and not upgrades.reuploads:
        return NamedPackages()
    kinds = _kinds(graph, selected) if graph is not None else None
    names: set[str] = set()
    pypi: list[PyPIRoot] = []
    conda: list[CondaRoot] = []
    releases: dict[str, str] = {}
    for one in named:
        name = _name(one, kinds or {})
        if kinds is not None and name not in kinds:
            _refuse_name(one, name, kinds, graph)
        of_name = kinds[name] if kinds is not None else _EVERY
        names.add(name)
        if not one.specifier:
            continue
        if of_name == _EVERY:
            of_name = frozenset({"interpreter"}) if name in ("cpython", "pypy") else frozenset({"pypi", "conda"})
        if "pypi" in of_name:
            pypi.append(_pypi_limit(one, name))
        if "conda" in of_name and any(step_target.uses_conda for step_target in selected):
            conda.append(_conda_limit(one, name))
        if "interpreter" in of_name:
            version = _release(one)
            if releases.setdefault(name, version) != version:
                raise UsageError(f"-P names two versions of {name}: {releases[name]} and {version}", "keep one of them")
    accepted = set()
    for written in upgrades.reuploads:
        name = _name(NamedUpgrade(written), kinds or {})
        if kinds is not None and name not in kinds:
            _refuse_name(NamedUpgrade(written), name, kinds, graph, "--accept-reupload")
        accepted.add(name)
    return NamedPackages(
        names=frozenset(names),
        versions=NamedVersions(pypi=tuple(pypi), conda=tuple(conda), releases=releases),
        reuploads=frozenset(accepted),
    )


def require_named(named: tuple[NamedUpgrade, ...], graph: LockGraph) -> None:
    """Raise UsageError if a new lock lacks a package that ``-P`` names, so the option had no effect."""
    kinds: dict[str, set[ArtifactKind]] = {}
    for package in graph.packages:
        kinds.setdefault(package.name, set()).add(package.kind)
    known = {name: frozenset(of_name) for name, of_name in kinds.items()}
    for one in named:
        if (name := _name(one, known)) not in known:
            _refuse_name(one, name, known, graph)


def _kinds(graph: LockGraph, selected: tuple[StepTarget, ...]) -> dict[str, frozenset[ArtifactKind]]:
    """The kinds of packages by name that the selected steps have in the lock or require in the manifest."""
    found: dict[str, set[ArtifactKind]] = {}
    wanted: dict[str, set[str]] = {}  # target names by step
    for step_target in selected:
        wanted.setdefault(step_target.step, set()).add(step_target.target_name)
        for dependency in step_target.pypi:
            found.setdefault(dependency.requirement.name, set()).add("pypi")
    packages = {package.id: package for package in graph.packages}
    for environment in graph.environments:
        targets: set[str] = set().union(*(wanted.get(step, set()) for step in environment.steps))
        for ref in environment.packages:
            package = packages.get(ref.id)
            if package is not None and (not ref.targets or targets & set(ref.targets)) and targets:
                found.setdefault(package.name, set()).add(package.kind)
    return {name: frozenset(kinds) for name, kinds in found.items()}


def _name(one: NamedUpgrade, known: dict[str, frozenset[ArtifactKind]]) -> str:
    # Conda names are in the lock as written, in lower case. Only PyPI names are normalised.
    written = one.name.lower()
    return written if written in known else canonicalize_name(written)


def _refuse_name(
    one: NamedUpgrade,
    name: str,
    known: dict[str, frozenset[ArtifactKind]],
    graph: LockGraph | None,
    option: str = "-P",
) -> None:
    from envc_solvers.nearest import nearest_name  # late: only mistakes need it

    if graph is not None and any(package.name == name for package in graph.packages) and name not in known:
        raise UsageError(
            f"{option} {one}: no selected step has {name}", "leave out --step and --target, or select others"
        )
    near = nearest_name(name, known)
    raise UsageError(f"{option} {one}: the lock has no package {name}", f"did you mean {near}?" if near else None)


def _pypi_limit(one: NamedUpgrade, name: str) -> PyPIRoot:
    from envc_solvers.pypi.language import requirement as requirements

    try:
        specifier = requirements.canonical_specifier(one.specifier)
    except requirements.InvalidSpecifier:
        raise UsageError(f"-P {one}: {one.specifier!r} is not a PEP 440 specifier", f"write {name}==1.2") from None
    return PyPIRoot(Requirement(name, specifier), OPTION)


def _conda_limit(one: NamedUpgrade, name: str) -> CondaRoot:
    from envc_solvers.conda.language.matchspec import InvalidMatchSpec, parse_matchspec
    from envc_solvers.conda.problem import CondaRoot

    text = f"{name} {''.join(one.specifier.split())}"
    try:
        return CondaRoot(parse_matchspec(text), text, OPTION)
    except InvalidMatchSpec as error:
        raise UsageError(f"-P {one}: {error.reason}", f"write {name}==1.2") from None


def _release(one: NamedUpgrade) -> str:
    version = one.specifier.removeprefix("==").strip()
    if not one.specifier.startswith("==") or not version or not set(version) <= set("0123456789."):
        raise UsageError(f"-P {one}: an interpreter takes one version", f"write {one.name}==3.12.7")
    return version
