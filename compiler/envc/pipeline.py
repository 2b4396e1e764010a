"""The whole compiler on a page: each function is one verb, and reads as the stages it runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from envc import lockfile
from envc.closure import Closures
from envc.errors import StaleLock, UsageError, render_key_path
from envc.expand import StepTarget, expand, lock_options
from envc.fetch.index import Origins
from envc.fetch.settings import read_settings
from envc.install.interpreter import this_python
from envc.link import choice_of, link
from envc.model.graph import Choice, LockGraph
from envc.model.manifest import Manifest
from envc.model.progress import Progress
from envc.parse import find_manifest, load_manifest, position_of
from envc.parse.query import Query, parse_query
from envc.pose import pose, refuse_unavailable
from envc.resolve import open_origins, solve_all
from envc.stale import Freshness, compare
from envc_solvers.pypi.requirement import canonicalize_name
from envc_solvers.solution import Solution


class Surroundings(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a verb takes from outside its arguments."""

    environ: Mapping[str, str]
    cwd: Path
    progress: Progress
    offline: bool = False
    refresh: bool = False

    @property
    def now(self) -> datetime:
        """``ENVC_NOW`` if set, else the clock; always aware."""
        text = self.environ.get("ENVC_NOW")
        if not text:
            return datetime.now(UTC)
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            raise UsageError(f"ENVC_NOW is {text!r}, which is not a time", "write 2026-11-01T00:00:00Z") from None
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


class Project(msgspec.Struct, frozen=True, kw_only=True):
    """A manifest with what was derived from it, and the lock beside it."""

    manifest: Manifest
    cells: tuple[StepTarget, ...]
    graph: LockGraph | None  # None when there is no lock
    freshness: Freshness | None  # None when there is no lock


def open_project(manifest: str | None, around: Surroundings) -> Project:
    """parse, expand, and compare with the lock. Reads two files, touches no network."""
    loaded = load_manifest(find_manifest(manifest, around.environ, around.cwd))
    cells = expand(loaded)
    graph = lockfile.load(loaded.lock_path) if loaded.lock_path.exists() else None
    freshness = compare(loaded, cells, graph) if graph is not None else None
    return Project(manifest=loaded, cells=cells, graph=graph, freshness=freshness)


def check(project: Project) -> None:
    """Raise StaleLock with every reason unless the lock says what the manifest asks for."""
    path = project.manifest.lock_path
    if project.freshness is None:
        raise StaleLock(path, ("there is no lock file",))
    if not project.freshness.is_fresh:
        raise StaleLock(path, tuple(str(reason) for reason in project.freshness.reasons))


# lock


class LockRequest(msgspec.Struct, frozen=True, kw_only=True):
    upgrade: bool = False
    packages: tuple[str, ...] = ()  # NAME or NAME==VERSION
    dry_run: bool = False


class Change(msgspec.Struct, frozen=True, order=True):
    """How one package's versions in the lock changed."""

    kind: str
    name: str
    old: tuple[str, ...]
    new: tuple[str, ...]

    def __str__(self) -> str:
        if not self.old:
            return f"  + {self.name} {', '.join(self.new)}"
        if not self.new:
            return f"  - {self.name} {', '.join(self.old)}"
        return f"  ~ {self.name} {', '.join(self.old)} -> {', '.join(self.new)}"


class LockOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """What a lock came to."""

    path: Path
    graph: LockGraph
    written: bool
    dry_run: bool = False
    solved: int = 0  # solver runs
    seconds: float = 0.0
    changes: tuple[Change, ...] = ()

    def lines(self) -> list[str]:
        if not self.solved:
            return [f"{self.path.name} is unchanged" if not self.written else f"wrote {self.path.name}"]
        environments, packages = len(self.graph.environments), len(self.graph.packages)
        verb = "would write" if self.dry_run else "wrote" if self.written else "unchanged:"
        lines = [] if len(self.changes) > 40 else [str(change) for change in self.changes]
        if len(self.changes) > 40:
            lines.append(f"  {len(self.changes)} packages changed")
        return [
            *lines,
            f"{verb} {self.path.name}: {_count(environments, 'environment')}, {_count(packages, 'package')} "
            f"({_count(self.solved, 'problem')} solved in {self.seconds:.1f} s)",
        ]

    def summary(self) -> dict[str, Any]:
        return {
            "lock": str(self.path),
            "written": self.written,
            "environments": len(self.graph.environments),
            "solved": self.solved,
            "changes": [msgspec.structs.asdict(change) for change in self.changes],
        }


