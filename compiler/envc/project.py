"""project: what every verb starts from: a manifest with its lock, and the step-targets that a command line means."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from envc import lockfile
from envc.errors import NoLock, StaleLock, UsageError
from envc.expand import StepTarget, expand
from envc.model.graph import LockGraph
from envc.model.manifest import KeyPath, Manifest
from envc.parse import find_manifest, load_manifest
from envc.stale import Freshness, Reason, compare
from envc.surroundings import Surroundings
from envc_solvers.target import PLATFORMS

if TYPE_CHECKING:
    from envc.model.digest import Sha256
    from envc.model.environment import Environment
    from envc.store.blobs import Blobs
    from envc_solvers.pypi.solve import Strategy


class Project(msgspec.Struct, frozen=True, kw_only=True):
    """A manifest with what was derived from it, and the lock beside it."""

    manifest: Manifest
    cells: tuple[StepTarget, ...]
    graph: LockGraph | None  # None when there is no lock
    freshness: Freshness | None  # None when there is no lock


def open_project(manifest: str | None, around: Surroundings, resolution: Strategy | None = None) -> Project:
    """parse → expand, and compare with the lock. Reads two files and the local projects, touches no network.

    With a `resolution` the manifest counts as if its policy said so.

    A lock with conflict markers is read as the two locks that a merge left, put together by key; it is stale, and what
    the two sides say alike is kept when it is locked again.
    """
    loaded = load_manifest(find_manifest(manifest, around.environ, around.cwd))
    if resolution is not None:
        replace = msgspec.structs.replace
        loaded = replace(loaded, policy=replace(loaded.policy, resolution=resolution))
    cells = expand(loaded)
    path = loaded.lock_path
    if not path.exists():
        return Project(manifest=loaded, cells=cells, graph=None, freshness=None)
    local = _local_digests(loaded, cells)
    try:
        graph = lockfile.load(path)
        return Project(manifest=loaded, cells=cells, graph=graph, freshness=compare(loaded, cells, graph, local))
    except lockfile.LockConflict as conflict:
        graph = lockfile.merge(lockfile.loads(conflict.ours, path), lockfile.loads(conflict.theirs, path))
        freshness = compare(loaded, cells, graph, local)
        markers = Reason("lock", "conflict markers of a merge", "")
        freshness = msgspec.structs.replace(freshness, reasons=(markers, *freshness.reasons))
        return Project(manifest=loaded, cells=cells, graph=graph, freshness=freshness)


def _local_digests(manifest: Manifest, cells: tuple[StepTarget, ...]) -> dict[str, str]:
    """What the paths that requirements name lead to now; "" for what is not there."""
    paths = {dependency.path for cell in cells for dependency in cell.pypi if dependency.path is not None}
    if not paths:
        return {}
    from envc.local import NotThere, local_digest

    found = {}
    for path in sorted(paths):
        try:
            found[path] = str(local_digest(manifest.root, path, manifest.lock_path))
        except NotThere:
            found[path] = ""
    return found


def check(project: Project, selected: tuple[StepTarget, ...] | None = None) -> LockGraph:
    """The lock. Raises NoLock, or StaleLock with every reason unless it says what the manifest asks for.

    Of a lock that answers what is `selected` nothing more is asked.
    """
    path = project.manifest.lock_path
    if project.graph is None:
        raise NoLock(path)
    if not answers(project, project.cells if selected is None else selected):
        raise StaleLock(path, tuple(str(reason) for reason in reasons(project)))
    return project.graph


def reasons(project: Project) -> tuple[Reason, ...]:
    """Why the lock is out of date, sorted, with the lines of the manifest."""
    return with_lines(project.manifest, project.freshness.reasons) if project.freshness is not None else ()


def with_lines(manifest: Manifest, reasons: tuple[Reason, ...]) -> tuple[Reason, ...]:
    """The reasons with the lines that say so. Reads the manifest again, if there is something to say."""
    if not any(reason.at for reason in reasons):
        return reasons
    from envc.parse.positions import Positions

    positions = Positions(manifest.path.read_text(encoding="utf-8-sig"))

    def line(at: KeyPath) -> int | None:
        place = positions.of((*manifest.prefix, *at)) if at else None
        return place[0] if place is not None else None

    return tuple(msgspec.structs.replace(reason, line=line(reason.at)) for reason in reasons)


def answers(project: Project, selected: tuple[StepTarget, ...]) -> bool:
    """Whether the lock says what the manifest asks for: everything, or what some step-targets ask for."""
    if project.freshness is None:
        return False
    if len(selected) == len(project.cells):
        return project.freshness.is_fresh
    return all((cell.step, cell.key) in project.freshness.fresh for cell in selected)


def warn_of_yanked(graph: LockGraph, around: Surroundings, cells: Iterable[StepTarget] | None = None) -> None:
    """Name the files of a lock that their authors took back: all of them, or those of some step-targets."""
    if graph.holds_yanked:
        from envc.review.yanked import yanked

        for package in yanked(graph, cells):
            around.progress.warn(f"{package}\n  hint: {package.hint}")


class Selection(msgspec.Struct, frozen=True, kw_only=True):
    """Which step-targets a verb is about, and where their packages are."""

    steps: tuple[str, ...] = ()  # () is all
    targets: tuple[str, ...] = ()  # target or platform names; () is all
    store: str | None = None
    frozen: bool = False  # use the lock whether or not it is stale


def select(project: Project, selection: Selection) -> tuple[StepTarget, ...]:
    """The step-targets that are meant. Raises UsageError for a name that means none."""
    steps, targets = set(project.manifest.steps), {cell.target.name for cell in project.cells}
    for name in selection.steps:
        if name not in steps:
            raise UsageError(f"there is no step {name}", _has(name, steps))
    named = targets | {cell.target.platform for cell in project.cells}
    for name in selection.targets:
        if name in PLATFORMS and name not in named:
            # Spelt right, and so no near miss of a name that the manifest has.
            hint = f'add "{name}" to the targets of the project or of a step, and run `envc lock`'
            raise UsageError(f"the manifest has no target for {name}; it has {', '.join(sorted(named))}", hint)
        if name not in named:
            raise UsageError(f"there is no target or platform {name}", _has(name, named))
    cells = tuple(
        cell
        for cell in project.cells
        if (not selection.steps or cell.step in selection.steps)
        and (not selection.targets or {cell.target.name, cell.target.platform} & set(selection.targets))
    )
    if not cells:
        raise UsageError("no step has one of these targets", f"the manifest has {', '.join(sorted(targets))}")
    return cells


def locked(project: Project, selection: Selection) -> LockGraph:
    """The lock; as `check`, unless it is to be taken as it is."""
    if selection.frozen and project.graph is not None:
        return project.graph
    try:
        return check(project)
    except StaleLock as error:
        error.hint = "run `envc lock`, or pass --frozen to use the lock as it is"
        raise


def store_of(project: Project, selection: Selection, around: Surroundings) -> Blobs:
    return choose_store(selection.store, lambda: project.manifest, around)


def choose_store(chosen: str | None, manifest: Callable[[], Manifest], around: Surroundings) -> Blobs:
    """``--store``, else ``ENVC_STORE``, else the manifest's, else a folder in the user's data directory."""
    from envc.store.blobs import open_store

    place = chosen or around.environ.get("ENVC_STORE")
    if place:
        return open_store(place if "://" in place else around.cwd / Path(place).expanduser())
    if place := manifest().store:
        return open_store(place if "://" in place else manifest().root / Path(place).expanduser())
    from envc.fetch.settings import user_folder

    return open_store(user_folder("data", around.environ) / "store")


def cell_for(
    project: Project, step: str, target: str | None, around: Surroundings, *, foreign: bool = False
) -> StepTarget:
    """The step on the target that is named, else on the first of its targets that is of this machine's platform."""
    cells = select(project, Selection(steps=(step,), targets=(target,) if target else ()))
    here = this_platform()
    fitting = [cell for cell in cells if foreign or cell.target.platform == here]
    if not fitting:
        has = ", ".join(cell.target.name for cell in select(project, Selection(steps=(step,))))
        raise UsageError(
            f"step {step} has no target for this machine, which is {here}; it has {has}",
            f'add "{here}" to the targets of the project or of the step, and run `envc lock`',
        )
    # A target named as its platform is the plain one; a declared one, such as "gpu", has to be asked for.
    return min(fitting, key=lambda cell: cell.target.name != cell.target.platform)


def this_platform() -> str:
    """The platform of the interpreter that envc runs in."""
    from envc.install.interpreter import this_python

    return this_python().platform


def channel_addresses(manifest: Manifest, environment: Environment) -> dict[Sha256, str]:
    """The channel of each conda artifact, as prefix records name it: public ones by the address that every conda tool
    knows, others by their name, so that no address of the manifest leaves it.
    """
    members = [member for member in environment.members if member.kind == "conda"]
    if not members:
        return {}
    from envc.fetch.channels import CHANNELS_URL

    addresses = {}
    for member in members:
        source = manifest.sources.get(member.source)
        is_public = source is not None and source.url is None
        addresses[member.sha256] = f"{CHANNELS_URL if is_public else 'envc:/'}/{member.source}"
    return addresses


def _has(name: str, known: Iterable[str]) -> str:
    """The way out for a name that the manifest does not have."""
    near = nearest(name, known)
    return f"did you mean {near}?" if near else f"the manifest has {', '.join(sorted(known))}"


def nearest(name: str, names: Iterable[str]) -> str | None:
    """The known name that is spelt most alike, if any is."""
    import difflib

    return next(iter(difflib.get_close_matches(name, sorted(names), n=1)), None)
