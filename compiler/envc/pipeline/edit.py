"""``envc init``, ``envc add`` and ``envc remove``: edit the manifest, then lock."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec

from envc.context import Context
from envc.errors import EnvcError, Unwritable, UsageError
from envc.locking.manifest import edit
from envc.locking.manifest.load import parse_manifest
from envc.locking.manifest.requirement_lists import Entry
from envc.locking.plan.closure import Closures
from envc.model.kinds import DIRECT_SOURCES, DependencyKind
from envc.model.manifest import KeyPath
from envc.pipeline.lock import LockOutcome, LockRequest, lock
from envc.pipeline.project import open_project, this_platform
from envc.system.user_file import FileChanged, replace_user_file, written_path
from envc_solvers.nearest import nearest_name

if TYPE_CHECKING:
    from envc.locking.plan.project import Project
    from envc.model.manifest import Manifest
    from envc_solvers.pypi.problem import Strategy


class ManifestChanged(FileChanged):
    """A manifest that changed while a command was working on it."""

    def data(self) -> dict[str, object]:
        return {"manifest": str(self.path)}


class EditRequest(msgspec.Struct, frozen=True, kw_only=True):
    action: Literal["add", "remove"]
    entries: tuple[Entry, ...]  # requirements to add, or names to remove
    kind: DependencyKind = "pypi"
    step: str | None = None  # the table to edit; None if there is only one step, or for a group
    group: str | None = None
    target: str | None = None  # only for this target of the step
    lock: bool = True
    bounds: bool = True  # give requirements that limit nothing a lower bound
    dry_run: bool = False  # write nothing


def write_manifest(folder: Path, targets: tuple[str, ...], python: str | None) -> Path:
    """Write a first manifest into the folder, by default for linux-64, this machine's platform and the running Python.

    Returns its path. Raises UsageError if it exists, ManifestError for targets or a Python that cannot be read, and
    Unwritable.
    """
    path = folder / "manifest.toml"
    if path.exists():
        raise UsageError(f"{path} already exists", "edit it, or add packages with `envc add`")
    targets = targets or tuple(dict.fromkeys(["linux-64", this_platform()]))
    python = python or f"{sys.version_info[0]}.{sys.version_info[1]}"
    text = edit.new_manifest(folder.absolute().name or "project", targets, python)
    parse_manifest(text, path)
    _write(path, text.encode())
    return path


class EditOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """The result of an edit."""

    path: Path  # of the manifest
    table: KeyPath  # that was edited, from the root of the text
    entries: tuple[Entry, ...]  # as they were added, with lower bounds; or the names that were removed
    written: bool
    locked: LockOutcome | None  # None if the request says not to lock


def edit_manifest(project: Project, request: EditRequest, context: Context) -> EditOutcome:
    """edit → parse → lock → write.

    A requirement that limits nothing gets the locked version as its lower bound. The manifest is restored if it cannot
    be locked, unless another program has changed it in the meantime. Raises UsageError for a table or a requirement
    that does not exist, ManifestError, ManifestChanged, StrayLink, Unwritable, and the errors of `lock`.
    """
    path = project.manifest.path
    if not request.dry_run:  # before anything is solved
        written_path(path)
        written_path(project.manifest.lock_path)
    before = path.read_bytes()
    table = _table(project.manifest, request, context)

    def edited(entries: tuple[Entry, ...]) -> bytes:
        def change(text: str) -> str:
            if request.action == "add":
                return edit.add(text, table, request.kind, entries)
            return edit.remove(text, table, request.kind, [str(entry) for entry in entries])

        after = edit.change_bytes(before, change)
        parse_manifest(after.decode("utf-8-sig"), path)
        return after

    def opened(data: bytes) -> Project:
        return open_project(str(path), context, unsaved=data.decode("utf-8-sig"))

    entries, after = request.entries, edited(request.entries)
    _warn_of_unused_group(opened(after).manifest, request, context)
    if request.lock and request.bounds and request.action == "add":
        bounded = _with_bounds(opened(after), request, context)
        if bounded != entries:
            entries, after = bounded, edited(bounded)
    if request.dry_run:
        locked = lock(opened(after), LockRequest(dry_run=True), context) if request.lock else None
        return EditOutcome(path=path, table=table, entries=entries, written=False, locked=locked)
    if not request.lock:
        _replace(path, before, after)
        return EditOutcome(path=path, table=table, entries=entries, written=True, locked=None)
    locked = _lock_changed(path, before, after, context, lambda: open_project(str(path), context), LockRequest())
    return EditOutcome(path=path, table=table, entries=entries, written=True, locked=locked)


def lock_with_builds(
    project: Project, names: tuple[str, ...], request: LockRequest, context: Context, resolution: Strategy | None
) -> LockOutcome:
    """``envc lock --build``: allow these projects to be built in the manifest, then lock. Errors as `edit_manifest`."""
    path, prefix = project.manifest.path, project.manifest.prefix
    before = path.read_bytes()
    after = edit.change_bytes(before, lambda text: edit.allow_builds(text, prefix, names))
    return _lock_changed(path, before, after, context, lambda: open_project(str(path), context, resolution), request)


def _lock_changed(
    path: Path,
    before: bytes,
    after: bytes,
    context: Context,
    reopen: Callable[[], Project],
    request: LockRequest,
) -> LockOutcome:
    """Write the changed manifest and lock it. The manifest is restored if that fails."""
    parse_manifest(after.decode("utf-8-sig"), path)
    if after != before:
        _replace(path, before, after)
    try:
        return lock(reopen(), request, context)
    except (EnvcError, KeyboardInterrupt):
        if after == before:
            pass
        elif _still_has(path, after):
            _write(path, before)
            context.progress.note(f"{path.name} was restored, because it could not be locked")
        else:
            context.progress.warn(f"{path.name} could not be locked, and was not restored: it has changed since")
        raise


def _with_bounds(project: Project, request: EditRequest, context: Context) -> tuple[Entry, ...]:
    """The entries with lower bounds: the lowest version that is locked for any of the steps that they apply to."""
    names = {entry: edit.unbounded_name(entry, request.kind) for entry in request.entries if isinstance(entry, str)}
    steps = {
        name
        for name, step in project.manifest.steps.items()
        if (request.group in step.groups if request.group is not None else name == _step(project.manifest, request))
    }
    used = [
        one
        for one in project.step_targets
        if one.step in steps and request.target in (None, one.target.name, one.target.platform)
    ]
    if not used or not any(names.values()):
        return request.entries
    closures = Closures(lock(project, LockRequest(dry_run=True), context).graph)
    versions: dict[str, set[str]] = {}
    for step_target in used:
        for package, _ in closures.pins(step_target.step, step_target.key):
            if package.kind == request.kind and package.source not in DIRECT_SOURCES:
                versions.setdefault(package.name, set()).add(package.version)

    def bounded(entry: Entry) -> Entry:
        found = versions.get(names.get(entry) or "") if isinstance(entry, str) else None
        if not isinstance(entry, str) or not found:
            return entry
        return edit.with_lower_bound(entry, request.kind, _lowest(found, request.kind))

    return tuple(map(bounded, request.entries))


def _lowest(versions: set[str], kind: DependencyKind) -> str:
    """The lowest version, without its local part, which other platforms may lack."""
    if kind == "conda":
        from envc_solvers.conda.language.version import version_key

        return min(versions, key=version_key)
    from packaging.version import Version

    return min(map(Version, versions)).public


def _warn_of_unused_group(manifest: Manifest, request: EditRequest, context: Context) -> None:
    group = request.group
    if group is None or any(group in step.groups for step in manifest.steps.values()):
        return
    used = {name for step in manifest.steps.values() for name in step.groups}
    near = nearest_name(group, used)
    hint = f"did you mean {near}?" if near else f'add groups = ["{group}"] to a step'
    context.progress.warn(f"no step uses the group {group}, so nothing is locked for it", hint=hint)


def _still_has(path: Path, data: bytes) -> bool:
    try:
        return path.read_bytes() == data
    except OSError:
        return False


def _replace(path: Path, before: bytes, after: bytes) -> None:
    """Write the changed manifest. Raises ManifestChanged if it is no longer the one that was read, and as `_write`."""
    if not _still_has(path, before):
        raise ManifestChanged(path)
    _write(path, after)


def _write(path: Path, data: bytes) -> None:
    """Write the manifest atomically, in a folder that may not exist yet. Raises StrayLink and Unwritable."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_user_file(path, data)
    except OSError as error:
        raise Unwritable(path, error, "check the permissions of the folder") from None


def _table(manifest: Manifest, request: EditRequest, context: Context) -> KeyPath:
    """The key path of the table that the request selects. Raises UsageError if it selects none.

    A step that does not exist is made by `add`, which says so.
    """
    step, target = request.step, request.target
    if request.group is not None:
        if step is not None or target is not None:
            raise UsageError("--group cannot be used with --step or --target", "name a step or a group, not both")
        return (*manifest.prefix, "groups", request.group)
    if step is None:
        if len(manifest.steps) != 1:
            raise UsageError("the manifest has several steps", f"name one with --step: {', '.join(manifest.steps)}")
        step = _step(manifest, request)
    if step not in manifest.steps:
        near = nearest_name(step, manifest.steps)
        if request.action == "remove":
            hint = f"did you mean {near}?" if near else f"the manifest has {', '.join(manifest.steps)}"
            raise UsageError(f"there is no step {step}", hint)
        context.progress.note(f"{step} is a new step" + (f"; did you mean {near}?" if near else ""))
    return (*manifest.prefix, "steps", step, *(("on", target) if target else ()))


def _step(manifest: Manifest, request: EditRequest) -> str:
    """The step that the request names, else the only one."""
    return request.step if request.step is not None else next(iter(manifest.steps))