def lock(project: Project, request: LockRequest, around: Surroundings) -> LockOutcome:
    """pose → solve → link → lockfile, for the step-targets that the lock beside the manifest does not answer."""
    manifest, cells, graph = project.manifest, project.cells, project.graph
    refuse_unavailable(cells)
    moving, wanted = _moving(request, graph)
    fresh = project.freshness.fresh if project.freshness else frozenset()
    closures = Closures(graph) if graph else None
    kept: dict[tuple[str, str], tuple[Choice, ...]] = {}
    if closures is not None and not request.upgrade:
        for step, key in fresh:
            choices = closures.choices(step, key)
            if not any(choice.name in moving for choice in choices):
                kept[step, key] = choices
    stale = [cell for cell in cells if (cell.step, cell.key) not in kept]
    start = time.monotonic()
    problems = pose(
        manifest,
        stale,
        now=around.now,
        lock=None if request.upgrade else graph,
        release=moving.__contains__,
        wanted=wanted,
    )
    solved = dict(kept)
    if problems:
        with _origins(manifest, around) as origins:
            align = manifest.policy.align
            solutions = solve_all(problems, origins, around.progress, align=align, label=_line_labels(project))
        for posed, solution in solutions:
            choices = tuple(choice_of(pin) for pin in solution.pins)
            solved.update(((cell.step, cell.key), choices) for cell in posed.cells)
    linked = link(cells, solved, lock_options(manifest, cells), graph)
    changed = linked != graph
    if changed and not request.dry_run:
        lockfile.save(linked, manifest.lock_path)
    return LockOutcome(
        path=manifest.lock_path,
        graph=linked,
        written=changed and not request.dry_run,
        dry_run=request.dry_run and changed,
        solved=len(problems),
        seconds=time.monotonic() - start,
        changes=_changes(graph, linked),
    )


def _origins(manifest: Manifest, around: Surroundings) -> Origins:
    settings = read_settings(around.environ)
    return open_origins(
        manifest, settings, around.progress, now=around.now, offline=around.offline, refresh=around.refresh
    )


def _line_labels(project: Project) -> Callable[[str], str]:
    """Adds to a rendered key path the line of the manifest where it stands. Reads the manifest when first asked."""
    manifest = project.manifest
    lines: dict[str, int] = {}

    def label(origin: str) -> str:
        if not lines:
            text = manifest.path.read_text(encoding="utf-8")
            written = [d for cell in project.cells for d in cell.pypi]
            written += [*manifest.constraints.pypi, *manifest.overrides.pypi]
            for dependency in written:
                place = position_of(text, (*manifest.prefix, *dependency.at))
                if place is not None:
                    lines[render_key_path(dependency.at)] = place[0]
        before, _, key = origin.rpartition(" ")
        line = lines.get(key)
        return origin if line is None else f"{before}{' ' if before else ''}{key}, line {line}"

    return label


def _moving(request: LockRequest, graph: LockGraph | None) -> tuple[frozenset[str], dict[str, str]]:
    """The names that ``-P`` releases, and the versions that it asks for."""
    names: set[str] = set()
    wanted: dict[str, str] = {}
    locked = {package.name for package in graph.packages} if graph else set()
    for text in request.packages:
        name, _, version = text.partition("==")
        name = canonicalize_name(name.strip())
        if graph is not None and name not in locked:
            near = _nearest(name, locked)
            raise UsageError(
                f"-P {text}: the lock holds no package {name}",
                f"did you mean {near}?" if near else "name a package that `envc status` counts",
            )
        names.add(name)
        if version:
            wanted[name] = version.strip()
    return frozenset(names), wanted


def _nearest(name: str, names: Iterable[str]) -> str | None:
    import difflib

    return next(iter(difflib.get_close_matches(name, sorted(names), n=1)), None)


def _changes(old: LockGraph | None, new: LockGraph) -> tuple[Change, ...]:
    def versions(graph: LockGraph | None) -> dict[tuple[str, str], list[str]]:
        found: dict[tuple[str, str], list[str]] = {}
        for package in graph.packages if graph else ():
            found.setdefault((package.kind, package.name), []).append(package.version)
        return found

    before, after = versions(old), versions(new)
    return tuple(
        Change(kind, name, tuple(sorted(before.get((kind, name), ()))), tuple(sorted(after.get((kind, name), ()))))
        for kind, name in sorted(before.keys() | after.keys())
        if sorted(before.get((kind, name), ())) != sorted(after.get((kind, name), ()))
    )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


# solve


def solve_once(query: Query, around: Surroundings) -> Solution:
    """parse → expand → pose → solve, for one command line, without a lock."""
    manifest = parse_query(query)
    problems = pose(manifest, expand(manifest), now=around.now)
    with _origins(manifest, around) as origins:
        return solve_all(problems, origins, around.progress)[0][1]


def this_platform() -> str:
    """The platform of the interpreter that envc runs in."""
    return this_python().platform
