"""Whether the PyPI packages of one step on one target are those that its requirements lead to. No I/O.

The requirements of the manifest and the `depends` of the listed packages are followed with the target's markers, as the
solver follows them. Every package that is needed must be listed in an allowed version, and every listed package needed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from functools import lru_cache

import msgspec

from envc.locking.plan.expand import StepTarget, constraints_of, overrides_of
from envc.model.graph import Artifact, Build, LockGraph, Package
from envc.model.kinds import DIRECT_SOURCES
from envc.model.manifest import Manifest, PyPIDependency
from envc_solvers.pypi.language.markers import Answer, Markers, evaluate_plain
from envc_solvers.pypi.language.requirement import Requirement, parse
from envc_solvers.pypi.language.specifier import allows, compile_specifier, parsed, release_of

Pin = tuple[Package, Artifact]
_HOLDS = Answer(default=True)
_LONGEST_VERSION = 200  # characters; int() raises for thousands of digits
_LONGEST_LINE = 4000  # characters, for the same reason


class Edge(msgspec.Struct, frozen=True, gc=False):
    """One line of `depends`, or one input of the step."""

    text: str
    name: str  # of the project
    specifier: str = ""
    extras: tuple[str, ...] = ()

    @classmethod
    def of(cls, requirement: Requirement, text: str = "") -> Edge:
        return cls(text or str(requirement), requirement.name, requirement.specifier, requirement.extras)

    @property
    def nodes(self) -> tuple[str, ...]:
        """The project and its extras that are required."""
        return (self.name, *[f"{self.name}[{extra}]" for extra in self.extras]) if self.extras else (self.name,)


class Edges(msgspec.Struct, frozen=True, gc=False):
    """The lines of one package that hold on one target."""

    always: tuple[Edge, ...] = ()
    for_extra: dict[str, tuple[Edge, ...]] = {}  # those that hold only with that extra of the package
    unreadable: str = ""  # the first line that is not a requirement
    # The projects and extras that they lead to: by the project and by each of its extras ("torch", "torch[cuda]").
    nodes: dict[str, frozenset[str]] = {}

    @classmethod
    def read(cls, name: str, lines: tuple[str, ...], markers: Markers) -> Edges:
        always: list[Edge] = []
        for_extra: dict[str, list[Edge]] = {}
        for line in lines:
            read = read_canonical(line) or _read_any(line)
            if read is None:
                return cls(unreadable=line)
            edge, marker = read
            answer = _answer(line, marker, markers) if marker else _HOLDS
            if answer is None:
                return cls(unreadable=line)
            if answer.default:
                always.append(edge)
            else:
                for extra in answer.exceptions:
                    for_extra.setdefault(extra, []).append(edge)
        nodes = {name: _nodes(always)} | {f"{name}[{extra}]": _nodes(edges) for extra, edges in for_extra.items()}
        return cls(tuple(always), {extra: tuple(edges) for extra, edges in for_extra.items()}, nodes=nodes)

    @property
    def all(self) -> Iterator[Edge]:
        yield from self.always
        for edges in self.for_extra.values():
            yield from edges


def _answer(line: str, marker: str, markers: Markers) -> Answer | None:
    """The result of the marker of a line; None if it is no marker, which no solver would have locked."""
    known = markers.answers.get(marker)
    if known is None:
        known = evaluate_plain(marker, markers.environment)
        if known is None:
            return markers.answer(marker) if _read_any(line) is not None else None
        markers.answers[marker] = known
    return known


def _nodes(edges: Iterable[Edge]) -> frozenset[str]:
    return frozenset([node for edge in edges for node in edge.nodes])


class Tables(msgspec.Struct, frozen=True, gc=False):
    """What a list of packages is followed with: one release of each project, and perhaps of more than are listed."""

    pins: dict[str, Pin] = {}  # by project
    nodes: dict[str, frozenset[str]] = {}  # as `Edges.nodes`
    unreadable: set[str] = set()  # the projects with a line that is not a requirement
    # By project: the edges that some release in the lock does not meet, so that every environment has to be asked which
    # release it has. Most locks have one release of each project, and no such edge.
    doubtful: dict[str, tuple[Edge, ...]] = {}


class KnownEdges:
    """The edges of the packages of a lock, which many environments share."""

    def __init__(self, graph: LockGraph) -> None:
        # By the identity of the artifact and of the markers, which live as long as the graph and its targets. Without
        # markers in its lines, by that of the artifact alone.
        self._known: dict[tuple[int, int] | int, Edges] = {}
        self._tables: dict[int, Tables] = {}  # by the identity of the markers
        self._doubtful: dict[int, tuple[Edge, ...]] = {}  # by the identity of the edges of a package
        self._doubts: dict[str, bool] = {}  # by the text of an edge
        self._packages: dict[str, list[Package]] = {}
        for package in graph.packages:
            if package.kind == "pypi":
                self._packages.setdefault(package.name, []).append(package)

    def of(self, pin: Pin, markers: Markers) -> Edges:
        package, artifact = pin
        found = self._known.get(id(artifact)) or self._known.get((id(artifact), id(markers)))
        if found is None:
            lines = package.depends if artifact.depends is None else artifact.depends
            found = Edges.read(package.name, lines, markers)
            self._known[(id(artifact), id(markers)) if ";" in "".join(lines) else id(artifact)] = found
        return found

    def tables(self, pins: Mapping[str, Pin], markers: Markers) -> Tables:
        """What these pins are followed with. Environments on a target share it, but for projects with more releases."""
        shared = self._tables.setdefault(id(markers), Tables())
        for name in pins.keys() - shared.pins.keys():
            self._put(shared, name, pins[name], markers)
        others = [name for name, pin in pins.items() if shared.pins[name] is not pin]
        if not others:
            return shared
        tables = Tables(dict(shared.pins), dict(shared.nodes), set(shared.unreadable), dict(shared.doubtful))
        for name in others:
            for node in self.of(tables.pins[name], markers).nodes:
                del tables.nodes[node]
            tables.unreadable.discard(name)
            tables.doubtful.pop(name, None)
            self._put(tables, name, pins[name], markers)
        return tables

    def _put(self, tables: Tables, name: str, pin: Pin, markers: Markers) -> None:
        edges = self.of(pin, markers)
        tables.pins[name] = pin
        tables.nodes.update(edges.nodes)
        if edges.unreadable:
            tables.unreadable.add(name)
        doubtful = self._doubtful.get(id(edges))
        if doubtful is None:
            doubtful = tuple([edge for edge in edges.all if edge.specifier and self._is_doubtful(edge)])
            self._doubtful[id(edges)] = doubtful
        if doubtful:
            tables.doubtful[name] = doubtful

    def _is_doubtful(self, edge: Edge) -> bool:
        found = self._doubts.get(edge.text)
        if found is None:
            versions = [package.version for package in self._packages.get(edge.name, ())]
            found = not all(allows_version(edge.specifier, version) for version in versions)
            self._doubts[edge.text] = found
        return found


class PyPISide:
    """The PyPI packages of one step on one target."""

    def __init__(
        self,
        step_target: StepTarget,
        pins: Mapping[str, Pin],  # by project
        provided: Mapping[str, tuple[str, ...]],  # project: versions of the conda packages that supply it
        markers: Markers,
        manifest: Manifest,
        edges: KnownEdges,
    ) -> None:
        self._pins = pins
        self._provided = provided
        self._markers = markers
        self._edges = edges
        sources = (*step_target.indexes, *step_target.dedicated)
        self.only = {one.requirement.name: one.source for one in step_target.pypi if one.source is not None}
        self._claiming = [source for source in sources if source.projects]
        self._open = tuple([source.name for source in step_target.indexes if not source.projects])
        self._roots = [one for one in step_target.pypi if markers.holds(one.requirement.marker)]
        self._overrides: dict[str, list[Edge]] = {}
        stated = overrides_of(manifest, step_target).pypi
        for override in stated:
            held = self._overrides.setdefault(override.requirement.name, [])
            if markers.holds(override.requirement.marker):
                held.append(Edge.of(override.requirement))
        limits = constraints_of(manifest, step_target).pypi
        self._limits = [one.requirement for one in limits if markers.holds(one.requirement.marker)]
        overriding = [one for one in stated if markers.holds(one.requirement.marker)]
        self.direct: dict[str, list[PyPIDependency]] = {}
        for one in (*self._roots, *overriding):
            if one.is_direct:
                self.direct.setdefault(one.requirement.name, []).append(one)

    def faults(self) -> Iterator[str]:
        """Why the packages are not those that the requirements lead to."""
        if self._agrees():
            yield from self._limit_faults()
            return
        found: dict[str, None] = {}
        needed, is_complete = self._follow(found)
        yield from found
        yield from self._limit_faults()
        for name in sorted(self._pins.keys() & self._provided.keys()):
            yield f"{name} is supplied by a conda package, and {self._pins[name][0].id} is listed as well"
        for one in self._roots:
            if (one.source is not None or one.is_direct) and one.requirement.name in self._provided:
                yield f"{one.requirement.name} is supplied by a conda package, but the manifest says where it is from"
        if is_complete:
            needed |= self._perhaps_needed(needed)
            yield from (f"nothing requires {self._pins[name][0].id}" for name in sorted(self._pins.keys() - needed))

    def _agrees(self) -> bool:
        """Whether exactly the packages that are needed are listed, in allowed versions. False if it takes more to tell.

        This is what `_follow` finds out as well, without the words for a fault, and in a tenth of the time.
        """
        pins, markers = self._pins, self._markers
        if self._provided or self._overrides:
            return False
        waiting: set[str] = set()
        for one in self._roots:
            requirement = one.requirement
            pin = pins.get(requirement.name)
            if pin is None or (requirement.specifier and not allows_version(requirement.specifier, pin[0].version)):
                return False
            waiting.add(requirement.name)
            waiting.update([f"{requirement.name}[{extra}]" for extra in requirement.extras])
        tables = self._edges.tables(pins, markers)
        if not tables.unreadable.isdisjoint(pins):
            return False
        for name in tables.doubtful.keys() & pins.keys():
            for edge in tables.doubtful[name]:
                if edge.name in pins and not allows_version(edge.specifier, pins[edge.name][0].version):
                    return False  # unless it is for an extra that is not requested
        nodes, nothing = tables.nodes, frozenset[str]()
        reached = set(waiting)
        while waiting:
            waiting = nothing.union(*[nodes.get(node, nothing) for node in waiting]).difference(reached)  # type: ignore[assignment]
            reached |= waiting
        return pins.keys() == {node for node in reached if "[" not in node}

    def _follow(self, found: dict[str, None]) -> tuple[set[str], bool]:
        """The projects that are needed, and whether the lock says so much about all of them. Adds faults to `found`.

        The lock does not have the requirements that a project supplied by conda has for its extras.
        """
        pins, overrides, markers = self._pins, self._overrides, self._markers
        followed: dict[str, set[str]] = {}  # extras by project, "" for the project itself
        is_complete = True
        waiting: list[tuple[str, Iterable[Edge]]] = [("the step", [Edge.of(one.requirement) for one in self._roots])]
        while waiting:
            by, edges = waiting.pop()
            for edge in edges:
                if edge.name in overrides and by.startswith("pypi:"):
                    waiting.append((f"the override of {edge.name} for {by}", overrides[edge.name]))
                    continue
                pin = pins.get(edge.name)
                if pin is None:
                    is_complete = self._check_provided(by, edge, found) and is_complete
                    continue
                package = pin[0]
                if edge.specifier and not allows_version(edge.specifier, package.version):
                    found[f"{by} requires {edge.text}, and {package.id} {package.version} is listed"] = None
                known = followed.get(edge.name)
                if known is None:
                    known = followed[edge.name] = set()
                    own = self._edges.of(pin, markers)
                    if own.unreadable:
                        text = own.unreadable[:80]
                        found[f"{package.id} depends on {text!r}, which is not a requirement"] = None
                    if own.always:
                        waiting.append((package.id, own.always))
                for extra in edge.extras:
                    if extra not in known:
                        known.add(extra)
                        more = self._edges.of(pin, markers).for_extra.get(extra)
                        if more:
                            waiting.append((package.id, more))
        return set(followed), is_complete

    def _check_provided(self, by: str, edge: Edge, found: dict[str, None]) -> bool:
        """Check a requirement of a project that no PyPI package supplies. Returns False if it has extras."""
        versions = self._provided.get(edge.name)
        if versions is None:
            found[f"{by} requires {edge.text}, which is not listed"] = None
            return True
        if edge.specifier and not any(allows_version(edge.specifier, version) for version in versions):
            found[f"{by} requires {edge.text}, and conda supplies {', '.join(versions)}"] = None
        return not edge.extras

    def _perhaps_needed(self, needed: set[str]) -> set[str]:
        """The projects that requirements may lead to which a lock does not have, because they name a URL.

        Such a requirement counts if the manifest overrides it or has an address for its project, and it may request
        any extra.
        """
        waiting = [name for name in {*self._overrides, *self.direct} if name in self._pins]
        reached = set(waiting)
        while waiting:
            edges = self._edges.of(self._pins[waiting.pop()], self._markers)
            for edge in edges.all:
                if edge.name in self._pins and edge.name not in reached:
                    reached.add(edge.name)
                    if edge.name not in needed:
                        waiting.append(edge.name)
        return reached

    def _limit_faults(self) -> Iterator[str]:
        for limit in self._limits:
            pin = self._pins.get(limit.name)
            if pin is not None and limit.specifier and not allows_version(limit.specifier, pin[0].version):
                yield f"the constraint {limit} excludes {pin[0].id} {pin[0].version}"

    def source_faults(self, name: str, package: Package) -> Iterator[str]:
        """Why a package is not from a source that the manifest allows for its project."""
        direct = self.direct.get(name)
        if direct is not None:
            sources: Iterable[str] = {"git" if one.git else "path" if one.path else "url" for one in direct}
        elif package.source in DIRECT_SOURCES:
            yield f"{package.id} is from a {package.source} that the manifest does not name"
            return
        else:
            sources = self._suppliers(name)
        if package.source not in sources:
            allowed = " or ".join(sorted(sources)) or "no source"
            yield f"{package.id} is from {package.source}, and the manifest takes it from {allowed}"

    def _suppliers(self, name: str) -> tuple[str, ...]:
        """The sources that may supply a project: see `fetch.pypi.indexes.Indexes.suppliers`."""
        if name in self.only:
            return (self.only[name],)
        for one in self._claiming:
            if any(fnmatchcase(name, glob) for glob in one.projects):
                return (one.name,)
        return self._open


def build_requirement_faults(build: Build) -> Iterator[str]:
    """Why the packages that a wheel was built with are not those that its build system requires.

    A build may require more when it runs (PEP 517), and a lock does not have what these packages require themselves. So
    further packages are no fault.
    """
    versions = {one.name: one.version for one in build.packages}
    for line in build.requires:
        read = read_canonical(line) or _read_any(line)
        if read is None:
            yield f"the build of {build.wheel} requires {line[:80]!r}, which is not a requirement"
            continue
        edge, marker = read
        version = versions.get(edge.name)
        if version is None and not marker:
            yield f"the build of {build.wheel} requires {line}, which is not listed"
        if version is not None and not marker and edge.specifier and not allows_version(edge.specifier, version):
            yield f"the build of {build.wheel} requires {line}, and {edge.name} {version} is listed"


@lru_cache(maxsize=1 << 16)
def allows_version(specifier: str, version: str) -> bool:
    """Whether a text is a version that a specifier set allows."""
    if not is_version(version):
        return False
    if specifier == f"=={version}":
        return True
    if release_of(version) is None and (plain := _without_suffix(version)):
        # A clause with another release decides by the release alone. packaging takes longer to import than all of this.
        base, clauses = release_of(plain), compile_specifier(specifier) or ()
        if all(clause.operator in _ORDERED and clause.plain not in (None, base) for clause in clauses):
            return bool(clauses) and allows(specifier, plain)
    return allows(specifier, version)


def _without_suffix(version: str) -> str:
    """The release of a version that has one suffix in canonical form, as in ``2.9.0.post0``; "" for other texts."""
    head = version.rstrip("0123456789")
    if 1 <= len(version) - len(head) <= _LONGEST_SUFFIX:
        for suffix in _SUFFIXES:
            if head.endswith(suffix):
                plain = head.removesuffix(suffix)
                return plain if release_of(plain) is not None else ""
    return ""


_SUFFIXES = (".post", "rc", "b", "a", ".dev")
_LONGEST_SUFFIX = 9  # digits
_ORDERED = frozenset((">=", ">", "<=", "<"))


@lru_cache(maxsize=4096)
def is_version(text: str) -> bool:
    """Whether a text is a version (PEP 440) of reasonable length."""
    if len(text) > _LONGEST_VERSION:
        return False
    if release_of(text) is not None or _without_suffix(text):
        return True
    from packaging.version import InvalidVersion

    try:
        parsed(text)
    except InvalidVersion:
        return False
    return True


@lru_cache(maxsize=1 << 16)
def read_canonical(line: str) -> tuple[Edge, str] | None:
    """A requirement and its marker, as a lock writes nearly all; None if it has another form."""
    if len(line) > _LONGEST_LINE:
        return None
    head, _, marker = line.partition("; ")
    end = next((at for at, letter in enumerate(head) if letter in "[<>=!~"), len(head))
    name, rest = head[:end], head[end:]
    extras: tuple[str, ...] = ()
    if rest.startswith("["):
        listed, bracket, rest = rest[1:].partition("]")
        extras = tuple(listed.split(","))
        if not bracket or not all(map(_is_name, extras)):
            return None
    if not _is_name(name) or not _FORBIDDEN.isdisjoint(rest) or (rest and rest[0] not in "<>=!~"):
        return None
    return Edge(line, name, rest, extras), marker


_FORBIDDEN = frozenset(" \t[];@()")  # in a specifier set


def _is_name(text: str) -> bool:
    """Whether a text may be a normalised name (PEP 503)."""
    return text.isascii() and text.replace("-", "").isalnum() and text.islower() | text.replace("-", "").isdecimal()


def _read_any(line: str) -> tuple[Edge, str] | None:
    """A requirement in any form and its marker; None if it is none."""
    from packaging.requirements import InvalidRequirement

    try:
        requirement = parse(line if len(line) <= _LONGEST_LINE else "")
    except (InvalidRequirement, RecursionError):
        return None
    return Edge.of(requirement, line), requirement.marker
